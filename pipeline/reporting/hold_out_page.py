"""The page of `unmask evaluate --hold-out`: how a detector does on methods that it never saw."""

from __future__ import annotations

from pipeline.hold_out.result import HELD_OUT_SHOWN, HoldOutReport
from pipeline.reporting.charts.primitives import Rows, interval_row, unit_axis
from pipeline.reporting.page import render

MOST = 100
"""Rows of the table of videos without features."""


def render_held_out(report: HoldOutReport) -> str:
    """Writes the page as text."""
    return render(
        "hold_out.jinja",
        report=report,
        first=report.detectors[0],
        shown=HELD_OUT_SHOWN,
        methods=method_aucs(report),
        most=MOST,
    )


def method_aucs(report: HoldOutReport) -> Rows:
    """AUC of the first detector on each method, the lowest first."""
    parts = report.detectors[0].evaluation.methods
    return Rows(
        words="AUC on the fakes of each held-out method, with intervals",
        axis=unit_axis("AUC"),
        rows=[
            interval_row(f"{name} ({one.videos})", one.auc.value, one.auc.low, one.auc.high)
            for name, one in sorted(parts.items(), key=lambda part: (part[1].auc.value, part[0]))
        ],
    )
