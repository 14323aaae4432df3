"""Pictures of several sizes in one video: a canvas to follow faces on, and what is said of it.

Faces are followed where they stay comparable: on a canvas of the largest size, each picture in the
middle of it, its shape kept, as a player shows it whose window keeps its size. They are cropped
from each picture itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.video.decoding import MEMORY_BYTES
from data.video.picture import Pictures, fitted, place

MOST_TOLD = 3
"""Sizes that are named; how many more follow is said."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where pictures of several sizes lie on their canvas.

    Attributes:
        width, height: of the canvas, the largest of the pictures by area.
        sizes: (T, 2) int64, width and height of each picture.
        rectangles: (T, 4) int64, x0, y0, x1, y1 of each picture on the canvas.
    """

    width: int
    height: int
    sizes: NDArray[np.int64]
    rectangles: NDArray[np.int64]

    @property
    def scales(self) -> NDArray[np.float64]:
        """(T,) from pixels of each picture to those of the canvas."""
        scales: NDArray[np.float64] = ((self.width, self.height) / self.sizes).min(1)
        return scales

    def to_pictures(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Square boxes (T, 4) on the canvas, in pixels of each picture.

        One whose centre is beside its picture, where no face was seen, is moved into it.
        """
        scales = self.scales[:, None]
        corners = self.rectangles[:, :2]
        stretched = (self.rectangles[:, 2:] - corners) / self.sizes  # but for rounding, the scale
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2.0 - corners) / stretched
        half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / scales / 2
        beside = ((centres < 0) | (centres > self.sizes)).any(1, keepdims=True)
        least = np.minimum(half, self.sizes / 2)
        centres = np.where(beside, np.clip(centres, least, self.sizes - least), centres)
        found = np.concatenate([centres - half, centres + half], 1).astype(np.float32)
        as_canvas = (self.sizes == (self.width, self.height)).all(1, keepdims=True)
        return np.where(as_canvas, boxes, found)

    def to_canvas(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (T, 4) in pixels of each picture, on the canvas."""
        corners = np.tile(self.rectangles[:, :2], 2)
        return (boxes * self.scales[:, None] + corners).astype(np.float32)


def layout_of(sizes: NDArray[np.int64]) -> Layout | None:
    """Lays out pictures of these sizes (T, 2); None where all are alike."""
    if (sizes == sizes[:1]).all():
        return None
    width, height = sizes[int(sizes.prod(1).argmax())].tolist()
    return Layout(
        width=width,
        height=height,
        sizes=sizes,
        rectangles=np.asarray([fitted(size, (width, height)) for size in sizes.tolist()], np.int64),
    )


def lay_out(pictures: Pictures) -> tuple[NDArray[np.uint8], Layout | None]:
    """Puts pictures on one canvas; those of one size are it already.

    Returns:
        (T, H, W, 3) uint8 RGB, and where each lies; None where each is the whole.

    Raises:
        VideoError: decode_error: that would take too much memory.
    """
    if isinstance(pictures, np.ndarray):
        return pictures, None
    sizes = np.asarray([one.shape[1::-1] for one in pictures], np.int64)
    layout = layout_of(sizes)
    if layout is None:
        return np.stack(pictures), None
    area = layout.width * layout.height * len(sizes)
    if 3 * (area + int(sizes.prod(1).sum())) > MEMORY_BYTES:
        raise VideoError(
            "decode_error",
            f"its picture changes its size, and {len(sizes)} frames of {layout.width}x"
            f"{layout.height} do not fit in memory twice; lower frames.count or frames.max_side",
        )
    canvas = np.empty((len(sizes), layout.height, layout.width, 3), np.uint8)
    for picture, slot in zip(pictures, canvas, strict=True):
        place(picture, slot)
    return canvas, layout


def on_one_scale(
    boxes: NDArray[np.float32], shown: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Boxes (T, 4) in pixels of pictures shown in these sizes (T, 2), made comparable."""
    layout = None if shown is None else layout_of(shown)
    return boxes if layout is None else layout.to_canvas(boxes)


def count_sizes(shown: NDArray[np.int64] | None) -> int:
    """How many sizes there are among (T, 2); 1 where nothing is known."""
    return 1 if shown is None else len(np.unique(shown, axis=0))


def size_note(shown: NDArray[np.int64] | None, timestamps_seconds: NDArray[np.float64]) -> str:
    """Says that pictures change their size, (T, 2) as shown; nothing where they do not."""
    if shown is None or count_sizes(shown) == 1:
        return ""
    changes = 1 + np.flatnonzero((shown[1:] != shown[:-1]).any(1))
    told = ["{}x{}".format(*shown[0])]
    told += [
        "then {}x{} from {:.1f} s".format(*shown[at], timestamps_seconds[at])
        for at in changes[: MOST_TOLD - 1]
    ]
    more = len(changes) - (MOST_TOLD - 1)
    if more > 0:
        told.append(f"and {more} more {'change' if more == 1 else 'changes'}")
    return (
        f"the picture changes its size ({', '.join(told)}); each part is cropped in its own shape"
    )


def resized_note(names: Sequence[str]) -> str:
    """Says how many videos change their size, and names one."""
    count, name = len(names), min(names)
    these = "1 video changes its" if count == 1 else f"{count} videos change their"
    return (
        f"{these} picture's size ({name}{'' if count == 1 else ' for one'}); each part is cropped "
        "in its own shape"
    )
