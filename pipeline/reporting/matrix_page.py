"""The page of a cross-data-set matrix: a heat map and all numbers."""

from __future__ import annotations

import numpy as np

from models.evaluation.evaluate import level_percent
from pipeline.evaluation.matrix import Cell, Matrix
from pipeline.reporting.figures import BLUES, Figure, layout
from pipeline.reporting.markup import card, escape, percent, table, told
from pipeline.reporting.page import place, render

MOST = 100
"""Rows of the table of videos that failed."""


def render_matrix(matrix: Matrix) -> str:
    """Writes the page as text."""
    seen = [cell for cell in matrix.cells.values() if cell.seen]
    body = [
        f'<div class="answer">{answer(matrix)}</div>',
        *(
            f'<p class="warning">Not a fair test: {escape(cell.bundle)} on '
            f"{escape(cell.dataset)}: {escape(cell.seen)}.</p>"
            for cell in seen
        ),
        *(f'<p class="warning">{escape(mark)}.</p>' for mark in matrix.training_leaks),
        "<h2>AUC: trained on (rows), tested on (columns)</h2>",
        place(
            "matrix",
            f"{level_percent(matrix.confidence)}% intervals by groups; * trained on other videos "
            "of this data set",
        ),
        "<h2>In numbers</h2>",
        numbers(matrix),
        "<h2>Videos that failed</h2>",
        failures(matrix),
        "<h2>How it was made</h2>",
        f'<div class="pair cards">{card("Again", matrix.facts)}</div>',
    ]
    return render("How far these detectors carry", "\n".join(body), {"matrix": heat_map(matrix)})


def answer(matrix: Matrix) -> str:
    """At home, elsewhere, the worst; HTML."""
    cells = list(matrix.cells.values())
    videos = sum(
        matrix.cells[matrix.bundles[0], name].evaluation.videos for name in matrix.datasets
    )
    text = (
        f"<p>{_count(len(matrix.bundles), 'bundle')} on {_count(len(matrix.datasets), 'data set')}"
        f", {videos} videos of the {escape(matrix.split)} splits. "
    )
    home = [cell for cell in cells if cell.own]
    away = [cell for cell in cells if not cell.own]
    for word, part in (("On data sets that they were trained on", home), ("On others", away)):
        if part:
            values = [_auc(cell) for cell in part]
            text += f"{word} the AUC is <strong>{np.mean(values):.3f}</strong> on average"
            text += f" ({min(values):.3f} to {max(values):.3f}). " if len(values) > 1 else ". "
    if away:
        worst = min(away, key=_auc)
        auc = worst.evaluation.metrics["auc"]
        text += (
            f"The worst is {escape(worst.bundle)} on {escape(worst.dataset)}: {auc.value:.3f} "
            f"({auc.low:.3f} to {auc.high:.3f}). "
        )
    text += (
        "</p><p>Each bundle keeps the threshold that was chosen on its own validation videos; "
        "balanced accuracy far below the AUC says that it does not carry over. "
    )
    if matrix.rendered:
        text += "These are rendered forgeries of made-up people, not deepfakes. "
    return text + "Data sets that share footage or makers are no independent test.</p>"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _auc(cell: Cell) -> float:
    return cell.evaluation.metrics["auc"].value


def heat_map(matrix: Matrix) -> Figure:
    """AUC by bundle and data set, the colour from chance to perfect."""
    rows = [[matrix.cells[bundle, name] for name in matrix.datasets] for bundle in matrix.bundles]
    trace = {
        "type": "heatmap",
        "z": [[_auc(cell) for cell in row] for row in rows],
        "x": list(matrix.datasets),
        "y": list(matrix.bundles),
        "text": [[_words(cell) for cell in row] for row in rows],
        "texttemplate": "%{text}",
        "zmin": 0.5,
        "zmax": 1,
        "colorscale": BLUES,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "trained on %{y}, tested on %{x}<br>%{text}<extra></extra>",
    }
    wide = 24 + 7 * max(len(name) for name in matrix.bundles)
    category = {"type": "category", "showgrid": False, "automargin": True}
    return {
        "data": [trace],
        "layout": layout(
            "",
            "",
            xaxis={**category, "side": "top"},
            yaxis={**category, "autorange": "reversed"},
            height=60 + 84 * len(matrix.bundles),
            margin={"l": min(wide, 140), "r": 16, "t": 48, "b": 12},
        ),
    }


def _words(cell: Cell) -> str:
    """What stands in a field of the heat map."""
    auc = cell.evaluation.metrics["auc"]
    mark = "*" * cell.own + " (seen)" * bool(cell.seen)
    return f"{auc.value:.3f}{mark}<br>{auc.low:.2f} to {auc.high:.2f}"


def numbers(matrix: Matrix) -> str:
    """Every cell, in numbers."""
    head = ["bundle", "tested on", "videos", "groups", "AUC", "mean-pool baseline", "EER",
            "balanced accuracy", "fakes caught", "reals cleared"]  # fmt: skip
    rows = []
    for cell in matrix.cells.values():
        metrics = cell.evaluation.metrics
        rows.append(
            [
                escape(cell.bundle),
                escape(cell.dataset) + "*" * cell.own,
                cell.evaluation.videos,
                cell.evaluation.groups,
                told(metrics["auc"]),
                told(cell.baseline) if cell.baseline else "",
                told(metrics["eer"]),
                percent(metrics["balanced_accuracy"]),
                percent(metrics["recall_fake"]),
                percent(metrics["recall_real"]),
            ]
        )
    return table(head, rows)


def failures(matrix: Matrix) -> str:
    """Videos without features: in no number."""
    pairs = sorted({(cell.dataset, path) for cell in matrix.cells.values() for path in cell.failed})
    if not pairs:
        return "<p>None: every video gave features.</p>"
    more = f"<p>{len(pairs)} in all.</p>" if len(pairs) > MOST else ""
    rows = [[escape(name), escape(path)] for name, path in pairs[:MOST]]
    return "<p>These were not scored.</p>" + table(["data set", "video"], rows) + more
