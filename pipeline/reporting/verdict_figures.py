"""What a verdict's page draws: the scale, the timeline, the scene, the heat on a face."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.faces.multi_face import Still
from models.evaluation.calibration import Calibration
from models.explanation.score_interval import ScoreInterval
from pipeline.reporting.figures import LABEL_COLOURS, Figure, layout
from pipeline.reporting.markup import escape
from pipeline.reporting.page import picture

REAL_COLOUR, FAKE_COLOUR = LABEL_COLOURS
UNSURE_COLOUR = "#8a8f98"
COLOURS = {"REAL": REAL_COLOUR, "FAKE": FAKE_COLOUR, "UNSURE": UNSURE_COLOUR}
STRONGEST = 0.75
"""How much of a picture the strongest heat covers."""


def scale(evidence: ScoreInterval, threshold: float, calibration: Calibration, verdict: str) -> str:
    """Score, interval, threshold and band on a line from 0 to 1."""
    pieces = []
    if calibration.unsure_low is not None and calibration.unsure_high is not None:
        band = span(calibration.unsure_low, calibration.unsure_high)
        pieces.append(f'<i class="band" style="{band}"></i>')
    pieces.append(f'<i class="cut" style="left:{100 * threshold:.2f}%"></i>')
    colour = COLOURS[verdict]
    words = f"P(fake) {evidence.probability_fake:.3f}, threshold {threshold:.3f}"
    if evidence.low is not None and evidence.high is not None:
        pieces.append(
            f'<i class="reach" style="{span(evidence.low, evidence.high)};background:{colour}"></i>'
        )
        words += f", interval {evidence.low:.2f} to {evidence.high:.2f}"
    at = 100 * evidence.probability_fake
    pieces.append(f'<i class="dot" style="left:{at:.2f}%;background:{colour}"></i>')
    return (
        f'<div class="scale" role="img" aria-label="{escape(words)}"><div class="line">'
        f'{"".join(pieces)}</div><div class="ends"><span>0 real</span><span>P(fake)</span>'
        "<span>fake 1</span></div></div>"
    )


def span(low: float, high: float) -> str:
    """CSS of a piece of the scale."""
    low, high = max(0.0, low), min(1.0, high)
    return f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"


def timeline(evidence: ScoreInterval, threshold: float, calibration: Calibration) -> Figure:
    """The score of each window over time, with the video's score, the threshold and the band."""
    windows = evidence.windows
    middle = [(one.start_seconds + one.end_seconds) / 2 for one in windows]
    start, end = windows[0].start_seconds, windows[-1].end_seconds
    traces: list[dict[str, Any]] = [
        {
            "x": [start, end],
            "y": [level, level],
            "mode": "lines",
            "name": name,
            "line": {"dash": dash, "color": "#888", "width": 1.5},
            "hoverinfo": "skip",
        }
        for name, level, dash in (
            ("all frames", evidence.probability_fake, "solid"),
            ("threshold", threshold, "dash"),
        )
    ]
    traces.append(
        {
            "x": middle,
            "y": [one.probability_fake for one in windows],
            "customdata": [[one.start_seconds, one.end_seconds] for one in windows],
            "mode": "lines+markers",
            "name": "window",
            "line": {"color": "#0072b2", "width": 2.5},
            "marker": {
                "size": 8,
                "color": [
                    COLOURS[calibration.verdict(one.probability_fake, threshold)] for one in windows
                ],
            },
            "hovertemplate": "%{customdata[0]:.2f} to %{customdata[1]:.2f} s"
            "<br>P(fake) %{y:.3f}<extra></extra>",
        }
    )
    shapes = []
    if calibration.unsure_low is not None and calibration.unsure_high is not None:
        shapes.append(
            {
                "type": "rect",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": calibration.unsure_low,
                "y1": calibration.unsure_high,
                "fillcolor": "rgba(138,143,152,0.2)",
                "line": {"width": 0},
                "layer": "below",
            }
        )
    return {
        "data": traces,
        "layout": layout(
            "seconds",
            "P(fake)",
            yaxis={"range": [-0.04, 1.04]},
            shapes=shapes,
            height=260,
            margin={"l": 56, "r": 16, "t": 12, "b": 48},
            showlegend=False,  # three entries do not fit a telephone; the caption has them
        ),
    }


def scene(still: Still, boxes: list[tuple[int, NDArray[np.floating[Any]], str]]) -> str:
    """A whole frame with the crop of each face: number, (4,) box in the video's pixels, verdict."""
    height, width = still.pixels.shape[:2]
    thick = width / 320
    drawn = []
    for number, box, verdict in boxes:
        x0, y0, x1, y1 = (float(one) * still.scale for one in box)
        colour = COLOURS[verdict]
        drawn.append(
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" '
            f'fill="none" stroke="{colour}" stroke-width="{thick:.1f}"/>'
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{9 * thick:.1f}" height="{11 * thick:.1f}" '
            f'fill="{colour}"/><text x="{x0 + 4.5 * thick:.1f}" y="{y0 + 8.7 * thick:.1f}" '
            f'font-size="{9 * thick:.1f}" fill="#fff" text-anchor="middle">{number}</text>'
        )
    words = f"the scene at {still.timestamp_seconds:.1f} s, faces numbered"
    return (
        f'<div class="scene">{picture(still.pixels, words)}'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(drawn)}</svg></div>'
    )


def heated(
    pixels: NDArray[np.uint8], effects: NDArray[np.float64], most: float
) -> NDArray[np.uint8]:
    """A crop in grey under its heat: orange speaks for fake, green for real.

    Args:
        pixels: (S, S, 3) uint8 RGB.
        effects: (C, C) of each cell, in log-odds of fake.
        most: the effect that is drawn strongest.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    side = pixels.shape[0]
    share = np.clip(effects / max(most, 1e-9), -1, 1).astype(np.float32)
    smooth = Image.fromarray(share).resize((side, side), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(smooth), -1, 1)[..., None]  # (S, S, 1)
    grey = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"), np.float32)
    warm, cool = (
        np.asarray([int(one[at : at + 2], 16) for at in (1, 3, 5)], np.float32)
        for one in (FAKE_COLOUR, REAL_COLOUR)
    )
    cover = np.abs(strength) * STRONGEST
    mixed = grey * (1 - cover) + np.where(strength > 0, warm, cool) * cover
    return np.asarray(mixed.round().clip(0, 255), np.uint8)
