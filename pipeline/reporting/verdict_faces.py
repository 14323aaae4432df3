"""A verdict's page, face by face: where it is, its score over time, its crops and their heat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.faces.crops import Frames
from data.faces.multi_face import Still
from models.evaluation.calibration import Calibration
from models.explanation.occlusion import CELLS, PATCH_CELLS, HeatMap, Part
from models.explanation.score_interval import ScoreInterval
from pipeline.inference.verdict import FaceVerdict, JudgedFace
from pipeline.reporting.charts.primitives import (
    UNSURE,
    VERDICTS,
    Band,
    Level,
    Plot,
    Point,
    Series,
    fitted_axis,
    unit_axis,
)
from pipeline.reporting.page import Picture, picture

STRIP_FRAMES = 16
"""Frames of a face strip; of a longer sequence as many, spread evenly."""
STRIP_WIDTH = 128
"""Pixels of a picture in the strip."""
STRONGEST = 0.75
"""Opacity of the strongest heat."""
WARM, COOL = (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)
"""Of what speaks for fake and for real: the colours of the verdicts."""


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small picture of one frame: when it is shown, and whether the face's place is guessed."""

    picture: Picture
    seconds: float
    guessed: bool = False


@dataclass(frozen=True, kw_only=True)
class Heat:
    """A heat map, as the page shows it."""

    middle: Picture  # a crop
    whole: Picture  # the same under the map of all frames
    frames: list[Thumbnail]  # each used crop under its own map
    most: float  # strongest effect of the whole map, in log-odds of fake
    most_single: float  # of the maps of single frames
    hottest: str  # what hiding the part that speaks most for fake does, in words
    coldest: str  # of the one that speaks least for it


@dataclass(frozen=True, kw_only=True)
class FaceSection:
    """One face with `count` frames, as the page shows it."""

    number: int
    count: int
    timeline: Plot
    strip: list[Thumbnail]
    heat: Heat | None


def boxes(
    faces: Sequence[JudgedFace], still: Still
) -> list[tuple[FaceVerdict, tuple[float, float, float, float]]]:
    """Faces that are there at the time of the scene, with x0, y0, x1, y1 in the scene's pixels."""
    found, at = [], still.timestamp_seconds
    for one in faces:
        times = one.frames.timestamps_seconds
        x0, y0, x1, y1 = one.frames.boxes[np.abs(times - at).argmin()] * still.scale
        if times[0] <= at <= times[-1]:
            found.append((one.verdict, (float(x0), float(y0), float(x1), float(y1))))
    return found


def face_section(
    one: JudgedFace, heat: HeatMap | None, threshold: float, calibration: Calibration
) -> FaceSection:
    """One face's part of the page; without a heat map where none was made."""
    frames, count = one.frames, len(one.frames.pixels)
    chosen = np.unique(np.linspace(0, count - 1, min(count, STRIP_FRAMES)).round().astype(int))
    return FaceSection(
        number=one.verdict.face,
        count=count,
        timeline=timeline(one.score, threshold, calibration),
        strip=[
            Thumbnail(
                picture=picture(frames.pixels[index], STRIP_WIDTH),
                seconds=float(frames.timestamps_seconds[index]),
                guessed=bool(frames.face_found.any() and not frames.face_found[index]),
            )
            for index in chosen
        ],
        heat=None if heat is None else heat_section(frames, heat),
    )


def timeline(score: ScoreInterval, threshold: float, calibration: Calibration) -> Plot:
    """The score of each window over time, with the video's score, the threshold and the band."""
    points = []
    for one in score.windows:
        verdict = calibration.verdict(one.probability_fake, threshold)
        span, value = f"{one.start_seconds:.2f} to {one.end_seconds:.2f} s", one.probability_fake
        points.append(
            Point(
                x=(one.start_seconds + one.end_seconds) / 2,
                y=value,
                cells=(span, f"{value:.3f}", verdict),
                colour=VERDICTS[verdict],
            )
        )
    bands = []
    if calibration.unsure_low is not None and calibration.unsure_high is not None:
        bands.append(
            Band(low=calibration.unsure_low, high=calibration.unsure_high, name="scores that are "
                 "UNSURE", colour=UNSURE)
        )  # fmt: skip
    if score.low is not None and score.high is not None:
        bands.append(
            Band(low=score.low, high=score.high, name="interval of that score", colour="blue")
        )
    ends = [score.windows[0].start_seconds, score.windows[-1].end_seconds]
    return Plot(
        words="P(fake) of each window over time",
        x=fitted_axis("seconds", ends, room=0.02),
        y=unit_axis("P(fake)"),
        series=[Series(name="one window", colour="", points=points, radius=5)],
        levels=[
            Level(value=score.probability_fake, name="score of all frames", line="solid"),
            Level(value=threshold, name="threshold", colour="ink"),
        ],
        bands=bands,
        height=240,
        head=("window", "P(fake)", "verdict"),
    )


def heat_section(seen: Frames, heat: HeatMap) -> Heat:
    """The map of the whole face, what hiding does, and the map of each frame."""
    frames = seen.pixels[heat.frame_numbers]
    middle = frames[len(frames) // 2]
    most, most_single = float(np.abs(heat.whole).max()), float(np.abs(heat.frames).max())
    return Heat(
        middle=picture(middle),
        whole=picture(heated(middle, heat.whole, most)),
        frames=[
            Thumbnail(
                picture=picture(heated(pixels, effects, most_single), STRIP_WIDTH),
                seconds=float(seen.timestamps_seconds[index]),
            )
            for pixels, effects, index in zip(frames, heat.frames, heat.frame_numbers, strict=True)
        ],
        most=most,
        most_single=most_single,
        hottest=effect_of_hiding(heat, heat.hottest),
        coldest=effect_of_hiding(heat, heat.coldest),
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
    cover = np.abs(strength) * STRONGEST
    mixed = grey * (1 - cover) + np.where(strength > 0, WARM, COOL) * cover
    return np.asarray(mixed.round().clip(0, 255), np.uint8)


def effect_of_hiding(heat: HeatMap, part: Part) -> str:
    """Which part is hidden, and what that does to P(fake), in words."""
    middle = (CELLS - PATCH_CELLS) / 2
    up = "upper" if part.top < middle - 0.5 else "lower" if part.top > middle + 0.5 else "middle"
    side = "left" if part.left < middle - 0.5 else "right" if part.left > middle + 0.5 else "centre"
    before, after = f"{heat.probability_fake:.3f}", f"{part.probability_fake:.3f}"
    if before == after:  # the effect is in log-odds before calibration, which may flatten it
        return f"the {up} {side} leaves P(fake) at {before}"
    change = "lowers" if part.effect > 0 else "raises"
    return f"the {up} {side} {change} P(fake) from {before} to {after}"
