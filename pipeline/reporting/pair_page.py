"""The page of two versions of one scene: which is forged, how they were aligned, what differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.alignment.difference import CELLS
from models.evaluation.likelihood_ratio import LEVEL
from pipeline.pairs.result import Comparison, PairResult, Pictures, View, lost_in_words
from pipeline.reporting.charts.primitives import Plot, Point, Series, fitted_axis
from pipeline.reporting.page import Picture, picture, render
from pipeline.reporting.verdict_faces import STRONGEST, WARM

STRIP_FRAMES = 8
STRIP_WIDTH = 128
"""Pixels of a crop in the strip."""
STILL_WIDTH = 640
"""Pixels of a whole frame on the page."""
LEAST_LOST = 1e-3
"""A cell's part in the lost detail that is drawn at full strength, at least."""
LEAST_STRONGEST = 8.0
"""Grey levels drawn at full strength, at least: so that two alike faces do not glow."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Two simultaneous crops, and where they differ."""

    a: Picture
    b: Picture
    heat: Picture
    when: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A whole frame, and the place of the face in its pixels."""

    still: Picture
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the page shows of two videos' frames."""

    scenes: tuple[Scene, Scene]
    moments: list[Moment]
    strongest: float  # grey levels that are drawn strongest in single frames
    face: Picture  # of A
    lasting: Picture  # the same under the difference that lasts
    strongest_lasting: float  # grey levels that are drawn strongest there
    where: str  # it lies in the face, in words
    # the faces of A and B under the detail that each lacks; None where that was not measured
    lacking: tuple[Picture, Picture] | None
    timeline: Plot


def render_pair(comparison: Comparison, *, command: str) -> str:
    """Writes the page as text; `command` is what to type for it."""
    result, seen = comparison.result, comparison.pictures
    headline, kind = headline_of(result)
    return render(
        "pair.jinja",
        name_a=Path(result.a.video).name,
        name_b=Path(result.b.video).name,
        result=result,
        headline=headline,
        headline_kind=kind,
        level=LEVEL,
        shown=None if seen is None else shown_of(seen),
        lost=None if result.lost_detail is None else lost_in_words(result.lost_detail),
        cards=cards(result, command),
    )


def headline_of(result: PairResult) -> tuple[str, str]:
    """The answer in some words, and the class of its colour."""
    if result.answer == "other scene":
        return "Not one scene", "UNSURE"
    if result.answer == "alike":
        return "Alike", "REAL"
    if result.forged is not None:
        return f"Different, and {result.forged} is more likely forged", "FAKE"
    return "Different, and which is forged is open", "UNSURE"


def shown_of(seen: Pictures) -> Shown:
    """What the template shows of the frames."""
    count = len(seen.a.crops)
    chosen = np.unique(np.linspace(0, count - 1, min(count, STRIP_FRAMES)).round().astype(int))
    strongest = max(float(np.quantile(seen.excess, 0.99)), LEAST_STRONGEST)
    strongest_lasting = max(float(np.quantile(seen.lasting, 0.99)), LEAST_STRONGEST)
    middle = seen.a.crops[count // 2]
    return Shown(
        scenes=(scene_of(seen.a), scene_of(seen.b)),
        moments=[
            Moment(
                a=picture(seen.a.crops[at], STRIP_WIDTH),
                b=picture(seen.b.crops[at], STRIP_WIDTH),
                heat=picture(heated(seen.a.crops[at], seen.excess[at], strongest), STRIP_WIDTH),
                when=f"{seen.a.times_seconds[at]:.2f} s",
            )
            for at in chosen
        ],
        strongest=strongest,
        face=picture(middle),
        lasting=picture(heated(middle, seen.lasting, strongest_lasting)),
        strongest_lasting=strongest_lasting,
        where=where_in_words(seen.lasting),
        lacking=lacking(seen),
        timeline=timeline(seen),
    )


def lacking(seen: Pictures) -> tuple[Picture, Picture] | None:
    """A frame of both, each under the detail that it lacks and the other has."""
    if seen.lost is None:
        return None
    strongest = max(float(np.quantile(np.abs(seen.lost), 0.99)), LEAST_LOST)
    middle = len(seen.a.crops) // 2
    a, b = (
        picture(heated(view.crops[middle], sign * seen.lost, strongest))
        for view, sign in ((seen.a, 1), (seen.b, -1))
    )
    return a, b


def scene_of(view: View) -> Scene:
    """A whole frame with the face's place."""
    still = picture(view.still, STILL_WIDTH)
    scale = still.width / view.still.shape[1]
    x0, y0, x1, y1 = (end * scale for end in view.box)
    return Scene(still=still, left=x0, top=y0, width=x1 - x0, height=y1 - y0)


def heated(
    pixels: NDArray[np.uint8], excess: NDArray[np.float64], strongest: float
) -> NDArray[np.uint8]:
    """A crop (S, S, 3) in grey under its difference (C, C): `strongest` is drawn strongest."""
    side = pixels.shape[0]
    share = np.clip(excess / strongest, 0, 1).astype(np.float32)
    smooth = np.asarray(Image.fromarray(share).resize((side, side), Image.Resampling.BILINEAR))
    cover = np.clip(smooth, 0, 1)[..., None] * STRONGEST
    grey = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"), np.float32)
    mixed = grey * (1 - cover) + np.asarray(WARM, np.float32) * cover
    return np.asarray(mixed.round().clip(0, 255), np.uint8)


def where_in_words(mean: NDArray[np.float64]) -> str:
    """Which part of the face (CELLS, CELLS) differs most, in words."""
    parts = {
        f"{vertical} {horizontal}": mean[rows, columns].mean()
        for vertical, rows in thirds(0.24, 0.76, ("upper", "middle", "lower"))
        for horizontal, columns in thirds(0.28, 0.72, ("left", "middle", "right"))
    }
    most = max(parts, key=lambda name: parts[name])
    name = "middle" if most == "middle middle" else most
    return (
        f"Of nine parts of the face, its {name} differs most, by {parts[most]:.1f} grey levels "
        f"more than encoding anew explains; the face as a whole by "
        f"{np.mean(list(parts.values())):.1f}."
    )


def thirds(low: float, high: float, names: tuple[str, str, str]) -> list[tuple[str, slice]]:
    """The cells of three equal parts from `low` to `high`, shares of the crop's side."""
    ends = (np.linspace(low, high, 4) * CELLS).round().astype(int)
    return [(name, slice(ends[at], ends[at + 1])) for at, name in enumerate(names)]


def timeline(seen: Pictures) -> Plot:
    """Difference and expected difference of each pair of simultaneous frames."""
    times = [float(one) for one in seen.a.times_seconds]

    def series(name: str, colour: str, values: NDArray[np.float64], line: str) -> Series:
        points = [
            Point(x=at, y=float(value), cells=(f"{at:.2f} s", name, f"{value:.2f}"))
            for at, value in zip(times, values, strict=True)
        ]
        return Series(name=name, colour=colour, points=points, line=line, radius=3)

    highest = float(max(seen.inside.max(), seen.expected.max(), 1.0))
    return Plot(
        words="difference of the two faces over time",
        x=fitted_axis("seconds of A", times, room=0.02),
        y=fitted_axis("grey levels", [0.0, highest], room=0.03),
        series=[
            series("difference in the face", "vermilion", seen.inside, "solid"),
            series("expected of encoding anew", "blue", seen.expected, "dashed"),
        ],
        height=240,
        head=("time", "what", "grey levels"),
    )


def cards(result: PairResult, command: str) -> dict[str, dict[str, str]]:
    """Facts about the files, the alignment, and how to do it again."""
    made = {
        name: {"name": side.video, "sha256": side.sha256}
        for name, side in (("A", result.a), ("B", result.b))
    }
    place = result.geometry
    if place is not None:
        made["Alignment"] = {
            "time": f"B's clock minus A's: {place.lag_seconds:+.3f} s",
            "common time": f"{place.common_seconds:.2f} s",
            "scale": f"B has {place.scale:.3f} times the pixels of A each way",
            "mirrored": "yes" if place.mirrored else "no",
            "points that agree": str(place.inliers),
            "movement": f"correlation {place.movement:.3f}",
            "common picture": f"{place.common_a:.0%} of A, {place.common_b:.0%} of B",
        }
    return made | {"Again": {"command": command}}
