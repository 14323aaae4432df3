"""`unmask compare`: do two models differ on the videos that both are measured on?

They come from reports, or from bundles that are scored now, on cached features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data.datasets.manifest import LABEL_NAMES, Manifest
from data.errors import ConfigError, DatasetError, InputError, MismatchError, StoreError
from data.io.progress import log
from data.io.reading import BAD_FACTS
from data.io.tables import Table
from features.store.feature_set import SEEN_IN_VALIDATION, Features
from models.bundle import Bundle
from models.evaluation.delong import DeLong, delong
from models.evaluation.evaluate import Estimate, difference, evaluate
from models.evaluation.metrics import Probabilities
from models.heads.inference import HeadNetwork
from pipeline.evaluation.matrix import Dataset, find_fitting, read_datasets
from pipeline.evaluation.results import LINEAR_ALONE, METRICS, level_in, name_of_model, read_metrics
from pipeline.evaluation.scoring import check_split, heads_of, load_split
from pipeline.json_facts import ComparisonFacts
from pipeline.leakage import refuse_seen, training_leaks
from pipeline.score_files.records import Coverage

if TYPE_CHECKING:
    from pipeline.config import Params

FACTS = ("path", "label", "group", "method")
"""Columns of predictions.csv that are no model's."""
COMPARED = ("auc", "ap", "balanced_accuracy", "log_loss", "brier")
"""Metrics that are compared; those of P(fake) where both models have it."""


class Score(NamedTuple):
    """One video's facts and score."""

    label: int
    group: str
    method: str
    score: float
    p_fake: float = math.nan  # where the score has another scale; NaN where it is unknown


@dataclass(frozen=True, kw_only=True)
class ScoredModel:
    """One model's scores."""

    name: str  # report or bundle, and model, for people
    scores: dict[str, Score]  # path of a video -> its score
    threshold: float  # of the model
    seen: str = ""  # what of these videos was seen in training, in words; empty if nothing
    training_leaks: str = ""  # as `pipeline.leakage.training_leaks` gives them, in one line
    confidence: float | None = None  # of the report's intervals; None for bundles, older reports
    external: bool = False  # whether its scores are of another detector, on a scale of their own
    coverage: str = ""  # how many videos of the report's split have a score, in words

    def probabilities(self, paths: Sequence[str]) -> Probabilities:
        """P(fake) of these videos, (N,), as `evaluate` takes it."""
        if not self.external:
            return "scores"
        known = np.asarray([self.scores[path].p_fake for path in paths])
        return "none" if np.isnan(known).any() else known


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How model A differs from model B on the videos that both have."""

    a: ScoredModel
    b: ScoredModel
    videos: int  # number of videos that both have
    groups: int  # number of their groups
    left_out: int  # number of videos that one alone has
    confidence: float  # of all intervals
    delong: DeLong  # the AUCs and DeLong's test
    bootstrap: dict[str, Estimate]  # metric -> A - B, on the same draws of groups

    def to_json(self) -> ComparisonFacts:
        """What `--json` prints."""
        facts: ComparisonFacts = {
            "a": self.a.name,
            "b": self.b.name,
            "videos": self.videos,
            "groups": self.groups,
            "left_out": self.left_out,
            "confidence": self.confidence,
            "seen_in_training": (self.a.seen, self.b.seen),
            "coverage": (self.a.coverage, self.b.coverage),
            "delong": self.delong,
            "bootstrap": self.bootstrap,
        }
        if self.a.training_leaks or self.b.training_leaks:
            facts[SEEN_IN_VALIDATION] = (self.a.training_leaks, self.b.training_leaks)
        return facts


def compare_reports(
    a: Path,
    b: Path,
    *,
    model: str | None,
    other: str | None,
    params: Params,
    level_given: bool = True,
) -> Comparison:
    """Compares the models of two reports.

    Args:
        a: folder that `evaluate` wrote.
        b: likewise.
        model: of both; the first of each by default.
        other: of B, where it is not A's.
        params: of the bootstrap.
        level_given: whether the user gave the confidence; else it is that of both reports, where
            they have the same.

    Raises:
        InputError: a report or a model is not there.
        StoreError: a report is damaged.
        MismatchError: a video has two labels or groups, or none is in both.
        DatasetError: one class only.
    """
    first, second = read_scores(a, model), read_scores(b, other or model)
    confidence = params.evaluate.confidence
    if not level_given and first.confidence is not None:
        confidence = first.confidence if first.confidence == second.confidence else confidence
    return compare(first, second, a, b, params=params, confidence=confidence)


def compare_bundles(
    a: Path,
    b: Path,
    *,
    on: Sequence[str],
    model: str | None,
    other: str | None,
    split: str,
    allow_seen: bool,
    params: Params,
) -> Comparison:
    """Scores a split of a data set by two bundles, and compares them; else as `compare_reports`.

    One of both may be a report instead, of another detector for one, on videos of this split.

    `on` is one data set, as `pipeline.evaluation.matrix.read_datasets` takes it.

    Raises:
        ConfigError: `on` names more than one data set; no such split.
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        InputError: a bundle or a model is not there.
        MismatchError: no features fit.
        DatasetError: nothing to score, or one class only.
    """
    check_split(split)
    datasets = read_datasets(on)
    if len(datasets) > 1:
        raise ConfigError(
            "compare takes one data set; --on may be repeated with its features of another "
            "backbone, under the same name"
        )
    names = ((a, model), (b, other or model))
    if all((path / METRICS).is_file() for path, _ in names):
        raise ConfigError("both are reports, which have their scores: leave --on out")
    first, second = (
        replace(read_scores(path, name), confidence=None)  # that of both is `params`'
        if (path / METRICS).is_file()
        else score_bundle(path, datasets[0], name, split=split, allow_seen=allow_seen)
        for path, name in names
    )
    return compare(first, second, a, b, params=params, confidence=params.evaluate.confidence)


def score_bundle(
    path: Path, dataset: Dataset, model: str | None, *, split: str, allow_seen: bool
) -> ScoredModel:
    """Scores a split of a data set by a bundle's head, or by its baseline.

    Raises:
        InputError: no bundle, or no such model in it.
        LeakError, MismatchError, DatasetError: as `compare_bundles`.
    """
    bundle = Bundle.load(path)
    heads = heads_of(bundle)
    name = model or bundle.head.config.kind
    if name not in heads:
        raise InputError(f"{path} has no model {name!r}; it has {', '.join(heads)}")
    head, is_baseline = heads[name]
    alone = HeadNetwork.of(head.model).is_linear_alone
    videos = Manifest.read(dataset.manifest).split(split)
    seen = refuse_seen(bundle, videos, allow_seen=allow_seen, where=f"{path}: ")
    stored = [Features(folder) for folder in dataset.features]
    features = find_fitting(bundle, stored, bundle=str(path), dataset=dataset.name)
    if note := bundle.check_recipe(features.recipe.to_json()):
        log.warning(f"{path}: {note}")
    sequences = load_split(features, videos, split=split, dataset=dataset.name)
    columns = (
        sequences.labels.tolist(),
        sequences.groups,
        sequences.methods,
        bundle.score(sequences, baseline=is_baseline).tolist(),
    )
    scores = (Score(*one) for one in zip(*columns, strict=True))
    return ScoredModel(
        name=f"{path}, {name_of_model(name, linear_alone=alone)}",
        scores=dict(zip(sequences.paths, scores, strict=True)),
        threshold=head.threshold,
        seen=seen,
        training_leaks="; ".join(training_leaks(bundle)),
        coverage=str(Coverage(scored=len(sequences), videos=len(videos))),
    )


def compare(
    first: ScoredModel,
    second: ScoredModel,
    a: Path,
    b: Path,
    *,
    params: Params,
    confidence: float,
) -> Comparison:
    """The differences between two models, by DeLong's test and by a bootstrap of groups.

    `a` and `b` name them in messages.

    Raises:
        MismatchError: a video has two labels or groups, or no video is in both.
        DatasetError: one class only.
    """
    paths = sorted(first.scores.keys() & second.scores.keys())
    if not paths:
        raise MismatchError(f"{a} and {b} have no video in common; evaluate on the same manifest")
    for path in paths:
        if first.scores[path][:2] != second.scores[path][:2]:
            raise MismatchError(
                f"{path} has one label or group in {a} and another in {b}; "
                "evaluate both on the same manifest"
            )
    videos = [first.scores[path] for path in paths]
    labels = np.asarray([video.label for video in videos])
    groups = tuple(video.group for video in videos)
    methods = tuple(video.method for video in videos)
    scores = [np.asarray([one.scores[path].score for path in paths]) for one in (first, second)]
    measured = [
        evaluate(
            labels, values, groups, methods, threshold=one.threshold,
            rounds=params.evaluate.rounds, confidence=confidence, seed=params.seed,
            probabilities=one.probabilities(paths),
        )
        for values, one in zip(scores, (first, second), strict=True)
    ]  # fmt: skip
    return Comparison(
        a=first,
        b=second,
        videos=len(paths),
        groups=len(set(groups)),
        left_out=len(first.scores.keys() ^ second.scores.keys()),
        confidence=confidence,
        delong=delong(labels, *scores, confidence=confidence),
        bootstrap={
            name: difference(measured[0], measured[1], name)
            for name in COMPARED
            if all(name in one.metrics for one in measured)
        },
    )


def read_scores(report: Path, model: str | None) -> ScoredModel:
    """One model's scores; the first model's where none is named.

    Raises:
        InputError: no report, or no such model.
        StoreError: the files are damaged.
    """
    path = report / "predictions.csv"
    missing = (
        f"{report} holds no report; write one with `unmask evaluate`, or compare bundles with "
        "--on FEATURES:MANIFEST"
    )
    table = Table(path, FACTS, missing=missing, damaged=StoreError)
    if table.lacking():
        raise StoreError(f"{path} lacks the column {table.lacking()[0]}; evaluate again")
    names = [name for name in table.columns if name and name not in FACTS]
    chosen = model or (names[0] if names else "")
    if chosen not in names:
        raise InputError(f"{path} has no model {chosen!r}; it has {', '.join(names)}")
    scores = {}
    for row in table:
        video, label, group, method = (row.cells[name] for name in FACTS)
        try:
            score = float(row.cells[chosen])
            if not math.isfinite(score):
                raise ValueError("no number")
            scores[video] = Score(LABEL_NAMES.index(label), group, method, score)
        except ValueError as error:
            raise StoreError(
                f"{row.place}: the label or the score of {chosen} cannot be read; evaluate again"
            ) from error
    metrics = read_metrics(report / METRICS, missing=missing)
    try:
        threshold = float(metrics[chosen]["threshold"])
        confidence = level_in(metrics[chosen])
        alone = bool(metrics[chosen].get(LINEAR_ALONE))
    except BAD_FACTS as error:
        raise StoreError(
            f"{report / METRICS} has no threshold of {chosen}; evaluate again"
        ) from error
    if not scores:
        raise DatasetError(f"{path} lists no video")
    external = "scores" in metrics
    if external:
        scores = _with_probabilities(report / "evidence.csv", scores, f"p_fake_{chosen}")
    return ScoredModel(
        name=f"{report}, {name_of_model(chosen, linear_alone=alone)}",
        scores=scores,
        threshold=threshold,
        seen=str(metrics.get("seen_in_training", "")),
        training_leaks=str(metrics.get(SEEN_IN_VALIDATION, "")),
        confidence=confidence,
        external=external,
        coverage=str(Coverage.from_json(metrics[chosen]) or ""),
    )


def _with_probabilities(path: Path, scores: dict[str, Score], column: str) -> dict[str, Score]:
    """Scores of another detector with their P(fake), where the report has it.

    Raises:
        StoreError: the file is damaged.
    """
    table = Table(path, ("path", column), needed=("path",), damaged=StoreError)
    if column not in table.columns:
        return scores
    found = dict(scores)
    for row in table:
        video = row.cells["path"]
        try:
            found[video] = found[video]._replace(p_fake=float(row.cells[column]))
        except (KeyError, ValueError) as error:
            raise StoreError(f"{row.place}: {column} cannot be read; evaluate again") from error
    return found
