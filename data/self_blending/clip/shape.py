"""Masks and warps of self-made forgeries: geometry, no colours.

A warp is a thin-plate spline through some of the face's points, evaluated on a coarse mesh and
drawn by OpenCV between its corners: a spline for each pixel would take 20 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.faces.landmarks import (
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    LIPS,
    NOSE,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
)
from data.self_blending.clip.motion import CONTROL
from data.self_blending.clip.parameters import Region

Points = NDArray[np.float32]

OUTLINES: dict[Region, tuple[tuple[int, ...], ...]] = {
    "face": (OVAL,),
    "no_forehead": ((*JAW, *LEFT_BROW, *RIGHT_BROW, *LEFT_EYE, *RIGHT_EYE, *NOSE),),
    "inner": ((*LEFT_BROW, *RIGHT_BROW, *LEFT_EYE, *RIGHT_EYE, *NOSE, *LIPS),),
    "lower": ((*JAW[4:-4], *LIPS, 129, 358, 50, 280),),
    "mouth": ((*LIPS, 164, 18, 200, 43, 273, 92, 322),),
    "eyes": (
        (*LEFT_EYE, *LEFT_BROW[:5], 35, 110, 25),
        (*RIGHT_EYE, *RIGHT_BROW[:5], 265, 339, 255),
    ),
}
"""Points whose convex hulls are the regions."""
EYES = ((*LEFT_EYE, 25, 110, 24, 23, 190), (*RIGHT_EYE, 255, 339, 254, 253, 414))
"""Points whose convex hulls are the eyes with their lids."""
CELLS = 10
"""Cells of the warp's mesh along the longer side."""
STIFFNESS = 2e-3
"""Regularisation of the spline: points that disagree a little must not crease the skin."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of whole pixels in a frame."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.left + self.width, self.top + self.height

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def window_around(points: Points, margin: float, width: int, height: int) -> Window | None:
    """The smallest window that holds points (N, 2) and a margin; None if it is off the frame."""
    low = np.clip(np.floor(points.min(0) - margin), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin), 0, (width, height)).astype(int)
    if (high - low).min() < 4:
        return None
    return Window(left=int(low[0]), top=int(low[1]), width=int(high[0] - low[0]),
                  height=int(high[1] - low[1]))  # fmt: skip


def hull(points: Points) -> Points:
    """The convex hull of points (N, 2), in order."""
    return np.asarray(cv2.convexHull(points), np.float32)[:, 0]


def outline(points: Points, *, grow: float, waves: Points) -> Points:
    """The deformed convex hull of points, (128, 2).

    Args:
        points: (N, 2).
        grow: pixels outwards.
        waves: (2, K) cosine and sine amplitudes in pixels of the deformation, slow ones first.
    """
    corners = hull(points)
    closed = np.concatenate([corners, corners[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    places = np.linspace(0, along[-1], 128, endpoint=False)
    drawn = np.stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)], 1)
    centre = drawn.mean(0)
    away = drawn - centre
    distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-3)
    # By the angle, not by the length along the line: a hull's corners change between frames.
    angles = np.arctan2(away[:, 1], away[:, 0])[:, None] * np.arange(1, waves.shape[1] + 1)
    push = grow + np.cos(angles) @ waves[0] + np.sin(angles) @ waves[1]
    push = np.maximum(push[:, None], -0.6 * distance)
    return np.asarray(centre + away * (1 + push / distance), np.float32)


def draw_mask(
    lines: list[Points], window: Window, *, softness: float, inside: bool
) -> NDArray[np.float32]:
    """Draws outlines as a soft mask, (h, w) float32 from 0 to 1.

    Args:
        lines: closed outlines (N, 2) in the frame's pixels.
        window: what is drawn of the frame.
        softness: standard deviation of the edge, pixels.
        inside: the edge fades inside of the outline only.
    """
    mask = np.zeros((window.height, window.width), np.float32)
    for line in lines:
        # A corner is given in sixteenths of a pixel, from the middle of the first one.
        corners = np.rint((line - (window.left + 0.5, window.top + 0.5)) * 16).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1.0, shift=4)
    values = gaussian_blur(mask, max(softness, 0.7))
    return np.asarray(np.clip(2 * values - 1, 0, 1) if inside else values, np.float32)


def gaussian_blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blurs (h, w) or (h, w, C) float32 by a Gaussian, cut off at three standard deviations.

    float32, because OpenCV takes three times as long for bytes.
    """
    side = 2 * math.ceil(3 * sigma) + 1
    blurred = cv2.GaussianBlur(values, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


class Warp:
    """Thin-plate splines of a whole clip: from places in each frame to places in its source.

    Args:
        to: (T, K, 2) points in the frames.
        back: (T, K, 2) where the same points lie in the sources' pictures.
        sizes: (T,) of the face, which are the splines' unit.
    """

    def __init__(self, to: Points, back: Points, sizes: NDArray[np.float32]) -> None:
        count, points = to.shape[:2]
        self._sizes = sizes
        self._origin = to.mean(1)  # (T, 2)
        self._to = (to - self._origin[:, None]) / sizes[:, None, None]
        system = np.zeros((count, points + 3, points + 3), np.float64)
        system[:, :points, :points] = _kernel(self._to, self._to)
        system[:, np.arange(points), np.arange(points)] += STIFFNESS
        system[:, :points, points] = system[:, points, :points] = 1
        system[:, :points, points + 1 :] = self._to
        system[:, points + 1 :, :points] = self._to.transpose(0, 2, 1)
        wanted = np.zeros((count, points + 3, 2), np.float64)
        wanted[:, :points] = back
        self._weights = np.linalg.solve(system, wanted)  # (T, K + 3, 2)

    def __call__(self, index: int, places: Points) -> Points:
        """Where places (N, 2) of frame `index` lie in its source, (N, 2)."""
        unit = (places - self._origin[index]) / self._sizes[index]
        weights = self._weights[index]
        bent = _kernel(unit, self._to[index]) @ weights[:-3]
        return np.asarray(bent + weights[-3] + unit @ weights[-2:], np.float32)


def _kernel(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """r^2 log r of each pair, (..., N, M)."""
    squares = ((one[..., :, None, :] - other[..., None, :, :]) ** 2).sum(-1).astype(np.float64)
    return np.asarray(0.5 * squares * np.log(np.maximum(squares, 1e-12)))


def mesh_places(window: Window) -> Points:
    """The mesh's corners in the frame's pixels, (rows + 1, columns + 1, 2)."""
    x, y = (_cuts(size) for size in (window.width, window.height))
    grid = np.stack(np.meshgrid(x + window.left, y + window.top), -1)
    return grid.astype(np.float32)


def _cuts(size: int) -> NDArray[np.int64]:
    """Whole pixels that cut a side into cells."""
    return np.unique(np.rint(np.linspace(0, size, min(CELLS, size) + 1)).astype(np.int64))


def draw_warped(
    picture: NDArray[np.uint8], window: Window, back: Points, *, bicubic: bool
) -> NDArray[np.uint8]:
    """Draws a window of a frame out of a source's picture, (h, w, 3) uint8.

    Args:
        picture: the source, (H, W, 3). Its edge is repeated outside of it.
        window: of the frame; the size of the result.
        back: (rows + 1, columns + 1, 2), where the mesh's corners lie in the picture.
        bicubic: sharper than bilinear, three times as slow.
    """
    right, down = _shares(_cuts(window.width)), _shares(_cuts(window.height))
    # OpenCV counts from the middle of the first pixel.
    x, y = (
        np.asarray(down @ (back[..., axis] - np.float32(0.5)) @ right.T, np.float32)
        for axis in (0, 1)
    )
    kernel = cv2.INTER_CUBIC if bicubic else cv2.INTER_LINEAR
    drawn = cv2.remap(picture, x, y, kernel, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.uint8)


def _shares(cuts: NDArray[np.int64]) -> Points:
    """How much each pixel between cuts takes of the values at the cuts, (pixels, cuts)."""
    middles = np.arange(cuts[-1]) + 0.5
    cell = np.searchsorted(cuts, middles) - 1
    share = (middles - cuts[cell]) / (cuts[cell + 1] - cuts[cell])
    found = np.zeros((len(middles), len(cuts)), np.float32)
    rows = np.arange(len(middles))
    found[rows, cell], found[rows, cell + 1] = 1 - share, share
    return found


def fit_affine(source: Points, target: Points) -> Points:
    """The affine map (3, 2) that takes points (N, 2) nearest to others: [x, y, 1] @ map."""
    ones = np.concatenate([source, np.ones((len(source), 1), np.float32)], 1)
    found = np.linalg.lstsq(ones.astype(np.float64), target.astype(np.float64), rcond=None)[0]
    return np.asarray(found, np.float32)


def apply_affine(points: Points, matrix: Points) -> Points:
    """Points (N, 2) under an affine map (3, 2)."""
    return np.asarray(points @ matrix[:2] + matrix[2], np.float32)


def bumps(rng: np.random.Generator) -> tuple[NDArray[np.int64], Points]:
    """An elastic deformation: anchors among CONTROL (6,), and pushes (6, 2) of size 1."""
    anchors = rng.choice(len(CONTROL), 6, replace=False)
    pushes = rng.standard_normal((6, 2)).astype(np.float32)
    return anchors.astype(np.int64), pushes / np.linalg.norm(pushes, axis=1, keepdims=True)
