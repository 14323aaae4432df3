"""Flip, rotation and zoom, drawn once for a clip and the same for all its frames.

Drawn for each frame they would make a real face jitter, as forgeries do. On NumPy, so that the
pixels are the same on every machine.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.configs import FinetuneConfig

ROWS_AT_ONCE = 16
"""Of output pixels: the arrays of so many rows stay in a core's cache."""


def draw_transforms(
    draw: np.random.Generator, count: int, config: FinetuneConfig, *, size: int
) -> NDArray[np.float32]:
    """Draws one transform for each clip.

    Args:
        draw: source of randomness.
        count: number of clips.
        config: flip, rotation and zoom.
        size: side of a frame in pixels.

    Returns:
        (count, 8) float32: the first eight numbers of the matrix that takes an output pixel (x, y)
        to the input pixel it shows; the last two are 0.
    """
    limit = config.rotate_degrees
    angle = np.deg2rad(draw.uniform(-limit, limit, count))
    scale = 1 / (1 + draw.uniform(-config.zoom, config.zoom, count))
    mirror = np.where(draw.random(count) < 0.5, -1.0, 1.0) if config.flip else np.ones(count)
    a, b = mirror * scale * np.cos(angle), -scale * np.sin(angle)
    c, d = mirror * scale * np.sin(angle), scale * np.cos(angle)
    middle = (size - 1) / 2  # stays where it is
    zeros = np.zeros(count)
    rows = [a, b, middle - (a + b) * middle, c, d, middle - (c + d) * middle, zeros, zeros]
    return np.stack(rows, axis=1).astype(np.float32)


def transform_clips(clips: NDArray[np.uint8], transforms: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Applies one transform to all frames of a clip; what lies outside mirrors what is inside.

    The same bytes as `tf.raw_ops.ImageProjectiveTransformV3` (bilinear, REFLECT). That finds the
    four neighbours of a pixel anew for each frame and channel: 3.0 CPU ms a frame of 224 pixels
    where this takes 1.7, in the thread that makes batches.

    Args:
        clips: (B, F, S, S, 3) uint8.
        transforms: (B, 8) float32, as `draw_transforms` returns them.

    Returns:
        (B, F, S, S, 3) uint8.
    """
    moved = np.empty_like(clips)
    for clip, transform, out in zip(clips, transforms, moved, strict=True):
        _transform_clip(clip, transform, out)
    return moved


def _transform_clip(
    clip: NDArray[np.uint8], transform: NDArray[np.float32], out: NDArray[np.uint8]
) -> None:
    """Writes the clip, (F, S, S, 3) uint8, under one transform to `out`."""
    count, size = clip.shape[:2]
    width = 3 * count
    # The channels of all frames side by side: their neighbours are found once. One channel at a
    # time, as a transposed copy of NumPy has inner loops of three numbers.
    source = np.empty((size, size, width), np.float32)
    for at in range(width):
        source[:, :, at] = clip[at // 3, :, :, at % 3]
    # "clip" takes unchecked: half of the time of indexing
    taken = partial(source.reshape(size * size, width).take, axis=0, mode="clip")
    across = np.arange(size, dtype=np.float32)
    down = across[:, None]
    a, b, c, d, e, f = transform[:6]
    x = _reflect(a * across + b * down + c, size)  # (S, S)
    y = _reflect(d * across + e * down + f, size)
    left, above = x.astype(np.intp), y.astype(np.intp)
    x -= left  # the weight of the neighbour on the right
    y -= above
    corner = above * size + left
    # To the neighbour on the right and to that below; of one outside the weight is 0.
    right = np.minimum(left + 1, size - 1) - left
    below = (np.minimum(above + 1, size - 1) - above) * size
    for top in range(0, size, ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        here, to_right, to_below = (part[rows].ravel() for part in (corner, right, below))
        in_row, in_column = (part[rows].reshape(-1, 1) for part in (x, y))
        upper = _blend(taken(here), taken(here + to_right), in_row)
        here += to_below
        lower = _blend(taken(here), taken(here + to_right), in_row)
        blended = _blend(upper, lower, in_column).reshape(-1, size, width)
        for at in range(width):
            out[at // 3, rows, :, at % 3] = blended[:, :, at]


def _reflect(at: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Coordinates of pixels, mirrored at the first pixel's outer edge and at the last one's."""
    period = np.float32(2 * size)
    if at.min() < -size or at.max() >= period:
        at = np.remainder(at, period)
    at = np.maximum(at, -at - 1)
    at = np.minimum(at, period - at - 1)
    return np.clip(at, 0, size - 1)


def _blend(
    first: NDArray[np.float32], second: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """first * (1 - share) + second * share, in place of both; (N, C), (N, C) and (N, 1)."""
    weight = np.empty_like(first)
    weight[...] = share  # NumPy multiplies by a broadcast array much more slowly
    second *= weight
    first *= np.subtract(1, weight, out=weight)
    first += second
    return first
