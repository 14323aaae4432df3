"""Aligns two video files; long ones first coarsely, then closely in a part of the common time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from data.alignment.align import Alignment, align
from data.alignment.overview import Overview, read_overview
from data.errors import NoDecoderError, VideoError
from data.video.probe import VideoInfo, probe

T = TypeVar("T")

CLOSE_SECONDS = 10.0
"""Length of the part that is looked at closely where the overviews leave frames out."""
FINE_STEP_SECONDS = 0.07
"""Overviews with a longer step leave frames out (or the video has fewer than 15 a second)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFiles:
    """Two files and how they are aligned."""

    paths: tuple[Path, Path]
    infos: tuple[VideoInfo, VideoInfo]  # their headers
    alignment: Alignment
    span: tuple[float, float]  # common time, in seconds of the first file


def align_files(one: Path, two: Path) -> AlignedFiles:
    """Reads overviews of both and aligns them.

    Raises:
        VideoError: one of them cannot be read; its path begins the message.
    """
    infos = (named(one, partial(probe, one)), named(two, partial(probe, two)))
    overviews = (
        named(one, partial(read_overview, one, infos[0])),
        named(two, partial(read_overview, two, infos[1])),
    )
    coarse = align(*overviews)
    span = common_span(*overviews, coarse.lag_seconds)
    files = AlignedFiles(paths=(one, two), infos=infos, alignment=coarse, span=span)
    if coarse.one_scene and max(one.step_seconds for one in overviews) > FINE_STEP_SECONDS:
        close, span = align_closely(files, overviews)
        files = replace(files, alignment=close, span=span)
    return files


def align_closely(
    files: AlignedFiles, overviews: tuple[Overview, Overview]
) -> tuple[Alignment, tuple[float, float]]:
    """Aligns a part of the common time by all its frames; returns the coarse result in vain."""
    coarse, (start, stop) = files.alignment, files.span
    middle, half = (start + stop) / 2, min(CLOSE_SECONDS, stop - start) / 2
    slack = max(one.step_seconds for one in overviews)
    low, high = middle - half, middle + half
    parts = [(low, high), (low + coarse.lag_seconds - slack, high + coarse.lag_seconds + slack)]
    try:
        first, second = (
            named(path, partial(read_overview, path, info, part))
            for path, info, part in zip(files.paths, files.infos, parts, strict=True)
        )
    except VideoError as error:
        if error.failure != "too_few_frames":
            raise
        return coarse, files.span
    close = align(first, second)
    if not close.one_scene:
        return coarse, files.span
    return close, common_span(*overviews, close.lag_seconds)


def common_span(one: Overview, two: Overview, lag_seconds: float) -> tuple[float, float]:
    """Start and end of the common time, in seconds of the first."""
    first, second = one.timestamps_seconds, two.timestamps_seconds - lag_seconds
    return float(max(first[0], second[0])), float(min(first[-1], second[-1]))


def named(path: Path, read: Callable[[], T]) -> T:
    """What `read` returns; an error of its gets the file's path.

    Raises:
        VideoError: as `read`, the path before its message.
    """
    try:
        return read()
    except NoDecoderError as error:
        raise NoDecoderError(f"{path}: {error}") from error
    except VideoError as error:
        raise VideoError(
            error.failure, f"{path}: {error}", stderr_tail=error.stderr_tail
        ) from error
