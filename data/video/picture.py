"""How a decoded frame becomes the picture that is read: its size as shown, scaled, never bent.

The size is worked out inside ffmpeg, from each frame as the decoder delivers it: rotated, cropped
as the container asks, with the shape of its pixels. Nothing here rests on what a header says of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.video.probe import LEAST_ASPECT, MOST_ASPECT, VideoInfo

SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+bitexact"
ROUND = "st(9,{0});if(eq(mod(ld(9),1),0.5),2*round(ld(9)/2),round(ld(9)))"
"""Python's `round`, in ffmpeg's expressions: halves go to the even number."""

Filters = list[tuple[str, dict[str, Any]]]
Pictures = NDArray[np.uint8] | list[NDArray[np.uint8]]
"""Pictures of one size, (T, H, W, 3) uint8 RGB; or of several, each (h, w, 3)."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What size frames are read in; exactly one of the first three is given.

    Attributes:
        longest: the longer side is scaled down to this, never up.
        shortest: the shorter side is scaled to this, and the middle square taken.
        fixed: width and height, whatever becomes of the shape.
        even: width and height are even numbers, as encoders want them.
        turned: ffmpeg turns the frames upright by a quarter, so that what the shape of their pixels
            stretches is the height.
    """

    longest: int | None = None
    shortest: int | None = None
    fixed: int | None = None
    even: bool = False
    turned: bool = False

    @property
    def filters(self) -> Filters:
        """ffmpeg's filters; the size that they give follows from each frame."""
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
        # At every frame: the shape of the pixels may change without the graph being made anew.
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
        """From pixels as shown to pixels that are read, for a picture shown in this size."""
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
        """What is kept of frames shown in these sizes (T, 2), in their pixels: boxes (T, 4)."""
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


def square_picture(info: VideoInfo, size: int) -> Picture:
    """The middle square of the frame, scaled to `size`."""
    return Picture(shortest=size, turned=info.turned)


def even_picture(info: VideoInfo, max_side: int) -> Picture:
    """As `whole_picture`, of even width and height."""
    return Picture(longest=max_side, even=True, turned=info.turned)


def middle_square(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle (side, side, 3) of a frame (h, w, 3)."""
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return frame[top : top + side, left : left + side]


def fitted(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture lies that fits into a room, both width and height: x0, y0, x1, y1.

    Its shape is kept, and it is in the middle.
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
