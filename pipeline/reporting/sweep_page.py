"""The page of `unmask sweep`: the ranking, as a chart and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.reporting.charts import Point, Row, Rows, fitted_axis
from pipeline.reporting.page import render
from pipeline.search.ranking import Setting

MOST = 40
"""Settings in the chart; the table has all."""


def render_sweep(
    name: str, ranking: Sequence[Setting], seeds: int, train: str, seen: str = ""
) -> str:
    """Writes the page as text.

    Args:
        name: of the sweep.
        ranking: best first.
        seeds: of each setting.
        train: the command that trains the best one.
        seen: which validation people trained the backbone; "" for none.
    """
    return render(
        "sweep.jinja",
        name=name,
        ranking=ranking,
        seeds=seeds,
        train=train,
        seen=seen,
        chart=ranking_chart(ranking[:MOST]),
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
