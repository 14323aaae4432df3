"""Scales parts of pictures, with antialiasing, and reads pictures at any places.

The crate fast_image_resize, by the wheel cykooz-resizer, does what Pillow does with SIMD, in a
quarter of the time, and gives the same bytes with and without SIMD. In crops of video frames, one
value of 25 is a grey level off Pillow's, none more than three: weights are rounded to 16 bits.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from cykooz_resizer.structs import CropBox
from numpy.typing import NDArray
from PIL import Image

Filter = Literal["bilinear", "bicubic"]

ALGORITHMS: dict[Filter, ResizeAlg] = {
    "bilinear": ResizeAlg.convolution(FilterType.bilinear),
    # Catmull and Rom's spline is the bicubic one of Pillow (a = -0.5).
    "bicubic": ResizeAlg.convolution(FilterType.catmull_rom),
}
SUPPORTS: dict[Filter, float] = {"bilinear": 1.0, "bicubic": 2.0}
"""How far the filters reach, in pixels of the coarser of the two pictures."""
BAND_PIXELS = 12288
"""Pixels that `sample` works on at once: arrays above 128 KiB come from the system each time, which
makes it two and a half times slower."""
_LANES = np.uint32(0x00FF00FF)
_HALVES = np.uint32(0x00800080)


def resize(
    frame: NDArray[np.uint8],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    kernel: Filter,
) -> NDArray[np.uint8]:
    """Scales a part of a picture.

    Args:
        frame: (H, W, C) uint8, of 3 or 4 channels.
        size: width w and height h of the result.
        box: x0, y0, x1, y1 of the part, inside the picture; pixels around it count as far as the
            filter reaches.
        kernel: the filter, stretched where the part is scaled down.

    Returns:
        (h, w, C) uint8, read-only.
    """
    left, top, right, bottom = box
    height, width, channels = frame.shape
    # Only what the filter sees is copied.
    x0, x1 = _reach(left, right, size[0], width, SUPPORTS[kernel])
    y0, y1 = _reach(top, bottom, size[1], height, SUPPORTS[kernel])
    kind = PixelType.U8x3 if channels == 3 else PixelType.U8x4
    source = ImageData(x1 - x0, y1 - y0, kind, frame[y0:y1, x0:x1].tobytes())
    made = ImageData(*size, kind)
    options = ResizeOptions(
        resize_alg=ALGORITHMS[kernel],
        crop_box=CropBox(
            left - x0,
            top - y0,
            # The subtraction may leave an edge a rounding error outside.
            min(right - left, x1 - x0 - (left - x0)),
            min(bottom - top, y1 - y0 - (top - y0)),
        ),
        use_alpha=False,
    )
    Resizer().resize(source, made, options)
    return np.frombuffer(made.get_buffer(), np.uint8).reshape(size[1], size[0], channels)


def _reach(low: float, high: float, size: int, extent: int, support: float) -> tuple[int, int]:
    """The whole pixels that a filter sees of an interval that is scaled to `size` pixels."""
    reach = support * max(1.0, (high - low) / size) + 1
    return max(0, math.floor(low - reach)), min(extent, math.ceil(high + reach))


def sample(picture: Image.Image, x: NDArray[np.float32], y: NDArray[np.float32]) -> Image.Image:
    """Reads a picture at any places, bilinearly and without antialiasing.

    Args:
        picture: RGB, width and height 2 or more.
        x, y: (h, w) places, where (0.5, 0.5) is the middle of the first pixel. The picture's edge
            is repeated outside of it.

    Returns:
        RGB of h rows and w columns. Weights have 8 bits: it is at most one grey level off.
    """
    packed = np.frombuffer(picture.tobytes("raw", "RGBX"), np.uint32)
    height, width = x.shape
    made = np.empty((height, width), np.uint32)
    rows = max(1, BAND_PIXELS // width)
    for start in range(0, height, rows):
        part = slice(start, start + rows)
        made[part] = _sample(packed, picture.size, x[part], y[part])
    return Image.frombytes("RGB", (width, height), made.data, "raw", "RGBX")


def _sample(
    packed: NDArray[np.uint32],
    size: tuple[int, int],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
) -> NDArray[np.uint32]:
    """Reads a picture of this width and height at places (h, w); a number for each pixel.

    Two channels share a number of 32 bits, so that one operation takes both.
    """
    width, height = size
    left, right_share = _fixed(x, width)
    top, low_share = _fixed(y, height)
    at = top * width + left
    both = (right_share * low_share) >> np.uint32(8)
    shares = (256 - right_share - low_share + both, right_share - both, low_share - both, both)
    even = np.full(x.shape, _HALVES)  # the first and the third channel, 16 bits for each
    odd = even.copy()
    for step, share in zip((0, 1, width, width + 1), shares, strict=True):
        seen = packed[step:].take(at)
        two = seen & _LANES
        two *= share
        even += two
        seen >>= np.uint32(8)
        seen &= _LANES
        seen *= share
        odd += seen
    even >>= np.uint32(8)
    even &= _LANES
    odd &= ~_LANES
    even |= odd
    return even


def _fixed(places: NDArray[np.float32], extent: int) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
    """The pixels before places, and the shares of 256 of the pixels after them."""
    fixed = places * np.float32(256)
    fixed -= np.float32(127.5)
    np.clip(fixed, 0, 256 * (extent - 1) - 1, out=fixed)
    whole = fixed.astype(np.uint32)
    return (whole >> 8).astype(np.intp), whole & np.uint32(255)
