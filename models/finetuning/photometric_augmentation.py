"""Colour, blur, noise and JPEG compression, drawn once for a clip and the same for all its frames.

On OpenCV, and JPEG on Pillow: TensorFlow has no JPEG of a drawn quality for a batch. A pair shares
one draw, so that its clips differ by the forgery alone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from models.configs import FinetuneConfig

SHARE = 0.5
"""Of clips that are blurred, that get noise, and that are compressed: clean ones must remain."""
GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """The changes of each frame of a clip, in this order."""

    # 12 numbers, a 3x4 matrix on red, green, blue and 1; None leaves them
    colours: tuple[float, ...] | None = None
    blur_pixels: float = 0.0  # standard deviation; 0 is none
    # standard deviation in grey levels; 0 is none. Its pattern is new in each frame
    noise: float = 0.0
    jpeg_quality: int = 0  # 0 is none


def draw_distortion(draw: np.random.Generator, config: FinetuneConfig) -> Distortion:
    """Draws one; takes the same count of numbers from `draw` whatever is switched off."""
    chances, amounts = draw.random(3).tolist(), draw.random(3).tolist()
    gain, contrast, saturation = 1 + draw.uniform(-1, 1, 3) * (
        config.brightness, config.contrast, config.saturation,
    )  # fmt: skip
    colours = None
    if config.brightness or config.contrast or config.saturation:
        mix = gain * contrast * (saturation * np.eye(3) + (1 - saturation) * GREY)
        matrix = np.hstack([mix, np.full((3, 1), 128 * (1 - contrast))])
        colours = tuple(map(float, matrix.ravel()))
    least = config.jpeg_quality
    quality = int(least + (96 - least) * amounts[2])  # above 95 no loss is visible
    return Distortion(
        colours=colours,
        blur_pixels=config.blur_pixels * amounts[0] if chances[0] < SHARE else 0.0,
        noise=config.noise * amounts[1] if chances[1] < SHARE else 0.0,
        jpeg_quality=quality if least and chances[2] < SHARE else 0,
    )


def distort(clip: NDArray[np.uint8], by: Distortion, seed: int) -> NDArray[np.uint8]:
    """Distorts all frames of a clip alike but for the noise.

    Args:
        clip: (F, S, S, 3) uint8 RGB.
        by: the changes.
        seed: of the noise, 0 to 2**31 - 1.

    Returns:
        (F, S, S, 3) uint8.
    """
    if by == Distortion():
        return clip
    cv2.setRNGSeed(seed)  # of this thread alone
    return np.stack([_distort_frame(frame, by) for frame in clip])


def _distort_frame(frame: NDArray[np.uint8], by: Distortion) -> NDArray[np.uint8]:
    if by.colours is not None:
        frame = cv2.transform(frame, np.reshape(by.colours, (3, 4)))
    if by.blur_pixels:
        frame = cv2.GaussianBlur(frame, (0, 0), by.blur_pixels)
    if by.noise:
        noise = np.empty(frame.shape, np.float32)
        cv2.randn(noise, (0.0,) * 3, (by.noise,) * 3)
        frame = cv2.add(frame, noise, dtype=cv2.CV_8U)
    if by.jpeg_quality:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=by.jpeg_quality)
        frame = np.asarray(Image.open(buffer))
    return frame
