"""Selective classification: the error among the videos that get a verdict, against their share.

A detector that knows when it cannot tell errs less on the verdicts that it gives. The curve of
error against coverage (El-Yaniv and Wiener, 2010) shows how much less. No TensorFlow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from models.evaluation.json_facts import DecidedFacts
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
    *,
    unit: bool = True,
) -> RiskCoverage:
    """Judges the videos farthest from the threshold first, and novel ones last of all.

    Args:
        labels: (N,) 1 = fake.
        scores: (N,) P(fake), or of another scale on which fakes are higher.
        threshold: at or above it a video is called fake.
        novel: (N,) unlike anything in training.
        unit: whether the scores lie between 0 and 1, where distances are those of log-odds.
    """
    ends = np.append(scores, threshold)
    if unit:
        ends = logit(np.clip(ends, CLIP, 1 - CLIP))
    sureness = np.where(novel, -1.0, np.abs(ends[:-1] - ends[-1]))
    wrong = (scores >= threshold) != (np.asarray(labels) == 1)
    order = np.argsort(-sureness, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sureness[order]) != 0, True))  # equals come together
    judged = last + 1
    return RiskCoverage(coverage=judged / len(order), error=np.cumsum(wrong[order])[last] / judged)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """How right the verdicts are where UNSURE is none."""

    unsure: float  # share of the videos that get no verdict
    novel: float  # share that is unlike anything in training; part of `unsure`
    right: float  # share of the others that are classified rightly; NaN where there is none
    balanced: float  # mean of the shares of both classes; NaN where one is without verdict

    def to_json(self) -> DecidedFacts:
        """For metrics.json; what is NaN is left out."""
        facts: DecidedFacts = {"unsure": self.unsure, "novel": self.novel}
        if not math.isnan(self.right):
            facts["decided_accuracy"] = self.right
        if not math.isnan(self.balanced):
            facts["decided_balanced_accuracy"] = self.balanced
        return facts


def decided(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    threshold: float,
    unsure: NDArray[np.bool_],
    novel: NDArray[np.bool_],
) -> Decided:
    """How right the verdicts on the other videos are.

    Args:
        labels: (N,) 1 = fake.
        scores: (N,).
        threshold: at or above it a video is called fake.
        unsure: (N,) scores without verdict.
        novel: (N,) unlike anything in training, so without verdict, too.
    """
    fake = labels == 1
    sure = ~(unsure | novel)
    right = (scores >= threshold) == fake
    sides = [right[sure & side] for side in (fake, ~fake)]
    whole = all(len(side) for side in sides)
    return Decided(
        unsure=float(np.mean(~sure)),
        novel=float(np.mean(novel)),
        right=float(np.mean(right[sure])) if sure.any() else math.nan,
        balanced=float(np.mean([side.mean() for side in sides])) if whole else math.nan,
    )
