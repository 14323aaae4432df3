"""The types of metrics.json and of what `compare` prints: their keys, with what each means.

`evaluate --json` prints metrics.json, `results --json` several. `pipeline.cli.help.json_schemas`
makes the published JSON Schemas of these types and of the comments beside the keys.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from models.evaluation.delong import DeLong
from models.evaluation.evaluate import Estimate
from models.evaluation.json_facts import DecidedFacts, EvaluationFacts, flat
from pipeline.score_files.records import CoverageFacts, ExternalScores


class ModelFacts(EvaluationFacts, DecidedFacts, CoverageFacts):
    """One model of a report: its metrics, verdicts, and the videos that it scored."""

    # mean error over all shares of videos that are judged, the farthest from the threshold first
    risk_coverage_area: float
    # true where the linear model alone gives the scores, since its residual was left out; else
    # left out
    linear_alone: NotRequired[bool]
    # `cllr` where novel videos have the ratios of their scores, in place of 1; left out where the
    # model has no likelihood ratios
    cllr_novel_included: NotRequired[float]


@flat(always={"auc_gain": "how much higher the AUC of the report's first model is"})
class BaselineFacts(EvaluationFacts):
    """A simpler model on the same videos and bootstrap draws."""


class ReportFacts(TypedDict):
    """metrics.json: each model under its name, as "lstm" and "mean", beside these keys.

    A model is an object with `auc_low`; no model has the name of a key.
    """

    # how much higher the first model's AUC is than the second's; left out where there is one model
    auc_gain: NotRequired[Estimate]
    controls: dict[str, BaselineFacts]  # baseline -> its metrics
    confidence: float  # level of all intervals, as 0.95
    split: str  # the split that was measured: "test", "val", "train" or "all"
    seen_in_training: str  # what of the videos was seen in training, in words; "" if nothing
    # what of the validation videos had trained the backbone, in words; left out if nothing
    seen_in_validation: NotRequired[str]
    failed_videos: int  # number of videos of the split that failed, so that they have no features
    # with --scores alone: where the scores are from, and how they were counted
    scores: NotRequired[ExternalScores]


class ComparisonFacts(TypedDict):
    """How model A differs from model B on the videos that both have; pairs are of A and B."""

    a: str  # report or bundle, and model, of A
    b: str  # report or bundle, and model, of B
    videos: int  # number of videos that both have
    groups: int  # number of their groups
    left_out: int  # number of videos that one alone has
    confidence: float  # level of all intervals, as 0.95
    # what of the videos each has seen in training, in words; "" if nothing
    seen_in_training: tuple[str, str]
    # how many videos of its split each has scored, in words; "" where it was not recorded
    coverage: tuple[str, str]
    delong: DeLong  # both AUCs and DeLong's test, which takes videos for independent
    # "auc", "ap", "balanced_accuracy", "log_loss" and "brier" as far as both have them -> A - B, on
    # the same bootstrap draws of groups
    bootstrap: dict[str, Estimate]
    # what of its validation videos had trained each backbone, in words; left out if nothing of both
    seen_in_validation: NotRequired[tuple[str, str]]
