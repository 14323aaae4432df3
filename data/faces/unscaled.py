"""Faces cut from a video's frames without scaling: the pixels that a person may measure.

What the network is given is scaled (`data.faces.crops`). Here the same frames are decoded again in
their own size and cut at whole pixels around the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.thumbnails import SAME_SECONDS
from data.video.frame_reader import read_chosen
from data.video.frames import FrameRecipe, choose
from data.video.picture import whole_picture
from data.video.probe import probe

NEVER_SCALED = 1 << 20
"""Longer than any frame that is decoded (`data.video.ffmpeg.MAX_PIXELS`)."""
MEMORY_BYTES = 1 << 29
"""Of frames that are held at once; more are decoded in several passes."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A face in a frame, to be cut."""

    place: int  # of the frame among those that the recipe chose
    seconds: float  # when it is shown, as read before
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the frame as shown


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A face as cut."""

    index: int  # of what was wanted
    pixels: NDArray[np.uint8]  # (h, w, 3) uint8 RGB
    # x0, y0, x1, y1 of the cut in whole pixels of the frame as shown: the box widened to them, and
    # cut off at the frame's edge
    place: tuple[int, int, int, int]


def cut_faces(path: Path, recipe: FrameRecipe, wanted: list[Wanted]) -> Iterator[Cut]:
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
    picture = whole_picture(info, NEVER_SCALED)
    places = sorted({one.place for one in wanted})
    most = max(1, MEMORY_BYTES // (3 * info.width * info.height))
    for first in range(0, len(places), most):
        part = places[first : first + most]

        def chosen(times: NDArray[np.float64], part: list[int] = part) -> NDArray[np.int64]:
            all_of_them = choose(times, recipe)
            if part[-1] >= len(all_of_them):
                raise VideoError("decode_error", "it gives fewer frames than when it was judged")
            return all_of_them[part]

        read = read_chosen(path, info, chosen, picture)
        for place, frame, seconds in zip(part, read.pixels, read.timestamps_seconds, strict=True):
            for index, one in enumerate(wanted):
                if one.place == place:
                    if abs(seconds - one.seconds) > SAME_SECONDS:
                        raise VideoError(
                            "decode_error", "it gives other frames than when it was judged"
                        )
                    yield cut(frame, one.box, index)


def cut(frame: NDArray[np.uint8], box: tuple[float, float, float, float], index: int) -> Cut:
    """Cuts a box, widened to whole pixels, from a frame (H, W, 3)."""
    height, width = frame.shape[:2]
    x0, y0 = (max(0, int(np.floor(low))) for low in box[:2])
    x1, y1 = (
        min(side, int(np.ceil(high))) for side, high in zip((width, height), box[2:], strict=True)
    )
    return Cut(index=index, pixels=frame[y0:y1, x0:x1], place=(x0, y0, x1, y1))
