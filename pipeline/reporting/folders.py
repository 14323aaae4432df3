"""Folders of results: files for programs and a page, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.datasets.manifest import LABEL_NAMES
from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import replace_folder, write_json
from pipeline.evaluation.corruption_results import ROBUSTNESS, CorruptionResults
from pipeline.evaluation.matrix import MATRIX, Cell, Matrix
from pipeline.evaluation.results import METRICS, SHOWN, SUMMARY, Report
from pipeline.hold_out.result import HOLD_OUT, HoldOutReport
from pipeline.reporting.hold_out_page import render_held_out
from pipeline.reporting.matrix_page import render_matrix
from pipeline.reporting.report import render_page
from pipeline.reporting.robustness_page import render_robustness

PAGE = "report.html"
ENDS = ("", "_low", "_high")
"""Of a metric's columns: its value and its interval."""
ROBUSTNESS_COLUMNS = ("auc", "balanced_accuracy", "recall_fake", "recall_real", "auc_drop")


def write_report(report: Report, out: Path) -> None:
    """Writes the folder of `evaluate`; an older one is replaced.

    metrics.json has everything that was measured, summary.json and the CSV files are what DVC
    shows, report.html is for people.

    Raises:
        OutputError: it cannot be written.
    """
    first, result = report.first
    predictions = [(row, LABEL_NAMES[row.label]) for row in report.predictions]
    threshold = result.evaluation.threshold
    epochs = list(result.history[0]) if result.history else ["epoch"]
    with replace_folder(out, marker=METRICS) as new:
        write_json(new / METRICS, report.metrics)
        write_json(new / SUMMARY, report.summary)
        rows = [
            [
                row.path,
                label,
                row.group,
                row.method,
                *(
                    # float32 of a head of ours; all digits of another detector's, for no new ties
                    f"{row.scores[m]:.9g}" if report.external is None else repr(row.scores[m])
                    for m in report.models
                ),
            ]
            for row, label in predictions
        ]
        header = ["path", "label", "group", "method", *report.models]
        write_plain(new / "predictions.csv", as_csv(header, rows))
        weighed = [name for name, one in report.models.items() if one.likelihood_ratio is not None]
        scaled = (
            []
            if report.external is None
            else [name for name in report.models if report.probabilities_of(name) is not None]
        )
        evidence = (
            [
                row.path,
                label,
                int(row.novel),
                *(f"{row.log10_lrs[name]:.6g}" for name in weighed),
                *(repr(row.p_fake[name]) for name in scaled),
            ]
            for row, label in predictions
        )
        header = ["path", "label", "novel", *(f"log10_lr_{name}" for name in weighed)]
        header += [f"p_fake_{name}" for name in scaled]
        write_plain(new / "evidence.csv", as_csv(header, evidence))
        curve = zip(*result.evaluation.roc, strict=True)
        write_plain(new / "roc.csv", as_csv(["fpr", "tpr", "threshold"], curve))
        called = (
            [label, LABEL_NAMES[row.scores[first] >= threshold]] for row, label in predictions
        )
        write_plain(new / "confusion.csv", as_csv(["actual", "predicted"], called))
        scores = ([f"{row.scores[first]:.6f}", label] for row, label in predictions)
        write_plain(new / "histogram.csv", as_csv(["score", "label"], scores))
        history = ([row[column] for column in epochs] for row in result.history)
        write_plain(new / "learning_curve.csv", as_csv(epochs, history))
        write_plain(new / PAGE, render_page(report))


def write_matrix(matrix: Matrix, out: Path) -> None:
    """Writes the folder of `evaluate --on`; an older one is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    metrics = [name + end for name in SHOWN for end in ENDS]
    cells: list[tuple[Cell, Mapping[str, Any]]]
    cells = [(cell, cell.to_json()) for cell in matrix.cells.values()]
    with replace_folder(out, marker=MATRIX) as new:
        write_json(new / MATRIX, matrix.to_json())
        header = ["bundle", "data set", "own", "videos", "groups", "failed", *metrics]
        rows = [
            [cell.bundle, cell.dataset, "yes" if cell.own else "no",
             *(facts[name] for name in ("videos", "groups", "failed", *metrics))]
            for cell, facts in cells
        ]  # fmt: skip
        write_plain(new / "matrix.csv", as_csv(header, rows))
        header = ["bundle", "data set", "path", "label", "group", "method", "score"]
        rows = [
            [cell.bundle, cell.dataset, path, LABEL_NAMES[label], group, method, f"{score:.9g}"]
            for cell, _ in cells
            for path, label, group, method, score in zip(
                cell.sequences.paths, cell.sequences.labels.tolist(), cell.sequences.groups,
                cell.sequences.methods, cell.scores, strict=True,
            )
        ]  # fmt: skip
        write_plain(new / "predictions.csv", as_csv(header, rows))
        write_plain(new / PAGE, render_matrix(matrix))


def write_held_out(report: HoldOutReport, out: Path) -> None:
    """Writes the folder of `evaluate --hold-out`; an older one is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    with replace_folder(out, marker=HOLD_OUT) as new:
        write_json(new / HOLD_OUT, report.to_json())
        header = ["detector", "method", "videos", "groups", *(f"auc{end}" for end in ENDS)]
        rows = [
            [one.name, method, part.videos, part.groups, *part.auc.to_json("auc").values()]
            for one in report.detectors
            for method, part in one.evaluation.methods.items()
        ]
        write_plain(new / "methods.csv", as_csv(header, rows))
        header = ["path", "label", "group", "method", "score"]
        rows = [
            [video.path, LABEL_NAMES[video.label], video.group, video.method, f"{score:.9g}"]
            for video, score in zip(report.videos, report.scores.tolist(), strict=True)
        ]
        write_plain(new / "predictions.csv", as_csv(header, rows))
        write_plain(new / PAGE, render_held_out(report))


def write_robustness(results: CorruptionResults, new: Path) -> None:
    """Writes the files of `robustness` into a folder, which holds the features already."""
    write_json(new / ROBUSTNESS, results.to_json())
    metrics = [name + end for name in ROBUSTNESS_COLUMNS for end in ENDS]
    rows = []
    for step in results.steps:
        one = step.corruption
        facts: Mapping[str, Any] = step.to_json()
        rows.append([one.name, one.family, one.severity, facts.get("videos", 0), step.failed,
                     *(facts.get(name, "") for name in metrics)])  # fmt: skip
    header = ["rung", "family", "severity", "videos", "failed", *metrics]
    write_plain(new / "robustness.csv", as_csv(header, rows))
    failed = ((name, one.path, one.failure, one.message) for name, one in results.failures)
    write_plain(new / "failures.csv", as_csv(["rung", "path", "class", "message"], failed))
    write_plain(new / PAGE, render_robustness(results))
