"""The sweep's page: one file, no network, in the look of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.reporting.figures import Figure, layout
from pipeline.reporting.markup import escape, table
from pipeline.reporting.page import document

if TYPE_CHECKING:
    from pipeline.search.ranking import Setting

MOST = 40
"""Settings in the figure; the table has all."""


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
    best = ranking[0]
    answer = (
        f"The best of {len(ranking)} settings is <strong>{escape(best.name)}</strong>: validation "
        f"AUC {best.mean:.3f}, standard deviation {best.spread:.3f} over {seeds} seeds."
        if best.aucs
        else "Training failed with every setting."
    )
    rows = [
        [
            place,
            escape(one.name),
            f"{one.mean:.3f}" if one.aucs else "",
            f"{one.spread:.3f}" if one.aucs else "",
            f"{min(one.aucs):.3f} to {max(one.aucs):.3f}" if one.aucs else "",
            "" if one.loss is None else f"{one.loss:.4f}",
            one.failed or "",
            f"{one.seconds:.1f}",
        ]
        for place, one in enumerate(ranking, start=1)
    ]
    head = ["", "setting", "validation AUC", "deviation", "range", "validation loss", "diverged",
            "seconds"]  # fmt: skip
    body = [
        f"<h1>Sweep {escape(name)}</h1>",
        f'<div class="answer"><p>{answer} All was chosen by validation videos: measure the best '
        "one once on the test split.</p></div>",
        f'<p class="warning">Not a fair choice: {escape(seen)}.</p>' if seen else "",
        f"<pre>{escape(train)}</pre>",
        '<figure><div class="plot" id="ranking"></div></figure>',
        "<h2>All settings</h2>",
        table(head, rows),
    ]
    return document(
        f"Sweep {name}", "\n".join(body), figures={"ranking": ranking_figure(ranking[:MOST])}
    )


def ranking_figure(ranking: Sequence[Setting]) -> Figure:
    """Each seed as a point, each setting's mean with its deviation, best on top."""
    shown = [one for one in ranking if one.aucs]
    labels = [f"{place}. {escape(one.name)}" for place, one in enumerate(ranking, 1) if one.aucs]
    points = [(auc, label) for one, label in zip(shown, labels, strict=True) for auc in one.aucs]
    traces = [
        {
            "x": [auc for auc, _ in points],
            "y": [label for _, label in points],
            "mode": "markers",
            "name": "one seed",
            "marker": {"color": "#9fc9e3", "size": 9},
            "hovertemplate": "%{x:.3f}<extra></extra>",
        },
        {
            "x": [one.mean for one in shown],
            "y": labels,
            "error_x": {"type": "data", "array": [one.spread for one in shown]},
            "mode": "markers",
            "name": "mean and standard deviation",
            "marker": {"color": "#0072b2", "size": 10, "symbol": "diamond"},
            "hovertemplate": "%{x:.3f}<extra></extra>",
        },
    ]
    return {
        "data": traces,
        "layout": layout(
            "validation AUC",
            "",
            yaxis={"autorange": "reversed", "automargin": True},
            height=160 + 28 * len(shown),
        ),
    }
