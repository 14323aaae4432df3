"""Changes how the forged face looks: colour, sharpness, texture. No geometry."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.self_blending.clip.parameters import ForgeryParameters

Pixels = NDArray[np.float32]

GREY = np.asarray((0.299, 0.587, 0.114), np.float32)
STANDARD_SIZE = 160.0
"""Size of the face in pixels to which the parameters of blur and sharpening refer."""
SMALLEST_SIZE = 52.0
"""Pixels of a face below which a loss of resolution would leave a smear, not a face."""
SHARPER = 1.2
"""By this factor a donor's face may be sharper than the one it replaces."""
LIGHT_CELLS = 24
"""Side of the small picture in which the light is compared."""


def coarsen(picture: Image.Image, parameters: ForgeryParameters, size: float) -> Image.Image:
    """Removes detail before the face is put in place: generators and old videos lack it.

    A face of `size` pixels never shrinks below SMALLEST_SIZE.
    """
    width, height = picture.size
    if parameters.smooth_skin > 0:
        picture = smooth_skin(picture, parameters.smooth_skin)
    shrink = min(parameters.shrink, max(1.15, size / SMALLEST_SIZE))
    if parameters.shrink > 1:
        small = (max(4, round(width / shrink)), max(4, round(height / shrink)))
        picture = picture.resize(small, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling[parameters.filter.upper()]
        )
    if parameters.jpeg_quality:
        packed = io.BytesIO()
        picture.save(packed, "JPEG", quality=parameters.jpeg_quality)
        picture = Image.open(packed)
        picture.load()
    return picture


def smooth_skin(picture: Image.Image, share: float) -> Image.Image:
    """Removes fine texture and keeps edges: small differences from the surroundings go."""
    soft = picture.filter(ImageFilter.BoxBlur(2))
    sharp, flat = (np.asarray(one, np.int16) for one in (picture, soft))
    steps = np.arange(-255, 256)
    kept = np.rint(steps * (1 - share * np.exp(-((steps / 9.0) ** 2)))).astype(np.int16)
    # What is kept of a detail is smaller than the detail, so that nothing leaves 0 to 255.
    return Image.fromarray((flat + kept[sharp - flat + 255]).astype(np.uint8))


def grid_of(rng: np.random.Generator, period: int) -> Pixels:
    """A fine periodic pattern as upsampling layers leave it, (64, 64) float32 of size 1."""
    cell = rng.standard_normal((period, period)).astype(np.float32)
    cell -= cell.mean()
    cell /= max(float(cell.std()), 1e-3)
    return np.tile(cell, (64 // period + 1, 64 // period + 1))[:64, :64]


def recolour(picture: Image.Image, parameters: ForgeryParameters, extra: Pixels) -> Image.Image:
    """Applies contrast, saturation, gains, offsets, `extra` (3,) grey levels and the tone curve."""
    tone = np.eye(3, dtype=np.float32) * parameters.saturation
    tone += (1 - parameters.saturation) * GREY[None, :]
    tone *= parameters.contrast * np.asarray(parameters.gain, np.float32)[:, None]
    shift = 128 * (1 - parameters.contrast) + np.asarray(parameters.offset, np.float32) + extra
    if not np.allclose(tone, np.eye(3)) or np.abs(shift).max() > 0.25:
        matrix: list[Any] = [
            float(value)
            for row, add in zip(tone, shift, strict=True)
            for value in (*row, add + 0.5)  # Pillow cuts off
        ]
        picture = picture.convert("RGB", tuple(matrix))
    if parameters.gamma != 1:
        curve = np.rint(255 * (np.arange(256) / 255) ** parameters.gamma).astype(int).tolist()
        picture = picture.point(curve * 3)
    return picture


def refocus(
    picture: Image.Image, parameters: ForgeryParameters, size: float, factor: float
) -> Image.Image:
    """Blurs, by a factor of this frame, and sharpens in proportion to the face's size in pixels."""
    scale = min(2.5, max(0.5, size / STANDARD_SIZE))
    blur = parameters.blur * scale * factor
    if blur > 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    if parameters.sharpen_percent:
        picture = picture.filter(
            ImageFilter.UnsharpMask(1.4 * scale, round(parameters.sharpen_percent), 0)
        )
    return picture


def mean_match(face: Pixels, under: Pixels, mask: Pixels) -> Pixels:
    """What gives the face the mean and the spread of what is under it, (4, 3).

    Returns:
        A colour matrix (3, 3) and an offset (3,): `pixels @ match[:3] + match[3]`. Lightness and
        colour have one factor each: a factor per channel would tint light and dark differently.
    """
    weights = mask.reshape(-1, 1) / max(float(mask.sum()), 1e-6)
    means, lights, colours = [], [], []
    for pixels in (face, under):
        flat = pixels.reshape(-1, 3)
        mean = (weights.T @ flat)[0]
        centred = flat - mean
        spread = (centred * weights).T @ centred  # (3, 3), the weighted covariance
        grey = float(GREY @ spread @ GREY)
        # What is left of each channel without the grey: its variances, summed.
        tint = float(np.trace(spread)) - 2 * float(spread.sum(0) @ GREY) + 3 * grey
        means.append(mean)
        lights.append(math.sqrt(max(grey, 0.0)))
        colours.append(math.sqrt(max(tint, 0.0)))
    light = np.clip(lights[1] / max(lights[0], 1.0), 0.7, 1.35)
    colour = np.clip(colours[1] / max(colours[0], 0.5), 0.4, 1.2)
    to_grey = np.outer(GREY, np.ones(3))
    matrix = light * to_grey + colour * (np.eye(3) - to_grey)
    return np.concatenate([matrix, (means[1] - means[0] @ matrix)[None]]).astype(np.float32)


def fitting_blur(face: Image.Image, under: Image.Image, mask: Pixels) -> float:
    """The blur in pixels that makes the face about as sharp as what is under it; 0 for none.

    Makers of swaps do the same; the artefact is the difference that remains.
    """
    wanted = SHARPER * _sharpness(under, mask)
    for blur in (0.0, 0.5, 0.8, 1.2, 1.7, 2.4, 3.4):
        if _sharpness(face.filter(ImageFilter.GaussianBlur(blur)), mask) <= wanted:
            break
    return blur


def _sharpness(picture: Image.Image, mask: Pixels) -> float:
    """Mean difference of neighbouring pixels over their overall spread, inside the mask."""
    grey = np.asarray(picture, np.float32) @ GREY
    steps = np.abs(np.diff(grey, axis=1))[:-1] + np.abs(np.diff(grey, axis=0))[:, :-1]
    weights = mask[:-1, :-1]
    total = max(float(weights.sum()), 1e-6)
    part = grey[:-1, :-1]
    mean = float((part * weights).sum()) / total
    spread = math.sqrt(float((weights * (part - mean) ** 2).sum()) / total)
    return float((steps * weights).sum()) / total / max(spread, 1.0)


def light_match(face: Image.Image, under: Image.Image, mask: Pixels) -> Pixels:
    """What to add to the face, (h, w, 3), so that it has the light of what is under it.

    The slow part of the difference, as gradient-domain blending takes it over; the face's own
    texture stays.
    """
    cells = (LIGHT_CELLS, LIGHT_CELLS)
    seen, wanted = (
        np.asarray(one.resize(cells, Image.Resampling.BOX), np.float32) for one in (face, under)
    )
    small = np.asarray(Image.fromarray(mask).resize(cells, Image.Resampling.BOX), np.float32)
    weights = small[..., None] + np.float32(1e-3)
    gaps = np.arange(LIGHT_CELLS)[:, None] - np.arange(LIGHT_CELLS)[None, :]
    kernel = np.exp(-0.5 * (gaps / (0.13 * LIGHT_CELLS)) ** 2).astype(np.float32)
    slow = _blurred((wanted - seen) * weights, kernel) / _blurred(weights, kernel)
    channels = (Image.fromarray(one) for one in np.ascontiguousarray(slow.transpose(2, 0, 1)))
    large = (one.resize(face.size, Image.Resampling.BILINEAR) for one in channels)
    return np.stack([np.asarray(one, np.float32) for one in large], -1)


def _blurred(cells: Pixels, kernel: Pixels) -> Pixels:
    """Blurs (N, N, C) along both sides by a kernel (N, N)."""
    rows = (kernel @ cells.reshape(len(cells), -1)).reshape(cells.shape)
    return np.asarray(kernel @ rows, np.float32)
