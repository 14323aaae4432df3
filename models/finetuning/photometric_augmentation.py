"""Colour, blur, noise and JPEG compression, drawn once for a clip and the same for all its frames.

On NumPy and Pillow, in the thread that prepares batches: TensorFlow has no JPEG of a drawn quality
for a batch. A pair shares one draw, so that its clips differ by the forgery alone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

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


def distort(
    clip: NDArray[np.uint8], by: Distortion, draw: np.random.Generator
) -> NDArray[np.uint8]:
    """Distorts all frames of a clip, (F, S, S, 3) uint8 RGB, alike; `draw` is for the noise."""
    return np.stack([_distort_frame(frame, by, draw) for frame in clip])


def _distort_frame(
    frame: NDArray[np.uint8], by: Distortion, draw: np.random.Generator
) -> NDArray[np.uint8]:
    if by == Distortion():
        return frame
    image = Image.fromarray(frame)
    if by.colours is not None:
        image = image.convert("RGB", by.colours)
    if by.blur_pixels:
        image = image.filter(ImageFilter.GaussianBlur(by.blur_pixels))
    if by.noise:
        noisy = draw.standard_normal(frame.shape, np.float32)
        noisy *= np.float32(by.noise)
        noisy += np.asarray(image)
        noisy += np.float32(0.5)
        image = Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))
    if by.jpeg_quality:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=by.jpeg_quality)
        image = Image.open(buffer)
    return np.asarray(image)
