"""Metrics of detectors that were tested on people and forgery methods held out of their training.

Each detector of `models.hold_out.plan` scored some videos. Scores are compared within
one detector only, since two may differ by more than the videos do. AUCs are averaged by method, so
that a program with many videos does not stand for all. 1 = fake; intervals are of draws of groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from models.evaluation.bootstrap import group_weights
from models.evaluation.evaluate import Estimate, percentiles
from models.evaluation.json_facts import flat
from models.evaluation.likelihood_ratio_fit import cllr_costs, cllr_min
from models.evaluation.pairs import wins

SEVERAL = 3
"""Videos from which on a method's AUC counts in the mean over methods with several videos."""

METRICS = {
    "auc_methods_several": "mean of the AUCs of the methods with three videos or more",
    "auc_methods": "mean of the AUCs of all methods",
    "auc": "area under the ROC curve, of all fakes together",
    "pairs": "share of fakes that score higher than the real video of their scene; ties count half",
    "cllr": "cost of the likelihood ratios: 0 is perfect, 1 says nothing, above 1 misleads",
    "cllr_min": "`cllr` after one best monotonous calibration of all these scores, fitted on them",
    "recall_fake": "share of fakes that are called fake at each detector's threshold",
    "recall_real": "share of reals that are called real at each detector's threshold",
    "balanced_accuracy": "mean of `recall_fake` and `recall_real`",
    "coverage": "share of videos that get a verdict",
    "decided_balanced_accuracy": "balanced accuracy of the videos that get a verdict",
}
"""Metric -> its meaning, as in docs/evaluation.md and in the JSON Schemas; in the order in which
people see them. Those that the videos do not allow are left out."""


@flat(
    always={
        "auc": "of its fakes against the real videos that the same detectors scored",
        "recall": "share of its fakes that are called fake",
    }
)
class HeldOutMethodFacts(TypedDict):
    """One forgery method, held out."""

    videos: int  # number of its fakes
    groups: int  # number of groups of its fakes


@flat(sometimes=METRICS)
class HeldOutFacts(TypedDict):
    """One kind of detector, tested on people and forgery methods that it never saw."""

    by_method: dict[str, HeldOutMethodFacts]  # forgery method -> what is reached on it


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutScores:
    """What M detectors say about N videos; a video that a detector did not test is NaN or False."""

    scores: NDArray[np.float64]  # (M, N) P(fake)
    llrs: NDArray[np.float64]  # (M, N) log10 likelihood ratio of fake against real
    called_fake: NDArray[np.bool_]  # (M, N) whether it is at or above the detector's threshold
    decided: NDArray[np.bool_]  # (M, N) whether it gets a verdict


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One forgery method, held out."""

    videos: int  # its fakes
    groups: int  # groups of its fakes
    auc: Estimate  # against the real videos that the same detectors scored
    recall: Estimate  # share of its fakes that are called fake

    def to_json(self) -> HeldOutMethodFacts:
        """Flat numbers."""
        facts: HeldOutMethodFacts = {"videos": self.videos, "groups": self.groups}
        numbers = self.auc.to_json("auc") | self.recall.to_json("recall")
        return facts | cast(HeldOutMethodFacts, numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutEvaluation:
    """One kind of detector."""

    metrics: dict[str, Estimate]  # those of METRICS that the videos allow
    methods: dict[str, MethodResult]  # by name, sorted
    confidence: float  # of the intervals
    # metric -> (1 + R,), of all videos and of each draw, to compare kinds of detectors
    samples: dict[str, NDArray[np.float64]]

    def to_json(self) -> HeldOutFacts:
        """Flat numbers: each metric with _low and _high beside it."""
        numbers: dict[str, float] = {}
        for name, one in self.metrics.items():
            numbers |= one.to_json(name)
        facts: HeldOutFacts = {
            "by_method": {name: one.to_json() for name, one in self.methods.items()}
        }
        return facts | cast(HeldOutFacts, numbers)


def evaluate_held_out(
    labels: NDArray[np.integer[Any]],
    groups: NDArray[np.str_],
    methods: NDArray[np.str_],
    pairs: NDArray[np.int64],
    said: HeldOutScores,
    *,
    rounds: int,
    confidence: float,
    seed: int,
) -> HeldOutEvaluation:
    """Measures one kind of detector.

    Args:
        labels: (N,) 1 = fake; both classes; every video was tested.
        groups: (N,) names; a draw takes whole groups.
        methods: (N,) of the fakes.
        pairs: (K, 2) rows of a fake and its original, as `pair_rows` gives them; those that no
            detector tested together do not count.
        said: of the M detectors.
        rounds: R, draws.
        confidence: of the intervals.
        seed: of the draws.
    """
    truth = np.asarray(labels, np.int64)
    drawn = group_weights(truth, groups, rounds=rounds, seed=seed)
    weights = np.concatenate([np.ones((1, len(truth))), drawn])  # (1 + R, N), the first all videos
    won, met = _comparisons(truth, said.scores, weights)  # (1 + R, N) each, 0 for reals
    names = sorted({str(name) for name in methods[truth == 1]})
    by_method = {name: (truth == 1) & (methods == name) for name in names}

    def auc_of(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _ratio(won[:, chosen].sum(1), met[:, chosen].sum(1))

    aucs = {name: auc_of(chosen) for name, chosen in by_method.items()}
    values = {
        "auc_methods": _mean(list(aucs.values())),
        "auc": auc_of(truth == 1),
        **_verdicts(truth, said, weights),
    }
    several = [aucs[name] for name, chosen in by_method.items() if chosen.sum() >= SEVERAL]
    if several:
        values["auc_methods_several"] = _mean(several)
    tested = ~np.isnan(said.scores)
    pairs = pairs[(tested[:, pairs[:, 0]] & tested[:, pairs[:, 1]]).any(0)]
    if len(pairs):
        values["pairs"] = _pairs(pairs, said.scores, weights)
    right = _mean_of_detectors(said.called_fake, said.scores)
    return HeldOutEvaluation(
        metrics={
            name: _estimate(values[name], confidence)
            for name in METRICS
            if name in values and not np.isnan(values[name][0])
        },
        methods={
            name: MethodResult(
                videos=int(chosen.sum()),
                groups=len(set(groups[chosen].tolist())),
                auc=_estimate(aucs[name], confidence),
                recall=_estimate(
                    _ratio(weights[:, chosen] @ right[chosen], weights[:, chosen].sum(1)),
                    confidence,
                ),
            )
            for name, chosen in by_method.items()
        },
        confidence=confidence,
        samples=values,
    )


def difference(one: HeldOutEvaluation, other: HeldOutEvaluation, metric: str) -> Estimate:
    """A metric of one kind of detector minus another's, on the same videos and draws."""
    return _estimate(one.samples[metric] - other.samples[metric], one.confidence)


def _comparisons(
    labels: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each draw and fake: weight of the reals that it beats, and of all that it meets."""
    real = labels == 0
    won, met = np.zeros_like(weights), np.zeros_like(weights)
    for row in np.flatnonzero(labels == 1):
        for detector in np.flatnonzero(~np.isnan(scores[:, row])):
            others = scores[detector, real]
            beaten = wins(scores[detector, row], others)
            won[:, row] += weights[:, real] @ beaten
            met[:, row] += weights[:, real] @ ~np.isnan(others)
    return weights * won, weights * met


def _verdicts(
    labels: NDArray[np.int64], said: HeldOutScores, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Metrics of ratios and verdicts; a video that several detectors tested counts once."""
    right = said.called_fake == (labels == 1)
    costs = _mean_of_detectors(cllr_costs(labels, np.nan_to_num(said.llrs)), said.scores)
    recalls, decided_recalls, cllr = [], [], np.zeros(len(weights))
    for label in (1, 0):
        side = labels == label
        weight = weights[:, side]
        hits, given, given_hits = (
            weight @ _mean_of_detectors(one, said.scores)[side]
            for one in (right, said.decided, said.decided & right)
        )
        recalls.append(_ratio(hits, weight.sum(1)))
        decided_recalls.append(_ratio(given_hits, given))
        cllr += _ratio(weight @ costs[side], weight.sum(1)) / 2
    coverage = weights @ _mean_of_detectors(said.decided, said.scores)
    return {
        "cllr": cllr,
        "cllr_min": _least_cllr(labels, said.scores, weights),
        "recall_fake": recalls[0],
        "recall_real": recalls[1],
        "balanced_accuracy": (recalls[0] + recalls[1]) / 2,
        "coverage": _ratio(coverage, weights.sum(1)),
        "decided_balanced_accuracy": (decided_recalls[0] + decided_recalls[1]) / 2,
    }


def _least_cllr(
    labels: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least Cllr in each draw; a video that several detectors tested counts once."""
    tested = ~np.isnan(scores)
    rows = np.nonzero(tested)[1]
    once = weights[:, rows] / tested.sum(0)[rows]
    return np.asarray(cllr_min(labels[rows], scores[tested], once))


def _pairs(
    pairs: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of pairs ranked rightly in each draw; a pair is in one group, so both count alike."""
    fake, real = scores[:, pairs[:, 0]], scores[:, pairs[:, 1]]  # (M, K)
    won = _mean_of_detectors(wins(fake, real), fake)
    drawn = weights[:, pairs[:, 0]]
    return _ratio(drawn @ won, drawn.sum(1))


def _mean_of_detectors(values: NDArray[Any], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the detectors that tested a video, (M, N) -> (N,)."""
    tested = ~np.isnan(scores)
    return np.asarray(np.where(tested, values, 0.0).sum(0) / np.maximum(tested.sum(0), 1))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole; NaN where a draw has nothing to divide by."""
    found = np.full(len(whole), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _mean(aucs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over methods of each draw; methods that a draw lacks do not count in it."""
    held = np.asarray(aucs)
    there = ~np.isnan(held)
    return _ratio(np.where(there, held, 0.0).sum(0), there.sum(0).astype(np.float64))


def _estimate(values: NDArray[np.float64], confidence: float) -> Estimate:
    """The first value, of all videos, with the percentile interval of the draws that have one."""
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = (
        np.percentile(drawn, percentiles(confidence)) if len(drawn) else (values[0], values[0])
    )
    return Estimate(value=float(values[0]), low=float(low), high=float(high))
