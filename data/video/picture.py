"""The size in which frames are read, and a canvas for frames of several sizes.

Sizes are computed inside ffmpeg, from each frame as the decoder delivers it: rotated, cropped as
the container asks, with its pixels' aspect ratio. Nothing here relies on what a header says.

Where a video changes its size, faces are followed on a canvas of the largest size, with each
picture in the middle and its shape kept, as a player shows it in a window of fixed size. Faces are
cropped from each picture itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import VideoError
from data.video.ffmpeg import Filters
from data.video.probe import LEAST_ASPECT, MOST_ASPECT, VideoInfo

MEMORY_BYTES = 4 << 30
"""What the frames of one video may take."""
SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+bitexact"
ROUND = "st(9,{0});if(eq(mod(ld(9),1),0.5),2*round(ld(9)/2),round(ld(9)))"
"""Python's `round` in ffmpeg's expressions: halves go to the even number."""
MOST_SIZES = 3
"""Sizes that `size_note` names."""

LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""

Pictures = NDArray[np.uint8] | list[NDArray[np.uint8]]
"""Pictures of one size, (T, H, W, 3) uint8 RGB; or of several, each (h, w, 3)."""


def largest(sizes: NDArray[np.int64]) -> tuple[int, int]:
    """The size of the largest frame, width and height, of (T, 2); the first of equal ones."""
    width, height = max(sizes.tolist(), key=lambda size: size[0] * size[1])
    return width, height


@dataclass(frozen=True, kw_only=True)
class Picture:
    """In which size frames are read; exactly one of the first three is given."""

    longest: int | None = None  # the longer side is scaled down to this, never up
    shortest: int | None = None  # the shorter side is scaled to this, and the middle square taken
    fixed: int | None = None  # width and height, whatever the shape
    even: bool = False  # width and height are even numbers, as encoders want them
    # ffmpeg rotates the frames by a quarter turn, so that their pixels' aspect ratio stretches the
    # height.
    turned: bool = False

    @property
    def filters(self) -> Filters:
        """ffmpeg's filters; the resulting size depends on each frame."""
        if self.fixed is not None:
            size: dict[str, Any] = {"w": self.fixed, "h": self.fixed}
        else:
            sar = f"if(gt(sar,{LEAST_ASPECT})*lt(sar,{MOST_ASPECT}),sar,1)"
            wide, high = f"max(1,({ROUND.format(f'iw*{sar}')}))", "ih"
            if self.turned:
                wide, high = "iw", f"max(1,({ROUND.format(f'ih/{sar}')}))"
            known = f"st(0,{wide});st(1,{high})"
            if self.shortest is not None:
                known += f";st(2,{self.shortest}/min(ld(0),ld(1)))"
            else:
                known += f";st(2,min(1,{self.longest}/max(ld(0),ld(1))))"
            size = {
                name: f"{known};max({self._least},({self._rounded(f'ld({place})*ld(2)')}))"
                for place, name in enumerate("wh")
            }
        # At every frame: the pixels' aspect ratio may change without the graph being made anew.
        return [("scale", {**size, "flags": SCALE_FLAGS, "eval": "frame"})]

    @property
    def _least(self) -> int:
        return self.shortest or (2 if self.even else 1)

    def _rounded(self, expression: str) -> str:
        if not self.even:
            return ROUND.format(expression)
        return f"2*({ROUND.format(f'{expression}/2')})"

    def shown(self, width: int, height: int, aspect: float) -> tuple[int, int]:
        """Size as shown, in square pixels, of a frame with pixels of this aspect (0: unknown)."""
        if not LEAST_ASPECT < aspect < MOST_ASPECT:
            return width, height
        if self.turned:
            return width, max(1, round(height / aspect))
        return max(1, round(width * aspect)), height

    def scale(self, width: int, height: int) -> float:
        """From pixels as shown to pixels as read, for a picture shown in this size."""
        if self.fixed is not None:
            return 1.0
        if self.shortest is not None:
            return self.shortest / min(width, height)
        assert self.longest is not None  # noqa: S101
        return min(1.0, self.longest / max(width, height))

    def delivered(self, width: int, height: int) -> tuple[int, int]:
        """Size that the filters give for a picture shown in this size."""
        if self.fixed is not None:
            return self.fixed, self.fixed
        scale, step = self.scale(width, height), 2 if self.even else 1
        wide, high = (
            max(self._least, step * round(side * scale / step)) for side in (width, height)
        )
        return wide, high

    def seen(self, shown: NDArray[np.int64]) -> NDArray[np.float32]:
        """The part that is kept of frames shown in these sizes (T, 2), as boxes (T, 4) in them."""
        boxes = []
        for width, height in shown.tolist():
            wide, high = self.delivered(width, height)
            scale = self.scale(width, height)
            left, top, right, bottom = 0, 0, wide, high
            if self.shortest is not None:
                left, top = (wide - self.shortest) // 2, (high - self.shortest) // 2
                right, bottom = left + self.shortest, top + self.shortest
            boxes.append((left / scale, top / scale, right / scale, bottom / scale))
        return np.asarray(boxes, np.float32).reshape(-1, 4)

    def kept(self, width: int, height: int) -> tuple[int, int]:
        """Size of what is kept of a frame that the filters give in this size."""
        return (width, height) if self.shortest is None else (self.shortest, self.shortest)


def whole_picture(info: VideoInfo, max_side: int) -> Picture:
    """The whole frame, its longer side at most `max_side`."""
    return Picture(longest=max_side, turned=info.turned)


def middle_square(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle (side, side, 3) of a frame (h, w, 3)."""
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return frame[top : top + side, left : left + side]


def fitted(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int, int, int]:
    """Fits a picture into the middle of a room, its shape kept; sizes are width and height.

    Returns:
        x0, y0, x1, y1 in the room.
    """
    scale = min(room[0] / size[0], room[1] / size[1])
    wide, high = (
        min(whole, max(1, round(side * scale))) for side, whole in zip(size, room, strict=True)
    )
    left, top = (room[0] - wide) // 2, (room[1] - high) // 2
    return left, top, left + wide, top + high


def place(frame: NDArray[np.uint8], slot: NDArray[np.uint8]) -> None:
    """Puts a frame (h, w, 3) into the middle of a slot (H, W, 3), both uint8; the rest is black."""
    if frame.shape == slot.shape:
        slot[:] = frame
        return
    (height, width), (high, wide) = frame.shape[:2], slot.shape[:2]
    left, top, right, bottom = fitted((width, height), (wide, high))
    scaled = Image.fromarray(frame).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    slot[:] = 0
    slot[top:bottom, left:right] = np.asarray(scaled)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where pictures of several sizes lie on their canvas."""

    width: int  # of the canvas, that of the largest picture by area
    height: int
    sizes: NDArray[np.int64]  # (T, 2) int64, width and height of each picture
    rectangles: NDArray[np.int64]  # (T, 4) int64, x0, y0, x1, y1 of each picture on the canvas

    @property
    def scales(self) -> NDArray[np.float64]:
        """(T,) from pixels of each picture to those of the canvas."""
        scales: NDArray[np.float64] = ((self.width, self.height) / self.sizes).min(1)
        return scales

    def to_pictures(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Converts square boxes (T, 4) from the canvas to pixels of each picture.

        One whose centre is outside its picture, where no face was seen, is moved into it.
        """
        scales = self.scales[:, None]
        corners = self.rectangles[:, :2]
        stretched = (self.rectangles[:, 2:] - corners) / self.sizes  # but for rounding, the scale
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2.0 - corners) / stretched
        half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / scales / 2
        outside = ((centres < 0) | (centres > self.sizes)).any(1, keepdims=True)
        least = np.minimum(half, self.sizes / 2)
        centres = np.where(outside, np.clip(centres, least, self.sizes - least), centres)
        found = np.concatenate([centres - half, centres + half], 1).astype(np.float32)
        as_canvas = (self.sizes == (self.width, self.height)).all(1, keepdims=True)
        return np.where(as_canvas, boxes, found)

    def to_canvas(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Converts boxes (T, 4) from pixels of each picture to the canvas."""
        corners = np.tile(self.rectangles[:, :2], 2)
        return (boxes * self.scales[:, None] + corners).astype(np.float32)


def layout_of(sizes: NDArray[np.int64]) -> Layout | None:
    """Lays out pictures of these sizes (T, 2); None where all are equal."""
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
    """Puts pictures on one canvas; those of one size already are.

    Returns:
        (T, H, W, 3) uint8 RGB, and where each lies; None where each fills the canvas.

    Raises:
        VideoError: decode_error: it would take too much memory.
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
    """Makes boxes (T, 4) in pixels of pictures shown in these sizes (T, 2) comparable."""
    layout = None if shown is None else layout_of(shown)
    return boxes if layout is None else layout.to_canvas(boxes)


def count_sizes(shown: NDArray[np.int64] | None) -> int:
    """Number of different sizes among (T, 2); 1 where they are not known."""
    return 1 if shown is None else len(np.unique(shown, axis=0))


def size_note(shown: NDArray[np.int64] | None, timestamps_seconds: NDArray[np.float64]) -> str:
    """Notes that pictures shown in these sizes (T, 2) change their size; "" where they do not."""
    if shown is None or count_sizes(shown) == 1:
        return ""
    changes = 1 + np.flatnonzero((shown[1:] != shown[:-1]).any(1))
    parts = ["{}x{}".format(*shown[0])]
    parts += [
        "then {}x{} from {:.1f} s".format(*shown[at], timestamps_seconds[at])
        for at in changes[: MOST_SIZES - 1]
    ]
    more = len(changes) - (MOST_SIZES - 1)
    if more > 0:
        parts.append(f"and {more} more {'change' if more == 1 else 'changes'}")
    return (
        f"the picture changes its size ({', '.join(parts)}); each part is cropped in its own shape"
    )


def resized_note(names: Sequence[str]) -> str:
    """Notes how many videos change their size, and names one of them."""
    count, name = len(names), min(names)
    these = "1 video changes its" if count == 1 else f"{count} videos change their"
    return (
        f"{these} picture's size ({name}{'' if count == 1 else ' for one'}); each part is cropped "
        "in its own shape"
    )
