"""Changes how the forged face looks: colour, sharpness, texture. No geometry."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from data.self_blending.clip.parameters import Filter, ForgeryParameters
from data.self_blending.clip.shape import gaussian_blur
from data.video.picture import LUMA

Pixels = NDArray[np.float32]
Picture = NDArray[np.uint8]  # (h, w, 3) RGB

STANDARD_SIZE = 160.0
"""Size of the face in pixels to which the parameters of blur and sharpening refer."""
SMALLEST_SIZE = 52.0
"""Pixels of a face below which a loss of resolution would leave a smear, not a face."""
SHARPER = 1.2
"""By this factor a donor's face may be sharper than the one it replaces."""
LIGHT_CELLS = 24
"""Side of the small picture in which the light is compared."""

FILTERS: dict[Filter, int] = {
    "nearest": cv2.INTER_NEAREST,
    "box": cv2.INTER_NEAREST,  # the same, where a picture is enlarged
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def to_bytes(values: Pixels) -> Picture:
    """Rounds grey levels and cuts them off at 0 and 255."""
    return np.asarray(cv2.add(values, 0.0, dtype=cv2.CV_8U), np.uint8)


def blur(picture: Picture, sigma: float) -> Picture:
    """Blurs by a Gaussian of this standard deviation in pixels."""
    return to_bytes(gaussian_blur(picture.astype(np.float32), sigma)) if sigma > 0 else picture


def coarsen(picture: Picture, parameters: ForgeryParameters, size: float) -> Picture:
    """Removes detail before the face is put in place: generators and old videos lack it.

    A face of `size` pixels never shrinks below SMALLEST_SIZE.
    """
    height, width = picture.shape[:2]
    if parameters.smooth_skin > 0:
        picture = smooth_skin(picture, parameters.smooth_skin)
    shrink = min(parameters.shrink, max(1.15, size / SMALLEST_SIZE))
    if parameters.shrink > 1:
        small = (max(4, round(width / shrink)), max(4, round(height / shrink)))
        coarse = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        enlarged = cv2.resize(coarse, (width, height), interpolation=FILTERS[parameters.filter])
        picture = np.asarray(enlarged, np.uint8)
    if parameters.jpeg_quality:
        # OpenCV takes the channels for blue, green and red.
        quality = [cv2.IMWRITE_JPEG_QUALITY, parameters.jpeg_quality]
        _, packed = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR_RGB), np.uint8)
    return picture


def smooth_skin(picture: Picture, share: float) -> Picture:
    """Removes fine texture and keeps edges: small differences from the surroundings go."""
    flat = cv2.blur(picture, (5, 5), borderType=cv2.BORDER_REPLICATE)
    steps = np.arange(256)
    kept = np.rint(steps * (1 - share * np.exp(-((steps / 9.0) ** 2)))).astype(np.uint8)
    # What is kept of a detail is smaller than the detail, so that nothing leaves 0 to 255.
    above = cv2.LUT(cv2.subtract(picture, flat), kept)
    below = cv2.LUT(cv2.subtract(flat, picture), kept)
    return np.asarray(cv2.subtract(cv2.add(flat, above), below), np.uint8)


def grid_of(rng: np.random.Generator, period: int) -> Pixels:
    """A fine periodic pattern as upsampling layers leave it, (64, 64) float32 of size 1."""
    cell = rng.standard_normal((period, period)).astype(np.float32)
    cell -= cell.mean()
    cell /= max(float(cell.std()), 1e-3)
    return np.tile(cell, (64 // period + 1, 64 // period + 1))[:64, :64]


def recolour(picture: Picture, parameters: ForgeryParameters, extra: Pixels) -> Picture:
    """Applies contrast, saturation, gains, offsets, `extra` (3,) grey levels and the tone curve."""
    tone = np.eye(3, dtype=np.float32) * parameters.saturation
    tone += (1 - parameters.saturation) * LUMA[None, :]
    tone *= parameters.contrast * np.asarray(parameters.gain, np.float32)[:, None]
    shift = 128 * (1 - parameters.contrast) + np.asarray(parameters.offset, np.float32) + extra
    if not np.allclose(tone, np.eye(3)) or np.abs(shift).max() > 0.25:
        matrix = np.concatenate([tone, shift[:, None]], 1).astype(np.float32)
        picture = np.asarray(cv2.transform(picture, matrix), np.uint8)
    if parameters.gamma != 1:
        curve = np.rint(255 * (np.arange(256) / 255) ** parameters.gamma).astype(np.uint8)
        picture = np.asarray(cv2.LUT(picture, curve), np.uint8)
    return picture


def refocus(picture: Picture, parameters: ForgeryParameters, size: float, factor: float) -> Picture:
    """Blurs, by a factor of this frame, and sharpens in proportion to the face's size in pixels."""
    scale = min(2.5, max(0.5, size / STANDARD_SIZE))
    sigma = parameters.blur * scale * factor
    if sigma > 0.3:
        picture = blur(picture, sigma)
    if parameters.sharpen_percent:
        sharp = picture.astype(np.float32)
        share = parameters.sharpen_percent / 100
        soft = gaussian_blur(sharp, 1.4 * scale)
        picture = np.asarray(
            cv2.addWeighted(sharp, 1 + share, soft, -share, 0, dtype=cv2.CV_8U), np.uint8
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
        grey = float(LUMA @ spread @ LUMA)
        # What is left of each channel without the grey: its variances, summed.
        tint = float(np.trace(spread)) - 2 * float(spread.sum(0) @ LUMA) + 3 * grey
        means.append(mean)
        lights.append(math.sqrt(max(grey, 0.0)))
        colours.append(math.sqrt(max(tint, 0.0)))
    light = np.clip(lights[1] / max(lights[0], 1.0), 0.7, 1.35)
    colour = np.clip(colours[1] / max(colours[0], 0.5), 0.4, 1.2)
    to_grey = np.outer(LUMA, np.ones(3))
    matrix = light * to_grey + colour * (np.eye(3) - to_grey)
    return np.concatenate([matrix, (means[1] - means[0] @ matrix)[None]]).astype(np.float32)


def fitting_blur(face: Picture, under: Picture, mask: Pixels) -> float:
    """The blur in pixels that makes the face about as sharp as what is under it; 0 for none.

    Makers of swaps do the same; the artefact is the difference that remains.
    """
    wanted = SHARPER * _sharpness(under, mask)
    for sigma in (0.0, 0.5, 0.8, 1.2, 1.7, 2.4, 3.4):
        if _sharpness(blur(face, sigma), mask) <= wanted:
            break
    return sigma


def _sharpness(picture: Picture, mask: Pixels) -> float:
    """Mean difference of neighbouring pixels over their overall spread, inside the mask."""
    grey = np.asarray(picture, np.float32) @ LUMA
    steps = np.abs(np.diff(grey, axis=1))[:-1] + np.abs(np.diff(grey, axis=0))[:, :-1]
    weights = mask[:-1, :-1]
    total = max(float(weights.sum()), 1e-6)
    part = grey[:-1, :-1]
    mean = float((part * weights).sum()) / total
    spread = math.sqrt(float((weights * (part - mean) ** 2).sum()) / total)
    return float((steps * weights).sum()) / total / max(spread, 1.0)


def light_match(face: Picture, under: Picture, mask: Pixels) -> Pixels:
    """What to add to the face, (h, w, 3), so that it has the light of what is under it.

    The slow part of the difference, as gradient-domain blending takes it over; the face's own
    texture stays.
    """
    seen, wanted, small = (
        cv2.resize(one, (LIGHT_CELLS, LIGHT_CELLS), interpolation=cv2.INTER_AREA)
        for one in (face, under, mask)
    )
    weights = small[..., None] + np.float32(1e-3)
    gaps = np.arange(LIGHT_CELLS)[:, None] - np.arange(LIGHT_CELLS)[None, :]
    kernel = np.exp(-0.5 * (gaps / (0.13 * LIGHT_CELLS)) ** 2).astype(np.float32)
    change = wanted.astype(np.float32) - seen
    slow = _blurred(change * weights, kernel) / _blurred(weights, kernel)
    size = (face.shape[1], face.shape[0])
    return np.asarray(cv2.resize(slow, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _blurred(cells: Pixels, kernel: Pixels) -> Pixels:
    """Blurs (N, N, C) along both sides by a kernel (N, N)."""
    rows = (kernel @ cells.reshape(len(cells), -1)).reshape(cells.shape)
    return np.asarray(kernel @ rows, np.float32)
