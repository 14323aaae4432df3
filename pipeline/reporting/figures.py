"""The charts of a report, as plain data: results in, what `templates/charts.jinja` draws out.

Charts of a single page stand in that page's module.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from data.datasets.manifest import LABEL_NAMES
from models.evaluation.metrics import bin_of
from pipeline.evaluation.error_analysis import Mistake
from pipeline.evaluation.results import NAMES, ModelResult, Report
from pipeline.reporting.charts import (
    FAKE,
    REAL,
    Bar,
    Level,
    Plot,
    Point,
    Series,
    fitted_axis,
    unit_axis,
)

COLOURS = {"lstm": "blue", "mean": "orange"}
"""Of a report's models."""
LABEL_COLOURS = (REAL, FAKE)
BINS = 20
"""Of the histogram of scores."""
LISTED = 21
"""Points of an ROC curve that the table below it lists."""


def roc(report: Report) -> Plot:
    """ROC curves of all models, with chance."""
    ends = (Point(x=0), Point(x=1, y=1))
    series = [Series(name="chance", colour="grey", points=ends, line="dotted", radius=-1)]
    rows = []
    for name, result in report.models.items():
        points = [
            Point(
                x=accused,
                y=caught,
                words=f"{accused:.1%} of reals accused, {caught:.1%} of fakes caught, "
                f"threshold {at:.3f}",
            )
            for accused, caught, at in zip(*result.evaluation.roc, strict=True)
        ]
        word, auc = NAMES.get(name, name), result.evaluation.metrics["auc"].value
        colour = COLOURS.get(name, "grey")
        series.append(Series(name=f"{word}, AUC {auc:.3f}", colour=colour, points=points, radius=0))
        values = list(zip(*result.evaluation.roc, strict=True))
        chosen = np.linspace(0, len(values) - 1, min(LISTED, len(values))).round().astype(int)
        rows += [
            (word, f"{values[at][2]:.3f}", f"{values[at][0]:.1%}", f"{values[at][1]:.1%}")
            for at in chosen
        ]
    return Plot(
        words="ROC curves: the share of fakes caught against the share of reals called fake",
        x=unit_axis("reals called fake", form=".0%"),
        y=unit_axis("fakes caught", form=".0%"),
        series=series,
        head=("model", "threshold", "reals called fake", "fakes caught"),
        rows=rows,
    )


def scores(report: Report, name: str) -> Plot:
    """Histogram of P(fake) by label, with the threshold."""
    edges = np.linspace(0, 1, BINS + 1)
    counts = [
        np.histogram([p.scores[name] for p in report.predictions if p.label == label], edges)[0]
        for label in range(len(LABEL_NAMES))
    ]
    spans = list(itertools.pairwise(edges))
    width = 0.45 / BINS
    drawn = [
        Bar(
            left=(low + high) / 2 - width * (1 - label),
            right=(low + high) / 2 + width * label,
            height=int(counts[label][at]),
            words=f"{counts[label][at]} {word} videos of P(fake) {low:.2f} to {high:.2f}",
            colour=LABEL_COLOURS[label],
        )
        for label, word in enumerate(LABEL_NAMES)
        for at, (low, high) in enumerate(spans)
        if counts[label][at]
    ]
    return Plot(
        words="how many real and fake videos got which score",
        x=unit_axis("P(fake)"),
        y=fitted_axis("videos", [0, max(1, *(int(held.max()) for held in counts)) * 1.08]),
        bars=drawn,
        bar_names=list(zip(LABEL_NAMES, LABEL_COLOURS, strict=True)),
        levels=[
            Level(value=report.models[name].evaluation.threshold, name="threshold", vertical=True)
        ],
        head=("P(fake)", *LABEL_NAMES),
        rows=[
            (f"{low:.2f} to {high:.2f}", *(str(held[at]) for held in counts))
            for at, (low, high) in enumerate(spans)
        ],
    )


def reliability(report: Report) -> Plot:
    """Share of fakes against P(fake), in the bins of the calibration error."""
    labels = np.asarray([row.label for row in report.predictions])
    ends = (Point(x=0), Point(x=1, y=1))
    series = [Series(name="calibrated", colour="grey", points=ends, line="dotted", radius=-1)]
    rows = []
    for name in report.models:
        values = np.asarray([row.scores[name] for row in report.predictions])
        place = bin_of(values)
        points, word = [], NAMES.get(name, name)
        for one in np.unique(place):
            said, share = float(values[place == one].mean()), float(labels[place == one].mean())
            count = int((place == one).sum())
            words = f"P(fake) {said:.0%} on average, {share:.0%} are fakes; {count} videos"
            points.append(Point(x=said, y=share, words=words))
            rows.append((word, f"{said:.1%}", f"{share:.1%}", str(count)))
        series.append(Series(name=word, colour=COLOURS.get(name, "grey"), points=points))
    return Plot(
        words="share of fakes against the mean score, in ten bins of the score",
        x=unit_axis("P(fake)", form=".0%"),
        y=unit_axis("share of fakes", form=".0%"),
        series=series,
        head=("model", "mean P(fake)", "share of fakes", "videos"),
        rows=rows,
    )


def learning_curve(result: ModelResult, what: str) -> Plot:
    """Loss or AUC ("auc") by epoch, of training and validation, with the epoch that was kept."""
    word = {"loss": "loss", "auc": "AUC"}[what]
    series, columns = [], []
    for key, name, colour in (
        (what, f"training {word}", "sky"),
        (f"val_{what}", f"validation {word}", "blue"),
    ):
        if key in result.history[0]:
            points = [
                Point(
                    x=row["epoch"],
                    y=row[key],
                    words=f"epoch {row['epoch']:g}: {name} {row[key]:.4f}",
                )
                for row in result.history
            ]
            series.append(Series(name=name, colour=colour, points=points, width=2, radius=0))
            columns.append((name, [f"{row[key]:.4f}" for row in result.history]))
    values = [point.y for one in series for point in one.points if math.isfinite(point.y)]
    epochs = [row["epoch"] for row in result.history]
    return Plot(
        words=f"{word} of training and validation by epoch",
        x=fitted_axis("epoch", epochs),
        y=fitted_axis(word, values, room=0.06),
        series=series,
        levels=[Level(value=result.best_epoch, name="kept", vertical=True)],
        height=220,
        head=("epoch", *(name for name, _ in columns)),
        rows=[
            (f"{epoch:g}", *(values[at] for _, values in columns))
            for at, epoch in enumerate(epochs)
        ],
    )


def score_over_time(one: Mistake, threshold: float, frame_threshold: float) -> Plot:
    """P(fake) of a video's frames, each alone and all so far; a NaN has no line."""
    alone = [
        Point(x=at, y=score, words=f"frame at {at:.2f} s: {score:.3f}")
        for at, score in zip(one.timestamps_seconds, one.frame_scores, strict=True)
    ]
    so_far = [Point(x=at, y=score, words=f"until {at:.2f} s: {score:.3f}")
              for at, score in one.so_far]  # fmt: skip
    levels = [Level(value=threshold, name="threshold")]
    if not math.isnan(frame_threshold):
        levels.append(
            Level(value=frame_threshold, name="that of single frames", colour="orange",
                  line="dotted")
        )  # fmt: skip
    until = {f"{at:.2f}": f"{score:.3f}" for at, score in one.so_far}
    return Plot(
        words="P(fake) over time, of each frame alone and of all frames so far",
        x=fitted_axis("seconds", one.timestamps_seconds, room=0.02),
        y=unit_axis("P(fake)"),
        series=[
            Series(name="each frame alone", colour="orange", points=alone, line="", radius=3.5),
            Series(name="all frames so far", colour="blue", points=so_far, width=2, radius=3),
        ],
        levels=levels,
        height=200,
        head=("seconds", "this frame alone", "all frames so far"),
        rows=[
            (f"{at:.2f}", f"{score:.3f}", until.get(f"{at:.2f}", ""))
            for at, score in zip(one.timestamps_seconds, one.frame_scores, strict=True)
        ],
    )
