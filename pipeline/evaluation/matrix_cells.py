"""The cells of a cross-data-set matrix: as files, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.datasets.manifest import LABEL_NAMES
from data.errors import plain
from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import replace_folder, write_json
from features.sequences.dataset import Sequences
from models.evaluation.evaluate import Estimate, Evaluation, level_percent
from pipeline.evaluation.results import SHOWN, interval
from pipeline.leakage import MARK

MARKER = "matrix.json"


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
        marks: what a reader must know of the bundle's own training.
        failed: paths of videos without features.
        sequences: that were scored.
        scores: P(fake) of each.
        note: what to say of the features' pixels version; empty where it is the bundle's.
    """

    bundle: str
    dataset: str
    evaluation: Evaluation
    baseline: Estimate | None
    own: bool
    seen: str
    marks: tuple[str, ...]
    failed: tuple[str, ...]
    sequences: Sequences
    scores: Sequence[float]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        facts = self.evaluation.to_json() | {
            "own": self.own,
            "seen_in_training": self.seen,
            "failed": len(self.failed),
        }
        if self.marks:
            facts[MARK] = "; ".join(self.marks)
        if self.baseline is not None:
            facts |= {"baseline_auc": self.baseline.value, "baseline_auc_low": self.baseline.low}
            facts["baseline_auc_high"] = self.baseline.high
        return facts | ({"pixels_note": self.note} if self.note else {})


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

    @property
    def marks(self) -> list[str]:
        """Those of all bundles, each with its bundle's name."""
        return list(
            dict.fromkeys(
                f"{one.bundle}: {mark}" for one in self.cells.values() for mark in one.marks
            )
        )

    @property
    def confidence(self) -> float:
        """Of all intervals."""
        return next(iter(self.cells.values())).evaluation.confidence

    def to_json(self) -> dict[str, Any]:
        """What matrix.json holds."""
        return {
            "matrix": {
                bundle: {name: self.cells[bundle, name].to_json() for name in self.datasets}
                for bundle in self.bundles
            },
            "split": self.split,
            "confidence": self.confidence,
        }


def write_matrix(matrix: Matrix, out: Path, page: str) -> None:
    """Writes matrix.json, matrix.csv, predictions.csv and report.html, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    ends = ("", "_low", "_high")
    metrics = [name + end for name in SHOWN for end in ends]
    with replace_folder(out, marker=MARKER) as new:
        write_json(new / MARKER, matrix.to_json())
        header = ["bundle", "data set", "own", "videos", "groups", "failed", *metrics]
        rows: list[list[Any]] = []
        for cell in matrix.cells.values():
            facts = cell.to_json()
            rows.append([cell.bundle, cell.dataset, "yes" if cell.own else "no",
                         facts["videos"], facts["groups"], facts["failed"],
                         *(facts[name] for name in metrics)])  # fmt: skip
        write_plain(new / "matrix.csv", as_csv(header, rows))
        header = ["bundle", "data set", "path", "label", "group", "method", "score"]
        rows = []
        for cell in matrix.cells.values():
            these = cell.sequences
            for row, score in enumerate(cell.scores):
                rows.append([cell.bundle, cell.dataset, these.paths[row],
                             LABEL_NAMES[int(these.labels[row])], these.groups[row],
                             these.methods[row], f"{score:.9g}"])  # fmt: skip
        write_plain(new / "predictions.csv", as_csv(header, rows))
        write_plain(new / "report.html", page)


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
    lines.append(f"{level_percent(matrix.confidence)} % intervals in brackets")
    if any(cell.own for cell in matrix.cells.values()):
        lines.append("* trained on other videos of this data set")
    lines += [
        f"warning: {cell.bundle} on {cell.dataset}: {cell.seen}"
        for cell in matrix.cells.values()
        if cell.seen
    ]
    lines += [f"warning: {line}" for line in matrix.marks]
    return [plain(line) for line in lines]
