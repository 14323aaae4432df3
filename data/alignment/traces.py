"""Traces of forging in the pixels of a face: detail and unsteadiness, of the face and around it.

A forged face was generated small, enlarged and blended in, frame by frame. So it lacks fine detail,
or has too much of it, and changes otherwise from frame to frame than its surroundings do. Each
value is the logarithm of how much there is in the face over how much there is around it, which an
encoder takes from both. Two videos of a scene are compared value by value, so that what the scene
has cancels.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from data.alignment.aligned_frames import SIDE, FacePair, ellipse

BANDS = ("fine", "middle", "coarse")
SIGMAS = (1.0, 2.0, 4.0)
"""Between these Gaussians, in pixels of a crop, the bands lie; "fine" is below the first."""
LEAST = 1e-3
"""Grey levels: the logarithm of a flat region must stay finite."""

REGIONS = (("face", "surroundings"), ("mouth", "eyes"), ("edge", "face"))
TRACES = tuple(
    [f"{band} detail, {one} to {other}" for one, other in REGIONS for band in BANDS]
    + ["colour detail"]
    + [f"change of {band} detail" for band in BANDS]
    + ["change", "change of the change"]
)
"""Names of the values, in their order; the last six are of the face to its surroundings."""

Field = NDArray[np.float32]


def measure_traces(
    pair: FacePair, consecutive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of both faces of a pair, (P,) each, P the number of TRACES.

    `consecutive` (T - 1,) says whether a frame and the next one follow each other.
    """
    face, around = ellipse(0.45), ~ellipse(0.75)
    rows = np.arange(SIDE)[:, None] / SIDE
    masks = {
        "face": pair.shown & face,
        "surroundings": pair.shown & around,
        "mouth": pair.shown & (face & (rows > 0.55)),
        "eyes": pair.shown & (face & (rows < 0.48)),
        "edge": pair.shown & (ellipse(0.68) & ~face),
    }
    one, two = (_traces(crops, masks, consecutive) for crops in (pair.one, pair.two))
    return one, two


def _traces(
    crops: NDArray[np.uint8],
    masks: dict[str, NDArray[np.bool_]],
    consecutive: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Of one video's crops (T, SIDE, SIDE, 3)."""
    colours = np.stack([cv2.cvtColor(one, cv2.COLOR_RGB2YCrCb) for one in crops])
    luma = colours[..., 0].astype(np.float32)
    smoothed = [luma, *(_blurred(luma, sigma) for sigma in SIGMAS)]
    bands = [finer - coarser for finer, coarser in itertools.pairwise(smoothed)]

    def ratio(
        field: Field, rows: NDArray[np.int64] | slice = slice(None), regions: int = 0
    ) -> float:
        """Logarithm of a field's (n, SIDE, SIDE) level in one region over that in another."""
        one, other = (_level(field, masks[name][rows]) for name in REGIONS[regions])
        return one - other

    values = [ratio(band, regions=at) for at in range(len(REGIONS)) for band in bands]
    red, blue = (
        np.abs(channel - _blurred(channel, 3.0))
        for channel in np.moveaxis(colours[..., 1:].astype(np.float32), -1, 0)
    )
    values.append(ratio(red + blue))
    first = np.flatnonzero(consecutive)
    smooth = smoothed[-1]
    values += [ratio(band[first + 1] - band[first], first) for band in (*bands, smooth)]
    third = first[np.isin(first + 1, first)]
    bend = smooth[third + 2] - 2 * smooth[third + 1] + smooth[third]
    values.append(ratio(bend, third))
    return np.asarray(values)


def _blurred(frames: Field, sigma: float) -> Field:
    """Each frame of (T, SIDE, SIDE) blurred."""
    return np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in frames])


def _level(values: Field, where: NDArray[np.bool_]) -> float:
    """Logarithm of the mean absolute value; that of LEAST where there is none."""
    held = np.abs(values)[where]
    return float(np.log(max(float(held.mean()) if len(held) else 0.0, LEAST)))
