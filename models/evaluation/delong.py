"""DeLong's test: do two models' areas under the ROC curve differ, on the same videos?

DeLong, DeLong and Clarke-Pearson (1988), by the mid-ranks of Sun and Xu (2014). It assumes
independent videos; where a person has several, prefer the bootstrap by groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.evaluate import check_classes


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """The result of one test."""

    auc_a: float  # AUC of the first model
    auc_b: float  # AUC of the second model
    difference: float  # auc_a - auc_b
    low: float  # lower end of the interval of the difference
    high: float  # upper end of the interval of the difference
    p: float  # p value, two-sided; 1 where the models rank alike


def delong(
    labels: NDArray[np.integer[Any]],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    confidence: float,
) -> DeLong:
    """Tests two models' scores of the same videos.

    Args:
        labels: (N,) 1 = fake.
        a: (N,) scores of the first model.
        b: (N,) of the second.
        confidence: of the interval.

    Raises:
        DatasetError: one class only.
    """
    check_classes(labels)
    fake = np.asarray(labels) == 1
    aucs, by_fake, by_real = zip(
        *(_placements(one[fake], one[~fake]) for one in (a, b)), strict=True
    )
    variance = 0.0
    for part in (by_fake, by_real):  # (2, M) and (2, K)
        if len(part[0]) > 1:
            table = np.cov(np.asarray(part))
            variance += (table[0, 0] + table[1, 1] - 2 * table[0, 1]) / len(part[0])
    gap = float(aucs[0] - aucs[1])
    deviation = math.sqrt(max(float(variance), 0.0))
    normal = NormalDist()
    reach = normal.inv_cdf((1 + confidence) / 2) * deviation
    if deviation > 1e-12:
        p = math.erfc(abs(gap) / deviation / math.sqrt(2))
    else:
        p = 1.0 if abs(gap) < 1e-12 else 0.0
    return DeLong(
        auc_a=float(aucs[0]), auc_b=float(aucs[1]), difference=gap, low=gap - reach,
        high=gap + reach, p=p,
    )  # fmt: skip


def _placements(
    fakes: NDArray[np.float64], reals: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """AUC; for each fake the share of reals below it, for each real the share of fakes above."""
    from scipy.stats import rankdata

    together = rankdata(np.concatenate([fakes, reals]))
    by_fake = (together[: len(fakes)] - rankdata(fakes)) / len(reals)
    by_real = 1 - (together[len(fakes) :] - rankdata(reals)) / len(fakes)
    return float(by_fake.mean()), by_fake, by_real
