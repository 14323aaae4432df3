"""Pairs of real faces and forgeries made of them on a GPU, for benchmarks/blend_network.py.

In the manner of Shiohara and Yamasaki (2022), "Detecting Deepfakes with Self-Blended Images": a
face is blended into itself after a change of colour, detail, compression or place; in a share of
the pairs it is another person's of like pose. The real one of a pair went through the same
augmentation and, half of the time, through the change all over, so that what tells the two apart is
the border, not the change.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.blend_images import (
    DETAIL_RADIUS,
    Draws,
    affine,
    blur,
    change_colour,
    compress,
    elastic,
    lower_resolution,
    per_image,
    sharpen,
    warp,
)

CROP = 256
"""Side in pixels of the usual crop, in the middle of a canvas."""
SWAPS = 0.3
"""Share of pairs with another person's face."""
CANDIDATES = 24
"""Frames of which the one of the most similar pose gives its face."""
REGION_ODDS = (0, 0, 1, 1, 2, 3, 4)
"""Numbers of masks (`blend_faces.REGIONS`); each entry is as likely."""
OPACITIES = (0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0)
MASK_RADIUS = 20
"""Pixels that the blur of a mask reaches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """N frames of all clips, on a device; S is the side of a canvas."""

    pixels: Tensor  # (N, 3, S, S) uint8 RGB
    points: Tensor  # (N, K, 2) float32, landmarks in pixels of the canvas
    masks: Tensor  # (N, R, S/2, S/2) uint8, 0 or 255
    clips: Tensor  # (N,) int64, the row of each one's clip


def load_frames(folder: Path, count: int, device: torch.device) -> Frames:
    """Reads the frames of `count` clips that benchmarks/blend_faces.py wrote."""

    def read(row: int) -> dict[str, np.ndarray]:
        with np.load(folder / f"{row}.npz", allow_pickle=False) as found:
            return dict(found)

    with ThreadPoolExecutor() as pool:
        each = [*pool.map(read, range(count))]

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([one.pop(name) for one in each]))

    lengths = torch.tensor([len(one["points"]) for one in each])
    return Frames(
        pixels=joined("pixels").permute(0, 3, 1, 2).contiguous().to(device),
        points=joined("points").to(device),
        masks=joined("masks").to(device),
        clips=torch.arange(count).repeat_interleave(lengths).to(device),
    )


def make_pairs(frames: Frames, weights: Tensor, draws: Draws, *, count: int, size: int) -> Tensor:
    """Draws frames and forges them.

    Args:
        frames: all frames.
        weights: (N,) float32, how often each is drawn; 0 for those not to learn from.
        draws: random numbers.
        count: P, pairs.
        size: S, side of the images in pixels.

    Returns:
        (2 P, 3, S, S) float32 from 0 to 1: the real ones, then their forgeries.
    """
    rows = torch.multinomial(weights, count, replacement=True, generator=draws.generator)
    target = frames.pixels[rows].float() / 255
    odds = torch.tensor(REGION_ODDS, device=draws.device)
    mask = frames.masks[rows, odds[draws.below(count, len(odds))]].float()[:, None] / 255
    donor = target.clone()
    swapped = torch.nonzero(draws.happens(count, SWAPS)).squeeze(1)
    if len(swapped):
        donor[swapped] = other_faces(
            frames, weights, draws, rows[swapped], target[swapped], mask[swapped]
        )
    # One of the two is changed: the face, or what is around it.
    around = per_image(draws.happens(count, 0.35))
    changed = change_look(torch.where(around, target, donor), draws)
    ground = torch.where(around, changed, target)
    donor = move(torch.where(around, donor, changed), draws)
    mask = soften(mask, draws, size=target.shape[-1])
    forged = donor * mask + ground * (1 - mask)
    real = torch.where(per_image(draws.happens(count, 0.5)), ground, target)
    framing = affine(
        draws.uniform(count, -0.12, 0.12),
        CROP / target.shape[-1] * torch.exp(draws.uniform(count, -0.12, 0.12)),
        draws.uniform(count, -0.06, 0.06),
        draws.uniform(count, -0.06, 0.06),
        draws.happens(count, 0.5),
    )
    real, forged = (warp(one, framing, size=size) for one in (real, forged))
    state = draws.state()
    real = degrade(real, draws)
    draws.restore(state)  # a pair's two images go through the same
    return torch.cat([real, degrade(forged, draws)])


def other_faces(
    frames: Frames, weights: Tensor, draws: Draws, rows: Tensor, target: Tensor, mask: Tensor
) -> Tensor:
    """Faces of other clips in the place of these: of like pose, in the colours of the target."""
    count, size = len(rows), target.shape[-1]
    allowed = torch.nonzero(weights > 0).squeeze(1)
    candidates = allowed[draws.below((count, CANDIDATES), len(allowed))]
    mine = frames.points[rows].repeat_interleave(CANDIDATES, 0)
    *_, errors = fit_similarity(mine, frames.points[candidates.flatten()])
    same_clip = frames.clips[candidates] == frames.clips[rows][:, None]
    errors = errors.view(count, CANDIDATES).masked_fill(same_clip, float("inf"))
    best = candidates.gather(1, errors.argmin(1, keepdim=True)).squeeze(1)
    turn, shift, _ = fit_similarity(frames.points[rows], frames.points[best])
    # In pixels the other's place is turn @ mine + shift; `warp` counts from -1 to 1.
    shift = turn.sum(2) - 1 + 2 * shift / size
    donor = warp(frames.pixels[best].float() / 255, torch.cat([turn, shift[:, :, None]], 2))
    weight = functional.interpolate(mask, size=(size, size), mode="bilinear")
    weight = weight / (weight.sum((2, 3), keepdim=True) + 1e-3)

    def moments(images: Tensor) -> tuple[Tensor, Tensor]:
        average = (images * weight).sum((2, 3), keepdim=True)
        variance = ((images - average) ** 2 * weight).sum((2, 3), keepdim=True)
        return average, variance.sqrt()

    (its, its_spread), (own, own_spread) = moments(donor), moments(target)
    return ((donor - its) * (own_spread / (its_spread + 1e-3)).clamp(0.4, 2.5) + own).clamp(0, 1)


def fit_similarity(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation, scale and shift that take points to others by least squares.

    Args:
        points: (B, K, 2).
        others: (B, K, 2).

    Returns:
        A matrix (B, 2, 2), a shift (B, 2), and the mean squared error (B,) in square pixels.
    """
    middle, other_middle = points.mean(1), others.mean(1)
    start, end = points - middle[:, None], others - other_middle[:, None]
    energy = (start**2).sum((1, 2))
    along = (start * end).sum((1, 2)) / energy
    turned = (start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0]).sum(1) / energy
    matrix = torch.stack([along, -turned, turned, along], 1).view(-1, 2, 2)
    errors = ((end - start @ matrix.transpose(1, 2)) ** 2).mean((1, 2))
    return matrix, other_middle - (matrix @ middle[:, :, None]).squeeze(2), errors


def change_look(images: Tensor, draws: Draws) -> Tensor:
    """What another program, or a network, may have done to a face."""
    images = change_colour(images, draws, share=0.8)
    images = lower_resolution(images, draws, share=0.5, factors=(1.5, 2.0, 3.0, 4.0))
    images = sharpen(images, draws, share=0.15)
    return compress(images, draws, share=0.25, worst=25, best=90)


def move(images: Tensor, draws: Draws) -> Tensor:
    """Moves faces a little against their place, and bends four in ten."""
    count = len(images)
    amplitudes = draws.uniform(count, 0, 0.03) * draws.happens(count, 0.4)
    matrix = affine(
        draws.uniform(count, -0.03, 0.03),
        draws.uniform(count, 0.95, 1.05),
        draws.uniform(count, -0.05, 0.05),
        draws.uniform(count, -0.03, 0.03),
    )
    offsets = elastic(draws, amplitudes, size=images.shape[-1], cells=5)
    return warp(images, matrix, offsets=offsets)


def soften(masks: Tensor, draws: Draws, *, size: int) -> Tensor:
    """Masks of a canvas's size: bent, scaled, blurred, half of them sharpened, some transparent."""
    count = len(masks)
    offsets = elastic(draws, draws.uniform(count, 0, 0.12), size=masks.shape[-1], cells=6)
    matrix = affine(
        torch.zeros(count, device=masks.device),
        1 / draws.uniform(count, 0.85, 1.1),
        draws.uniform(count, -0.04, 0.04),
        draws.uniform(count, -0.04, 0.04),
    )
    masks = warp(masks, matrix, offsets=offsets, outside="zeros")
    sigmas = torch.exp(draws.uniform(count, math.log(0.5), math.log(9)))
    masks = blur(masks, sigmas, radius=MASK_RADIUS)
    outward = draws.pick((False, True))  # the soft border lies outside of the region, or inside
    sharp = (masks * 2 if outward else masks * 2 - 1).clamp(0, 1)
    masks = torch.where(per_image(draws.happens(count, 0.5)), sharp, masks)
    masks = functional.interpolate(masks, size=(size, size), mode="bilinear")
    opacities = torch.tensor(OPACITIES, device=masks.device)
    return masks * per_image(opacities[draws.below(count, len(opacities))])


def degrade(images: Tensor, draws: Draws) -> Tensor:
    """What happens to whole videos: colour, resolution, blur, noise, compression, rounding."""
    count = len(images)
    images = change_colour(images, draws, share=0.4)
    images = lower_resolution(images, draws, share=0.3, factors=(1.3, 1.7, 2.3, 3.0))
    smooth = blur(images, draws.uniform(count, 0.4, 1.2), radius=DETAIL_RADIUS)
    images = torch.where(per_image(draws.happens(count, 0.15)), smooth, images)
    noise = per_image(draws.uniform(count, 0, 0.03) * draws.happens(count, 0.3))
    images = (images + draws.normal(tuple(images.shape)) * noise).clamp(0, 1)
    images = compress(images, draws, share=0.6, worst=30, best=97)
    return torch.round(images * 255) / 255
