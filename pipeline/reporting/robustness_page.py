"""The page of `unmask robustness`: AUC by corruption and by severity, a table, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data.video.corruptions import FAMILIES
from pipeline.evaluation.corruption_results import CorruptionResult, CorruptionResults
from pipeline.reporting.charts.primitives import (
    FAKE,
    REAL,
    Level,
    Plot,
    Point,
    Rows,
    Series,
    fitted_axis,
    interval_row,
    unit_axis,
)
from pipeline.reporting.page import render

MOST = 100
"""Rows of the table of failures."""
MEASURES = {
    "auc": ("AUC", "blue", "solid", 2.5),
    "recall_fake": ("fakes caught", FAKE, "dotted", 1.5),
    "recall_real": ("reals cleared", REAL, "dotted", 1.5),
}
"""Lines of a chart: name, colour, style, width in pixels."""


def render_robustness(results: CorruptionResults) -> str:
    """Writes the page as text."""
    by_family: dict[str, list[CorruptionResult]] = {}
    for step in results.steps[1:]:
        by_family.setdefault(step.corruption.family, []).append(step)
    return render(
        "robustness.jinja",
        results=results,
        families=FAMILIES,
        overview=overview(results),
        charts={
            family: against_severity(family, steps, results.originals.metrics["auc"].value)
            for family, steps in by_family.items()
            if len(steps) > 1
        },
        most=MOST,
    )


def overview(results: CorruptionResults) -> Rows:
    """A row for each corruption: AUC with its interval."""
    aucs = {
        step.corruption.name: step.evaluation.metrics["auc"]
        for step in results.steps
        if step.evaluation is not None
    }
    first = next(iter(aucs.values()))
    ends = [end for auc in aucs.values() for end in (auc.low, auc.high)]
    return Rows(
        words="AUC of the originals and of each corruption, with intervals",
        axis=fitted_axis("AUC", ends, room=0.04),
        rows=[interval_row(name, auc.value, auc.low, auc.high) for name, auc in aucs.items()],
        band=(first.low, first.high),
    )


def against_severity(family: str, steps: Sequence[CorruptionResult], original: float) -> Plot:
    """AUC and both recalls against how much was done; a line where the originals' AUC is."""
    held = sorted(
        (
            (step.corruption, step.evaluation.metrics)
            for step in steps
            if step.evaluation is not None
        ),
        key=lambda one: one[0].severity,
    )
    series = []
    for name, (word, colour, line, width) in MEASURES.items():
        points = []
        for corruption, metrics in held:
            one, ends = metrics[name], f"{metrics[name].low:.3f} to {metrics[name].high:.3f}"
            point = Point(x=corruption.severity, y=one.value, low=one.low, high=one.high,
                          cells=(corruption.name, word, f"{one.value:.3f}", ends))  # fmt: skip
            points.append(point if name == "auc" else replace(point, low=None, high=None))
        series.append(Series(name=word, colour=colour, points=points, line=line, width=width))
    return Plot(
        words=f"AUC, fakes caught and reals cleared against {FAMILIES[family]}",
        x=fitted_axis(FAMILIES[family], [corruption.severity for corruption, _ in held], room=0.04),
        y=unit_axis(""),
        series=series,
        levels=[Level(value=original, name="AUC of the originals", colour="blue")],
        head=("corruption", "measure", "value", "interval"),
    )
