"""The page of `unmask evaluate`: report.html.

It opens with the answer and how sure it is, then shows what it rests on. The same report gives the
same bytes.
"""

from __future__ import annotations

from models.applicability.novelty import REASON
from pipeline.evaluation.error_analysis import MOST
from pipeline.evaluation.results import SHOWN, Report
from pipeline.reporting.charts.evidence import coverage, tippett
from pipeline.reporting.charts.performance import (
    learning_curve,
    reliability,
    roc,
    score_over_time,
    scores,
)
from pipeline.reporting.charts.primitives import Plot
from pipeline.reporting.page import render


def render_page(report: Report) -> str:
    """Writes the page as text."""
    name, result = report.first
    return render(
        "report.jinja",
        report=report,
        first_name=name,
        first_result=result,
        shown=SHOWN,
        novel_words=REASON,
        charts=charts(report),
        mistakes={one.row: one for one in report.misclassified},
        most=MOST,
    )


def charts(report: Report) -> dict[str, Plot]:
    """All charts by the id of their place in the page."""
    first, head = report.first
    possible = {
        "roc": roc(report),
        "scores": scores(report, first),
        "tippett": tippett(report, first),
        "coverage": coverage(report),
        "reliability": reliability(report),
    }
    found = {name: chart for name, chart in possible.items() if chart is not None}
    for name, result in report.models.items():
        if result.history:
            found |= {f"{what}-{name}": learning_curve(result, what) for what in ("loss", "auc")}
    for one in report.misclassified:
        if one.timestamps_seconds:
            found[f"mistake-{one.row}"] = score_over_time(one, head)
    return found
