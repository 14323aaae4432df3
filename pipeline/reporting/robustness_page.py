"""The page of `unmask robustness`: AUC on each rung and against severity, a table, what failed."""

from __future__ import annotations

from collections.abc import Sequence

from data.video.corruptions import FAMILIES
from pipeline.evaluation.corruption_results import Ladder, Step
from pipeline.reporting.charts import (
    FAKE,
    REAL,
    Level,
    Plot,
    Point,
    Row,
    Rows,
    Series,
    fitted_axis,
    unit_axis,
)
from pipeline.reporting.page import render

MOST = 100
"""Rows of the table of failures."""
MEASURES = {
    "auc": ("AUC", "blue", "solid"),
    "recall_fake": ("fakes caught", FAKE, "dotted"),
    "recall_real": ("reals cleared", REAL, "dotted"),
}
"""Lines of a chart: name, colour and style."""


def render_robustness(ladder: Ladder) -> str:
    """Writes the page as text."""
    first = ladder.steps[0].evaluation
    assert first is not None  # noqa: S101 - `climb` refuses originals that cannot be measured
    by_family: dict[str, list[Step]] = {}
    for step in ladder.steps[1:]:
        by_family.setdefault(step.rung.family, []).append(step)
    measured = [step for step in ladder.steps if step.drop is not None]
    return render(
        "robustness.jinja",
        ladder=ladder,
        first=first,
        worst=max(measured, key=lambda one: one.drop.value if one.drop else 0.0, default=None),
        measured=measured,
        families=FAMILIES,
        overview=overview(ladder),
        charts={
            family: against_severity(family, steps, first.metrics["auc"].value)
            for family, steps in by_family.items()
            if len(steps) > 1
        },
        most=MOST,
    )


def overview(ladder: Ladder) -> Rows:
    """A row for each degradation: AUC with its interval."""
    held = [
        (step.rung.name, step.evaluation.metrics["auc"])
        for step in ladder.steps
        if step.evaluation is not None
    ]
    first = held[0][1]
    rows = []
    for name, auc in held:
        value = f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})"
        dot = Point(x=auc.value, words=f"{name}: {value}")
        rows.append(Row(name=name, value=value, dots=[dot], low=auc.low, high=auc.high))
    ends = [end for _, auc in held for end in (auc.low, auc.high)]
    return Rows(
        words="AUC of the originals and of each degradation, with intervals",
        axis=fitted_axis("AUC", ends, room=0.04),
        rows=rows,
        band=(first.low, first.high),
    )


def against_severity(family: str, steps: Sequence[Step], original: float) -> Plot:
    """AUC and both recalls against how much was done; a line where the originals' AUC is."""
    held = sorted(
        (step for step in steps if step.evaluation is not None), key=lambda step: step.rung.severity
    )
    series = []
    for name, (word, colour, line) in MEASURES.items():
        main = name == "auc"
        points = []
        for step in held:
            assert step.evaluation is not None  # noqa: S101 - chosen so above
            one = step.evaluation.metrics[name]
            words = f"{step.rung.name}: {word} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            points.append(
                Point(
                    x=step.rung.severity,
                    y=one.value,
                    words=words,
                    low=one.low if main else None,
                    high=one.high if main else None,
                )
            )
        series.append(
            Series(name=word, colour=colour, points=points, line=line, width=2.5 if main else 1.5)
        )
    return Plot(
        words=f"AUC, fakes caught and reals cleared against {FAMILIES[family]}",
        x=fitted_axis(FAMILIES[family], [step.rung.severity for step in held], room=0.04),
        y=unit_axis(""),
        series=series,
        levels=[Level(value=original, name="AUC of the originals", colour="blue")],
    )
