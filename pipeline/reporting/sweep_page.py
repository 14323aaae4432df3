"""The page of `unmask sweep`: the ranking as a chart and as a table, and how the search went."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from pipeline.reporting.charts.primitives import Plot, Point, Row, Rows, Series, bars, fitted_axis
from pipeline.reporting.page import render
from pipeline.search.ranking import Setting
from pipeline.search.sweep import SweepResult

MOST = 40
"""Settings in the chart of the ranking; the table has all."""
FEWEST = 4
"""Settings below which a search has no charts of its own."""
DECADES = 1.5
"""Powers of ten from which on a parameter is drawn on a logarithmic scale."""


def render_sweep(result: SweepResult) -> str:
    """Writes the page as text."""
    searched = len([auc for auc in result.history if auc is not None]) >= FEWEST
    return render(
        "sweep.jinja",
        result=result,
        chart=ranking_chart(result.ranking[:MOST]),
        history=history_chart(result.history) if searched else None,
        slices=slice_charts(result.ranking) if searched else [],
        importances=importance_chart(result.importances),
    )


def ranking_chart(ranking: Sequence[Setting]) -> Rows:
    """Each seed as a point, each setting's mean with its deviation, best on top."""
    shown = [one for one in ranking if one.aucs]
    rows = []
    for one in shown:
        seeds = [Point(x=auc, cells=("one seed", f"{auc:.3f}"), colour="sky") for auc in one.aucs]
        value = f"{one.mean:.3f} ± {one.spread:.3f}"
        mean = Point(x=one.mean, cells=("mean and standard deviation", value), radius=6)
        rows.append(
            Row(
                name=one.name,
                value=value,
                dots=[*seeds, mean],
                low=one.mean - one.spread,
                high=one.mean + one.spread,
            )
        )
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    ends += [auc for one in shown for auc in one.aucs]
    return Rows(
        words="validation AUC of each setting: every seed, their mean and standard deviation",
        axis=fitted_axis("validation AUC", ends, room=0.04),
        rows=rows,
        legend=(("one seed", "sky"), ("mean and standard deviation", "blue")),
    )


def history_chart(history: Sequence[float | None]) -> Plot:
    """Each setting in the order of the search, and the best so far as a line."""
    tried = [(number, auc) for number, auc in enumerate(history, 1) if auc is not None]
    best = list(itertools.accumulate((auc for _, auc in tried), max))
    points = [Point(x=number, y=auc, cells=(str(number), f"{auc:.3f}")) for number, auc in tried]
    line = [Point(x=number, y=auc) for (number, _), auc in zip(tried, best, strict=True)]
    # A step line: the best so far changes at a setting, not between two.
    corners = [Point(x=new.x, y=old.y) for old, new in itertools.pairwise(line)]
    line = [*line[:1], *itertools.chain(*zip(corners, line[1:], strict=True))]
    return Plot(
        words="mean validation AUC of each setting, in the order in which they were tried",
        x=fitted_axis("setting", (number for number, _ in tried), room=0.03),
        y=fitted_axis("validation AUC", (auc for _, auc in tried), room=0.05),
        series=[
            Series(name="best so far", colour="grey", points=line, radius=-1),
            Series(name="mean over seeds", colour="blue", points=points, line=""),
        ],
        head=("setting", "validation AUC"),
    )


def slice_charts(ranking: Sequence[Setting]) -> list[tuple[str, Plot]]:
    """AUC over each parameter that has numbers, whatever the others were."""
    found = []
    for key in ranking[0].values:
        pairs = [(one.values[key], one.mean) for one in ranking if one.aucs]
        if not all(isinstance(value, int | float) for value, _ in pairs):
            continue
        values = [value for value, _ in pairs]
        if len(set(values)) < 3:
            continue
        log = min(values) > 0 and math.log10(max(values) / min(values)) >= DECADES
        scaled = [math.log10(value) if log else value for value in values]
        points = [
            Point(x=x, y=auc, cells=(f"{value:g}", f"{auc:.3f}"))
            for x, (value, auc) in zip(scaled, pairs, strict=True)
        ]
        plot = Plot(
            words=f"mean validation AUC of each setting over {key}",
            x=fitted_axis(f"log10 of {key}" if log else key, scaled, room=0.03),
            y=fitted_axis("validation AUC", (auc for _, auc in pairs), room=0.05),
            series=[Series(name="", colour="blue", points=points, line="")],
            head=(key, "validation AUC"),
        )
        found.append((key, plot))
    return found


def importance_chart(importances: dict[str, float]) -> Rows | None:
    """Importance of each parameter."""
    if not importances:
        return None
    rows = [Row(name=key, value=f"{share:.2f}", bar=share) for key, share in importances.items()]
    return bars("how much each parameter decides whether a setting is among the best quarter", rows)
