"""From scores to metrics, with intervals. No TensorFlow: numbers in, numbers out.

1 = fake. Point values are scikit-learn's wherever it has the metric. Intervals are percentiles of a
bootstrap that draws whole groups, since videos of one person are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from data.errors import DatasetError
from models.bootstrap import group_weights, weighted_metrics

METRICS = (
    "auc",
    "ap",
    "eer",
    "accuracy",
    "balanced_accuracy",
    "recall_fake",
    "recall_real",
    "log_loss",
    "brier",
)
CLIP = 1e-7
"""Scores are kept this far from 0 and 1 in the log loss: one sure mistake must not make it inf."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one model is worth on one set of videos.

    Attributes:
        metrics: one estimate for each of METRICS.
        methods: recall of fakes by method.
        confusion: ((real as real, real as fake), (fake as real, fake as fake)).
        threshold: at or above it a video was called fake.
        videos: number of videos.
        groups: number of groups.
        confidence: of the intervals.
        roc: false positive rate, true positive rate, threshold; three equal lists.
        samples: metric -> bootstrap values (rounds,), to compare models drawn alike.
    """

    metrics: dict[str, Estimate]
    methods: dict[str, Estimate]
    confusion: tuple[tuple[int, int], tuple[int, int]]
    threshold: float
    videos: int
    groups: int
    confidence: float
    roc: tuple[list[float], list[float], list[float]]
    samples: Mapping[str, NDArray[np.float64]]

    def to_json(self) -> dict[str, Any]:
        """Flat numbers for DVC: each metric with _low and _high beside it."""
        flat: dict[str, Any] = {}
        for name, estimate in self.metrics.items():
            flat |= {name: estimate.value, f"{name}_low": estimate.low}
            flat[f"{name}_high"] = estimate.high
        (true_real, false_fake), (false_real, true_fake) = self.confusion
        return flat | {
            "threshold": self.threshold,
            "videos": self.videos,
            "groups": self.groups,
            "real_as_real": true_real,
            "real_as_fake": false_fake,
            "fake_as_real": false_real,
            "fake_as_fake": true_fake,
            "recall_by_method": {name: one.value for name, one in self.methods.items()},
        }


def choose_threshold(labels: NDArray[np.integer[Any]], scores: NDArray[np.float64]) -> float:
    """The threshold with the highest balanced accuracy, for validation data.

    Of equal ones the middle of the widest run is taken: far from either side's scores.

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
    cleared = np.searchsorted(reals, candidates) / len(reals)
    caught = 1 - np.searchsorted(fakes, candidates) / len(fakes)
    balance = cleared + caught
    best = np.flatnonzero(balance >= balance.max() - 1e-12)
    lows = np.concatenate([[values[0]], values[:-1]])[best]
    highs = np.concatenate([[values[0]], values[1:]])[best]
    return float(candidates[best[np.argmax(highs - lows)]])


def evaluate(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    groups: NDArray[np.str_] | tuple[str, ...],
    methods: NDArray[np.str_] | tuple[str, ...],
    *,
    threshold: float,
    rounds: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Measures scores against labels.

    Args:
        labels: (N,) 1 = fake.
        scores: (N,) P(fake).
        groups: (N,) names; a bootstrap draw takes whole groups.
        methods: (N,) how a fake was made.
        threshold: chosen on other videos.
        rounds: bootstrap draws; draws that lack a class are drawn again.
        confidence: of the intervals.
        seed: of the draws; equal seeds and groups give equal draws, so models can be compared.

    Raises:
        DatasetError: one class only.
    """
    check_classes(labels)
    truth: NDArray[np.int64] = labels.astype(np.int64)
    scores = np.asarray(scores, np.float64)
    weights = group_weights(truth, np.asarray(groups), rounds=rounds, seed=seed)  # (R, N)
    samples = weighted_metrics(truth, scores, weights, threshold=threshold)
    points = point_metrics(truth, scores, threshold=threshold)
    called = scores >= threshold
    by_method = {}
    for method in sorted({m for m, label in zip(methods, labels, strict=True) if label == 1}):
        mine = (np.asarray(methods) == method) & (labels == 1)
        count = weights[:, mine].sum(1)
        drawn = weights[:, mine] @ called[mine] / np.maximum(count, 1)
        by_method[method] = _estimate(float(called[mine].mean()), drawn[count > 0], confidence)
    table = confusion_matrix(labels, called, labels=[0, 1])
    rates = roc_curve(labels, scores, drop_intermediate=False)
    false_positive, true_positive, thresholds = rates
    thresholds = np.concatenate([[1.0], thresholds[1:]])  # scikit-learn's first is inf
    return Evaluation(
        metrics={name: _estimate(points[name], samples[name], confidence) for name in METRICS},
        methods=by_method,
        confusion=(
            (int(table[0, 0]), int(table[0, 1])),
            (int(table[1, 0]), int(table[1, 1])),
        ),
        threshold=threshold,
        videos=len(labels),
        groups=len(set(groups)),
        confidence=confidence,
        roc=(false_positive.tolist(), true_positive.tolist(), thresholds.tolist()),
        samples=samples,
    )


def difference(better: Evaluation, worse: Evaluation, metric: str = "auc") -> Estimate:
    """How much higher a metric of one model is, on the same bootstrap draws of the same videos."""
    drawn = better.samples[metric] - worse.samples[metric]
    value = better.metrics[metric].value - worse.metrics[metric].value
    return _estimate(value, drawn, better.confidence)


def point_metrics(
    labels: NDArray[np.int64], scores: NDArray[np.float64], *, threshold: float
) -> dict[str, float]:
    """All of METRICS by scikit-learn; the EER from its ROC curve."""
    called = scores >= threshold
    values = {
        "auc": roc_auc_score(labels, scores),
        "ap": average_precision_score(labels, scores),
        "eer": equal_error_rate(labels, scores),
        "accuracy": accuracy_score(labels, called),
        "balanced_accuracy": balanced_accuracy_score(labels, called),
        "recall_fake": recall_score(labels, called, pos_label=1),
        "recall_real": recall_score(labels, called, pos_label=0),
        "log_loss": log_loss(labels, np.clip(scores, CLIP, 1 - CLIP)),
        "brier": brier_score_loss(labels, np.clip(scores, 0, 1)),
    }
    return {name: float(value) for name, value in values.items()}


def equal_error_rate(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Where the ROC curve, drawn as straight lines, crosses the diagonal FPR = 1 - TPR."""
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    return crossing(false_positive, true_positive)


def crossing(false_positive: NDArray[np.float64], true_positive: NDArray[np.float64]) -> float:
    """The EER of a ROC curve given as points from (0, 0) to (1, 1)."""
    gap = false_positive - (1 - true_positive)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0:
        return float(false_positive[after])
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    step = false_positive[after] - false_positive[before]
    return float(false_positive[before] + share * step)


def check_classes(labels: NDArray[np.integer[Any]]) -> None:
    """Refuses labels of one class only.

    Raises:
        DatasetError: with what is missing.
    """
    for label, name in enumerate(("real", "fake")):
        if not np.any(np.asarray(labels) == label):
            raise DatasetError(
                f"there is no {name} video to evaluate on; AUC needs both classes: "
                "index more videos, or choose another --split"
            )


def _estimate(value: float, drawn: NDArray[np.float64], confidence: float) -> Estimate:
    """A value with the percentile interval of its draws."""
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(drawn, [tail, 100 - tail]) if len(drawn) else (value, value)
    return Estimate(value=value, low=float(low), high=float(high))
