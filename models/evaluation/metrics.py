"""Point values of every metric: scikit-learn's wherever it has the metric. 1 = fake.

`models.evaluation.bootstrap` computes the same for thousands of draws at once; a test holds the two
together. scikit-learn, which takes 0.9 s to import, is imported where it computes: `predict` and
`results` know the names of metrics and compute none.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

METRICS = {
    "auc": "area under the ROC curve, ties count half",
    "ap": "average precision",
    "eer": "where the linearly interpolated ROC curve meets FPR = 1 - TPR",
    "tpr_at_fpr_1": "highest TPR at a point of the ROC curve with FPR at most 1 %",
    "tpr_at_fpr_5": "highest TPR at a point of the ROC curve with FPR at most 5 %",
    "accuracy": "share of videos that are called rightly at the threshold",
    "balanced_accuracy": "mean of `recall_fake` and `recall_real`",
    "recall_fake": "share of fakes that are called fake at the threshold",
    "recall_real": "share of reals that are called real at the threshold",
    "log_loss": "log loss of P(fake), clipped to 1e-7 from 0 and 1",
    "brier": "mean squared error of P(fake)",
    "ece": "expected calibration error of P(fake), 10 bins of equal width",
}
"""Metric -> its meaning, as in docs/evaluation.md and in the JSON Schemas."""
LR_METRICS = {
    "cllr": "cost of the likelihood ratios: 0 is perfect, 1 says nothing, above 1 misleads",
    "cllr_min": "`cllr` after the best monotonous calibration of these very scores",
}
"""Likewise of likelihood ratios, measured on whole videos."""
AT_THRESHOLD = ("accuracy", "balanced_accuracy", "recall_fake", "recall_real")
"""Metrics that need a threshold; the others use the order or the value of scores alone."""
OF_PROBABILITIES = ("log_loss", "brier", "ece")
"""Metrics of P(fake) itself; scores of another scale have them by their probabilities alone."""
Probabilities = NDArray[np.float64] | Literal["scores", "none"]
"""(N,) P(fake) beside scores of another scale; "scores" where they are P(fake) themselves."""
CLIP = 1e-7
"""Scores are kept this far from 0 and 1 in the log loss: one sure mistake must not make it inf."""
TARGET_FPRS = {"tpr_at_fpr_1": 0.01, "tpr_at_fpr_5": 0.05}
"""False positive rates at which the true positive rate is measured."""
BINS = 10
"""Bins of equal width in the expected calibration error (Naeini et al., 2015)."""


def as_probabilities(
    scores: NDArray[np.float64], given: Probabilities
) -> NDArray[np.float64] | None:
    """P(fake), (N,), of scores; None where it is unknown."""
    if isinstance(given, str):
        return scores if given == "scores" else None
    return given


def point_metrics(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    *,
    threshold: float,
    probabilities: Probabilities = "scores",
) -> dict[str, float]:
    """All of METRICS; OF_PROBABILITIES only where there are probabilities.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) P(fake), or of another scale on which fakes are higher.
        threshold: at or above it a video is called fake.
        probabilities: P(fake) of scores of another scale.
    """
    from sklearn import metrics

    called = scores >= threshold
    false_rate, true_rate, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    values = {
        "auc": metrics.roc_auc_score(labels, scores),
        "ap": metrics.average_precision_score(labels, scores),
        "eer": eer(false_rate, true_rate),
        **{name: tpr_at_fpr(false_rate, true_rate, most) for name, most in TARGET_FPRS.items()},
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "recall_fake": metrics.recall_score(labels, called, pos_label=1),
        "recall_real": metrics.recall_score(labels, called, pos_label=0),
    }
    p = as_probabilities(scores, probabilities)
    if p is not None:
        values |= {
            "log_loss": metrics.log_loss(labels, np.clip(p, CLIP, 1 - CLIP)),
            "brier": metrics.brier_score_loss(labels, np.clip(p, 0, 1)),
            "ece": calibration_error(labels, p),
        }
    return {name: float(value) for name, value in values.items()}


def eer(false_rate: NDArray[np.float64], true_rate: NDArray[np.float64]) -> float:
    """The equal error rate of a ROC curve of points from (0, 0) to (1, 1).

    Where the curve, drawn as straight lines, crosses the diagonal FPR = 1 - TPR.
    """
    gap = false_rate - (1 - true_rate)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0:
        return float(false_rate[after])
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    step = false_rate[after] - false_rate[before]
    return float(false_rate[before] + share * step)


def tpr_at_fpr(
    false_rate: NDArray[np.float64], true_rate: NDArray[np.float64], most: float
) -> float:
    """The highest TPR of a threshold whose FPR is at most `most`.

    Nothing is interpolated: with fewer than 100 reals, 1 % means none.
    """
    return float(true_rate[false_rate <= most + 1e-12].max())


def calibration_error(labels: NDArray[np.integer[Any]], scores: NDArray[np.float64]) -> float:
    """How far P(fake) is from the share of fakes, on average over videos, in BINS bins.

    The bins are those of scikit-learn's `calibration_curve`, which gives no sizes.
    """
    place = bin_of(scores)
    size = np.bincount(place, minlength=BINS)
    said = np.bincount(place, scores, minlength=BINS)
    true = np.bincount(place, labels, minlength=BINS)
    return float(np.abs(said - true).sum() / size.sum())


def bin_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each score, (N,) from 0 to BINS - 1; an upper edge belongs to its bin."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores)
