"""`unmask compare`: do two models differ on the videos that both are measured on?

They come from reports, or from bundles that are scored now, on cached features.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.datasets.manifest import LABEL_NAMES, Manifest
from data.errors import ConfigError, DatasetError, InputError, MismatchError, StoreError, plain
from data.io.progress import log
from data.io.reading import BAD_FACTS
from data.io.tables import Table
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features
from models.bundle import Bundle
from models.evaluation.delong import delong
from models.evaluation.evaluate import Evaluation, difference, evaluate, level_percent
from pipeline.config import Params
from pipeline.evaluation.evaluate import check_split
from pipeline.evaluation.matrix import Dataset, fitting, read_datasets
from pipeline.evaluation.results import METRICS, NAMES, level_in, read_report
from pipeline.leakage import MARK, marks_of, refuse_seen

FACTS = ("path", "label", "group", "method")
COMPARED = ("auc", "ap", "balanced_accuracy", "log_loss", "brier")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One model's scores.

    Attributes:
        name: report or bundle, and model, for people.
        rows: path -> (label, group, method, P(fake)).
        threshold: of the model.
        seen: what of these videos trained it, in words; empty if nothing did.
        marks: what a reader must know of its bundle's own training; likewise.
        confidence: of the intervals of the report; None for a bundle, and for an older report.
    """

    name: str
    rows: dict[str, tuple[int, str, str, float]]
    threshold: float
    seen: str = ""
    marks: str = ""
    confidence: float | None = None


def compare_any(
    a: Path,
    b: Path,
    *,
    model: str | None,
    other: str | None,
    on: Sequence[str],
    split: str,
    allow_seen: bool,
    params: Params,
    as_json: bool,
    level_given: bool = True,
) -> None:
    """Prints how two models differ: of two reports, or with `on` of two bundles.

    All intervals are made anew, of the level in `params`; with `level_given` false, of the level
    that both reports have.

    Raises:
        ConfigError: `on` names more than one data set; no such split.
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        InputError: a report, a bundle or a model is not there.
        MismatchError: a video has two labels or groups, or none is in both; no features fit.
        DatasetError: one class only.
    """
    check_split(split)
    names = (model, other or model)
    if not on and (split != "test" or allow_seen):
        raise ConfigError(
            "--split and --allow-seen are for bundles, which are scored now: add --on "
            "FEATURES:MANIFEST; a report has the videos that it has"
        )
    if on:
        datasets = read_datasets(on)
        if len(datasets) > 1:
            raise ConfigError(
                "compare takes one data set; --on may be repeated with its features of another "
                "backbone, under the same name"
            )
        first, second = (
            score_bundle(path, datasets[0], name, split=split, allow_seen=allow_seen)
            for path, name in zip((a, b), names, strict=True)
        )
    else:
        first, second = (read_scores(path, name) for path, name in zip((a, b), names, strict=True))
    tell_difference(
        first, second, a, b, rounds=params.evaluate.rounds, seed=params.seed,
        confidence=params.evaluate.confidence if level_given else level_of(first, second, params),
        as_json=as_json,
    )  # fmt: skip


def level_of(first: Scored, second: Scored, params: Params) -> float:
    """The level of both reports, where it is one and known; else that of the parameters."""
    if first.confidence is None or first.confidence != second.confidence:
        return params.evaluate.confidence
    return first.confidence


def score_bundle(
    path: Path, dataset: Dataset, model: str | None, *, split: str, allow_seen: bool
) -> Scored:
    """Scores a split of a data set by a bundle's head, or by its baseline.

    Raises:
        InputError: no bundle, or no such model in it.
        LeakError, MismatchError, DatasetError: as `compare_any`.
    """
    bundle = Bundle.load(path)
    heads = {bundle.head.config.kind: (bundle.head, False)}
    if bundle.baseline is not None:
        heads.setdefault(bundle.baseline.config.kind, (bundle.baseline, True))
    name = model or bundle.head.config.kind
    if name not in heads:
        raise InputError(f"{path} has no model {name!r}; it has {', '.join(heads)}")
    head, baseline = heads[name]
    videos = Manifest.read(dataset.manifest).split(split)
    seen = refuse_seen(bundle, videos, allow_seen=allow_seen, where=f"{path}: ")
    stored = [Features(folder) for folder in dataset.features]
    features = fitting(bundle, stored, bundle=str(path), dataset=dataset.name)
    if note := bundle.check_recipe(features.recipe.to_json()):
        log.warning(f"{path}: {note}")
    sequences = load_sequences(features, videos)
    if not len(sequences):
        raise DatasetError(f"{features.folder} has no features of the {split} split")
    columns = (
        sequences.paths,
        sequences.labels.tolist(),
        sequences.groups,
        sequences.methods,
        bundle.score(sequences, baseline=baseline).tolist(),
    )
    return Scored(
        name=f"{path}, {NAMES.get(name, name)}",
        rows={one: tuple(facts) for one, *facts in zip(*columns, strict=True)},
        threshold=head.threshold,
        seen=seen,
        marks="; ".join(marks_of(bundle)),
    )


def tell_difference(
    first: Scored,
    second: Scored,
    a: Path,
    b: Path,
    *,
    rounds: int,
    seed: int,
    confidence: float = 0.95,
    as_json: bool,
) -> None:
    """Prints the difference between two models' AUC, by DeLong and by a bootstrap of groups.

    Raises:
        MismatchError: a video has two labels or groups, or no video is in both.
        DatasetError: one class only.
    """
    paths = sorted(first.rows.keys() & second.rows.keys())
    if not paths:
        raise MismatchError(f"{a} and {b} have no video in common; evaluate on the same manifest")
    for path in paths:
        if first.rows[path][:2] != second.rows[path][:2]:
            raise MismatchError(
                f"{path} has one label or group in {a} and another in {b}; "
                "evaluate both on the same manifest"
            )
    labels = np.asarray([first.rows[path][0] for path in paths])
    groups = [first.rows[path][1] for path in paths]
    methods = [first.rows[path][2] for path in paths]
    scores = [np.asarray([one.rows[path][3] for path in paths]) for one in (first, second)]
    tested = delong(labels, scores[0], scores[1], confidence=confidence)
    measured: list[Evaluation] = [
        evaluate(
            labels, values, tuple(groups), tuple(methods), threshold=one.threshold,
            rounds=rounds, confidence=confidence, seed=seed,
        )
        for values, one in zip(scores, (first, second), strict=True)
    ]  # fmt: skip
    alone = len(first.rows.keys() ^ second.rows.keys())
    facts: dict[str, Any] = {
        "a": first.name,
        "b": second.name,
        "videos": len(paths),
        "groups": len(set(groups)),
        "left_out": alone,
        "confidence": confidence,
        "seen_in_training": [one.seen for one in (first, second)],
        **({MARK: [first.marks, second.marks]} if first.marks or second.marks else {}),
        "delong": tested.__dict__,
        "bootstrap": {
            name: difference(measured[0], measured[1], name).__dict__ for name in COMPARED
        },
    }
    if as_json:
        print(json.dumps(facts, indent=2, sort_keys=True))
        return
    print(plain(f"A: {first.name}, AUC {tested.auc_a:.3f}"))
    print(plain(f"B: {second.name}, AUC {tested.auc_b:.3f}"))
    for letter, one in zip("AB", (first, second), strict=True):
        if one.seen:
            print(plain(f"warning: not a fair test of {letter}: {one.seen}"))
        if one.marks:
            print(plain(f"warning: {letter}: {one.marks}"))
    if first.confidence != second.confidence:
        for letter, level in (("A", first.confidence), ("B", second.confidence)):
            words = "an unrecorded level" if level is None else f"{level_percent(level)} %"
            print(f"the intervals in the report of {letter} are of {words}")
    left = f"; {alone} that only one has are left out" if alone else ""
    print(f"{len(paths)} videos of {len(set(groups))} groups in both{left}")
    print(f"A - B, {level_percent(confidence)} % intervals in brackets")
    print(
        f"  AUC, DeLong               {tested.difference:+.3f} "
        f"({tested.low:+.3f} to {tested.high:+.3f}), p = {tested.p:.3g}"
    )
    for name, one in facts["bootstrap"].items():
        word = f"{name.replace('_', ' ')}, groups drawn"
        print(f"  {word:<25} {one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})")
    drawn = facts["bootstrap"]["auc"]
    better = "A is better" if drawn["low"] > 0 else "B is better" if drawn["high"] < 0 else ""
    print(better or "not told apart: the interval over groups holds 0")


def read_scores(report: Path, model: str | None) -> Scored:
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
    rows = {}
    listed = Table(path, FACTS, missing=missing, damaged=StoreError)
    if listed.lacking():
        raise StoreError(f"{path} lacks the column {listed.lacking()[0]}; evaluate again")
    names = [name for name in listed.columns if name and name not in FACTS]
    chosen = model or (names[0] if names else "")
    if chosen not in names:
        raise InputError(f"{path} has no model {chosen!r}; it has {', '.join(names)}")
    for row in listed:
        video, label, group, method = (row.cells[name] for name in FACTS)
        try:
            score = float(row.cells[chosen])
            if not math.isfinite(score):
                raise ValueError("no number")
            rows[video] = (LABEL_NAMES.index(label), group, method, score)
        except ValueError as error:
            raise StoreError(
                f"{row.place}: the label or the score of {chosen} cannot be meant; evaluate again"
            ) from error
    metrics = read_report(report / METRICS, missing=missing)
    try:
        threshold = float(metrics[chosen]["threshold"])
        seen, marks = (str(metrics.get(key, "")) for key in ("seen_in_training", MARK))
        confidence = level_in(metrics[chosen])
    except BAD_FACTS as error:
        raise StoreError(
            f"{report / METRICS} tells no threshold of {chosen}; evaluate again"
        ) from error
    if not rows:
        raise DatasetError(f"{path} lists no video")
    name = f"{report}, {NAMES.get(chosen, chosen)}"
    return Scored(
        name=name, rows=rows, threshold=threshold, seen=seen, marks=marks, confidence=confidence
    )
