"""Which of two versions of a face lacks fine detail where a forgery was blended in.

A forger blends a face into a frame: near its border each pixel is a mean of the frame's and the
forgery's. The mean of two unlike pictures has less fine detail than they have: half and half mixed
of two that are independent and alike in strength, 0.71 of it. The true version has all of it there.
So where the two versions agree in part, which is where one of them is a mixture, the one with less
detail is the forged one. Nothing is learnt from forgeries.

Another encoder, size or focus takes detail from the surroundings, too: how much it takes from
detail of a given strength is measured there, and what the face lacks beyond that counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.alignment.aligned_frames import SIDE, FacePair, ellipse, starts

Floats = NDArray[np.float64]

SIGMAS = (0.7, 1.0, 1.4)
"""Of Gaussians, in pixels of a crop: a band of detail lies between one and the next, the first
below all. Coarser bands tell less: the cost of the ratio (Cllr) was 0.55 with those up to 2.8, and
0.47 with these."""
ROUNDING = np.asarray([0.02, 0.05, 0.05])[:, None, None]
"""Squared grey levels added to each band's energy: what rounding to whole numbers makes."""
CELL = 8
"""Side of a cell, in pixels of a crop, in which energies are averaged."""
CELLS = SIDE // CELL
BLENDED = 0.8
"""Radius, in sides of the face, within which a forgery may be blended in."""
SURROUNDINGS = 0.75
"""What lies beyond this radius was not forged, as far as one knows."""
LEAST_CELLS = 20
"""Of the surroundings, from which a line can be fitted."""
FARTHEST = 2.5
"""Standard deviations of the surroundings' strength of detail: the line is level beyond."""
RIDGE = 0.05
"""Weight of the line's slope in its fit: in few flat surroundings it is not known."""
PRIOR = 0.01
"""Weight of no loss, as a share of that of a face in which every cell is a mixture: copies, whose
faces agree nearly everywhere, then have small losses. Without it those of 78 copies reached 0.11
(the 95th percentile), with it 0.054, and forgeries kept their order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blending:
    """What tells which of the two was blended."""

    # logarithm of the second's fine detail over the first's, where one may be a mixture, beyond
    # what the surroundings lead one to expect; above 0 the first lacks some
    lost: float
    where: Floats  # (CELLS, CELLS) each cell's part in it; they sum to `lost`


def measure_blending(pair: FacePair, consecutive: NDArray[np.bool_]) -> Blending | None:
    """Compares the detail of a face's crops; swapped, they give the negative to the last bit.

    Args:
        pair: the face.
        consecutive: (T - 1,) whether a frame and the next one follow each other; of such a run the
            first is looked at.

    Returns:
        None where too little is shown around the face.
    """
    one, two, both, shown = _energies(pair, starts(consecutive))
    around = shown & _covers(~ellipse(SURROUNDINGS))
    if around.sum() < LEAST_CELLS:
        return None
    # logarithms of amplitudes, (K, CELLS, CELLS)
    more = (np.log(two + ROUNDING) - np.log(one + ROUNDING)) / 2
    strength = (np.log(two + ROUNDING) + np.log(one + ROUNDING)) / 4
    beyond = np.stack(
        [
            band - _expected(how_strong, band, around)
            for band, how_strong in zip(more, strength, strict=True)
        ]
    )
    agreement = np.clip(both / np.sqrt((one + ROUNDING) * (two + ROUNDING)), 0, 1)
    # Most where they agree by 2/3, as an even mixture with its part; 0 where by nothing or wholly.
    smooth = np.stack([cv2.blur(band, (3, 3)) for band in agreement])
    # A band that does not agree around the face either was lost in encoding.
    trust = np.asarray([np.median(band[around]) for band in agreement])[:, None, None] ** 2
    face = shown & _covers(ellipse(BLENDED))
    weights = np.where(face, smooth**2 * (1 - smooth) * trust, 0.0)
    whole = weights.sum() + PRIOR * len(SIGMAS) * face.sum() + 1e-12
    where = (weights * beyond).sum(0) / whole
    return Blending(lost=float(where.sum()), where=where)


def _energies(
    pair: FacePair, frames: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Means over time of both versions' squared bands and of their product, and what is shown.

    The first three are (K, CELLS, CELLS); the last (CELLS, CELLS) is true where both videos show
    the whole cell in most of the frames.
    """
    sums = np.zeros((3, len(SIGMAS), CELLS, CELLS))
    counts = np.zeros((CELLS, CELLS))
    for index in frames.tolist():
        whole = _covers(pair.shown[index])
        counts += whole
        for band, (a, b) in enumerate(
            zip(_bands(pair.one[index]), _bands(pair.two[index]), strict=True)
        ):
            for at, product in enumerate((a * a, b * b, a * b)):
                sums[at, band] += np.where(whole, _in_cells(product), 0)
    one, two, both = sums / np.maximum(counts, 1)
    return one, two, both, 2 * counts > len(frames)


def _bands(pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Bands of detail of a crop's brightness, (SIDE, SIDE) each, the finest first."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., 0].astype(np.float32)
    found = []
    for sigma in SIGMAS:
        smooth = cv2.GaussianBlur(luma, (0, 0), sigma)
        found.append(luma - smooth)
        luma = smooth
    return found


def _in_cells(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each cell, (SIDE, SIDE) -> (CELLS, CELLS)."""
    return np.asarray(cv2.resize(field, (CELLS, CELLS), interpolation=cv2.INTER_AREA))


def _covers(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells of which a mask (SIDE, SIDE) covers the whole, (CELLS, CELLS)."""
    return _in_cells(mask.astype(np.float32)) > 1 - 0.5 / CELL**2


def _expected(strength: Floats, more: Floats, around: NDArray[np.bool_]) -> Floats:
    """How much more detail the second has where detail is so strong, by the surroundings.

    A line fitted to cells around the face, of which those that fit badly weigh little.

    Args:
        strength: (CELLS, CELLS).
        more: (CELLS, CELLS).
        around: (CELLS, CELLS) which cells are of the surroundings.
    """
    mean, deviation = strength[around].mean(), strength[around].std()
    scaled = np.clip((strength - mean) / (deviation + 0.1), -FARTHEST, FARTHEST)
    columns = np.stack([np.ones(int(around.sum())), scaled[around]], 1)
    wanted = more[around]
    ridge = np.diag([0.0, RIDGE * len(columns)])
    weights = np.ones(len(columns))
    for _ in range(3):
        left = columns.T @ (columns * weights[:, None]) + ridge
        shift, slope = np.linalg.solve(left, columns.T @ (weights * wanted))
        misfit = np.abs(wanted - shift - slope * scaled[around])
        weights = 1 / np.maximum(1, misfit / (1.5 * np.median(misfit) + 1e-3))
    return np.asarray(shift + slope * scaled)
