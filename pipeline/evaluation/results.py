"""The result of `unmask evaluate`: what metrics.json and the page show; and reports read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import SplitCounts
from data.errors import InputError, StoreError
from data.io.reading import read_json, shown
from features.store.feature_set import SEEN_IN_VALIDATION
from models.evaluation.calibration import Calibration
from models.evaluation.evaluate import Estimate, Evaluation
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.evaluation.likelihood_ratio_fit import cllr
from models.evaluation.selective import Decided, RiskCoverage, decided, risk_coverage
from models.evaluation.thresholds import rank_misclassified
from models.training_summary import TrainingSummary
from pipeline.evaluation.similar_videos import TestedVideos
from pipeline.json_facts import BaselineFacts, ModelFacts, ReportFacts
from pipeline.score_files.records import Coverage, ExternalScores

METRICS = "metrics.json"
SUMMARY = "summary.json"

SHOWN = {
    "auc": "AUC",
    "eer": "EER",
    "tpr_at_fpr_1": "TPR at 1 % FPR",
    "tpr_at_fpr_5": "TPR at 5 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "recall_fake": "fakes caught (recall)",
    "recall_real": "reals cleared (recall)",
    "ap": "AP",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
    "cllr": "Cllr",
    "cllr_min": "least Cllr",
}
"""Metrics in the order in which people see them, with the field's names."""

SUMMARIZED = ("auc", "eer", "balanced_accuracy", "recall_fake", "recall_real", "log_loss")
"""Metrics of the head in summary.json, by which `dvc exp show` compares experiments."""

NAMES = {"lstm": "LSTM", "mean": "mean-pool baseline", "statistics": "linear model"}
"""Kind of head -> what people see."""
LINEAR_ALONE: Final = "linear_alone"  # in metrics.json, where `ModelResult.linear_alone` is true


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One evaluated video and its P(fake) by each model."""

    path: str
    label: int
    group: str
    method: str
    scores: dict[str, float]
    # by those models that have likelihood ratios, log10
    log10_lrs: dict[str, float] = field(default_factory=dict)
    # P(fake) by those models whose scores have another scale
    p_fake: dict[str, float] = field(default_factory=dict)
    novel: bool = False  # whether it is unlike anything in training


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model of the report."""

    evaluation: Evaluation
    # a row per epoch, as `models.heads.training.Trained` has it
    history: Sequence[dict[str, float]]
    best_epoch: int  # the epoch whose weights it has
    stop_reason: str  # why training ended
    calibration: Calibration = field(default_factory=Calibration)  # of its scores
    # of its scores; None for a bundle of an earlier version
    likelihood_ratio: LikelihoodRatio | None = None
    linear_alone: bool = False  # whether a residual was left out: the linear model scores alone
    score_name: str = "P(fake)"  # what its scores are called; another name, and they are no P(fake)
    unit: bool = True  # whether its scores lie between 0 and 1

    @property
    def is_probability(self) -> bool:
        """Whether its scores are P(fake) themselves."""
        return self.score_name == "P(fake)"


@dataclass(frozen=True, kw_only=True)
class BaselineResult:
    """A simpler model on the same videos and bootstrap draws."""

    name: str
    evaluation: Evaluation
    gain: Estimate  # how much higher the AUC of the report's first model is

    def to_json(self) -> BaselineFacts:
        """Flat numbers."""
        numbers = cast(BaselineFacts, self.gain.to_json("auc_gain"))
        return {**self.evaluation.to_json(), **numbers}


@dataclass(frozen=True, kw_only=True)
class MisclassifiedVideo:
    """One video on the wrong side of the first model's threshold."""

    row: int  # its index among the report's predictions
    timestamps_seconds: tuple[float, ...]  # of its frames
    frame_scores: tuple[float, ...]  # P(fake) of each frame as if it were the whole video
    so_far: tuple[tuple[float, float], ...]  # (seconds, P(fake)) of all frames up to then
    strip: str  # its faces side by side as a `data:` URL; "" where they cannot be shown
    shown_seconds: tuple[float, ...]  # when each face of the strip is
    reason: str  # why there is no strip, in words; "" where there is one or none was asked for
    time_name: str = "seconds"  # what times are in, for the chart


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report shows."""

    title: str  # of the page
    models: dict[str, ModelResult]  # name -> result; the head that gives the verdict first
    # how much higher the first model's AUC is than the second's; None with one model
    gain: Estimate | None
    predictions: Sequence[Prediction]  # of every evaluated video
    split: str  # that was evaluated
    dataset: Sequence[SplitCounts]  # of the whole manifest, the last of all splits together
    failures: Sequence[dict[str, str]]  # rows of failures.csv
    missing: Sequence[str]  # paths of videos of the split without features or failure
    model_card: dict[str, dict[str, str]]  # heading -> facts
    tested_on: TrainingSummary | None = None  # the evaluated videos, in counts
    tested: TestedVideos | None = None  # the first model's verdicts on them, by what they are like
    seen: str = ""  # what of the evaluation was seen in training, in words; empty if nothing
    training_leaks: Sequence[str] = ()  # as `pipeline.leakage.training_leaks` gives them
    rendered: bool = False  # whether the forgeries are rendered, not deepfakes
    baselines: Sequence[BaselineResult] = ()
    misclassified: Sequence[MisclassifiedVideo] = ()  # the worst errors of the first model
    external: ExternalScores | None = None  # whose scores were read from files; None for a bundle

    @property
    def first(self) -> tuple[str, ModelResult]:
        """Name and result of the head that gives the verdict."""
        return next(iter(self.models.items()))

    @property
    def misclassified_rows(self) -> list[int]:
        """Rows of `predictions` that the first model misclassifies, the farthest off first."""
        name, result = self.first
        return rank_misclassified(
            self.labels,
            self.scores_of(name),
            result.evaluation.threshold,
            [row.path for row in self.predictions],
        )

    @property
    def shuffled(self) -> BaselineResult | None:
        """The first model on shuffled frames; None for a head that ignores their order."""
        return next((one for one in self.baselines if one.name.endswith("shuffled frames")), None)

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds."""
        models: dict[str, ModelFacts] = {}
        for name, result in self.models.items():
            decided, measured = self.decided_by(name), result.evaluation
            parts = {**measured.to_json(), **decided.to_json(), **self.coverage.to_json()}
            models[name] = cast(ModelFacts, parts)
            models[name]["risk_coverage_area"] = self.risk_coverage(name).area
            if result.linear_alone:
                models[name][LINEAR_ALONE] = True
            if result.likelihood_ratio is not None:
                models[name]["cllr_novel_included"] = self.cllr_with_novel(name)
        facts: ReportFacts = {
            "controls": {one.name: one.to_json() for one in self.baselines},
            "confidence": result.evaluation.confidence,
            "split": self.split,
            "seen_in_training": self.seen,
            "failed_videos": len(self.failures),
        }
        if self.gain is not None:
            facts["auc_gain"] = self.gain
        if self.training_leaks:
            facts[SEEN_IN_VALIDATION] = "; ".join(self.training_leaks)
        if self.external is not None:
            facts["scores"] = self.external
        return {**models, **facts}

    @property
    def coverage(self) -> Coverage:
        """How many videos of the split have a score."""
        if self.external is not None:
            return self.external.coverage
        scored = len(self.predictions)
        return Coverage(scored=scored, videos=scored + len(self.failures) + len(self.missing))

    @property
    def decided(self) -> Decided | None:
        """Of the first model; None where no rule leaves a video without verdict."""
        name, result = self.first
        found = self.decided_by(name)
        return None if result.calibration.unsure_low is None and not found.novel else found

    def decided_by(self, name: str) -> Decided:
        """How right the verdicts of a model are."""
        result, scores = self.models[name], self.scores_of(name)
        unsure = result.calibration.unsure(scores)
        return decided(self.labels, scores, result.evaluation.threshold, unsure, self.novel)

    def risk_coverage(self, name: str) -> RiskCoverage:
        """Error against coverage of a model."""
        result, scores = self.models[name], self.scores_of(name)
        threshold = result.evaluation.threshold
        return risk_coverage(self.labels, scores, threshold, self.novel, unit=result.unit)

    def cllr_with_novel(self, name: str) -> float:
        """Cllr of a model's ratios where novel videos have theirs, too, in place of 1."""
        ratio = self.models[name].likelihood_ratio
        assert ratio is not None  # noqa: S101 - asked for models that have one
        p_fake = self.probabilities_of(name)
        assert p_fake is not None  # noqa: S101 - a ratio is fitted on them
        return float(cllr(self.labels, ratio.told(p_fake)))

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) of the predictions, 1 = fake."""
        return np.asarray([row.label for row in self.predictions], np.int64)

    @property
    def novel(self) -> NDArray[np.bool_]:
        """(N,) of the predictions."""
        return np.asarray([row.novel for row in self.predictions], bool)

    def scores_of(self, name: str) -> NDArray[np.float64]:
        """(N,) scores of the predictions by a model."""
        return np.asarray([row.scores[name] for row in self.predictions], np.float64)

    def probabilities_of(self, name: str) -> NDArray[np.float64] | None:
        """(N,) P(fake) of the predictions by a model; None where its scores have another scale."""
        if self.models[name].is_probability:
            return self.scores_of(name)
        if any(name not in row.p_fake for row in self.predictions):
            return None
        return np.asarray([row.p_fake[name] for row in self.predictions], np.float64)

    @property
    def summary(self) -> dict[str, float]:
        """What summary.json holds: a few metrics of the first model."""
        metrics = self.first[1].evaluation.metrics
        return {name: metrics[name].value for name in SUMMARIZED if name in metrics}


@dataclass(frozen=True, kw_only=True)
class StoredReport:
    """A report as it is read back."""

    name: str  # of its folder
    metrics: dict[str, Any]  # its metrics.json
    page: Path  # its report.html

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """Kind of head -> its metrics."""
        return {name: facts for name, facts in self.metrics.items() if is_model(facts)}


def read_reports(folder: Path) -> list[StoredReport]:
    """The report in a folder, or every report below it.

    Raises:
        InputError: there is none, or one may not be read.
        StoreError: one is damaged.
    """
    paths = sorted(folder.glob(f"*/{METRICS}")) or [folder / METRICS]
    found = [
        StoredReport(
            name=path.parent.name, metrics=read_metrics(path), page=path.with_name("report.html")
        )
        for path in paths
        if path.exists()
    ]
    if not found:
        raise InputError(
            f"{folder} holds no report: no {METRICS} is in it or in its folders; write one with "
            "`unmask evaluate`"
        )
    return found


def read_metrics(path: Path, *, missing: str = "") -> dict[str, Any]:
    """One metrics.json; `missing` is the whole message where there is none.

    Raises:
        InputError: it is not there, or may not be read.
        StoreError: it is damaged, or another program's.
    """
    remedy = "evaluate again"
    facts = read_json(path, remedy=remedy, missing=missing, damaged=StoreError)
    if not isinstance(facts, dict):
        raise StoreError(f"{path} is not what `unmask evaluate` writes; {remedy}")
    for name, model in facts.items():
        if not is_model(model):
            continue
        measured = [f"{one}{end}" for one in SHOWN if one in model for end in ("", "_low", "_high")]
        for key in ("videos", "groups", "threshold", *measured):
            value = model.get(key)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise StoreError(f"{path}: {key} of {shown(name)} must be a number; {remedy}")
    return facts


def name_of_model(kind: str, *, linear_alone: bool) -> str:
    """What people see: "LSTM", or "linear model (LSTM left out)" where that gives no score."""
    name = NAMES.get(kind, kind)
    return f"linear model ({name} left out)" if linear_alone else name


def is_model(facts: Any) -> bool:
    """Whether an entry of metrics.json is a model's."""
    return isinstance(facts, dict) and "auc_low" in facts


def format_interval(facts: Mapping[str, Any], metric: str) -> str:
    """A metric of metrics.json with its interval: "0.931 (0.85 to 0.99)"."""
    return f"{facts[metric]:.3f} ({facts[f'{metric}_low']:.2f} to {facts[f'{metric}_high']:.2f})"


def level_in(facts: dict[str, Any]) -> float | None:
    """The confidence of a model's intervals; None where it was not recorded, or cannot be one."""
    level = facts.get("confidence")
    return float(level) if isinstance(level, int | float) and 0 < level < 1 else None
