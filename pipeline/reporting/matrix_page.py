"""The page of a cross-data-set matrix: a heat map and all numbers."""

from __future__ import annotations

from pipeline.evaluation.matrix import Matrix
from pipeline.reporting.page import render

MOST = 100
"""Rows of the table of videos that failed."""


def render_matrix(matrix: Matrix) -> str:
    """Writes the page as text."""
    return render("matrix.jinja", matrix=matrix, most=MOST)
