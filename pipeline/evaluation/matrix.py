"""`unmask evaluate BUNDLE... --on ...`: trained here, tested there, from cached features.

A row for each bundle, a column for each data set. The leak guard is asked for all cells before the
first one is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NotRequired, cast

from typing_extensions import TypedDict

from data.datasets.manifest import Manifest
from data.errors import ConfigError, DatasetError, MismatchError
from data.io.progress import log
from data.operating_system.files import split_pair
from features.sequences.dataset import Sequences
from features.store.feature_set import SEEN_IN_VALIDATION, Features
from models.bundle import Bundle
from models.evaluation.evaluate import Estimate, Evaluation
from models.evaluation.json_facts import EvaluationFacts, flat
from pipeline.config import Params, as_options
from pipeline.evaluation.scoring import (
    are_rendered,
    check_split,
    describe_bootstrap,
    load_split,
    measure,
    told_ratios,
)
from pipeline.leakage import refuse_seen, seen_among, training_leaks
from pipeline.shell_commands import command_line

MATRIX = "matrix.json"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A column: one manifest, and features of its videos, one folder for each backbone."""

    name: str
    manifest: Path
    features: tuple[Path, ...]


@flat(sometimes={"baseline_auc": "AUC of the mean-pool baseline; left out where there is none"})
class CellFacts(EvaluationFacts):
    """One bundle on one data set."""

    own: bool  # whether the bundle was trained on other videos of this manifest
    seen_in_training: str  # what of these very videos was seen in training, in words; "" if nothing
    # what of the validation videos had trained the backbone, in words; left out if nothing
    seen_in_validation: NotRequired[str]
    failed: int  # number of videos without features
    # how the pixels version of the features differs from the bundle's; left out where it does not
    pixels_note: NotRequired[str]


class MatrixFacts(TypedDict):
    """matrix.json: each bundle on each data set."""

    matrix: dict[str, dict[str, CellFacts]]  # bundle -> data set -> what is reached
    split: str  # the split that was measured: "test", "val", "train" or "all"
    confidence: float  # level of all intervals, as 0.95


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One bundle on one data set."""

    bundle: str  # name of the row
    dataset: str  # name of the column
    evaluation: Evaluation  # of the head
    baseline: Estimate | None  # AUC of the mean-pool baseline; None where the bundle has none
    own: bool  # whether the bundle was trained on other videos of this manifest
    seen: str  # what of these very videos was seen in training, in words; empty if nothing
    # of the bundle, as `pipeline.leakage.training_leaks` gives them
    training_leaks: tuple[str, ...]
    failed: tuple[str, ...]  # paths of videos without features
    sequences: Sequences  # that were scored
    scores: Sequence[float]  # P(fake) of each
    note: str = ""  # on the pixels version of the features; empty where it is the bundle's

    @property
    def auc(self) -> float:
        """Of the head."""
        return self.evaluation.metrics["auc"].value

    def to_json(self) -> CellFacts:
        """Plain values."""
        facts = cast(CellFacts, self.evaluation.to_json())
        facts |= {"own": self.own, "seen_in_training": self.seen, "failed": len(self.failed)}
        if self.training_leaks:
            facts[SEEN_IN_VALIDATION] = "; ".join(self.training_leaks)
        if self.baseline is not None:
            facts |= cast(CellFacts, self.baseline.to_json("baseline_auc"))
        if self.note:
            facts["pixels_note"] = self.note
        return facts


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """All cells, row by row."""

    bundles: Sequence[str]  # names of the rows
    datasets: Sequence[str]  # names of the columns
    cells: dict[tuple[str, str], Cell]  # (bundle, data set) -> cell
    split: str  # that was evaluated
    rendered: bool  # whether all forgeries are rendered, not deepfakes
    facts: dict[str, str]  # how to make it again, for the page

    @property
    def training_leaks(self) -> list[str]:
        """Those of all bundles, each with its bundle's name."""
        leaks = (
            f"{cell.bundle}: {leak}" for cell in self.cells.values() for leak in cell.training_leaks
        )
        return list(dict.fromkeys(leaks))

    @property
    def confidence(self) -> float:
        """Of all intervals."""
        return next(iter(self.cells.values())).evaluation.confidence

    @property
    def worst(self) -> Cell | None:
        """Of lowest AUC, among bundles on data sets that they were not trained on."""
        away = (cell for cell in self.cells.values() if not cell.own)
        return min(away, key=lambda cell: cell.auc, default=None)

    @property
    def videos(self) -> int:
        """Number of videos of all data sets."""
        row = self.bundles[0]
        return sum(self.cells[row, name].evaluation.videos for name in self.datasets)

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Data set and path of each video without features."""
        cells = self.cells.values()
        return sorted({(cell.dataset, path) for cell in cells for path in cell.failed})

    def to_json(self) -> MatrixFacts:
        """What matrix.json holds."""
        return {
            "matrix": {
                bundle: {name: self.cells[bundle, name].to_json() for name in self.datasets}
                for bundle in self.bundles
            },
            "split": self.split,
            "confidence": self.confidence,
        }


def evaluate_matrix(
    bundles: Sequence[Path],
    *,
    on: Sequence[str],
    split: str,
    allow_seen: bool,
    params: Params,
) -> Matrix:
    """Measures every bundle on every data set; `on` is as `read_datasets` takes it.

    Raises:
        ConfigError: `on` cannot be read, a bundle is given twice, no such split.
        LeakError: a cell's video or group was seen in training, and `allow_seen` is false.
        MismatchError: a data set has no features that fit a bundle.
        DatasetError: a cell has nothing to evaluate, or one class only.
    """
    check_split(split)
    datasets = read_datasets(on)
    names = name_bundles(bundles)
    manifests = {one.name: Manifest.read(one.manifest) for one in datasets}
    stored = {one.name: [Features(folder) for folder in one.features] for one in datasets}
    opened = {name: Bundle.load(path) for name, path in zip(names, bundles, strict=True)}
    seen = {
        (name, one): refuse_seen(
            bundle, rows.split(split), allow_seen=allow_seen, where=f"{name} on {one}: "
        )
        for name, bundle in opened.items()
        for one, rows in manifests.items()
    }
    cells = {
        (name, one): measure_cell(
            opened[name], stored[one], manifests[one],
            bundle=name, dataset=one, split=split, seen=words, params=params,
        )
        for (name, one), words in seen.items()
    }  # fmt: skip
    for cell in cells.values():
        if cell.note:
            log.warning(f"{cell.bundle} on {cell.dataset}: {cell.note}")
    command = command_line(
        *("unmask", "evaluate"),
        *bundles,
        *(word for text in on for word in ("--on", text)),
        *("--split", split, *(("--allow-seen",) if allow_seen else ()), "-o", "MATRIX"),
    )
    return Matrix(
        bundles=names,
        datasets=[one.name for one in datasets],
        cells=cells,
        split=split,
        rendered=are_rendered(
            video.method
            for rows in manifests.values()
            for video in rows.split(split)
            if video.label
        ),
        facts={
            "command": " ".join([command, *as_options(params, ("seed", "evaluate"))]),
            "bootstrap": describe_bootstrap(params),
        },
    )


def read_datasets(on: Sequence[str]) -> list[Dataset]:
    """The columns; a name that is given twice has features of several backbones.

    Raises:
        ConfigError: not "[NAME=]FEATURES:MANIFEST", or one name for two manifests.
    """
    found: dict[str, Dataset] = {}
    for text in on:
        head, equals, rest = text.partition("=")
        named = bool(equals) and "/" not in head and ":" not in head
        features, manifest = split_pair(rest if named else text)
        if not features or not manifest or (named and not head):
            raise ConfigError(f"--on must be [NAME=]FEATURES:MANIFEST, got {text!r}")
        name = head if named else Path(manifest).stem
        before = found.setdefault(name, Dataset(name=name, manifest=Path(manifest), features=()))
        if before.manifest != Path(manifest):
            raise ConfigError(
                f"--on calls both {before.manifest} and {manifest} {name!r}; "
                "name them, as in --on faces=FEATURES:MANIFEST"
            )
        found[name] = replace(before, features=(*before.features, Path(features)))
    return list(found.values())


def name_bundles(bundles: Sequence[Path]) -> list[str]:
    """The folders' names; whole paths where two are alike.

    Raises:
        ConfigError: one bundle is given twice.
    """
    if len({path.resolve() for path in bundles}) < len(bundles):
        raise ConfigError("a bundle is given twice; give each once")
    short = [path.resolve().name for path in bundles]
    return short if len(set(short)) == len(short) else [str(path) for path in bundles]


def measure_cell(
    opened: Bundle,
    stored: Sequence[Features],
    rows: Manifest,
    *,
    bundle: str,
    dataset: str,
    split: str,
    seen: str,
    params: Params,
) -> Cell:
    """Scores one data set by one bundle; `seen` is what the leak guard returned.

    Raises:
        MismatchError, DatasetError: as `evaluate_matrix`.
    """
    features = find_fitting(opened, stored, bundle=bundle, dataset=dataset)
    sequences = load_split(features, rows.split(split), split=split, dataset=dataset)
    scores = opened.score(sequences)
    baseline = None
    try:
        evaluation = measure(
            sequences,
            scores,
            threshold=opened.head.threshold,
            params=params,
            log10_lrs=told_ratios(opened, opened.head, sequences, scores),
        )
        if opened.baseline is not None:
            baseline = measure(
                sequences,
                opened.score(sequences, baseline=True),
                threshold=opened.baseline.threshold,
                params=params,
            ).metrics["auc"]
    except DatasetError as error:
        error.add_note(f"of {bundle} on the {split} split of {dataset}")
        raise
    return Cell(
        bundle=bundle,
        dataset=dataset,
        evaluation=evaluation,
        baseline=baseline,
        own=bool(seen_among(rows.videos, opened.trained_on.values()).paths),
        seen=seen,
        training_leaks=tuple(training_leaks(opened)),
        note=opened.check_recipe(features.recipe.to_json()),
        failed=sequences.missing,
        sequences=sequences,
        scores=scores.tolist(),
    )


def find_fitting(
    opened: Bundle, stored: Sequence[Features], *, bundle: str, dataset: str
) -> Features:
    """The features that this bundle can read; those of its own pixels version first.

    Raises:
        MismatchError: there are none.
    """
    problem: MismatchError | None = None
    other: Features | None = None
    for features in stored:
        try:
            if not opened.check_recipe(features.recipe.to_json()):
                return features
            other = other or features
        except MismatchError as error:
            problem = error
    if other is not None:
        return other
    raise MismatchError(
        f"no features of {dataset} fit {bundle}: {problem}; give further features of it by "
        "another --on under the same name"
    ) from problem
