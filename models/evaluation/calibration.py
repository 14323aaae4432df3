"""Calibration and verdict: what a head's score means, fitted on validation videos alone.

A map makes the score a probability; a rule chooses the threshold on it; the scores nearest the
threshold get no verdict. The map never changes the order of two scores, so AUC stays (isotonic
regression makes ties). No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from models.configs import CalibrationConfig
from models.evaluation.bootstrap import group_weights
from models.evaluation.evaluate import check_classes, choose_threshold, percentiles

LEAST, MOST = 1e-30, 1 - 2**-25
"""Scores are float32: these lie beyond what it can hold next to 0 and 1, so no order is lost."""
SUREST = 1e-7
"""Of a fit on logits: beyond it a score would weigh too much."""
RIDGE = 1e-3
"""Of a slope in standard deviations, beside a mean loss."""
THRESHOLD_LEVEL = 0.95
"""Of the threshold's interval."""
FLATTEST, STEEPEST = 0.05, 2.0
"""Bounds of 1 / temperature: above 2, float64 could not tell the surest float32 scores apart."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a head's raw score becomes P(fake) and a verdict; the default changes nothing.

    Attributes:
        method: "none", "temperature" or "isotonic".
        temperature: P = sigmoid(logit(score) / temperature).
        knots: (score, P) of the isotonic map, straight lines between them.
        rule: how the threshold was chosen, in words; bundles of version 1 knew only the default's.
        threshold_low: of the threshold's bootstrap interval of THRESHOLD_LEVEL; None where it is
            not known.
        threshold_high: likewise.
        unsure_low: at or above this and below `unsure_high` there is no verdict.
        unsure_high: None, like `unsure_low`, where each video gets a verdict.
    """

    method: str = "none"
    temperature: float = 1.0
    knots: tuple[tuple[float, float], ...] = ()
    rule: str = "balanced accuracy"
    threshold_low: float | None = None
    threshold_high: float | None = None
    unsure_low: float | None = None
    unsure_high: float | None = None

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw scores, any shape, to P(fake); NaN stays."""
        if self.method == "temperature":
            return sigmoid(logits_of(scores) / self.temperature)
        if self.method == "isotonic":
            at, probability = np.asarray(self.knots).T
            return np.asarray(np.interp(scores, at, probability))
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

    def to_json(self) -> dict[str, Any]:
        """Plain values for bundle.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Calibration:
        """The reverse of `to_json`.

        Raises:
            ValueError: or a TypeError or KeyError: it is something else.
        """
        knots = tuple((float(at), float(p)) for at, p in facts["knots"])
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
    """Fits map, threshold and band.

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
    fitted = Calibration(method=config.method)
    if config.method == "temperature":
        fitted = replace(fitted, temperature=fit_temperature(truth, scores))
    elif config.method == "isotonic":
        fitted = replace(fitted, knots=fit_isotonic(truth, scores))
    probability = fitted.apply(scores)
    threshold, rule = pick_threshold(truth, probability, config)
    weights = group_weights(truth, np.asarray(groups), rounds=200, seed=seed).astype(np.int64)
    drawn = [pick_threshold(truth, probability, config, weight)[0] for weight in weights]
    low, high = np.percentile(drawn, percentiles(THRESHOLD_LEVEL))
    if config.unsure:
        near = float(np.quantile(np.abs(probability - threshold), config.unsure))
        fitted = replace(fitted, unsure_low=threshold - near, unsure_high=threshold + near)
    fitted = replace(fitted, threshold_low=float(low), threshold_high=float(high))
    return replace(fitted, rule=rule), threshold


def pick_threshold(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    config: CalibrationConfig,
    weights: NDArray[np.int64] | None = None,
) -> tuple[float, str]:
    """The threshold by the chosen rule, and the rule in words.

    "platt" is `even_odds`, or `choose_threshold` where there are none; "balanced" is that one.
    "fpr" takes the lowest at which no more than the target's share of reals is accused; "cost" the
    one whose false alarms and misses cost least. `weights`, (N,), are how often each video counts;
    None is once.
    """
    told = "balanced accuracy"
    if config.threshold == "platt":
        even = even_odds(labels, scores, weights)
        if even is not None:
            return even, "even odds of Platt's sigmoid"
        told = "balanced accuracy, since Platt's sigmoid is nowhere even among the scores"
    if weights is not None:
        labels, scores = np.repeat(labels, weights), np.repeat(scores, weights)
    if config.threshold in ("platt", "balanced"):
        return choose_threshold(labels, scores), told
    values = np.unique(scores)
    above = np.nextafter(values[-1], np.inf)  # at this one nobody is accused
    candidates = np.concatenate([[values[0]], (values[:-1] + values[1:]) / 2, [above]])
    reals, fakes = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    accused = len(reals) - np.searchsorted(reals, candidates)
    if config.threshold == "fpr":
        allowed = accused / len(reals) <= config.target_fpr + 1e-12
        told = f"{config.target_fpr:.1%} of reals accused at most"
        return float(candidates[np.argmax(allowed)]), told
    missed = np.searchsorted(fakes, candidates)
    cost = config.false_alarm_cost * accused + config.miss_cost * missed
    told = f"cost: a false alarm {config.false_alarm_cost:g}, a miss {config.miss_cost:g}"
    return float(candidates[np.argmin(cost)]), told


def even_odds(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    weights: NDArray[np.integer[Any]] | None = None,
) -> float | None:
    """The threshold where a fake is as likely as a real, were there as many of them.

    By a logistic regression of the label on the score's logit (Platt, 1999), with a slight ridge
    penalty on the slope, or the slope between classes told apart would have no end. All videos
    decide on it, not only those where the classes meet, so it moves less from one validation split
    to another than the threshold of the highest balanced accuracy does.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) P(fake).
        weights: (N,) how often each video counts; None is once.

    Returns:
        A threshold among the scores; None where the sigmoid falls, or is even beyond them.
    """
    logits = logits_of(scores, SUREST, 1 - SUREST)
    middle, spread = logits.mean(), logits.std()
    if not spread > 0:
        return None
    at = (logits - middle) / spread
    share = np.ones(len(at)) if weights is None else weights.astype(np.float64)
    for label in (0, 1):
        share[labels == label] /= 2 * share[labels == label].sum()
    slope, bias = _fit_line(at, np.where(labels == 1, -1.0, 1.0), share)
    if slope <= 0 or not at.min() < -bias / slope <= at.max():
        return None
    return float(sigmoid(middle - spread * bias / slope))


def _fit_line(
    at: NDArray[np.float64], away: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and bias of a logistic regression, by Newton's method.

    200 of them are fitted for an interval; scikit-learn's and SciPy's solvers take some
    milliseconds each, which for two unknowns is all overhead.

    Args:
        at: (N,) of zero mean and unit deviation.
        away: (N,) -1 for a fake, 1 for a real: the direction that costs.
        share: (N,) weights that sum to 1.
    """
    design, ridge = np.stack([at, np.ones_like(at)]), np.array([RIDGE, 0.0])

    def loss(line: NDArray[np.float64]) -> float:
        return float(share @ np.logaddexp(0, away * (line @ design)) + ridge @ line**2 / 2)

    line = np.array([1.0, 0.0])
    now = loss(line)
    for _ in range(100):
        wrong = sigmoid(away * (line @ design))
        gradient = design @ (share * away * wrong) + ridge * line
        curve = (design * (share * wrong * (1 - wrong))) @ design.T + np.diag(ridge + 1e-12)
        step = np.linalg.solve(curve, gradient)
        while (then := loss(line - step)) > now and np.abs(step).max() > 1e-12:
            step /= 2
        line, now, moved = line - step, then, np.abs(step).max()
        if moved < 1e-9:
            break
    return float(line[0]), float(line[1])


def fit_temperature(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """The temperature of least log loss (Guo et al., 2017), against Platt's softened targets.

    Platt's (1999) (n + 1) / (n + 2) in place of 1 keeps few videos that are told apart without a
    mistake from making every score sure. The slope of the loss rises with 1 / temperature, so
    halving an interval finds its zero.
    """
    fakes = int(labels.sum())
    reals = len(labels) - fakes
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    logits = logits_of(scores)
    low, high = FLATTEST, STEEPEST
    for _ in range(60):
        middle = (low + high) / 2
        if ((sigmoid(middle * logits) - targets) * logits).sum() > 0:
            high = middle
        else:
            low = middle
    return float(2 / (low + high))


def fit_isotonic(
    labels: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """The knots of scikit-learn's isotonic regression."""
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
    return tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))


def logits_of(
    scores: NDArray[np.float64], least: float = LEAST, most: float = MOST
) -> NDArray[np.float64]:
    """log(p / (1 - p)) of scores between two bounds."""
    sure = np.clip(scores, least, most)
    return np.asarray(np.log(sure) - np.log1p(-sure))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) that never overflows."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))
