"""Augmented views of a video for the feature store: drawn once, the same for all its frames.

The draw depends on the video's sha256 and the number of the view alone, so that a view is the same
on every run and machine. The strengths are the defaults of fine-tuning; they are written into the
features and are a part of the views' keys, so that a change of them makes new views.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from data.faces.crops import Frames
from features.store.views import Views
from models.configs import FinetuneConfig
from models.finetuning.geometric_augmentation import draw_transforms, transform_clip
from models.finetuning.photometric_augmentation import distort, draw_distortion

STRENGTH = FinetuneConfig()
DRAWN = (
    "flip", "rotate_degrees", "zoom", "brightness", "contrast", "saturation", "blur_pixels",
    "noise", "jpeg_quality",
)  # fmt: skip
"""The settings that are used of STRENGTH."""
VERSION = 2
"""Of `augment` and what it calls; must be raised when the same draw gives other pixels."""


def make_views(count: int) -> Views:
    """K views of each training video, by this module's augmentation."""
    if count == 1:
        return Views()
    facts: dict[str, Any] = {name: getattr(STRENGTH, name) for name in DRAWN}
    return Views(count=count, augmentation=facts | {"version": VERSION})


def augment(frames: Frames, sha256: str, view: int) -> Frames:
    """One view of a video: colour, blur, noise and JPEG, then flip, rotation and zoom.

    Args:
        frames: pixels (T, S, S, 3) uint8 RGB.
        sha256: of the video file, hex.
        view: from 1 on.

    Returns:
        The same frames with other pixels.
    """
    draw = np.random.default_rng([int(sha256, 16), view])
    distortion = draw_distortion(draw, STRENGTH)
    (transform,) = draw_transforms(draw, 1, STRENGTH, size=frames.pixels.shape[1])
    clip = distort(frames.pixels, distortion, int(draw.integers(2**31)))
    return replace(frames, pixels=transform_clip(clip, transform))
