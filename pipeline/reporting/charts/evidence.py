"""Charts of what a report's evidence is worth: the Tippett plot, and error against coverage."""

from __future__ import annotations

import numpy as np

from data.datasets.manifest import LABEL_NAMES
from models.evaluation.likelihood_ratio import even_odds_llrs, ratio_in_words
from pipeline.evaluation.results import NAMES, Report
from pipeline.reporting.charts.performance import colour_of
from pipeline.reporting.charts.primitives import (
    FAKE,
    REAL,
    Level,
    Plot,
    Point,
    Series,
    fitted_axis,
    unit_axis,
)


def tippett(report: Report, name: str) -> Plot | None:
    """Share of each class with at least a likelihood ratio (Evett and Buckleton, 1996).

    A bundle without ratios has those of P(fake) at even odds; None where P(fake) is unknown.
    """
    p_fake = report.probabilities_of(name)
    if p_fake is None:
        return None
    llrs = np.asarray(
        [
            row.log10_lrs.get(name, float(even_odds_llrs(p)))
            for row, p in zip(report.predictions, p_fake, strict=True)
        ]
    )
    low, high = min(float(llrs.min()), 0.0), max(float(llrs.max()), 0.0)
    series = []
    for label, (word, colour) in enumerate(zip(LABEL_NAMES, (REAL, FAKE), strict=True)):
        held = np.sort(llrs[report.labels == label])
        at = np.unique(held)
        shares = 1 - np.searchsorted(held, at) / len(held)
        corners = [Point(x=low, y=1.0, cells=(word, f"{low:.2f}", ratio_in_words(low), "100%"))]
        for x, share, after in zip(at, shares, [*shares[1:], 0.0], strict=True):
            cells = (word, f"{x:.2f}", ratio_in_words(float(x)), f"{share:.0%}")
            corners += [Point(x=float(x), y=float(share), cells=cells)]
            corners += [Point(x=float(x), y=float(after), cells=cells)]
        corners.append(
            Point(x=high, y=0.0, cells=(word, f"{high:.2f}", ratio_in_words(high), "0%"))
        )
        series.append(Series(name=f"{word} videos", colour=colour, points=corners, radius=0))
    return Plot(
        words="share of real and of fake videos with at least a likelihood ratio",
        x=fitted_axis("log10 of the likelihood ratio", [low, high], room=0.04),
        y=unit_axis("share of the class", form=".0%"),
        series=series,
        levels=[Level(value=0, name="ratio 1: says nothing", vertical=True)],
        head=("class", "log10 LR", "LR", "share with at least this"),
    )


def coverage(report: Report) -> Plot:
    """Error against the share of videos that are judged, of all models, the surest first."""
    series, errors = [], [0.0]
    for name in report.models:
        curve, word = report.risk_coverage(name), NAMES.get(name, name)
        points = [
            Point(x=float(x), y=float(y), cells=(word, f"{x:.1%}", f"{y:.1%}"))
            for x, y in zip(curve.coverage, curve.error, strict=True)
        ]
        errors += [point.y for point in points]
        label = f"{word}, mean error {curve.area:.3f}"
        colour = colour_of(report, name)
        series.append(Series(name=label, colour=colour, points=points, radius=0))
    first, _ = report.first
    given = 1 - report.decided_by(first).unsure
    return Plot(
        words="error among the videos that are judged, against their share, the surest first",
        x=unit_axis("videos judged", form=".0%"),
        y=fitted_axis("judged wrongly, share", errors, room=0.06),
        series=series,
        levels=[Level(value=given, name="verdicts that are given", vertical=True)],
        head=("model", "videos judged", "judged wrongly"),
    )
