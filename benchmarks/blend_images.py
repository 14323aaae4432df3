"""Changes of batches of images on a GPU, for the forgeries of benchmarks/blend_pairs.py.

Images are (B, C, H, W) float32 from 0 to 1; each of a batch gets a draw of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

T = TypeVar("T")

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
DETAIL_RADIUS = 4
"""Pixels that blurs of images reach."""
# JPEG's example tables (ITU-T T.81, annex K), by rows.
# fmt: off
LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
CHROMA_STEPS = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)
# fmt: on


class Draws:
    """Random numbers: for each image of a batch on the device, for a whole batch on the host."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self._host = np.random.default_rng(seed)

    def uniform(self, shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
        """(shape,) float32 between low and high."""
        drawn = torch.rand(shape, device=self.device, generator=self.generator)
        return drawn * (high - low) + low

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """(shape,) float32, of standard deviation 1."""
        return torch.randn(shape, device=self.device, generator=self.generator)

    def happens(self, count: int, share: float) -> Tensor:
        """(count,) bool, True for a share of them."""
        return self.uniform(count, 0, 1) < share

    def below(self, shape: int | tuple[int, ...], limit: int) -> Tensor:
        """(shape,) int64 from 0 to limit - 1."""
        size = (shape,) if isinstance(shape, int) else shape
        return torch.randint(limit, size, device=self.device, generator=self.generator)

    def one(self, low: float, high: float) -> float:
        """One number for the whole batch."""
        return float(self._host.uniform(low, high))

    def pick(self, options: Sequence[T]) -> T:
        """One option for the whole batch."""
        return options[int(self._host.integers(len(options)))]

    def state(self) -> Any:
        """For `restore`, after which the same numbers come again."""
        return self.generator.get_state(), self._host.bit_generator.state

    def restore(self, state: Any) -> None:
        """Goes back to a `state`."""
        self.generator.set_state(state[0])
        self._host.bit_generator.state = state[1]


def per_image(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def affine(
    angle: Tensor, scale: Tensor, across: Tensor, down: Tensor, mirrored: Tensor | None = None
) -> Tensor:
    """Places in the output to places in the input, both from -1 to 1: (B, 2, 3)."""
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    side = torch.ones_like(cosine)
    if mirrored is not None:
        side = torch.where(mirrored, -side, side)
    rows = (cosine * side, -sine, across, sine * side, cosine, down)
    return torch.stack(rows, 1).view(-1, 2, 3)


def warp(
    images: Tensor,
    matrix: Tensor,
    *,
    size: int | None = None,
    offsets: Tensor | None = None,
    outside: str = "reflection",
) -> Tensor:
    """Samples images at the places that a matrix (B, 2, 3) and offsets (B, S, S, 2) name."""
    side = size or images.shape[-1]
    shape = [*images.shape[:2], side, side]
    places = functional.affine_grid(matrix, shape, align_corners=False)
    if offsets is not None:
        places = places + offsets
    return functional.grid_sample(images, places, padding_mode=outside, align_corners=False)


def elastic(draws: Draws, amplitudes: Tensor, *, size: int, cells: int) -> Tensor:
    """Smooth offsets (B, S, S, 2) of given amplitudes (B,), for `warp`."""
    drawn = draws.uniform((len(amplitudes), 2, cells, cells), -1, 1) * per_image(amplitudes)
    smooth = functional.interpolate(drawn, size=(size, size), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1)


def blur(images: Tensor, sigmas: Tensor, *, radius: int) -> Tensor:
    """Gaussian blur, of a standard deviation in pixels for each image."""
    count, channels, height, width = images.shape
    steps = torch.arange(-radius, radius + 1, device=images.device)
    kernels = torch.exp(-(steps**2) / (2 * sigmas[:, None] ** 2 + 1e-8))
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    planes = images.reshape(1, count * channels, height, width)
    for pads, kernel in (
        ((radius, radius, 0, 0), kernels[:, :, None, :]),
        ((0, 0, radius, radius), kernels[:, :, :, None]),
    ):
        padded = functional.pad(planes, pads, mode="replicate")
        planes = functional.conv2d(padded, kernel, groups=count * channels)
    return planes.view_as(images)


def change_colour(images: Tensor, draws: Draws, *, share: float) -> Tensor:
    """Changes channels, saturation, contrast, brightness and gamma of a share of the images."""
    count = len(images)

    def drawn(reach: float) -> Tensor:
        return per_image(draws.uniform(count, -reach, reach))

    tint = draws.uniform((count, 3, 1, 1), -0.08, 0.08) * per_image(draws.happens(count, 0.6))
    changed = images + tint
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    grey = (changed * weights).sum(1, keepdim=True)
    changed = grey + (changed - grey) * (1 + drawn(0.3))
    average = changed.mean((2, 3), keepdim=True)
    changed = (changed - average) * (1 + drawn(0.15)) + average + drawn(0.1)
    changed = changed.clamp(1e-4, 1) ** (1 + drawn(0.2))
    return torch.where(per_image(draws.happens(count, share)), changed, images).clamp(0, 1)


def lower_resolution(
    images: Tensor, draws: Draws, *, share: float, factors: Sequence[float]
) -> Tensor:
    """Scales a share of the images down by one of the factors, and up again."""
    size, kernels = images.shape[-1], ("bilinear", "bicubic")
    which = draws.below(len(images), len(factors))
    chosen, changed = draws.happens(len(images), share), images.clone()
    for number, factor in enumerate(factors):
        low_side = int(size / (factor * draws.one(0.85, 1.15)))
        down, up, antialias = draws.pick(kernels), draws.pick(kernels), draws.pick((False, True))
        rows = torch.nonzero(chosen & (which == number)).squeeze(1)
        if len(rows):
            low = functional.interpolate(
                images[rows], size=(low_side, low_side), mode=down, antialias=antialias
            )
            changed[rows] = functional.interpolate(low, size=(size, size), mode=up)
    return changed.clamp(0, 1)


def sharpen(images: Tensor, draws: Draws, *, share: float) -> Tensor:
    """Unsharp masking of a share of the images."""
    count = len(images)
    amounts = per_image(draws.happens(count, share) * draws.uniform(count, 0.3, 1.5))
    smooth = blur(images, draws.uniform(count, 0.7, 1.6), radius=DETAIL_RADIUS)
    return (images + amounts * (images - smooth)).clamp(0, 1)


def compress(images: Tensor, draws: Draws, *, share: float, worst: float, best: float) -> Tensor:
    """JPEG of a share of the images, with its blocks anywhere: quality from worst to best.

    Colours have half the resolution (4:2:0). H and W must be multiples of 16.
    """
    chosen, qualities = draws.happens(len(images), share), draws.uniform(len(images), worst, best)
    down, across = (draws.pick(range(8)) for _ in range(2))
    rows = torch.nonzero(chosen).squeeze(1)
    if not len(rows):
        return images
    quality = qualities[rows]
    scales = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    red, green, blue = (images[rows] * 255).unbind(1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    shifted = torch.roll(luma - 128, (down, across), (1, 2))
    coarse = torch.roll(quantized(shifted, LUMA_STEPS, scales), (-down, -across), (1, 2))

    def chroma(plane: Tensor) -> Tensor:
        half = functional.avg_pool2d(plane[:, None], 2)[:, 0]
        half = quantized(half, CHROMA_STEPS, scales)[:, None]
        return functional.interpolate(half, scale_factor=2, mode="bilinear")[:, 0]

    coarse, more_blue, more_red = coarse + 128, chroma(blue - luma), chroma(red - luma)
    red, blue = coarse + more_red, coarse + more_blue
    green = (coarse - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    changed = images.clone()
    changed[rows] = (torch.stack([red, green, blue], 1) / 255).clamp(0, 1)
    return changed


def quantized(planes: Tensor, steps: Sequence[int], scales: Tensor) -> Tensor:
    """Rounds blocks of 8x8 pixels in the cosine domain.

    Args:
        planes: (B, H, W), from about -128 to 127.
        steps: 64 of a quantization table.
        scales: (B,), factors of the steps.
    """
    count, height, width = planes.shape
    numbers = torch.arange(8, device=planes.device, dtype=torch.float32)
    cosines = torch.cos((2 * numbers + 1) * numbers[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    table = torch.tensor(steps, device=planes.device, dtype=torch.float32).view(1, 1, 1, 8, 8)
    sizes = (table * scales.view(-1, 1, 1, 1, 1)).clamp(1, 255)
    blocks = planes.reshape(count, height // 8, 8, width // 8, 8).permute(0, 1, 3, 2, 4)
    rounded = torch.round(cosines @ blocks @ cosines.T / sizes) * sizes
    return (cosines.T @ rounded @ cosines).permute(0, 1, 3, 2, 4).reshape(count, height, width)
