"""Reads files of scores and gives each video of a manifest its score.

Scores of frames or clips become one by the mean, as DeepfakeBench takes it, the median or the
largest. Scores on which reals are higher are turned around, so that higher is fake.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Video
from data.errors import InputError
from pipeline.score_files.csv_files import read_csv
from pipeline.score_files.formats import format_of
from pipeline.score_files.json_files import read_json_scores
from pipeline.score_files.matching import Matcher
from pipeline.score_files.records import Aggregation, Higher, Match, ScoreFile, VideoScores

MOST_ROWS = 20_000_000
"""Of all files: a hundred thousand videos of 200 frames; each row takes some 100 bytes."""
AGGREGATE: Mapping[str, Callable[[NDArray[np.float64]], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "max": np.max,
}


@dataclass(kw_only=True)
class _Rows:
    """The rows of one video."""

    source: str  # the file
    unit: str  # what a place is
    frames: list[str] = field(default_factory=list)
    scores: array[float] = field(default_factory=lambda: array("d"))
    places: array[int] = field(default_factory=lambda: array("q"))


def read_scores(
    files: Sequence[Path],
    videos: Sequence[Video],
    *,
    columns: Mapping[str, str],
    higher: Higher,
    aggregate: Aggregation,
    match: Match | None,
) -> VideoScores:
    """Reads all files together.

    Args:
        files: CSV or JSON.
        videos: of the manifest.
        columns: what a column is for -> its name, where it has no usual one.
        higher: which class has the higher scores.
        aggregate: how scores of frames become one; "max" is the most fake one.
        match: by what rows and videos are matched; None by what suits each file.

    Raises:
        InputError: a file cannot be read, a row is invalid or stands twice, or no row names a
            video of the manifest; the line is named.
        MismatchError: a row has another label than the manifest.
    """
    held: dict[int, _Rows] = {}
    kinds: dict[str, None] = {}
    facts: dict[str, str] = {}
    total = unmatched = 0
    example = ""
    matchers: dict[Match, Matcher] = {}
    for path in files:
        file = _open(path, columns)
        kinds.setdefault(file.kind)
        facts |= file.facts
        by = match or file.match
        if by not in matchers:
            matchers[by] = Matcher(videos, by)
        matcher = matchers[by]
        for row in file.rows:
            total += 1
            place = f"{path}, {file.unit} {row.place}"
            if total > MOST_ROWS:
                raise InputError(f"{place}: more than {MOST_ROWS:,} rows; split the files")
            index, frame = matcher.find(row, place)
            if index is None:
                unmatched, example = unmatched + 1, example or row.video
                continue
            if index not in held:
                held[index] = _Rows(source=str(path), unit=file.unit)
            rows = held[index]
            if rows.frames and (rows.source != str(path) or "" in (frame, rows.frames[0])):
                raise InputError(
                    f"{place}: {videos[index].path} has a score already, in {rows.source}, "
                    f"{rows.unit} {rows.places[0]}; keep one, or name the column of frames, as in "
                    "--columns frame=NAME"
                )
            rows.frames.append(frame)
            rows.scores.append(row.score)
            rows.places.append(row.place)
    if not total:
        raise InputError(f"{files[0]} has no row; write a CSV with the columns path,score")
    if not held:
        raise InputError(
            f"none of the {total} rows names a video of the manifest, {example!r} for one; write "
            f"paths as the manifest has them, as {videos[0].path}, or pass --match name"
        )
    frames = {index: _in_order(rows, videos[index]) for index, rows in held.items()}
    flat = np.concatenate(list(frames.values()))
    known = flat[~np.isnan(flat)]
    unit = bool(len(known)) and bool(((known >= 0) & (known <= 1)).all())
    orientation = ""
    if higher == "real":
        orientation = "negated"
        # 1 - P is P(fake) where no two scores become one by rounding.
        if unit and len(np.unique(1 - known)) == len(np.unique(known)):
            orientation = "taken from 1"
        unit = orientation == "taken from 1"
        frames = {index: 1 - one if unit else -one for index, one in frames.items()}
    scores = np.full(len(videos), math.nan)
    for index, one in frames.items():
        there = one[~np.isnan(one)]
        if len(there):
            scores[index] = there[0] if len(there) == 1 else AGGREGATE[aggregate](there)
    return VideoScores(
        scores=scores,
        frames={index: one for index, one in frames.items() if held[index].frames[0]},
        unit=unit,
        orientation=orientation,
        kinds=tuple(kinds),
        facts=facts,
        rows=total,
        unmatched=unmatched,
        unmatched_example=example,
    )


def _open(path: Path, columns: Mapping[str, str]) -> ScoreFile:
    if format_of(path) == "json":
        return read_json_scores(path, columns)
    return read_csv(path, columns)


def _in_order(rows: _Rows, video: Video) -> NDArray[np.float64]:
    """The scores of a video's frames, (T,), by the numbers in their names.

    Raises:
        InputError: a frame stands twice.
    """
    order = sorted(
        range(len(rows.frames)), key=lambda row: (_natural(rows.frames[row]), rows.frames[row])
    )
    for before, after in pairwise(order):
        if rows.frames[before] == rows.frames[after]:
            raise InputError(
                f"{rows.source}, {rows.unit} {rows.places[after]}: the frame "
                f"{rows.frames[after]!r} of {video.path} is in {rows.unit} {rows.places[before]} "
                "already"
            )
    return np.asarray([rows.scores[row] for row in order], np.float64)


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts `2.png` before `10.png`."""
    return tuple(
        (0, int(part), "") if part.isdigit() and part.isascii() and len(part) < 40 else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    )
