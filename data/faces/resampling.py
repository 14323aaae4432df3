"""Scales parts of pictures, with antialiasing.

The crate fast_image_resize, by the wheel cykooz-resizer, does what Pillow does with SIMD, in a
quarter of the time, and gives the same bytes with and without SIMD. In crops of video frames, one
value of 25 is a grey level off Pillow's, none more than three: weights are rounded to 16 bits.
Where there is no wheel of it, as for Linux on ARM, Pillow scales.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:
    import cykooz_resizer
except ModuleNotFoundError:
    cykooz_resizer = None

Filter = Literal["bilinear", "bicubic"]

SUPPORTS: dict[Filter, float] = {"bilinear": 1.0, "bicubic": 2.0}
"""How far the filters reach, in pixels of the coarser of the two pictures."""


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
    height, width = frame.shape[:2]
    # Only what the filter sees is copied.
    x0, x1 = _reach(left, right, size[0], width, SUPPORTS[kernel])
    y0, y1 = _reach(top, bottom, size[1], height, SUPPORTS[kernel])
    # The subtraction may leave an edge a rounding error outside.
    part = (
        left - x0,
        top - y0,
        min(right - left, x1 - x0 - (left - x0)),
        min(bottom - top, y1 - y0 - (top - y0)),
    )
    scale = _by_pillow if cykooz_resizer is None else _by_crate
    return scale(frame[y0:y1, x0:x1], size, part, kernel)


def _by_crate(
    seen: NDArray[np.uint8],
    size: tuple[int, int],
    part: tuple[float, float, float, float],
    kernel: Filter,
) -> NDArray[np.uint8]:
    """Scales a part, given as left, top, width and height, by fast_image_resize."""
    height, width, channels = seen.shape
    kind = cykooz_resizer.PixelType.U8x3 if channels == 3 else cykooz_resizer.PixelType.U8x4
    source = cykooz_resizer.ImageData(width, height, kind, seen.tobytes())
    made = cykooz_resizer.ImageData(*size, kind)
    options = cykooz_resizer.ResizeOptions(
        resize_alg=_algorithm(kernel),
        crop_box=cykooz_resizer.structs.CropBox(*part),
        use_alpha=False,
    )
    cykooz_resizer.Resizer().resize(source, made, options)
    return np.frombuffer(made.get_buffer(), np.uint8).reshape(size[1], size[0], channels)


def _by_pillow(
    seen: NDArray[np.uint8],
    size: tuple[int, int],
    part: tuple[float, float, float, float],
    kernel: Filter,
) -> NDArray[np.uint8]:
    """Scales a part, given as left, top, width and height, by Pillow."""
    left, top, width, height = part
    # Four channels are no transparency here, which Pillow would multiply in.
    image = Image.fromarray(seen, "RGB" if seen.shape[2] == 3 else "RGBX")
    box = (left, top, left + width, top + height)
    return np.asarray(image.resize(size, Image.Resampling[kernel.upper()], box))


def _algorithm(kernel: Filter) -> Any:
    """fast_image_resize's name of a filter of Pillow."""
    kinds = cykooz_resizer.FilterType
    # Catmull and Rom's spline is the bicubic one of Pillow (a = -0.5).
    return cykooz_resizer.ResizeAlg.convolution(
        {"bilinear": kinds.bilinear, "bicubic": kinds.catmull_rom}[kernel]
    )


def _reach(low: float, high: float, size: int, extent: int, support: float) -> tuple[int, int]:
    """The whole pixels that a filter sees of an interval that is scaled to `size` pixels."""
    reach = support * max(1.0, (high - low) / size) + 1
    return max(0, math.floor(low - reach)), min(extent, math.ceil(high + reach))
