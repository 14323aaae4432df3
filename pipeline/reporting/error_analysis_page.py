"""The report's worst mistakes, as people see them: faces, and the score over time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from data.datasets.manifest import LABEL_NAMES
from pipeline.evaluation.error_analysis import MOST, rank_misclassified
from pipeline.evaluation.results import Report
from pipeline.reporting.figures import Figure, layout
from pipeline.reporting.markup import escape


def mistakes_section(report: Report) -> str:
    """The videos that the first model is most wrong about."""
    name, result = next(iter(report.models.items()))
    evaluation = result.evaluation
    rows = rank_misclassified(
        np.asarray([row.label for row in report.predictions]),
        np.asarray([row.scores[name] for row in report.predictions]),
        evaluation.threshold,
        [row.path for row in report.predictions],
    )
    if not rows:
        return "<p>None.</p>"
    known = {one.row: one for one in report.misclassified}
    dotted = "" if math.isnan(evaluation.frame_threshold) else ", that of single frames dotted"
    found = [
        f"<p>{len(rows)} of {len(report.predictions)} videos are on the wrong side of the "
        f"threshold {evaluation.threshold:.3f}; the farthest come first. In the plots it is a "
        f"dashed line{dotted}.</p>"
    ]
    for row in rows[:MOST]:
        one, mistake = report.predictions[row], known.get(row)
        method = f", {escape(one.method)}" if one.label else ""
        score = f"<strong>P(fake) {one.scores[name]:.3f}</strong>"
        found.append(
            f'<section class="mistake"><h3>{escape(one.path)}</h3>'
            f"<p>{LABEL_NAMES[one.label]}{method}, group {escape(one.group)}: {score}</p>"
        )
        if mistake is not None and mistake.strip:
            times = ", ".join(f"{at:.1f}" for at in mistake.shown_seconds)
            found.append(
                f'<img class="strip" alt="Its face at {times} s" src="{escape(mistake.strip)}">'
            )
        elif mistake is not None:
            found.append(f"<p><small>No faces to show: {escape(mistake.reason)}.</small></p>")
        if mistake is not None:
            found.append(f'<div class="plot" id="mistake-{row}"></div>')
        found.append("</section>")
    return "\n".join(found)


def mistake_figures(report: Report) -> dict[str, Figure]:
    """The score over time of each mistake that was looked into."""
    evaluation = next(iter(report.models.values())).evaluation
    lines = [_level(evaluation.threshold, dash="dash", color="#888")]
    if not math.isnan(evaluation.frame_threshold):
        lines.append(_level(evaluation.frame_threshold, dash="dot", color="#e69f00"))
    found = {}
    for one in report.misclassified:
        alone = {
            "x": list(one.timestamps_seconds),
            "y": list(one.frame_scores),
            "mode": "markers",
            "name": "each frame alone",
            "marker": {"color": "#e69f00", "size": 6},
            "hovertemplate": "frame at %{x:.2f} s: %{y:.3f}<extra></extra>",
        }
        together = {
            "x": [at for at, _ in one.so_far],
            "y": [score for _, score in one.so_far],
            "mode": "lines+markers",
            "name": "all frames so far",
            "line": {"color": "#0072b2", "width": 2},
            "marker": {"size": 4},
            "hovertemplate": "until %{x:.2f} s: %{y:.3f}<extra></extra>",
        }
        found[f"mistake-{one.row}"] = {
            "data": [alone, together],
            "layout": layout(
                "seconds",
                "P(fake)",
                height=220,
                yaxis={"range": [-0.03, 1.03]},
                shapes=lines,
            ),
        }
    return found


def _level(height: float, **line: str) -> dict[str, Any]:
    """A line across the plot."""
    shape = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height}
    return {**shape, "line": line}
