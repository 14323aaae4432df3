"""Videos without a score, and how they are counted: excluded, as real, as fake, or at chance.

A detector that fails on hard videos looks better where these are left out, so each policy but
"excluded" keeps them. At chance, a video is called by a coin: of each class every other one scores
above all others and the rest below all, the first one wrongly. So each pair with it is ranked
rightly half of the times. A score in the middle, which other programs give them, is not chance:
where the other scores are right, it still ranks a fake above every real video.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.score_files.records import Missing

WORDS = {
    "excluded": "left out",
    "real": "counted as the surest real videos",
    "fake": "counted as the surest fakes",
    "chance": "counted at chance, half of each class right",
}
"""A policy in a sentence."""


def extremes(
    scores: NDArray[np.float64], threshold: float | None, *, unit: bool
) -> tuple[float, float]:
    """The scores of the surest real video and of the surest fake.

    0 and 1 where scores lie between them; otherwise the least and the largest score. The first is
    below the threshold, if any, and the second at or above it.

    Args:
        scores: (N,) all scores that there are.
        threshold: at or above it a video is called fake; None where it is not yet known.
        unit: whether the scores lie between 0 and 1.
    """
    low, high = (0.0, 1.0) if unit else (float(scores.min()), float(scores.max()))
    if threshold is not None:
        low = min(low, float(np.nextafter(threshold, -np.inf)))
        high = max(high, threshold)
    return low, high


def filled(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    policy: Missing,
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """Scores, (N,), with `low` and `high` in place of NaN; under "excluded" they stay.

    Args:
        scores: (N,) NaN where there is none.
        labels: (N,) 1 = fake.
        policy: how those without are counted.
        low: score of the surest real video.
        high: of the surest fake.
    """
    found = scores.copy()
    lacking = np.isnan(scores)
    if policy == "real":
        found[lacking] = low
    elif policy == "fake":
        found[lacking] = high
    elif policy == "chance":
        low, high = (
            np.nextafter(low, -np.inf),
            np.nextafter(high, np.inf),
        )  # no ties with the surest
        for label in (0, 1):
            rows = np.flatnonzero(lacking & (labels == label))
            wrong = np.arange(len(rows)) % 2 == 0
            found[rows] = np.where(wrong == (label == 1), low, high)
    return found
