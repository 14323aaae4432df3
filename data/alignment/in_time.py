"""Alignment in time: by what moves, which survives another encoder, another size and another face.

Each frame minus the mean of all is a pattern of what moved. At a lag, the patterns of the two
videos' simultaneous frames are correlated; the lag with the highest correlation is taken. Speed is
not searched for: both play at one speed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.video.sampling import nearest

GRID = 32
"""Side of a pattern in pixels: finer ones lose correlation where the places differ by a pixel."""
LEAST_OVERLAP_SECONDS = 1.0
"""Shorter overlaps correlate by chance; of shorter videos, nine tenths of the shorter one."""
FINEST_STEP_SECONDS = 1 / 120
MOST_LAGS = 6000


def patterns(
    grey: NDArray[np.uint8], common: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """What moves in each frame: (T, h, w) uint8 -> (T, GRID * GRID) float32.

    Args:
        grey: of frames.
        common: (h, w), 1 where both videos show something, else 0; None is everywhere.
    """
    small = np.stack(
        [cv2.resize(one, (GRID, GRID), interpolation=cv2.INTER_AREA) for one in grey]
    ).astype(np.float32)
    if common is not None:
        small *= cv2.resize(common, (GRID, GRID), interpolation=cv2.INTER_AREA)
    small -= small.mean((1, 2), keepdims=True)  # exposure
    small -= small.mean(0)
    return small.reshape(len(small), -1)


def lags(
    times: NDArray[np.float64], other: NDArray[np.float64], *, step_seconds: float
) -> NDArray[np.float64]:
    """Candidate lags: what is added to a time of the one video to get that of the other."""
    shorter = min(times[-1] - times[0], other[-1] - other[0])
    overlap = min(LEAST_OVERLAP_SECONDS, 0.9 * shorter)
    first, last = other[0] - times[-1] + overlap, other[-1] - times[0] - overlap
    step = max(step_seconds, (last - first) / MOST_LAGS)
    zero = other[0] - times[0]  # the same beginning is always tried
    below, above = np.arange(zero, first, -step)[::-1], np.arange(zero, last, step)[1:]
    return np.concatenate([below, above])


def matches(
    times: NDArray[np.float64], other: NDArray[np.float64], lag: float, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Simultaneous frames at a lag: numbers in the one video and in the other, (K,) each.

    Two frames are simultaneous if they are at most `reach` seconds apart.
    """
    wanted = times + lag
    found = nearest(other, wanted)
    held = np.flatnonzero(np.abs(other[found] - wanted) <= reach)
    return held, found[held].astype(np.int64)


def correlations(
    one: NDArray[np.float32],
    times: NDArray[np.float64],
    two: NDArray[np.float32],
    other: NDArray[np.float64],
    candidates: NDArray[np.float64],
    *,
    reach: float,
) -> NDArray[np.float64]:
    """Correlation of the patterns (T, P) and (U, P) at each candidate lag, (L,).

    A lag at which fewer frames are simultaneous counts less, by the square root of their share of
    the most, which is how far correlations by chance fall.
    """
    products = one @ two.T  # (T, U)
    power_one, power_two = (one**2).sum(1), (two**2).sum(1)
    found, counts = np.zeros(len(candidates)), np.zeros(len(candidates))
    for index, lag in enumerate(candidates):
        rows, columns = matches(times, other, lag, reach)
        norm = np.sqrt(float(power_one[rows].sum()) * float(power_two[columns].sum()))
        counts[index] = len(rows)
        if norm > 0:
            found[index] = float(products[rows, columns].sum()) / norm
    return np.asarray(found * np.sqrt(counts / max(counts.max(), 1)))


def activity(grey: NDArray[np.uint8], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """How much changes from each frame to the next, in logarithms about their mean, (T, 1).

    It needs no common place: cropped and mirrored copies are as active.
    """
    change = np.asarray(
        [cv2.absdiff(*pair).mean() for pair in zip(grey[1:], grey[:-1], strict=True)], np.float64
    )
    rate = np.log(change / np.maximum(np.diff(times), 1e-6) + 1.0)
    rate = np.append(rate, rate[-1])
    return np.asarray(rate - rate.mean(), np.float32)[:, None]
