"""From scores to metrics, with intervals. No TensorFlow: numbers in, numbers out.

1 = fake. Point values are scikit-learn's wherever it has the metric. Intervals are percentiles of a
bootstrap that draws whole groups, since videos of one person are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from data.errors import DatasetError
from models.evaluation.bootstrap import group_weights, weighted_auc, weighted_metrics
from models.evaluation.json_facts import EvaluationFacts, SliceFacts
from models.evaluation.likelihood_ratio import even_odds_llrs
from models.evaluation.likelihood_ratio_fit import cllr, cllr_min
from models.evaluation.metrics import (
    AT_THRESHOLD,
    LR_METRICS,
    METRICS,
    Probabilities,
    as_probabilities,
    point_metrics,
)

FRAME_ROUNDS = 200
"""Draws behind the intervals of single frames, but for their AUC: frames are many."""
CLLR_MIN_ROUNDS = 200
"""Draws behind the interval of the least Cllr, each of which is a regression of its own."""


@lru_cache(maxsize=1)
def _draws(labels: bytes, groups: tuple[str, ...], rounds: int, seed: int) -> NDArray[np.float64]:
    """`group_weights`, kept for the next model on the same videos; read-only."""
    truth = np.frombuffer(labels, np.int64)
    weights = group_weights(truth, np.asarray(groups), rounds=rounds, seed=seed)
    weights.flags.writeable = False
    return weights


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its interval."""

    value: float  # the number itself
    low: float  # lower end of its interval
    high: float  # upper end of its interval

    def to_json(self, name: str) -> dict[str, float]:
        """Flat numbers under a metric's name."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A model's metrics on a part of the videos."""

    reals: int  # number of real videos
    fakes: int  # number of fake videos
    auc: Estimate | None  # None where the part has one class only
    recall_fake: Estimate | None  # None where there is no fake, or no threshold
    recall_real: Estimate | None  # None where there is no real, or no threshold

    def to_json(self) -> SliceFacts:
        """Flat numbers; what is None is left out."""
        numbers: dict[str, float] = {}
        for name in ("auc", "recall_fake", "recall_real"):
            estimate = getattr(self, name)
            if estimate is not None:
                numbers |= estimate.to_json(name)
        facts: SliceFacts = {"reals": self.reals, "fakes": self.fakes}
        return facts | cast(SliceFacts, numbers)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's metrics on one set of videos, with bootstrap intervals."""

    # one estimate for each of METRICS and LR_METRICS; without AT_THRESHOLD where there is no
    # threshold, without OF_PROBABILITIES and "cllr" where there is no P(fake)
    metrics: dict[str, Estimate]
    methods: dict[str, Estimate]  # recall of fakes by method
    # kind ("method", "data set", "compression") -> name -> metrics of that part
    slices: dict[str, dict[str, Slice]]
    # the same metrics of single frames, each scored alone, at a threshold of their own; empty where
    # frames were not scored
    frames: dict[str, Estimate]
    # ((real as real, real as fake), (fake as real, fake as fake))
    confusion: tuple[tuple[int, int], tuple[int, int]]
    threshold: float  # at or above it a video was called fake; NaN where there is none
    frame_threshold: float  # likewise of single frames
    videos: int  # number of videos
    groups: int  # number of groups
    confidence: float  # of the intervals
    # false positive rate, true positive rate, threshold; three equal lists
    roc: tuple[list[float], list[float], list[float]]
    # metric -> bootstrap values (rounds,), to compare models on the same draws
    samples: Mapping[str, NDArray[np.float64]]

    def to_json(self) -> EvaluationFacts:
        """Flat numbers for DVC: each metric with _low and _high beside it."""
        facts: EvaluationFacts = {
            "confidence": self.confidence,
            "videos": self.videos,
            "groups": self.groups,
            "recall_by_method": {name: one.value for name, one in self.methods.items()},
            "by": {
                kind: {name: part.to_json() for name, part in parts.items()}
                for kind, parts in self.slices.items()
            },
        }
        if not math.isnan(self.frame_threshold):
            facts["frame_threshold"] = self.frame_threshold
        if not math.isnan(self.threshold):
            facts["threshold"] = self.threshold
            (facts["real_as_real"], facts["real_as_fake"]) = self.confusion[0]
            (facts["fake_as_real"], facts["fake_as_fake"]) = self.confusion[1]
        numbers: dict[str, float] = {}
        for name, estimate in self.metrics.items():
            numbers |= estimate.to_json(name)
        for name, estimate in self.frames.items():
            numbers |= estimate.to_json(f"frame_{name}")
        return facts | cast(EvaluationFacts, numbers)


def evaluate(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    groups: NDArray[np.str_] | tuple[str, ...],
    methods: NDArray[np.str_] | tuple[str, ...],
    *,
    threshold: float | None,
    rounds: int,
    confidence: float,
    seed: int = 0,
    kinds: Mapping[str, Sequence[str]] | None = None,
    frame_scores: NDArray[np.float64] | None = None,
    frame_threshold: float | None = None,
    log10_lrs: NDArray[np.float64] | None = None,
    probabilities: Probabilities = "scores",
) -> Evaluation:
    """Measures scores against labels.

    Args:
        labels: (N,) 1 = fake.
        scores: (N,) P(fake), or of another scale on which fakes are higher.
        groups: (N,) names; a bootstrap draw takes whole groups.
        methods: (N,) how a fake was made.
        threshold: chosen on other videos; None leaves out what needs one.
        rounds: bootstrap draws; draws that lack a class are drawn again.
        confidence: of the intervals.
        seed: of the draws; equal seeds and groups give equal draws, so models can be compared.
        kinds: further parts to measure: "data set" -> (N,) names; "" belongs to no part.
        frame_scores: (N, T) P(fake) of each frame alone, NaN where there is no frame.
        frame_threshold: chosen on single frames of other videos; None leaves out what needs one.
        log10_lrs: (N,) likelihood ratios; None reads P(fake) at even odds.
        probabilities: P(fake) of scores of another scale; "none" leaves out what needs it. Single
            frames of such scores have none.

    Raises:
        DatasetError: one class only.
    """
    check_classes(labels)
    truth: NDArray[np.int64] = labels.astype(np.int64)
    scores = np.asarray(scores, np.float64)
    weights = _draws(truth.tobytes(), tuple(groups), rounds, seed)  # (R, N)
    at, frames_at = (math.nan if one is None else one for one in (threshold, frame_threshold))
    samples = weighted_metrics(truth, scores, weights, threshold=at, probabilities=probabilities)
    points = point_metrics(truth, scores, threshold=at, probabilities=probabilities)
    p = as_probabilities(scores, probabilities)
    llrs = even_odds_llrs(p) if log10_lrs is None and p is not None else log10_lrs
    if llrs is not None:
        samples["cllr"], points["cllr"] = cllr(truth, llrs, weights), cllr(truth, llrs)
    samples["cllr_min"] = cllr_min(truth, scores, weights[:CLLR_MIN_ROUNDS])
    points["cllr_min"] = cllr_min(truth, scores)
    measured = [name for name in (*METRICS, *LR_METRICS) if name in points]
    reported = _at_threshold(measured, at)
    called = scores >= at
    measure = partial(
        _slice, truth, scores, weights, None if math.isnan(at) else called, confidence=confidence
    )
    real = truth == 0
    parts = {
        method: measure((np.asarray(methods) == method) | real)
        for method in sorted({m for m, label in zip(methods, labels, strict=True) if label == 1})
    }
    slices = {"method": parts}
    for kind, names in (kinds or {}).items():
        column = np.asarray(names)
        slices[kind] = {str(name): measure(column == name) for name in np.unique(column) if name}
    frames: dict[str, Estimate] = {}
    if frame_scores is not None:
        rows, columns = np.nonzero(~np.isnan(frame_scores))
        alone = frame_scores[rows, columns]
        own: Probabilities = "scores" if p is scores else "none"
        values = point_metrics(truth[rows], alone, threshold=frames_at, probabilities=own)
        few = weights[:FRAME_ROUNDS]
        drawn = weighted_metrics(
            truth[rows], alone, few, threshold=frames_at, videos=rows, probabilities=own
        )
        drawn["auc"] = weighted_auc(truth[rows], alone, weights, rows)
        frames = {
            name: _estimate(values[name], drawn[name], confidence)
            for name in _at_threshold(METRICS, frames_at)
            if name in values
        }
    from sklearn.metrics import confusion_matrix, roc_curve

    table = confusion_matrix(labels, called, labels=[0, 1])
    (true_real, false_fake), (false_real, true_fake) = table.tolist()
    rates = roc_curve(labels, scores, drop_intermediate=False)
    false_positive, true_positive, thresholds = rates
    highest = 1.0 if p is scores else np.nextafter(thresholds[1], np.inf)
    thresholds = np.concatenate([[highest], thresholds[1:]])  # scikit-learn's first is inf
    return Evaluation(
        metrics={name: _estimate(points[name], samples[name], confidence) for name in reported},
        methods={name: part.recall_fake for name, part in parts.items() if part.recall_fake},
        slices=slices,
        frames=frames,
        confusion=((true_real, false_fake), (false_real, true_fake)),
        threshold=at,
        frame_threshold=frames_at,
        videos=len(labels),
        groups=len(set(groups)),
        confidence=confidence,
        roc=(false_positive.tolist(), true_positive.tolist(), thresholds.tolist()),
        samples={name: samples[name] for name in reported},
    )


def _at_threshold(names: Iterable[str], threshold: float) -> tuple[str, ...]:
    """Those of some metrics that a threshold allows; NaN is none."""
    return tuple(name for name in names if not (math.isnan(threshold) and name in AT_THRESHOLD))


def _slice(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    called: NDArray[np.bool_] | None,
    keep: NDArray[np.bool_],
    *,
    confidence: float,
) -> Slice:
    """Metrics of the videos of `keep`, (N,) bool, on the draws of all; draws without any are
    skipped.

    `called`, (N,) bool, are those called fake; None leaves the recalls out.
    """
    fake, real = keep & (labels == 1), keep & (labels == 0)
    fakes, reals = weights[:, fake].sum(1), weights[:, real].sum(1)  # (R,)

    def recall(side: NDArray[np.bool_], right: NDArray[np.bool_]) -> Estimate | None:
        count = weights[:, side].sum(1)
        drawn = weights[:, side] @ right[side] / np.maximum(count, 1)
        if not side.any():
            return None
        return _estimate(float(right[side].mean()), drawn[count > 0], confidence)

    auc = None
    if fake.any() and real.any():
        from sklearn.metrics import roc_auc_score

        both = (fakes > 0) & (reals > 0)
        drawn = weighted_auc(labels[keep], scores[keep], weights[both][:, keep])
        auc = _estimate(float(roc_auc_score(labels[keep], scores[keep])), drawn, confidence)
    return Slice(
        reals=int(real.sum()),
        fakes=int(fake.sum()),
        auc=auc,
        recall_fake=None if called is None else recall(fake, called),
        recall_real=None if called is None else recall(real, ~called),
    )


def difference(better: Evaluation, worse: Evaluation, metric: str = "auc") -> Estimate:
    """A metric of one model minus another's, on the same bootstrap draws of the same videos."""
    drawn = better.samples[metric] - worse.samples[metric]
    value = better.metrics[metric].value - worse.metrics[metric].value
    return _estimate(value, drawn, better.confidence)


def level_percent(level: float) -> str:
    """A level of confidence for people, exact: 0.95 is "95", 0.999 is "99.9"."""
    return f"{(Decimal(repr(level)) * 100).normalize():f}"


def percentiles(level: float) -> tuple[float, float]:
    """Between which the interval of a level lies, exact: 0.95 is (2.5, 97.5)."""
    tail = (1 - Decimal(repr(level))) * 50
    return float(tail), float(100 - tail)


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
