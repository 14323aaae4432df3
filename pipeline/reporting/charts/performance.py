"""The charts of a report, as plain data: results in, what `templates/charts.jinja` draws out.

Charts of a single page stand in that page's module.
"""

from __future__ import annotations

import math

import numpy as np

from data.datasets.manifest import LABEL_NAMES
from models.evaluation.metrics import bin_of
from pipeline.evaluation.results import NAMES, MisclassifiedVideo, ModelResult, Report
from pipeline.reporting.charts.primitives import (
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
"""Of the models of a report on a bundle."""
LABEL_COLOURS = (REAL, FAKE)
BINS = 20
"""Of the histogram of scores."""


def colour_of(report: Report, name: str) -> str:
    """The colour of a model's lines."""
    return "blue" if report.external is not None else COLOURS.get(name, "grey")


def roc(report: Report) -> Plot:
    """ROC curves of all models, with chance."""
    series = [diagonal("chance")]
    for name, result in report.models.items():
        word, auc = NAMES.get(name, name), result.evaluation.metrics["auc"].value
        points = [
            Point(x=x, y=y, cells=(word, f"{at:.3f}", f"{x:.1%}", f"{y:.1%}"))
            for x, y, at in zip(*result.evaluation.roc, strict=True)
        ]
        colour = colour_of(report, name)
        series.append(Series(name=f"{word}, AUC {auc:.3f}", colour=colour, points=points, radius=0))
    return Plot(
        words="ROC curves: the share of fakes caught against the share of reals called fake",
        x=unit_axis("reals called fake", form=".0%"),
        y=unit_axis("fakes caught", form=".0%"),
        series=series,
        head=("model", "threshold", "reals called fake", "fakes caught"),
    )


def diagonal(name: str) -> Series:
    """A dotted line from corner to corner."""
    ends = (Point(x=0), Point(x=1, y=1))
    return Series(name=name, colour="grey", points=ends, line="dotted", radius=-1)


def scores(report: Report, name: str) -> Plot:
    """Histogram of scores by label, with the threshold."""
    result = report.models[name]
    every = [*report.scores_of(name).tolist(), result.evaluation.threshold]
    axis = (
        unit_axis(result.score_name)
        if result.unit
        else fitted_axis(result.score_name, every, room=0.03)
    )
    span = (0.0, 1.0) if result.unit else (min(every), max(every))
    if span[0] == span[1]:
        span = (axis.low, axis.high)
    bars, most, half = [], 1, 0.45 * (span[1] - span[0]) / BINS
    for label, word in enumerate(LABEL_NAMES):
        values = [row.scores[name] for row in report.predictions if row.label == label]
        counts, edges = np.histogram(np.clip(values, *span), BINS, span)
        most = max(most, int(counts.max()))
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
            middle, cells = (low + high) / 2, (f"{low:.2f} to {high:.2f}", word, str(count))
            if count:
                bars.append(
                    Bar(
                        left=middle - half * (1 - label),
                        right=middle + half * label,
                        height=int(count),
                        cells=cells,
                        colour=LABEL_COLOURS[label],
                    )
                )
    threshold = result.evaluation.threshold
    return Plot(
        words="how many real and fake videos got which score",
        x=axis,
        y=fitted_axis("videos", [0, most * 1.08]),
        bars=bars,
        bar_names=list(zip(LABEL_NAMES, LABEL_COLOURS, strict=True)),
        levels=[Level(value=threshold, name="threshold", vertical=True)],
        head=(result.score_name, "class", "videos"),
    )


def reliability(report: Report) -> Plot | None:
    """Share of fakes against P(fake), in the bins of the calibration error; None without any."""
    labels = np.asarray([row.label for row in report.predictions])
    series = [diagonal("calibrated")]
    for name in report.models:
        values = report.probabilities_of(name)
        if values is None:
            continue
        place, points, word = bin_of(values), [], NAMES.get(name, name)
        for one in np.unique(place):
            held = place == one
            said, share = float(values[held].mean()), float(labels[held].mean())
            cells = (word, f"{said:.1%}", f"{share:.1%}", str(held.sum()))
            points.append(Point(x=said, y=share, cells=cells))
        series.append(Series(name=word, colour=colour_of(report, name), points=points))
    if len(series) == 1:
        return None
    return Plot(
        words="share of fakes against the mean score, in ten bins of the score",
        x=unit_axis("P(fake)", form=".0%"),
        y=unit_axis("share of fakes", form=".0%"),
        series=series,
        head=("model", "mean P(fake)", "share of fakes", "videos"),
    )


def learning_curve(result: ModelResult, what: str) -> Plot:
    """Loss or AUC ("auc") by epoch, of training and validation, with the epoch that was kept."""
    word = {"loss": "loss", "auc": "AUC"}[what]
    series = []
    for key, part, colour in ((what, "training", "sky"), (f"val_{what}", "validation", "blue")):
        points = [
            Point(x=row["epoch"], y=row[key], cells=(part, f"{row['epoch']:g}", f"{row[key]:.4f}"))
            for row in result.history
            if key in row
        ]
        if points:
            name = f"{part} {word}"
            series.append(Series(name=name, colour=colour, points=points, width=2, radius=0))
    return Plot(
        words=f"{word} of training and validation by epoch",
        x=fitted_axis("epoch", [row["epoch"] for row in result.history]),
        y=fitted_axis(word, [point.y for one in series for point in one.points], room=0.06),
        series=series,
        levels=[Level(value=result.best_epoch, name="epoch kept", vertical=True)],
        height=220,
        head=("of", "epoch", word),
    )


def score_over_time(one: MisclassifiedVideo, result: ModelResult) -> Plot:
    """Scores of a video's frames, each alone and all so far; a NaN has no line."""
    threshold, frame_threshold = result.evaluation.threshold, result.evaluation.frame_threshold
    every = [*one.frame_scores, *(score for _, score in one.so_far), threshold]
    alone = [
        Point(x=at, y=score, cells=("this frame alone", f"{at:.2f}", f"{score:.3f}"))
        for at, score in zip(one.timestamps_seconds, one.frame_scores, strict=True)
    ]
    so_far = [
        Point(x=at, y=score, cells=("all frames so far", f"{at:.2f}", f"{score:.3f}"))
        for at, score in one.so_far
    ]
    levels = [Level(value=threshold, name="threshold")]
    if not math.isnan(frame_threshold):
        name = "that of single frames"
        levels.append(Level(value=frame_threshold, name=name, colour="orange", line="dotted"))
    return Plot(
        words=f"{result.score_name} over time, of each frame alone and of all frames so far",
        x=fitted_axis(one.time_name, one.timestamps_seconds, room=0.02),
        y=unit_axis(result.score_name)
        if result.unit
        else fitted_axis(result.score_name, every, room=0.04),
        series=[
            Series(name="each frame alone", colour="orange", points=alone, line="", radius=3.5),
            Series(name="all frames so far", colour="blue", points=so_far, width=2, radius=3),
        ],
        levels=levels,
        height=200,
        head=("of", one.time_name, result.score_name),
    )
