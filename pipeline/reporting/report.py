"""The page for people: report.html, one file, no network, light and dark, printable.

It opens with the answer and how sure it is, then shows what it rests on. Everything that comes from
files or people is escaped; the same report gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files
from string import Template

import numpy as np

from data.video.reasons import with_reason
from models.evaluation.evaluate import Estimate, level_percent
from pipeline.evaluation.results import NAMES, SHOWN, Report
from pipeline.reporting.error_analysis_page import mistake_figures, mistakes_section
from pipeline.reporting.figures import figures
from pipeline.reporting.markup import card, escape, inline_json, percent, sentence, table, told


def render_page(report: Report) -> str:
    """Writes the page as text."""
    from plotly.offline import get_plotlyjs

    template = Template(
        files("pipeline.reporting").joinpath("templates", "report.html.template").read_text("utf-8")
    )
    return template.substitute(
        title=escape(report.title),
        answer="".join(f"<p>{line}</p>" for line in answer(report)),
        warning="".join(
            f'<p class="warning">{escape(line)}</p>'
            for line in (report.seen, *map(sentence, report.training_leaks))
            if line
        ),
        results=results_table(report),
        confusions="".join(
            f"<figure><figcaption>{escape(NAMES.get(name, name))}</figcaption>"
            f'<div class="plot" id="confusion-{escape(name)}"></div></figure>'
            for name in report.models
        ),
        curves="".join(
            f"<figure><figcaption>{escape(NAMES.get(name, name))}: "
            f"{escape(result.stop_reason)}; epoch {result.best_epoch} kept</figcaption>"
            f'<div class="plot" id="curve-{escape(name)}"></div></figure>'
            for name, result in report.models.items()
            if result.history
        ),
        methods=methods_table(report),
        parts=parts_tables(report),
        controls=controls_table(report),
        mistakes=mistakes_section(report),
        dataset=f"<pre>{escape(chr(10).join(report.dataset))}</pre>",
        failures=failures_table(report),
        cards="".join(card(heading, facts) for heading, facts in report.model_card.items()),
        figures=inline_json(figures(report) | mistake_figures(report)),
        plotly=get_plotlyjs(),
    )


def answer(report: Report) -> list[str]:
    """How good, on what, how sure, and what it was not tested on; lines of HTML."""
    name, result = next(iter(report.models.items()))
    evaluation = result.evaluation
    metrics = evaluation.metrics
    fakes = sum(row.label for row in report.predictions)
    kind = "rendered forgeries" if report.rendered else "fakes"
    auc = metrics["auc"]
    lines = [
        f"On {evaluation.videos} videos of the {escape(report.split)} split "
        f"({evaluation.videos - fakes} real, {fakes} {kind}, {evaluation.groups} groups that "
        f"share no person with training), the {escape(NAMES.get(name, name))} reaches an AUC of "
        f"<strong>{auc.value:.3f}</strong> ({level_percent(evaluation.confidence)}% interval "
        f"{auc.low:.3f} to "
        f"{auc.high:.3f}). At the threshold {evaluation.threshold:.3f}, chosen on validation "
        f"videos, it catches <strong>{percent(metrics['recall_fake'])}</strong> of the {kind} and "
        f"clears <strong>{percent(metrics['recall_real'])}</strong> of the real videos; balanced "
        f"accuracy {percent(metrics['balanced_accuracy'])}."
    ]
    if report.gain is not None:
        gain = report.gain
        if gain.low > 0:
            verdict = "The LSTM earns its place over the mean of the frames"
        elif gain.high < 0:
            verdict = "The LSTM does not earn its place: the mean of the frames is better"
        else:
            verdict = "The LSTM is not shown to earn its place: the difference may be chance"
        lines.append(
            f"<strong>{verdict}</strong>: its AUC is {gain.value:+.3f} ({gain.low:+.3f} to "
            f"{gain.high:+.3f}) against that of the mean-pool baseline on the same features."
        )
    order = next((one for one in report.baselines if one.name.endswith("shuffled frames")), None)
    if order is not None:
        gain = order.gain
        verdict = (
            "The order of the frames matters to it"
            if gain.low > 0
            else "The order of the frames is not shown to matter to it"
        )
        lines.append(
            f"{verdict}: shuffling them takes {gain.value:.3f} ({gain.low:+.3f} to "
            f"{gain.high:+.3f}) off its AUC."
        )
    band = result.calibration
    if band.unsure_low is not None:
        values = np.asarray([row.scores[name] for row in report.predictions])
        truth = np.asarray([row.label for row in report.predictions]) == 1
        sure = ~band.unsure(values)
        if sure.any():
            right = np.mean((values >= evaluation.threshold)[sure] == truth[sure])
            lines.append(
                f"{np.mean(~sure):.0%} of the videos lie too near the threshold for a verdict; of "
                f"the others {right:.0%} are judged rightly."
            )
    limits = (
        "These are rendered forgeries of made-up people, not deepfakes: the numbers show that the "
        "pipeline works, not how it does on real footage."
        if report.rendered
        else "It was tested on this data set alone: expect less on other forgery methods, cameras "
        "and compressions."
    )
    lines.append(f"{limits} A score is no proof; intervals count people, not frames.")
    return lines


def results_table(report: Report) -> str:
    """Metrics by model, with intervals; then those of single frames, each scored alone."""
    columns = {
        NAMES.get(name, name): result.evaluation.metrics for name, result in report.models.items()
    }
    single = {
        f"{NAMES.get(name, name)}, single frames": result.evaluation.frames
        for name, result in report.models.items()
        if result.evaluation.frames
    }
    columns |= single
    rows = [[escape(word), *(or_dash(one, key) for one in columns.values())]
            for key, word in SHOWN.items()]  # fmt: skip
    shown = table(["", *map(escape, columns)], rows)
    if single:
        at = [
            f"{escape(NAMES.get(name, name))} {result.evaluation.frame_threshold:.3f}"
            for name, result in report.models.items()
            if not math.isnan(result.evaluation.frame_threshold)
        ]
        shown += (
            "<p>A single frame is judged at a threshold of its own, chosen on single frames of "
            f"validation videos: {', '.join(at)}. Its P(fake) is calibrated for videos.</p>"
            if at
            else "<p>This bundle has no threshold for single frames: what needs one is left out. "
            "Train it anew to have one.</p>"
        )
    return shown


def or_dash(metrics: Mapping[str, Estimate], key: str) -> str:
    """A metric; a dash where it needs a threshold and there is none."""
    return told(metrics[key]) if key in metrics else "-"


def methods_table(report: Report) -> str:
    """Recall of fakes by method."""
    names = list(next(iter(report.models.values())).evaluation.methods)
    counts = {name: sum(row.method == name for row in report.predictions) for name in names}
    rows = [
        [
            escape(name),
            counts[name],
            *(percent(result.evaluation.methods[name]) for result in report.models.values()),
            *(
                told(result.evaluation.slices["method"][name].auc)
                for result in report.models.values()
            ),
        ]
        for name in names
    ]
    words = [escape(NAMES.get(name, name)) for name in report.models]
    head = ["method", "videos", *(f"{w}: caught" for w in words), *(f"{w}: AUC" for w in words)]
    return table(head, rows)


def parts_tables(report: Report) -> str:
    """AUC by data set and by compression, where there are several."""
    first = next(iter(report.models.values())).evaluation.slices
    head = [escape(NAMES.get(name, name)) for name in report.models]
    found = ""
    for kind in (kind for kind in first if kind != "method"):
        rows = [
            [
                escape(name),
                part.reals,
                part.fakes,
                *(told(one.evaluation.slices[kind][name].auc) for one in report.models.values()),
            ]
            for name, part in first[kind].items()
        ]
        found += f"<h2>AUC by {escape(kind)}</h2>"
        found += table([kind, "reals", "fakes", *head], rows)
    return found


def controls_table(report: Report) -> str:
    """What plainer models reach, and how far the first model is above each."""
    name, result = next(iter(report.models.items()))
    first = NAMES.get(name, name)
    rows = [[escape(first), told(result.evaluation.metrics["auc"]), "",
             told(result.evaluation.metrics["balanced_accuracy"])]]  # fmt: skip
    others = list(report.models.items())[1:]
    for other, one in others:
        gain = told(report.gain) if report.gain else ""
        rows.append([escape(NAMES.get(other, other)), told(one.evaluation.metrics["auc"]), gain,
                     told(one.evaluation.metrics["balanced_accuracy"])])  # fmt: skip
    for control in report.baselines:
        metrics = control.evaluation.metrics
        rows.append([escape(control.name), told(metrics["auc"]), told(control.gain),
                     or_dash(metrics, "balanced_accuracy")])  # fmt: skip
    shown = table(["model", "AUC", f"AUC of the {first} above it", "balanced accuracy"], rows)
    return shown + "<p>Each is judged at a threshold of its own, chosen on validation videos.</p>"


def failures_table(report: Report) -> str:
    """Videos that are not in the numbers, and why."""
    rows = [
        [
            escape(row.get("path", "")),
            escape(row.get("class", "")),
            escape(with_reason(row.get("message", ""), row.get("stderr", ""))),
        ]
        for row in report.failures
    ]
    rows += [
        [escape(path), "no features", "not in the folder of features"] for path in report.missing
    ]
    if not rows:
        return "<p>None: every video gave features.</p>"
    return "<p>These were not scored.</p>" + table(["video", "class", "why"], rows)
