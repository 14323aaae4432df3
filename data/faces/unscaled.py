"""Faces cut from a video's frames without scaling: the pixels that a person may measure.

What the network is given is scaled (`data.faces.crops`). Here the same frames are decoded again in
their own size and cut at whole pixels around the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.thumbnails import SAME_SECONDS
from data.video.decoding import Decoded
from data.video.frame_reader import read_chosen
from data.video.frames import FrameRecipe, chooser
from data.video.picture import whole_picture
from data.video.probe import VideoInfo, probe

NEVER_SCALED = 1 << 20
"""Longer than any frame that is decoded (`data.video.ffmpeg.MAX_PIXELS`)."""
MEMORY_BYTES = 1 << 29
"""Of frames that are held at once; more are decoded in several passes."""
TINY = 16
"""Pixels of frames of which only the times are wanted."""
OTHER_FRAMES = "it gives other frames than when it was judged"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A face in a frame, to be cut."""

    seconds: float  # when the frame is shown, as read before
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the frame as shown


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A face as cut."""

    index: int  # of what was wanted
    pixels: NDArray[np.uint8]  # (h, w, 3) uint8 RGB
    # x0, y0, x1, y1 of the cut in whole pixels of the frame as shown: the box widened to them, and
    # cut off at the frame's edge
    place: tuple[int, int, int, int]


def cut_faces(path: Path, recipe: FrameRecipe, wanted: Sequence[Wanted]) -> Iterator[Cut]:
    """Decodes frames in their own size and cuts faces from them, in the order of the frames.

    A frame is as it is shown: turned as the file asks, and widened where its pixels are not square.

    Args:
        path: the video.
        recipe: with which it was read before.
        wanted: faces to cut.

    Raises:
        VideoError: it cannot be read, or gives other frames than before.
    """
    info = probe(path)
    seconds = sorted({one.seconds for one in wanted})
    most = max(1, MEMORY_BYTES // (3 * info.width * info.height))
    for first in range(0, len(seconds), most):
        part = np.asarray(seconds[first : first + most])
        read = _read(path, info, recipe, part)
        if len(read.pixels) != len(part) or not _same(read.timestamps_seconds, part):
            raise VideoError("decode_error", OTHER_FRAMES)
        for frame, time in zip(read.pixels, part.tolist(), strict=True):
            for index, one in enumerate(wanted):
                if one.seconds == time:
                    yield cut(frame, one.box, index)


def _read(
    path: Path, info: VideoInfo, recipe: FrameRecipe, seconds: NDArray[np.float64]
) -> Decoded:
    """Reads those of the recipe's frames that are shown at these times, in their own size."""
    picture, choose = whole_picture(info, NEVER_SCALED), chooser(info, recipe)

    def by_time(times: NDArray[np.float64]) -> NDArray[np.int64]:
        chosen = choose(times)
        return chosen[_nearest(times[chosen], seconds)]

    try:
        return read_chosen(path, info, by_time, picture)
    except _OtherClock:  # packets without times: they are chosen by their numbers
        shown = read_chosen(path, info, choose, whole_picture(info, TINY))
        try:
            places = _nearest(shown.timestamps_seconds, seconds)
        except _OtherClock as error:
            raise VideoError("decode_error", OTHER_FRAMES) from error
        return read_chosen(path, info, lambda times: choose(times)[places], picture)


class _OtherClock(Exception):
    """No frame is shown at a wanted time."""


def _nearest(times: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the times that are these.

    Raises:
        _OtherClock: one of them is not there.
    """
    places = np.abs(times[:, None] - seconds).argmin(0)
    if not _same(times[places], seconds):
        raise _OtherClock
    return np.asarray(places, np.int64)


def _same(times: NDArray[np.float64], seconds: NDArray[np.float64]) -> bool:
    return bool((np.abs(times - seconds) <= SAME_SECONDS).all())


def cut(frame: NDArray[np.uint8], box: tuple[float, float, float, float], index: int) -> Cut:
    """Cuts a box, widened to whole pixels, from a frame (H, W, 3)."""
    height, width = frame.shape[:2]
    x0, y0 = (max(0, int(np.floor(low))) for low in box[:2])
    x1, y1 = (
        min(side, int(np.ceil(high))) for side, high in zip((width, height), box[2:], strict=True)
    )
    return Cut(index=index, pixels=frame[y0:y1, x0:x1], place=(x0, y0, x1, y1))
