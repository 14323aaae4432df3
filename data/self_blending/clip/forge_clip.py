"""Forges a face in a clip: frames and landmarks in, frames out. No files, no videos.

Whatever the method, the face of each frame is some moment of a source, the same clip's or a similar
person's, warped onto the face that is there, changed in look, and blended in by a mask whose edge
and place vary. `motion` chooses the moments, `shape` makes warps and masks, `look` changes colours
and detail.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.self_blending.clip.look import (
    blur,
    fitting_blur,
    light_match,
    mean_match,
    recolour,
    refocus,
    to_bytes,
)
from data.self_blending.clip.parameters import ForgeryParameters
from data.self_blending.clip.shape import Window
from data.self_blending.clip.staging import Donor, Staging


def forge_clip(
    frames: NDArray[np.uint8],
    landmarks: NDArray[np.float32],
    parameters: ForgeryParameters,
    *,
    timestamps_seconds: NDArray[np.float64] | None = None,
    donor: Donor | None = None,
) -> NDArray[np.uint8]:
    """Forges the face of a clip; the same for the same arguments.

    Args:
        frames: (T, H, W, 3) uint8 RGB: face crops, or whole frames.
        landmarks: (T, 468, 2) float32, in pixels of the frames; `data.faces.landmarks` finds them.
        parameters: how; `draw_parameters` draws them.
        timestamps_seconds: (T,) ascending; 25 frames/s by default. Where frames are further apart
            than SPARSE_SECONDS, there is no lag, no hold and no memory.
        donor: whose face a swap shows; for method "swap" only.

    Returns:
        (T, H, W, 3) uint8: the frames, with another face.
    """
    if (donor is not None) != (parameters.method == "swap"):
        raise ValueError("a swap, and only a swap, needs a donor")
    count = len(frames)
    times = np.arange(count) / 25 if timestamps_seconds is None else timestamps_seconds
    plan = Staging(landmarks, times, parameters, donor)
    source = frames if donor is None else donor.frames
    forged = frames.copy()
    before: tuple[NDArray[np.uint8], Window] | None = None
    fit: NDArray[np.float32] | None = None
    soft: float | None = None
    for index in range(count):
        window = plan.window(index, frames.shape[2], frames.shape[1])
        if window is None or plan.missing[index]:
            before = None
            continue
        under = np.ascontiguousarray(frames[index][window.where])
        face = plan.face(index, window, source)
        mask = plan.mask(index, window)
        if donor is not None:
            soft = fitting_blur(face, under, mask) if soft is None else soft
            face = blur(face, soft)
        face = refocus(face, parameters, float(plan.sizes[index]), float(plan.blur_more[index]))
        if parameters.matching == "mean" or donor is not None:
            now = mean_match(face.astype(np.float32), under.astype(np.float32), mask)
            # Smoothed over time: the match of each frame alone flickers.
            fit = now if fit is None else 0.9 * fit + 0.1 * now
            face = np.asarray(cv2.transform(face, np.ascontiguousarray(fit.T)), np.uint8)
        if parameters.matching == "light":
            face = to_bytes(light_match(face, under, mask) + face)
        face = recolour(face, parameters, plan.shade[index])
        if plan.memory and before is not None:
            face = plan.remember(index, window, face, *before)
        before = (face, window)
        face = plan.texture(index, window, face)
        share = mask * np.float32(parameters.ratio)
        forged[index][window.where] = cv2.blendLinear(face, under, share, 1 - share)
    return forged
