"""The result of `unmask evaluate --hold-out`, and the types of hold_out.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from data.datasets.manifest import Video
from models.evaluation.evaluate import Estimate
from models.evaluation.json_facts import flat
from models.hold_out.evaluate import HeldOutEvaluation, HeldOutFacts
from models.hold_out.plan import HeldOutFold

HOLD_OUT = "hold_out.json"
COMPARED = ("auc_methods_several", "auc_methods", "auc")
"""Metrics of which the difference between the head and the other detectors is told."""
HELD_OUT_SHOWN = {
    "auc_methods_several": "AUC, mean over methods with 3 videos or more",
    "auc_methods": "AUC, mean over all methods",
    "auc": "AUC over all videos",
    "pairs": "same-scene pairs ranked rightly",
    "cllr": "Cllr",
    "cllr_min": "least Cllr",
    "recall_fake": "fakes caught (recall)",
    "recall_real": "reals cleared (recall)",
    "balanced_accuracy": "balanced accuracy",
    "coverage": "videos with a verdict",
    "decided_balanced_accuracy": "balanced accuracy of these",
}
"""Metrics of `evaluate --hold-out` in the order in which people see them."""


@flat(
    sometimes={
        f"{name}_gain": f"how much higher `{name}` of the configured head is; left out of that head"
        for name in COMPARED
    }
)
class DetectorFacts(HeldOutFacts):
    """One kind of detector, tested on people and forgery methods that it never saw."""

    # how much higher the AUC of the configured head is in each part that was held out; 0 for itself
    auc_gain_by_part: list[float]


class HoldOutReportFacts(TypedDict):
    """hold_out.json: the configured head and simpler detectors, on the same held-out videos."""

    detectors: dict[str, DetectorFacts]  # name, as "lstm" or "mean" -> what it reaches
    videos: int  # number of tested videos
    groups: int  # number of their groups
    pairs: int  # number of pairs of a fake and its original among them
    trained_only: int  # number of videos that were learnt from and never tested
    folds: int  # number of parts of people and methods that were held out
    failed: int  # number of videos of the manifest without features
    confidence: float  # level of all intervals, as 0.95
    seen_in_training: str  # what trained the backbone, in words; "" if nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class Detector:
    """One kind of detector, tested on what it never saw."""

    name: str
    evaluation: HeldOutEvaluation
    # COMPARED -> how much higher the first detector's is; empty for the first
    gain: dict[str, Estimate]
    # how much higher the first detector's AUC is in each part that was held out; 0 for the first
    part_gains: tuple[float, ...]

    def to_json(self) -> DetectorFacts:
        """Flat numbers."""
        numbers: dict[str, float] = {}
        for name, one in self.gain.items():
            numbers |= one.to_json(f"{name}_gain")
        facts: DetectorFacts = {
            **self.evaluation.to_json(),
            "auc_gain_by_part": list(self.part_gains),
        }
        return facts | cast(DetectorFacts, numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class HoldOutReport:
    """All that a report shows."""

    detectors: tuple[Detector, ...]  # the configured head first
    videos: tuple[Video, ...]  # that were tested
    # of the first detector, (N,): the mean over those that tested a video
    scores: NDArray[np.float64]
    folds: tuple[HeldOutFold, ...]  # rows are of all videos with features
    trained_only: int  # number of videos that were learnt from and never tested
    pairs: int  # of a fake and its original
    missing: tuple[str, ...]  # paths of videos without features
    seen: str  # what trained the backbone, in words; empty if nothing
    rendered: bool  # whether the tested forgeries are rendered, not deepfakes
    facts: dict[str, str]  # how it was made

    @property
    def confidence(self) -> float:
        """Of all intervals."""
        return self.detectors[0].evaluation.confidence

    def to_json(self) -> HoldOutReportFacts:
        """What hold_out.json holds."""
        return {
            "detectors": {one.name: one.to_json() for one in self.detectors},
            "videos": len(self.videos),
            "groups": len({video.group for video in self.videos}),
            "pairs": self.pairs,
            "trained_only": self.trained_only,
            "folds": len(self.folds),
            "failed": len(self.missing),
            "confidence": self.confidence,
            "seen_in_training": self.seen,
        }
