"""How one face differs in two videos of a scene, beyond what encoding it anew explains.

A forgery changes the face alone; another encoder, another size or a slightly wrong place change
face and surroundings alike, most where the picture has edges. So the surroundings say how large a
difference is to be expected at a given steepness of the picture, and what the face has beyond that
counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.alignment.aligned_frames import FacePair, ellipse

CELLS = 64
"""Cells each way in which pictures are compared, 5 pixels each: the mean of a cell has lost the
detail that encoders take away, and keeps features and tones of a face."""
FACE = 0.5
"""Radius of the face, in sides of its box."""
SURROUNDINGS = 0.72
"""What lies beyond this radius was not forged, as far as one knows."""
LEAST_SURROUNDINGS = 0.05
"""Share of the crop that both videos must show around the face."""
TOP = 0.1
"""Share of the face's cells that differ most, by which it is judged: a forged mouth is no more."""
FLOOR = 0.3
"""Grey levels: the rounding of two pictures to whole numbers, which no encoder avoids."""
THRESHOLD = 1.2
"""Of the statistic, above which faces differ. Measured on clips of real people: 48 copies (CRF 18
to 40, half size, cropped, mirrored, cut) reach 0.99; 41 face swaps beside their originals are at
2.1 and above, at 1.38 where one side was then encoded at CRF 33 or 40, halved or cropped (71)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """Of one face."""

    excess: NDArray[np.float64]  # (T, CELLS, CELLS) grey levels beyond those expected, 0 outside
    # (CELLS, CELLS) the same of the mean over time: what an encoder does to frames cancels there
    lasting: NDArray[np.float64]
    inside: NDArray[np.float64]  # (T,) mean difference in the face, in grey levels
    expected: NDArray[np.float64]  # (T,) of it, what the surroundings lead one to expect
    surroundings: float  # mean difference there, in grey levels
    # log of lasting over expected lasting difference, in the TOP cells of the face
    statistic: float


def measure(pair: FacePair) -> Difference | None:
    """Compares a face's crops; None where both show too little of it, or around it."""
    one, two = in_cells(pair.one), in_cells(pair.two)  # (T, CELLS, CELLS, 3)
    shown = np.stack(
        [
            cv2.resize(each.astype(np.uint8) * 255, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            == 255
            for each in pair.shown
        ]
    )
    face, around = regions()
    inside, outside = shown & face, shown & around
    counts, times = inside.sum((1, 2)), shown.sum(0)
    mostly = 2 * times > len(shown)  # (CELLS, CELLS)
    if outside.mean() < LEAST_SURROUNDINGS or (2 * counts < face.sum()).any():
        return None
    if 2 * (mostly & face).sum() < face.sum() or not (mostly & around).any():
        return None
    difference = one - toned(two, one, outside)
    grey = (one + two).mean(-1) / 2
    absolute = np.abs(difference).mean(-1)
    expected = expected_difference(steepness(grey), absolute, outside)
    summed = np.where(shown[..., None], difference, 0).sum(0)  # (CELLS, CELLS, 3)
    lasting = np.abs(summed / np.maximum(times, 1)[..., None]).mean(-1)
    steep = np.where(shown, steepness(grey), 0).sum(0) / np.maximum(times, 1)
    expected_lasting = expected_difference(steep, lasting, mostly & around)
    judged = mostly & face
    order = np.argsort((lasting - expected_lasting)[judged], kind="stable")
    top = order[-max(1, round(TOP * int(judged.sum()))) :]
    found, wanted = (float(each[judged][top].mean()) for each in (lasting, expected_lasting))
    return Difference(
        excess=np.where(inside, absolute - expected, 0.0),
        lasting=np.where(judged, lasting - expected_lasting, 0.0),
        inside=np.where(inside, absolute, 0).sum((1, 2)) / counts,
        expected=np.where(inside, expected, 0).sum((1, 2)) / counts,
        surroundings=float(absolute[outside].mean()),
        statistic=float(np.log((found + FLOOR) / (wanted + FLOOR))),
    )


def in_cells(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean of each cell, (T, S, S, 3) uint8 -> (T, CELLS, CELLS, 3) float64."""
    return np.stack(
        [cv2.resize(one, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for one in crops]
    ).astype(np.float64)


def regions() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells of the face, and those around it, (CELLS, CELLS) each."""
    covered = [
        cv2.resize(ellipse(one).astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        for one in (FACE, SURROUNDINGS)
    ]
    return covered[0] > 0.5, covered[1] < 0.5


def toned(
    cells: NDArray[np.float64], target: NDArray[np.float64], where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Brings each colour to the other video's scale, by a line fitted to the surroundings.

    Cells that fit badly, as something else that differs, weigh little.
    """
    result = np.empty_like(cells)
    for channel in range(3):
        x, y = cells[..., channel][where], target[..., channel][where]
        weights = np.ones_like(x)
        for _ in range(3):
            columns = np.stack([x, np.ones_like(x)], 1) * weights[:, None]
            slope, shift = np.linalg.lstsq(columns, y * weights, rcond=None)[0]
            misfit = np.abs(slope * x + shift - y)
            weights = 1 / np.maximum(1, misfit / (np.median(misfit) + 0.5))
        result[..., channel] = slope * cells[..., channel] + shift
    return result


def steepness(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the gradient of pictures (..., CELLS, CELLS), in grey levels a cell."""
    return np.asarray(np.hypot(np.gradient(grey, axis=-2), np.gradient(grey, axis=-1)))


def expected_difference(
    steep: NDArray[np.float64], differs: NDArray[np.float64], where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The difference that goes with each cell's steepness, by a line through the surroundings.

    All are of one shape, (..., CELLS, CELLS); `where` is true in the surroundings.
    """
    columns = np.stack([steep[where], np.ones(int(where.sum()))], 1)
    slope, shift = np.maximum(np.linalg.lstsq(columns, differs[where], rcond=None)[0], 0)
    return np.asarray(slope * steep + shift)
