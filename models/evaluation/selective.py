"""Selective classification: the error among the videos that get a verdict, against their share.

A detector that knows when it cannot tell errs less on the verdicts that it gives. The curve of
error against coverage (El-Yaniv and Wiener, 2010) shows how much less. No TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from models.evaluation.metrics import CLIP


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """Points of the curve, from the fewest videos to all."""

    coverage: NDArray[np.float64]  # (K,) share of the videos that are judged
    error: NDArray[np.float64]  # (K,) share of these that are judged wrongly

    @property
    def area(self) -> float:
        """Mean error over all coverages (AURC); lower is better."""
        return float(np.average(self.error, weights=np.diff(self.coverage, prepend=0)))


def risk_coverage(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    threshold: float,
    novel: NDArray[np.bool_],
) -> RiskCoverage:
    """Judges the videos farthest from the threshold first, and novel ones last of all.

    Args:
        labels: (N,) 1 = fake.
        scores: (N,) P(fake).
        threshold: at or above it a video is called fake.
        novel: (N,) unlike anything in training.
    """
    ends = logit(np.clip(np.append(scores, threshold), CLIP, 1 - CLIP))
    sureness = np.where(novel, -1.0, np.abs(ends[:-1] - ends[-1]))
    wrong = (scores >= threshold) != (np.asarray(labels) == 1)
    order = np.argsort(-sureness, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sureness[order]) != 0, True))  # equals come together
    judged = last + 1
    return RiskCoverage(coverage=judged / len(order), error=np.cumsum(wrong[order])[last] / judged)
