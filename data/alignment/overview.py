"""Small grey frames of a video, or of a part of it: what two videos are aligned by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.video.frame_reader import read_chosen
from data.video.picture import LUMA, Picture, largest, lay_out
from data.video.probe import VideoInfo
from data.video.sampling import choose_uniform

SIDE = 320
"""The longer side of an overview's frames, in pixels: SIFT finds some hundred points there in 8 ms,
and at 160 too few in web cameras' pictures."""
MOST_FRAMES = 600
"""Frames of an overview: all of 20 s at 30 frames/s, 110 MB while they are read."""
FEWEST_FRAMES = 8
"""With fewer frames there is no movement to compare."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overview:
    """Small grey frames, in order."""

    grey: NDArray[np.uint8]  # (T, h, w) uint8
    timestamps_seconds: NDArray[np.float64]  # (T,) on the stream's own clock, ascending
    scale: float  # its pixels over those of the largest frame as shown

    @property
    def step_seconds(self) -> float:
        """Median time from one frame to the next."""
        return float(np.median(np.diff(self.timestamps_seconds)))


def read_overview(path: Path, info: VideoInfo, span: tuple[float, float] | None = None) -> Overview:
    """Reads small frames, evenly spread over the video or over a span of it, in seconds.

    Raises:
        VideoError: it cannot be read, or has fewer than FEWEST_FRAMES there.
    """

    def choose(times: NDArray[np.float64]) -> NDArray[np.int64]:
        inside = np.arange(len(times))
        if span is not None:
            inside = np.flatnonzero((times >= span[0]) & (times <= span[1]))
        if len(inside) < FEWEST_FRAMES:
            raise VideoError(
                "too_few_frames", f"it has {len(inside)} frames, comparing takes {FEWEST_FRAMES}"
            )
        return inside[choose_uniform(times[inside], MOST_FRAMES)]

    picture = Picture(longest=SIDE, turned=info.turned)
    read = read_chosen(path, info, choose, picture)
    pixels, _ = lay_out(read.pixels)
    return Overview(
        grey=to_grey(pixels),
        timestamps_seconds=read.timestamps_seconds,
        scale=picture.scale(*largest(read.shown)),
    )


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of RGB pictures, (T, H, W, 3) uint8 -> (T, H, W) uint8; one at a time, for memory."""
    grey = np.empty(pixels.shape[:3], np.uint8)
    for index, frame in enumerate(pixels):
        grey[index] = (frame @ LUMA + 0.5).astype(np.uint8)
    return grey
