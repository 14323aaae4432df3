"""The page of `unmask robustness`: AUC against severity, a table, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data.video.corruptions import FAMILIES
from data.video.reasons import with_reason
from models.evaluation.evaluate import level_percent
from pipeline.evaluation.corruption_results import CorruptionResult, CorruptionResults
from pipeline.evaluation.results import NAMES
from pipeline.reporting.figures import Figure, layout
from pipeline.reporting.markup import card, escape, percent, sentence, table, told
from pipeline.reporting.page import place, render

MOST = 100
"""Rows of the table of failures."""
LINES = {
    "auc": ("AUC", "#0072b2", "solid"),
    "recall_fake": ("fakes caught", "#d55e00", "dot"),
    "recall_real": ("reals cleared", "#009e73", "dot"),
}


def render_robustness(ladder: CorruptionResults) -> str:
    """Writes the page as text."""
    by_family: dict[str, list[CorruptionResult]] = {}
    for step in ladder.steps[1:]:
        by_family.setdefault(step.corruption.family, []).append(step)
    drawn = {
        f"family-{number}": (family, steps)
        for number, (family, steps) in enumerate(by_family.items())
        if len(steps) > 1
    }
    figures = {"overview": overview(ladder)}
    first = ladder.steps[0].evaluation
    auc = first.metrics["auc"].value if first else 0.5
    figures |= {name: against_severity(*one, auc) for name, one in drawn.items()}
    warned = [f"Not a fair test: {ladder.seen}."] if ladder.seen else []
    warned += map(sentence, ladder.training_leaks)
    severity = (
        "<h2>Against severity</h2>",
        "<p>Dashed: the AUC of the originals.</p>",
        '<div class="pair">',
        *(place(name, family.capitalize()) for name, (family, _) in drawn.items()),
        "</div>",
    )
    body = [
        f'<div class="answer">{answer(ladder)}</div>',
        *(f'<p class="warning">{escape(line)}</p>' for line in warned),
        "<h2>AUC on each rung</h2>",
        place(
            "overview",
            f"AUC with its {level_percent(ladder.confidence)}% interval by groups; the band is "
            "that of the originals",
        ),
        *(severity if drawn else ()),
        "<h2>In numbers</h2>",
        steps_table(ladder),
        "<h2>Videos that failed</h2>",
        failures(ladder),
        "<h2>How it was made</h2>",
        f'<div class="pair cards">{card("Again", ladder.facts)}</div>',
    ]
    return render("How much degradation this detector bears", "\n".join(body), figures)


def answer(ladder: CorruptionResults) -> str:
    """The originals' AUC, the worst rung, what failed; HTML."""
    first = ladder.steps[0].evaluation
    assert first is not None  # noqa: S101 - `climb` refuses originals that cannot be measured
    auc = first.metrics["auc"]
    head = escape(NAMES.get(ladder.kind, ladder.kind))
    text = (
        f"<p>On {first.videos} videos of the {escape(ladder.split)} split ({first.groups} groups) "
        f"the {head} reaches an AUC of <strong>{auc.value:.3f}</strong> "
        f"({level_percent(ladder.confidence)}% interval {auc.low:.3f} to {auc.high:.3f}). "
    )
    measured = [(step, step.drop) for step in ladder.steps if step.drop is not None]
    if measured:
        step, drop = max(measured, key=lambda one: one[1].value)
        shown = [one.corruption.name for one, gap in measured if gap.low > 0]
        text += (
            f"Of {len(measured)} ways to degrade them, "
            f"<strong>{escape(step.corruption.name)}</strong> costs most: {drop.value:.3f} "
            f"({drop.low:+.3f} to {drop.high:+.3f}). "
        )
        text += (
            f"A loss beyond chance is shown for {escape(', '.join(shown))}."
            if shown
            else "For none of them is a loss beyond chance shown."
        )
    text += "</p><p>The threshold is that of the bundle, so a rung can also accuse reals. "
    lost = sum(step.failed for step in ladder.steps)
    if lost:
        text += f"{lost} copies gave no features and are in no number here. "
    if ladder.rendered:
        text += "These are rendered forgeries of made-up people, not deepfakes. "
    return text + "Real platforms combine several of these, and others.</p>"


def overview(ladder: CorruptionResults) -> Figure:
    """A row for each rung: AUC with its interval."""
    steps = [step for step in ladder.steps if step.evaluation is not None]
    estimates = [step.evaluation.metrics["auc"] for step in steps if step.evaluation]
    names = [step.corruption.name for step in steps]
    first = estimates[0]
    band = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "x0": first.low, "x1": first.high}
    band |= {"fillcolor": "rgba(0,114,178,0.12)", "line": {"width": 0}, "layer": "below"}
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [one.value for one in estimates],
        "y": names,
        "error_x": _errors(estimates),
        "customdata": [[one.low, one.high] for one in estimates],
        "marker": {"color": "#0072b2", "size": 9},
        "hovertemplate": "%{y}: %{x:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})"
        "<extra></extra>",
    }
    return {
        "data": [trace],
        "layout": layout(
            "AUC",
            "",
            height=90 + 26 * len(steps),
            margin={"l": 120, "r": 16, "t": 12, "b": 48},
            yaxis={"autorange": "reversed", "type": "category", "dtick": 1},
            shapes=[band],
            showlegend=False,
        ),
    }


def against_severity(family: str, steps: Sequence[CorruptionResult], original: float) -> Figure:
    """AUC and both recalls against how much was done; a line where the originals' AUC is."""
    held = sorted(
        (step for step in steps if step.evaluation is not None),
        key=lambda step: step.corruption.severity,
    )
    traces = []
    for name, (word, colour, dash) in LINES.items():
        estimates = [step.evaluation.metrics[name] for step in held if step.evaluation]
        trace: dict[str, Any] = {
            "x": [step.corruption.severity for step in held],
            "y": [one.value for one in estimates],
            "customdata": [[one.low, one.high] for one in estimates],
            "mode": "lines+markers",
            "name": word,
            "line": {"color": colour, "width": 2.5 if name == "auc" else 1.5, "dash": dash},
            "hovertemplate": f"{word} %{{y:.3f}} (%{{customdata[0]:.3f}} to "
            "%{customdata[1]:.3f})<extra>%{x}</extra>",
        }
        if name == "auc":
            trace["error_y"] = _errors(estimates)
        traces.append(trace)
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": original, "y1": original}
    line |= {"line": {"color": "#0072b2", "width": 1, "dash": "dash"}}
    return {
        "data": traces,
        "layout": layout(
            FAMILIES[family],
            "",
            height=340,
            yaxis={"range": [-0.03, 1.03]},
            shapes=[line],
        ),
    }


def _errors(estimates: Sequence[Any]) -> dict[str, Any]:
    """Intervals as plotly's error bars."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [one.high - one.value for one in estimates],
        "arrayminus": [one.value - one.low for one in estimates],
        "thickness": 1.5,
        "width": 4,
    }


def steps_table(ladder: CorruptionResults) -> str:
    """Every rung, in numbers."""
    head = ["rung", "what", "CRF", "videos", "failed", "AUC", "below the originals",
            "fakes caught", "reals cleared"]  # fmt: skip
    rows = []
    for step in ladder.steps:
        rung, one = step.corruption, step.evaluation
        original = rung.family not in FAMILIES
        what = "" if original else f"{FAMILIES[rung.family]}: {rung.severity:g}"
        crf = "" if original else str(rung.crf)
        drop = (
            f"{step.drop.value:+.3f} <small>{step.drop.low:+.3f} to {step.drop.high:+.3f}</small>"
            if step.drop
            else ""
        )
        metrics = one.metrics if one else {}
        rows.append(
            [
                escape(rung.name),
                escape(what),
                crf,
                one.videos if one else 0,
                step.failed,
                told(metrics["auc"]) if one else told(None),
                drop,
                *(percent(metrics[f"recall_{side}"]) if one else "" for side in ("fake", "real")),
            ]
        )
    return table(head, rows)


def failures(ladder: CorruptionResults) -> str:
    """What gave no features, and why."""
    if not ladder.failures:
        return "<p>None: every copy gave features.</p>"
    rows = [
        [
            escape(rung),
            escape(one.path),
            escape(one.failure),
            escape(with_reason(one.message, one.stderr_tail)),
        ]
        for rung, one in ladder.failures[:MOST]
    ]
    return "<p>These were not scored.</p>" + table(["rung", "video", "class", "why"], rows)
