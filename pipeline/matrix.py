"""`unmask evaluate BUNDLE... --on ...`: trained here, tested there, from cached features.

A row for each bundle, a column for each data set. The leak guard stands before every cell.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import ConfigError, DatasetError, LeakError, MismatchError, plain
from data.folders import check_replaceable, replace_folder, write_json
from data.manifest import LABEL_NAMES, Manifest
from features.published import Features
from features.sequences import Sequences, load_sequences
from models.bundle import Bundle
from models.evaluate import Estimate, Evaluation, evaluate
from pipeline.config import Params
from pipeline.evaluation import RENDERED, seen_before
from pipeline.matrix_page import render_matrix
from pipeline.results import SHOWN, interval

MARKER = "matrix.json"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A column: one manifest, and features of its videos, one folder for each backbone."""

    name: str
    manifest: Path
    features: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One bundle on one data set.

    Attributes:
        bundle: name of the row.
        dataset: name of the column.
        evaluation: of the head.
        baseline: AUC of the mean-pool baseline; None where the bundle has none.
        own: whether the bundle was trained on other videos of this manifest.
        seen: what of these very videos was seen in training, in words; empty if nothing.
        failed: paths of videos without features.
        sequences: that were scored.
        scores: P(fake) of each.
    """

    bundle: str
    dataset: str
    evaluation: Evaluation
    baseline: Estimate | None
    own: bool
    seen: str
    failed: tuple[str, ...]
    sequences: Sequences
    scores: Sequence[float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        facts = self.evaluation.to_json() | {
            "own": self.own,
            "seen_in_training": self.seen,
            "failed": len(self.failed),
        }
        if self.baseline is not None:
            facts |= {"baseline_auc": self.baseline.value, "baseline_auc_low": self.baseline.low}
            facts["baseline_auc_high"] = self.baseline.high
        return facts


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """All cells, row by row.

    Attributes:
        bundles: names of the rows.
        datasets: names of the columns.
        cells: (bundle, data set) -> cell.
        split: that was measured.
        rendered: whether all forgeries are rendered, not deepfakes.
        facts: for the page's card.
    """

    bundles: Sequence[str]
    datasets: Sequence[str]
    cells: dict[tuple[str, str], Cell]
    split: str
    rendered: bool
    facts: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """What matrix.json holds."""
        return {
            "matrix": {
                bundle: {name: self.cells[bundle, name].to_json() for name in self.datasets}
                for bundle in self.bundles
            },
            "split": self.split,
        }


def evaluate_matrix(
    bundles: Sequence[Path],
    out: Path,
    *,
    on: Sequence[str],
    split: str,
    allow_seen: bool,
    params: Params,
    quiet: bool,
) -> dict[str, Any]:
    """Measures every bundle on every data set and writes the folder of results.

    Returns:
        What matrix.json holds.

    Raises:
        ConfigError: `on` cannot be read.
        LeakError: a cell's video or group was seen in training, and `allow_seen` is false.
        MismatchError: a data set has no features that fit a bundle.
        DatasetError: a cell has nothing to evaluate, or one class only.
    """
    datasets = read_datasets(on)
    check_replaceable(out, marker=MARKER)
    names = name_bundles(bundles)
    manifests = {one.name: Manifest.read(one.manifest) for one in datasets}
    stored = {one.name: [Features(folder) for folder in one.features] for one in datasets}
    cells = {}
    for name, path in zip(names, bundles, strict=True):
        opened = Bundle.load(path)
        for one in datasets:
            cells[name, one.name] = measure_cell(
                opened, stored[one.name], manifests[one.name],
                bundle=name, dataset=one.name, split=split, allow_seen=allow_seen, params=params,
            )  # fmt: skip
    forged = {
        video.method for rows in manifests.values() for video in rows.split(split) if video.label
    }
    given = " ".join([*map(str, bundles), *(f"--on {text}" for text in on)])
    matrix = Matrix(
        bundles=names,
        datasets=[one.name for one in datasets],
        cells=cells,
        split=split,
        rendered=all(method.startswith(RENDERED) for method in forged),
        facts={
            "command": f"unmask evaluate {given} --split {split}",
            "bootstrap": f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
        },
    )
    write_matrix(matrix, out)
    if not quiet:
        print("\n".join(told(matrix)))
        print(f"report: {out / 'report.html'}")
    return matrix.to_json()


def read_datasets(on: Sequence[str]) -> list[Dataset]:
    """The columns; a name that is given twice has features of several backbones.

    Raises:
        ConfigError: not "[NAME=]FEATURES:MANIFEST", or one name for two manifests.
    """
    found: dict[str, Dataset] = {}
    for text in on:
        head, equals, rest = text.partition("=")
        named = bool(equals) and "/" not in head and ":" not in head
        features, colon, manifest = (rest if named else text).rpartition(":")
        if not colon or not features or not manifest or (named and not head):
            raise ConfigError(f"--on must be [NAME=]FEATURES:MANIFEST, got {text!r}")
        name = head if named else Path(manifest).stem
        before = found.get(name)
        if before is None:
            found[name] = Dataset(name=name, manifest=Path(manifest), features=(Path(features),))
        elif before.manifest != Path(manifest):
            raise ConfigError(
                f"--on calls both {before.manifest} and {manifest} {name!r}; "
                "name them, as in --on faces=FEATURES:MANIFEST"
            )
        else:
            folders = (*before.features, Path(features))
            found[name] = Dataset(name=name, manifest=before.manifest, features=folders)
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
    allow_seen: bool,
    params: Params,
) -> Cell:
    """Scores one data set by one bundle.

    Raises:
        LeakError, MismatchError, DatasetError: as `evaluate_matrix`.
    """
    videos = rows.split(split)
    seen = seen_before(opened, videos)
    if seen and not allow_seen:
        raise LeakError(
            f"{bundle} on {dataset}: {seen}; test it on videos of other people, or pass "
            "--allow-seen, which marks the cell"
        )
    features = fitting(opened, stored, bundle=bundle, dataset=dataset)
    sequences = load_sequences(features, videos)
    if not len(sequences):
        raise DatasetError(f"{features.folder} has no features of the {split} split of {dataset}")

    def measure(baseline: bool) -> tuple[Evaluation, list[float]]:
        scores = opened.score(sequences, baseline=baseline)
        head = opened.baseline if baseline and opened.baseline else opened.head
        found = evaluate(
            sequences.labels,
            scores,
            sequences.groups,
            sequences.methods,
            threshold=head.threshold,
            rounds=params.evaluate.rounds,
            confidence=params.evaluate.confidence,
            seed=params.seed,
        )
        return found, scores.tolist()

    try:
        evaluation, scores = measure(False)
        plainer = measure(True)[0].metrics["auc"] if opened.baseline is not None else None
    except DatasetError as error:
        error.add_note(f"of {bundle} on the {split} split of {dataset}")
        raise
    trained = {sha256 for part in opened.trained_on.values() for sha256 in part.get("sha256s", ())}
    return Cell(
        bundle=bundle,
        dataset=dataset,
        evaluation=evaluation,
        baseline=plainer,
        own=any(video.sha256 in trained for video in rows.videos),
        seen=seen,
        failed=sequences.missing,
        sequences=sequences,
        scores=scores,
    )


def fitting(opened: Bundle, stored: Sequence[Features], *, bundle: str, dataset: str) -> Features:
    """The features that this bundle reads.

    Raises:
        MismatchError: there are none.
    """
    problem: MismatchError | None = None
    for features in stored:
        try:
            opened.check_recipe(features.recipe.to_json())
        except MismatchError as error:
            problem = error
        else:
            return features
    raise MismatchError(
        f"no features of {dataset} fit {bundle}: {problem}; give further features of it by "
        "another --on under the same name"
    ) from problem


def write_matrix(matrix: Matrix, out: Path) -> None:
    """Writes matrix.json, matrix.csv, predictions.csv and report.html, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    ends = ("", "_low", "_high")
    metrics = [name + end for name in SHOWN for end in ends]
    with replace_folder(out, marker=MARKER) as new:
        write_json(new / MARKER, matrix.to_json())
        with (new / "matrix.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["bundle", "data set", "own", "videos", "groups", "failed", *metrics])
            for cell in matrix.cells.values():
                facts = cell.to_json()
                writer.writerow([cell.bundle, cell.dataset, "yes" if cell.own else "no",
                                 facts["videos"], facts["groups"], facts["failed"],
                                 *(facts[name] for name in metrics)])  # fmt: skip
        with (new / "predictions.csv").open(
            "w", encoding="utf-8", newline="", errors="backslashreplace"
        ) as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["bundle", "data set", "path", "label", "group", "method", "score"])
            for cell in matrix.cells.values():
                these = cell.sequences
                for row, score in enumerate(cell.scores):
                    writer.writerow([cell.bundle, cell.dataset, these.paths[row],
                                     LABEL_NAMES[int(these.labels[row])], these.groups[row],
                                     these.methods[row], f"{score:.9g}"])  # fmt: skip
        (new / "report.html").write_text(render_matrix(matrix), encoding="utf-8")


def told(matrix: Matrix) -> list[str]:
    """AUC by bundle and data set as lines of text."""
    rows = [
        [bundle]
        + [
            interval(matrix.cells[bundle, name].to_json(), "auc")
            + "*" * matrix.cells[bundle, name].own
            for name in matrix.datasets
        ]
        for bundle in matrix.bundles
    ]
    head = ["AUC, trained on / tested on", *matrix.datasets]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    if any(cell.own for cell in matrix.cells.values()):
        lines.append("* trained on other videos of this data set")
    lines += [
        f"warning: {cell.bundle} on {cell.dataset}: {cell.seen}"
        for cell in matrix.cells.values()
        if cell.seen
    ]
    return [plain(line) for line in lines]
