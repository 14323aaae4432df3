"""`unmask evaluate BUNDLE... --on ...`: trained here, tested there, from cached features.

A row for each bundle, a column for each data set. The leak guard is asked for all cells before the
first one is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.datasets.manifest import Manifest
from data.errors import ConfigError, DatasetError, MismatchError, plain
from data.io.atomic_folders import check_replaceable
from data.io.progress import log
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features
from models.bundle import Bundle
from models.evaluation.evaluate import Evaluation, evaluate, level_percent
from pipeline.config import Params, as_options
from pipeline.evaluation.evaluate import RENDERED
from pipeline.evaluation.matrix_cells import MARKER, Cell, Matrix, told, write_matrix
from pipeline.leakage import learnt_from_any, marks_of, refuse_seen
from pipeline.reporting.matrix_page import render_matrix
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A column: one manifest, and features of its videos, one folder for each backbone."""

    name: str
    manifest: Path
    features: tuple[Path, ...]


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
            bundle=name, dataset=one, split=split, seen=told_before, params=params,
        )
        for (name, one), told_before in seen.items()
    }  # fmt: skip
    forged = {
        video.method for rows in manifests.values() for video in rows.split(split) if video.label
    }
    given = command_line(
        "unmask",
        "evaluate",
        *bundles,
        *(word for text in on for word in ("--on", text)),
        *("--split", split, *(("--allow-seen",) if allow_seen else ()), "-o", "MATRIX"),
    )
    matrix = Matrix(
        bundles=names,
        datasets=[one.name for one in datasets],
        cells=cells,
        split=split,
        rendered=all(method.startswith(RENDERED) for method in forged),
        facts={
            "command": " ".join([given, *as_options(params, ("seed", "evaluate"))]),
            "bootstrap": f"{level_percent(params.evaluate.confidence)} % intervals by "
            f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
        },
    )
    write_matrix(matrix, out, render_matrix(matrix))
    for cell in cells.values():
        if cell.note:
            log.warning(f"{cell.bundle} on {cell.dataset}: {cell.note}")
    if not quiet:
        print("\n".join(told(matrix)))
        print(plain(f"report: {out / 'report.html'}"))
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
    seen: str,
    params: Params,
) -> Cell:
    """Scores one data set by one bundle; `seen` is what the leak guard let through.

    Raises:
        MismatchError, DatasetError: as `evaluate_matrix`.
    """
    videos = rows.split(split)
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
    return Cell(
        bundle=bundle,
        dataset=dataset,
        evaluation=evaluation,
        baseline=plainer,
        own=learnt_from_any(opened, rows.videos),
        seen=seen,
        marks=tuple(marks_of(opened)),
        note=opened.check_recipe(features.recipe.to_json()),
        failed=sequences.missing,
        sequences=sequences,
        scores=scores,
    )


def fitting(opened: Bundle, stored: Sequence[Features], *, bundle: str, dataset: str) -> Features:
    """The features that this bundle reads; those of its own pixels version first.

    Raises:
        MismatchError: there are none.
    """
    problem: MismatchError | None = None
    noted: Features | None = None
    for features in stored:
        try:
            note = opened.check_recipe(features.recipe.to_json())
        except MismatchError as error:
            problem = error
        else:
            if not note:
                return features
            noted = noted or features
    if noted is not None:
        return noted
    raise MismatchError(
        f"no features of {dataset} fit {bundle}: {problem}; give further features of it by "
        "another --on under the same name"
    ) from problem
