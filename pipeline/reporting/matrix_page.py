"""The page of a cross-data-set matrix: a heat map and all numbers."""

from __future__ import annotations

from pipeline.evaluation.matrix import Cell, Matrix
from pipeline.reporting.page import render

MOST = 100
"""Rows of the table of videos that failed."""


def render_matrix(matrix: Matrix) -> str:
    """Writes the page as text."""
    cells = list(matrix.cells.values())
    home, away = [cell for cell in cells if cell.own], [cell for cell in cells if not cell.own]
    return render(
        "matrix.jinja",
        matrix=matrix,
        cells=cells,
        videos=sum(
            matrix.cells[matrix.bundles[0], name].evaluation.videos for name in matrix.datasets
        ),
        home=[_auc(cell) for cell in home],
        away=[_auc(cell) for cell in away],
        worst=min(away, key=_auc, default=None),
        failed=sorted({(cell.dataset, path) for cell in cells for path in cell.failed}),
        most=MOST,
    )


def _auc(cell: Cell) -> float:
    return cell.evaluation.metrics["auc"].value
