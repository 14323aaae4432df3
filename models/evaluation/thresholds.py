"""Rules that choose a threshold on validation scores, and what lies on its wrong side.

1 = fake; no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.configs import CalibrationConfig
from models.evaluation.evaluate import check_classes

SUREST = 1e-7
"""Scores are kept this far from 0 and 1 in a fit on logits: one must not outweigh the others."""
RIDGE = 1e-3
"""Ridge penalty on a slope in standard deviations, beside a mean loss."""


def pick_threshold(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    config: CalibrationConfig,
    weights: NDArray[np.int64] | None = None,
    *,
    unit: bool = True,
) -> tuple[float, str]:
    """The threshold by the configured rule, and the rule in words.

    "platt" is `platt_threshold`, or `youden_threshold` where that is None; "balanced" is the
    latter. "fpr" takes the lowest threshold whose false positive rate is at most the target;
    "cost" the one of least total cost.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) P(fake).
        config: rule, target and costs.
        weights: (N,) how often each video counts; None is once.
        unit: whether the scores lie between 0 and 1, so that they have log-odds.
    """
    rule = "balanced accuracy"
    if config.threshold == "platt":
        threshold = platt_threshold(labels, scores, weights, unit=unit)
        if threshold is not None:
            return threshold, "even odds of Platt's sigmoid"
        rule = "balanced accuracy, since Platt's sigmoid is nowhere even among the scores"
    if weights is not None:
        labels, scores = np.repeat(labels, weights), np.repeat(scores, weights)
    if config.threshold in ("platt", "balanced"):
        return youden_threshold(labels, scores), rule
    values = np.unique(scores)
    above = np.nextafter(values[-1], np.inf)  # at this one nothing is called fake
    candidates = np.concatenate([[values[0]], (values[:-1] + values[1:]) / 2, [above]])
    reals, fakes = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    false_alarms = len(reals) - np.searchsorted(reals, candidates)
    if config.threshold == "fpr":
        allowed = false_alarms / len(reals) <= config.target_fpr + 1e-12
        rule = f"{config.target_fpr:.1%} of reals accused at most"
        return float(candidates[np.argmax(allowed)]), rule
    misses = np.searchsorted(fakes, candidates)
    cost = config.false_alarm_cost * false_alarms + config.miss_cost * misses
    rule = f"cost: a false alarm {config.false_alarm_cost:g}, a miss {config.miss_cost:g}"
    return float(candidates[np.argmin(cost)]), rule


def youden_threshold(labels: NDArray[np.integer[Any]], scores: NDArray[np.float64]) -> float:
    """The threshold of highest balanced accuracy: of Youden's J (1950).

    Of equal ones the middle of the widest gap between scores is taken.

    Args:
        labels: (N,) 1 = fake.
        scores: (N,) P(fake).

    Raises:
        DatasetError: one class only.
    """
    check_classes(labels)
    values = np.unique(scores)
    between = (values[:-1] + values[1:]) / 2
    candidates = np.concatenate([[values[0]], between])  # at the lowest score all are called fake
    reals, fakes = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    specificity = np.searchsorted(reals, candidates) / len(reals)
    sensitivity = 1 - np.searchsorted(fakes, candidates) / len(fakes)
    balance = specificity + sensitivity
    best = np.flatnonzero(balance >= balance.max() - 1e-12)
    gaps = np.concatenate([[0.0], np.diff(values)])[best]
    return float(candidates[best[np.argmax(gaps)]])


def platt_threshold(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    weights: NDArray[np.integer[Any]] | None = None,
    *,
    unit: bool = True,
) -> float | None:
    """The threshold where Platt's sigmoid (1999) gives even odds for balanced classes.

    A logistic regression of the label on the score's logit, with a slight ridge penalty: without
    it the slope between separable classes is infinite. All videos decide on it, not only those
    where the classes meet, so it varies less from one validation split to another than
    `youden_threshold` does.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) P(fake).
        weights: (N,) how often each video counts; None is once.
        unit: whether the scores lie between 0 and 1; others are taken as they are, not by their
            logit.

    Returns:
        A threshold among the scores; None where the sigmoid falls, or is even beyond them.
    """
    from scipy.special import expit, logit

    logits = logit(np.clip(scores, SUREST, 1 - SUREST)) if unit else scores
    middle, spread = logits.mean(), logits.std()
    if not spread > 0:
        return None
    standard = (logits - middle) / spread
    share = np.ones(len(standard)) if weights is None else weights.astype(np.float64)
    for label in (0, 1):
        share[labels == label] /= 2 * share[labels == label].sum()
    slope, bias = fit_sigmoid(standard, np.where(labels == 1, -1.0, 1.0), share)
    if slope <= 0 or not standard.min() < -bias / slope <= standard.max():
        return None
    even = middle - spread * bias / slope
    return float(expit(even) if unit else even)


def eer_threshold(labels: NDArray[np.integer[Any]], scores: NDArray[np.float64]) -> float:
    """The score at which the two error rates are nearest to each other.

    The point of scikit-learn's ROC curve of least |FPR - FNR|, the first of equal ones. Chosen on
    the very videos that it is measured on, it flatters a detector.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) of any scale on which fakes are higher.
    """
    from sklearn.metrics import roc_curve

    false_rate, true_rate, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    gap = np.abs(false_rate + true_rate - 1)[1:]  # the first point's threshold is inf
    return float(thresholds[1:][np.argmin(gap)])


def fit_sigmoid(
    x: NDArray[np.float64], sign: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and bias of a logistic regression with a ridge penalty on the slope.

    By Newton's method in a trust region, 1 to 3 ms: an interval takes 200 of these, and
    scikit-learn and SciPy's BFGS need twice to three times as long.

    Args:
        x: (N,) of zero mean and unit deviation.
        sign: (N,) -1 for a fake, 1 for a real.
        share: (N,) weights that sum to 1.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    design, ridge = np.stack([x, np.ones_like(x)]), np.array([RIDGE, 0.0])

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (line @ design)
        value = float(share @ np.logaddexp(0, margin) + ridge @ line**2 / 2)
        return value, design @ (share * sign * expit(margin)) + ridge * line

    def hessian(line: NDArray[np.float64]) -> NDArray[np.float64]:
        wrong = expit(sign * (line @ design))
        return np.asarray((design * (share * wrong * (1 - wrong))) @ design.T + np.diag(ridge))

    found = minimize(
        loss, [1.0, 0.0], jac=True, hess=hessian, method="trust-ncg", options={"gtol": 1e-10}
    )
    return float(found.x[0]), float(found.x[1])


def rank_misclassified(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    threshold: float,
    paths: Sequence[str],
) -> list[int]:
    """Rows on the wrong side of the threshold, the farthest first, ties by path."""
    wrong = np.flatnonzero((scores >= threshold) != (labels == 1))
    return sorted(wrong.tolist(), key=lambda row: (-abs(scores[row] - threshold), paths[row]))
