"""Calibration and verdict: what a head's score means, fitted on validation videos alone.

A map makes the score a probability, a rule chooses the threshold on it, and the scores nearest the
threshold get no verdict. The map keeps the order of scores, so AUC stays (isotonic regression makes
ties). What only fitting needs is imported there: `predict` applies a calibration and fits none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.configs import CalibrationConfig
from models.evaluation.bootstrap import group_weights
from models.evaluation.evaluate import check_classes, percentiles
from models.evaluation.thresholds import pick_threshold

LEAST, MOST = 1e-30, 1 - 2**-25
"""Scores are float32: these lie beyond what it can hold next to 0 and 1, so no order is lost."""
THRESHOLD_LEVEL = 0.95
"""Confidence level of the threshold's interval."""
FLATTEST, STEEPEST = 0.05, 2.0
"""Bounds of 1 / temperature: above 2, float64 could not tell the surest float32 scores apart."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a head's raw score becomes P(fake) and a verdict; the default changes nothing."""

    method: str = "none"  # "none", "temperature" or "isotonic"
    temperature: float = 1.0  # P = sigmoid(logit(score) / temperature)
    # (score, P) of the isotonic map, straight lines between them
    knots: tuple[tuple[float, float], ...] = ()
    # how the threshold was chosen, in words; bundles of version 1 had the default only
    rule: str = "balanced accuracy"
    # of the threshold's bootstrap interval of THRESHOLD_LEVEL; None where it is not known
    threshold_low: float | None = None
    threshold_high: float | None = None  # likewise
    unsure_low: float | None = None  # at or above this and below `unsure_high` there is no verdict
    unsure_high: float | None = None  # None, like `unsure_low`, where each video gets a verdict

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw scores, any shape, to P(fake); NaN stays."""
        if self.method == "temperature":
            from scipy.special import expit

            return np.asarray(expit(bounded_logit(scores) / self.temperature))
        if self.method == "isotonic":
            score, probability = np.asarray(self.knots).T
            return np.asarray(np.interp(scores, score, probability))
        return scores

    def unsure(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which calibrated scores get no verdict."""
        if self.unsure_low is None or self.unsure_high is None:
            return np.zeros(np.shape(scores), bool)
        return (scores >= self.unsure_low) & (scores < self.unsure_high)

    def verdict(self, score: float, threshold: float) -> str:
        """FAKE, REAL or UNSURE for one calibrated score."""
        if bool(self.unsure(np.asarray(score))):
            return "UNSURE"
        return "FAKE" if score >= threshold else "REAL"

    def widened(self, low: float, high: float, threshold: float) -> Calibration:
        """With all scores from `low` to below `high` UNSURE, too, and those from there to the band.

        Between the threshold and the score whose likelihood ratio is 1 the two contradict each
        other.
        """
        low, high = min(low, threshold), max(high, threshold)
        if self.unsure_low is not None and self.unsure_high is not None:
            low, high = min(low, self.unsure_low), max(high, self.unsure_high)
        return replace(self, unsure_low=low, unsure_high=high)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Calibration:
        """Reads a bundle.json's.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        knots = tuple((float(score), float(p)) for score, p in facts["knots"])
        read = cls(**{**facts, "knots": knots})
        if read.method not in ("none", "temperature", "isotonic"):
            raise ValueError(f"the calibration {read.method!r} is not known")
        if (read.method == "isotonic") != bool(knots) or read.temperature <= 0:
            raise ValueError("the calibration's map is not whole")
        return read


def calibrate(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    groups: Sequence[str],
    config: CalibrationConfig,
    *,
    seed: int = 0,
) -> tuple[Calibration, float]:
    """Fits the map, the threshold and the band without verdict.

    Args:
        labels: (N,) of the validation videos, 1 = fake.
        scores: (N,) raw scores of the head.
        groups: (N,) names, for the threshold's interval.
        config: which map, which rule, how wide a band.
        seed: of the interval's draws.

    Returns:
        The calibration, and the threshold on the calibrated scale.

    Raises:
        DatasetError: one class only.
    """
    check_classes(labels)
    truth = np.asarray(labels, np.int64)
    fitted: dict[str, Any] = {"method": config.method}
    if config.method == "temperature":
        fitted["temperature"] = fit_temperature(truth, scores)
    elif config.method == "isotonic":
        fitted["knots"] = fit_isotonic(truth, scores)
    probability = Calibration(**fitted).apply(scores)
    threshold, rule = pick_threshold(truth, probability, config)
    weights = group_weights(truth, np.asarray(groups), rounds=200, seed=seed).astype(np.int64)
    drawn = [pick_threshold(truth, probability, config, weight)[0] for weight in weights]
    low, high = np.percentile(drawn, percentiles(THRESHOLD_LEVEL))
    if config.unsure:
        reach = float(np.quantile(np.abs(probability - threshold), config.unsure))
        fitted |= {"unsure_low": threshold - reach, "unsure_high": threshold + reach}
    fitted |= {"threshold_low": float(low), "threshold_high": float(high)}
    return Calibration(rule=rule, **fitted), threshold


def fit_temperature(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """The temperature of least log loss (Guo et al., 2017), against Platt's softened targets.

    Platt's (1999) (n + 1) / (n + 2) in place of 1 keeps a few separable videos from making every
    score sure.
    """
    from scipy.special import expit

    fakes = int(labels.sum())
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (len(labels) - fakes + 2))
    logits = bounded_logit(scores)

    def slope_of_loss(steepness: float) -> float:
        """By 1 / temperature, with which it rises."""
        return float(((expit(steepness * logits) - targets) * logits).sum())

    if slope_of_loss(FLATTEST) >= 0:
        return 1 / FLATTEST
    if slope_of_loss(STEEPEST) <= 0:
        return 1 / STEEPEST
    from scipy.optimize import brentq

    return float(1 / brentq(slope_of_loss, FLATTEST, STEEPEST))


def fit_isotonic(
    labels: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """The knots of scikit-learn's isotonic regression."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
    return tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))


def bounded_logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)), finite for every float32 score."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(scores, LEAST, MOST)))
