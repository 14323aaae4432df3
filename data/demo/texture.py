"""Noise, soft shapes and colours, of which every layer of the demo's portraits is painted.

All edges are soft, so nothing has to be supersampled. Pictures are planar, (3, H, W), and colours
(3, 1, 1), so that planes, pictures and colours broadcast; NumPy is several times faster at that
than with channels last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.floating[Any]]
"""One channel, (H, W) float32."""
Picture = NDArray[np.floating[Any]]
"""Red, green and blue, (3, H, W) float32."""
Colour = NDArray[np.floating[Any]]
"""One colour, (3, 1, 1) float32."""


def clouds(
    rng: np.random.Generator, height: int, width: int, octaves: tuple[tuple[float, float], ...]
) -> Plane:
    """Draws smooth noise, (height, width) float32 with mean about 0, as a sum of octaves.

    An octave is a feature size in pixels and a standard deviation.
    """
    total = np.zeros((height, width), np.float32)
    for size, deviation in octaves:
        rows = max(2, round(height / size) + 1)
        columns = max(2, round(width / size) + 1)
        grid = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(deviation)
        total += grid if grid.shape == total.shape else enlarge(grid, height, width)
    return total


def enlarge(plane: Plane, height: int, width: int) -> Plane:
    """Resizes one channel with a cubic filter; (h, w) to (height, width) float32."""
    resized = Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32)


def bump(u: Plane, v: Plane, at: tuple[float, float], size: tuple[float, float]) -> Plane:
    """Draws a Gaussian hill of height 1 with standard deviations `size` around the point `at`."""
    exponent = ((u - at[0]) / size[0]) ** 2 + ((v - at[1]) / size[1]) ** 2
    return np.exp(-0.5 * exponent, dtype=np.float32)


def pair(u: Plane, v: Plane, at: tuple[float, float], size: tuple[float, float]) -> Plane:
    """Draws `bump` on both sides of the face."""
    return bump(u, v, at, size) + bump(u, v, (-at[0], at[1]), size)


def ramp(value: Plane, start: float | Plane, end: float | Plane) -> Plane:
    """Rises smoothly from 0 at `start` to 1 at `end` (or falls, where end < start)."""
    x = np.clip((value - start) / (end - start), 0.0, 1.0).astype(np.float32)
    return x * x * (3.0 - 2.0 * x)


def mix(below: Picture, above: Picture | Colour, weight: Plane) -> Picture:
    """Lays a colour or picture over the picture `below` with the given weight."""
    return below + (above - below) * weight


def colour(red: float, green: float, blue: float) -> Colour:
    """Makes a colour of three values."""
    return np.asarray([red, green, blue], np.float32).reshape(3, 1, 1)


def to_srgb(linear: Picture | Colour) -> Picture | Colour:
    """Maps linear light 0..1 to display values 0..255 by a power of 1/2.2, softly clipped above."""
    # A shoulder in place of hard clipping keeps the highlights of the skin from going flat white.
    rolled = np.where(linear > 0.7, 0.7 + 0.3 * np.tanh((linear - 0.7) / 0.3), linear)
    return (np.clip(rolled, 0.0, 1.0) ** (1 / 2.2) * 255.0).astype(np.float32)


def from_srgb(red: float, green: float, blue: float) -> Colour:
    """Maps one display colour 0..255 to linear light."""
    return (colour(red, green, blue) / np.float32(255)) ** np.float32(2.2)
