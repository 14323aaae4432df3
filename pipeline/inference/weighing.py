"""What is said of one face's score: verdict, likelihood ratio, and why where it is UNSURE.

`predict` and `scan` say the same of the same video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError
from models.applicability.novelty import REASON
from models.bundle import Bundle, BundledHead
from models.evaluation.likelihood_ratio import in_words

NO_RATIOS = "this bundle has no likelihood ratios; train it anew, with calibration.folds above 0"


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """One score and what is said of it."""

    verdict: str  # "FAKE", "REAL" or "UNSURE"
    reason: str | None  # why it is UNSURE, a phrase; None for the others
    # log10 of the likelihood ratio, fake against real; None for a bundle without ratios, and for a
    # novel video, of which the score says nothing
    log10_lr: float | None = None
    log10_lr_low: float | None = None  # lower end of its interval; None with it
    log10_lr_high: float | None = None  # upper end of its interval; None with it
    # distance from the training videos, above 1 beyond those of held-out people; None where unknown
    novelty: float | None

    @property
    def likelihood(self) -> str | None:
        """The ratio in words; None where there is none."""
        return None if self.log10_lr is None else in_words(self.log10_lr)


def novelties(bundle: Bundle, means: NDArray[np.floating[Any]]) -> list[float | None]:
    """How novel mean embeddings (N, D) are; None each where the bundle cannot tell."""
    if bundle.novelty is None:
        return [None] * len(means)
    return [float(one) for one in bundle.novelty.distance(means)]


def weigh(
    head: BundledHead,
    probability_fake: float,
    novelty: float | None,
    *,
    unsure_reason: str | None = None,
) -> Weighed:
    """Judges one calibrated score of a face as novel as that.

    `unsure_reason` is why every verdict is UNSURE, where it is (`Bundle.unsure_reason`).
    """
    if novelty is not None and novelty > 1:
        return Weighed(verdict="UNSURE", reason=REASON, novelty=novelty)
    verdict = head.calibration.verdict(probability_fake, head.threshold)
    ratio = head.likelihood_ratio
    if ratio is None:
        reason = (unsure_reason or "too near the threshold") if verdict == "UNSURE" else None
        return Weighed(verdict=verdict, reason=reason, novelty=novelty)
    log10_lr, low, high = ratio.of_score(probability_fake)
    reason = None
    if verdict == "UNSURE":
        reason = "too near the threshold"
        if low <= 0 <= high:
            reason = "the likelihood ratio may as well be 1"
        elif (low > 0) != (probability_fake >= head.threshold):
            reason = "threshold and likelihood ratio speak for different sides"
    return Weighed(
        verdict=verdict,
        reason=reason,
        log10_lr=log10_lr,
        log10_lr_low=low,
        log10_lr_high=high,
        novelty=novelty,
    )


def check_prior(bundle: Bundle, prior: float | None) -> None:
    """Raises ConfigError where a prior is given and the bundle has no ratios."""
    if prior is not None and bundle.head.likelihood_ratio is None:
        raise ConfigError(f"--prior needs likelihood ratios, and {NO_RATIOS}")
