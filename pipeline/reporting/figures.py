"""Plotly figures as plain data: what the page draws and lets people point at."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.datasets.manifest import LABEL_NAMES
from models.evaluation.metrics import bin_of
from pipeline.evaluation.results import NAMES, Report

COLOURS = {"lstm": "#0072b2", "mean": "#e69f00"}
LABEL_COLOURS = ("#009e73", "#d55e00")
"""Okabe and Ito (2008): told apart with every common kind of colour blindness."""
BLUES = [[0, "#eaf2f8"], [1, "#0072b2"]]
"""Opaque, so that plotly picks a text colour that can be read on light and dark pages alike."""
BINS = 20

Figure = dict[str, Any]


def figures(report: Report) -> dict[str, Figure]:
    """All figures of a report, by the id of their place in the page."""
    first = next(iter(report.models))
    found = {
        "roc": roc(report),
        "scores": scores(report, first),
        "reliability": reliability(report),
    }
    for name in report.models:
        found[f"confusion-{name}"] = confusion(report, name)
    for name, result in report.models.items():
        if result.history:
            found[f"curve-{name}"] = curve(report, name)
    return found


def layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """What all figures share; the page sets the colours of text and grid for light and dark."""
    return {
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "height": 380,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "xaxis": {"title": {"text": x}, "zeroline": False} | more.pop("xaxis", {}),
        "yaxis": {"title": {"text": y}, "zeroline": False} | more.pop("yaxis", {}),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    } | more


def roc(report: Report) -> Figure:
    """ROC curves of all models, with chance."""
    traces: list[dict[str, Any]] = [
        {
            "x": [0, 1],
            "y": [0, 1],
            "mode": "lines",
            "name": "chance",
            "line": {"dash": "dot", "color": "#888"},
            "hoverinfo": "skip",
        }
    ]
    for name, result in report.models.items():
        false_positive, true_positive, thresholds = result.evaluation.roc
        traces.append(
            {
                "x": false_positive,
                "y": true_positive,
                "customdata": thresholds,
                "mode": "lines",
                "name": f"{NAMES.get(name, name)}, "
                f"AUC {result.evaluation.metrics['auc'].value:.3f}",
                "line": {"color": COLOURS.get(name, "#555"), "width": 2.5},
                "hovertemplate": "%{x:.1%} of reals accused<br>%{y:.1%} of fakes caught"
                "<br>threshold %{customdata:.3f}<extra></extra>",
            }
        )
    unit = {"range": [-0.01, 1.01], "tickformat": ".0%"}
    return {
        "data": traces,
        "layout": layout("reals called fake", "fakes caught", xaxis=dict(unit), yaxis=dict(unit)),
    }


def scores(report: Report, name: str) -> Figure:
    """Histogram of P(fake) by label, with the threshold."""
    threshold = report.models[name].evaluation.threshold
    edges = np.linspace(0, 1, BINS + 1)
    traces = []
    for label, word in enumerate(LABEL_NAMES):
        values = [row.scores[name] for row in report.predictions if row.label == label]
        counts, _ = np.histogram(values, edges)
        traces.append(
            {
                "type": "bar",
                "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
                "y": counts.tolist(),
                "width": 1 / BINS * 0.92,
                "name": word,
                "opacity": 0.75,
                "marker": {"color": LABEL_COLOURS[label]},
                "hovertemplate": f"%{{y}} {word} videos near %{{x:.2f}}<extra></extra>",
            }
        )
    line = {
        "type": "line",
        "x0": threshold,
        "x1": threshold,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dash", "color": "#888"},
    }
    note = {"x": threshold, "y": 1, "yref": "paper", "text": "threshold", "showarrow": False}
    return {
        "data": traces,
        "layout": layout(
            "P(fake)",
            "videos",
            xaxis={"range": [0, 1]},
            barmode="overlay",
            shapes=[line],
            annotations=[note | {"xanchor": "left", "yanchor": "top"}],
        ),
    }


def reliability(report: Report) -> Figure:
    """Share of fakes against P(fake), in the bins of the calibration error."""
    labels = np.asarray([row.label for row in report.predictions])
    traces: list[dict[str, Any]] = [
        {
            "x": [0, 1],
            "y": [0, 1],
            "mode": "lines",
            "name": "calibrated",
            "line": {"dash": "dot", "color": "#888"},
            "hoverinfo": "skip",
        }
    ]
    for name in report.models:
        values = np.asarray([row.scores[name] for row in report.predictions])
        place = bin_of(values)
        held = np.unique(place)
        traces.append(
            {
                "x": [float(values[place == one].mean()) for one in held],
                "y": [float(labels[place == one].mean()) for one in held],
                "customdata": [int((place == one).sum()) for one in held],
                "mode": "lines+markers",
                "name": NAMES.get(name, name),
                "line": {"color": COLOURS.get(name, "#555"), "width": 2.5},
                "hovertemplate": "said %{x:.0%}, %{y:.0%} are fakes"
                "<br>%{customdata} videos<extra></extra>",
            }
        )
    unit = {"range": [-0.02, 1.02], "tickformat": ".0%"}
    return {
        "data": traces,
        "layout": layout("P(fake)", "share of fakes", xaxis=dict(unit), yaxis=dict(unit)),
    }


def confusion(report: Report, name: str) -> Figure:
    """Confusion matrix with counts and shares of the row."""
    table = np.asarray(report.models[name].evaluation.confusion)
    share = table / table.sum(1, keepdims=True)
    text = [[f"{table[i, j]}<br>{share[i, j]:.0%}" for j in range(2)] for i in range(2)]
    trace = {
        "type": "heatmap",
        "z": share.tolist(),
        "x": ["called real", "called fake"],
        "y": ["real", "fake"],
        "text": text,
        "texttemplate": "%{text}",
        "zmin": 0,
        "zmax": 1,
        "colorscale": BLUES,
        "showscale": False,
        "hovertemplate": "%{y} %{x}: %{text}<extra></extra>",
    }
    axes = {"xaxis": {"showgrid": False}, "yaxis": {"autorange": "reversed", "showgrid": False}}
    tight = {"l": 56, "r": 16, "t": 12, "b": 48}
    return {"data": [trace], "layout": layout("", "", **axes, height=240, margin=tight)}


def curve(report: Report, name: str) -> Figure:
    """Loss and AUC by epoch, with the epoch that was restored."""
    result = report.models[name]
    epochs = [row["epoch"] for row in result.history]
    lines = (
        ("loss", "training loss", "#999999", "y"),
        ("val_loss", "validation loss", "#555555", "y"),
        ("auc", "training AUC", "#9fc9e3", "y2"),
        ("val_auc", "validation AUC", "#0072b2", "y2"),
    )
    traces = [
        {
            "x": epochs,
            "y": [row[key] for row in result.history],
            "mode": "lines",
            "name": word,
            "yaxis": axis,
            "line": {"color": colour},
        }
        for key, word, colour, axis in lines
        if key in result.history[0]
    ]
    best = {
        "type": "line",
        "x0": result.best_epoch,
        "x1": result.best_epoch,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dash", "color": "#888"},
    }
    second = {"overlaying": "y", "side": "right", "title": {"text": "AUC"}, "showgrid": False}
    return {
        "data": traces,
        "layout": layout(
            "epoch",
            "loss",
            yaxis2=second,
            shapes=[best],
            margin={"l": 56, "r": 56, "t": 12, "b": 48},
        ),
    }
