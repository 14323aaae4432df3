"""The result of `unmask robustness`: what a bundle reaches on every corruption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, cast

from typing_extensions import TypedDict

from data.video.corruptions import Corruption
from features.store.feature_set import SEEN_IN_VALIDATION, Failure
from models.evaluation.evaluate import Estimate, Evaluation
from models.evaluation.json_facts import EvaluationFacts, flat

ROBUSTNESS = "robustness.json"
ORIGINAL = Corruption(name="original", family="original", severity=0)
"""Stands for the videos as they are."""


class CorruptionFacts(TypedDict):
    """A corruption on which nothing could be measured: a class has no video left."""

    family: str  # kind of corruption, as "compression"; "original" for the videos as they are
    severity: float  # in the family's unit, which docs/evaluation.md has
    crf: int | None  # of the copies' encoding as H.264; None of the originals
    failed: int  # number of videos that gave no features


@flat(
    sometimes={
        "auc_drop": "how much lower the AUC is than that of the originals of the same videos; left "
        "out of the originals themselves"
    }
)
class MeasuredFacts(CorruptionFacts, EvaluationFacts):
    """What the head reaches on one corruption."""


class RobustnessFacts(TypedDict):
    """robustness.json: a head on the videos as they are and corrupted."""

    # corruption, as "crf-28", or "original" -> what is reached
    rungs: dict[str, MeasuredFacts | CorruptionFacts]
    split: str  # the split that was measured: "test", "val", "train" or "all"
    confidence: float  # level of all intervals, as 0.95
    seen_in_training: str  # what of the videos was seen in training, in words; "" if nothing
    # what of the validation videos had trained the backbone, in words; left out if nothing
    seen_in_validation: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class CorruptionResult:
    """What the head reaches on one corruption."""

    corruption: Corruption  # which
    # on the videos that gave features; None where a class has none left
    evaluation: Evaluation | None
    # how much lower the AUC is than that of the originals of the same videos; None for the
    # originals themselves and where there is no evaluation
    drop: Estimate | None
    failed: int  # number of videos that gave no features

    def to_json(self) -> MeasuredFacts | CorruptionFacts:
        """Plain values."""
        facts: CorruptionFacts = {
            "family": self.corruption.family,
            "severity": self.corruption.severity,
            "crf": self.corruption.crf if self.corruption is not ORIGINAL else None,
            "failed": self.failed,
        }
        if self.evaluation is None:
            return facts
        measured = cast(MeasuredFacts, {**facts, **self.evaluation.to_json()})
        if self.drop is not None:
            measured |= cast(MeasuredFacts, self.drop.to_json("auc_drop"))
        return measured


@dataclass(frozen=True, kw_only=True)
class CorruptionResults:
    """All that `robustness` found."""

    steps: Sequence[CorruptionResult]  # one for each corruption, the originals first
    split: str  # that was evaluated
    kind: str  # of the head
    failures: Sequence[tuple[str, Failure]]  # name of a corruption and failure
    seen: str  # what was seen in training, in words; empty if nothing
    rendered: bool  # whether the forgeries are rendered, not deepfakes
    facts: dict[str, str]  # how to make it again, for the page
    training_leaks: Sequence[str] = ()  # as `pipeline.leakage.training_leaks` gives them
    embedded: int = 0  # number of videos and copies that were embedded now
    reused: int = 0  # likewise, whose features were in the store

    @property
    def originals(self) -> Evaluation:
        """Of the videos as they are."""
        first = self.steps[0].evaluation
        assert first is not None  # noqa: S101 - originals that cannot be measured are refused
        return first

    @property
    def confidence(self) -> float:
        """Of all intervals."""
        return self.originals.confidence

    @property
    def measured(self) -> list[CorruptionResult]:
        """Results of the corruptions that could be measured."""
        return [step for step in self.steps if step.drop is not None]

    @property
    def worst(self) -> CorruptionResult | None:
        """The corruption that costs most; None where none could be measured."""
        drops = {step.drop.value: step for step in reversed(self.steps) if step.drop is not None}
        return drops[max(drops)] if drops else None

    def to_json(self) -> RobustnessFacts:
        """What robustness.json holds."""
        facts: RobustnessFacts = {
            "rungs": {step.corruption.name: step.to_json() for step in self.steps},
            "split": self.split,
            "confidence": self.confidence,
            "seen_in_training": self.seen,
        }
        if self.training_leaks:
            facts[SEEN_IN_VALIDATION] = "; ".join(self.training_leaks)
        return facts
