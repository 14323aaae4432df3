"""Flip, rotation and zoom, drawn once for a clip and the same for all its frames.

Drawn for each frame they would make a real face jitter, as forgeries do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.tf_runtime import tf

if TYPE_CHECKING:
    from models.configs import FinetuneConfig


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
        to the input pixel it shows, as `tf.raw_ops.ImageProjectiveTransformV3` takes it.
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
