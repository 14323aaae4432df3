"""Flip, rotation and zoom, drawn once for a clip and the same for all its frames.

Drawn anew for each frame they would make a real face jitter, which is what a forgery does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tf_runtime import tf


def draw_transforms(
    draw: np.random.Generator,
    count: int,
    *,
    size: int,
    flip: bool,
    rotate_degrees: float,
    zoom: float,
) -> NDArray[np.float32]:
    """Draws one transform for each clip.

    Args:
        draw: where chance comes from.
        count: number of clips.
        size: side of a frame in pixels.
        flip: mirror half of the clips.
        rotate_degrees: turn by up to this much either way.
        zoom: enlarge or shrink by up to this share.

    Returns:
        (count, 8) float32: the first eight numbers of the matrix that takes an output pixel (x, y)
        to the input pixel it shows, as `tf.raw_ops.ImageProjectiveTransformV3` wants it.
    """
    angle = np.deg2rad(draw.uniform(-rotate_degrees, rotate_degrees, count))
    scale = 1 / (1 + draw.uniform(-zoom, zoom, count))
    mirror = np.where(draw.random(count) < 0.5, -1.0, 1.0) if flip else np.ones(count)
    a, b = mirror * scale * np.cos(angle), -scale * np.sin(angle)
    c, d = mirror * scale * np.sin(angle), scale * np.cos(angle)
    middle = (size - 1) / 2  # stays where it is
    nought = np.zeros(count)
    rows = [a, b, middle - (a + b) * middle, c, d, middle - (c + d) * middle, nought, nought]
    return np.stack(rows, axis=1).astype(np.float32)


def transform_clips(clips: Any, transforms: Any) -> Any:
    """Applies one transform to all frames of a clip; what lies outside mirrors what is inside.

    Args:
        clips: (B, F, S, S, 3) uint8.
        transforms: (B, 8) float32.

    Returns:
        (B * F, S, S, 3) uint8, clip after clip.
    """
    count, size = clips.shape[1], clips.shape[2]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.reshape(clips, (-1, size, size, 3)),
        transforms=tf.repeat(transforms, count, axis=0),
        output_shape=tf.constant((size, size)),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
