"""The result of `unmask pair`: whether two videos show one scene, and which of them is forged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluation.likelihood_ratio import times_in_words

Answer = Literal["other scene", "alike", "different"]
Forged = Literal["A", "B"]
OTHER: dict[Forged, Forged] = {"A": "B", "B": "A"}
LEAST_SHARE = 0.0005
"""A loss of detail that would be shown as 0.0 %."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two videos."""

    video: str  # as given
    sha256: str  # of the file
    width: int  # in pixels as shown
    height: int  # in pixels as shown
    fps: float  # average frames per second
    duration_seconds: float  # as declared
    # calibrated P(fake) by the bundle's head, of the common time; None without a bundle
    probability_fake: float | None = None
    log10_lr: float | None = None  # of that score alone; None where there is none
    novelty: float | None = None  # above 1, the face is unlike the bundle's training; or None
    trained: tuple[str, ...] = ()  # what of the bundle was trained on this very file
    measured: bool = False  # whether the pair's ratio was measured on this very file, among others


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where and when B shows what A shows."""

    lag_seconds: float  # time in B minus time in A
    common_seconds: float  # how long both show the scene
    scale: float  # pixels of B over those of A
    mirrored: bool  # whether B is A mirrored
    inliers: int  # picture points that agree
    movement: float  # correlation of what moves; 1 is the same
    common_a: float  # share of A's picture that B shows
    common_b: float  # share of B's picture that A shows


@dataclass(frozen=True, kw_only=True)
class FaceDifference:
    """How far one face of A differs from the same face of B."""

    face: int  # 1 for the largest lasting one
    inside: float  # mean difference in the face, in grey levels
    # grey levels that encoding anew explains, by the surroundings
    expected: float
    surroundings: float  # mean difference around the face
    statistic: float  # decides: above the threshold the faces differ
    threshold: float  # above which the statistic says that the faces differ
    frames: int  # simultaneous frames compared


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One of the two videos for a page."""

    still: NDArray[np.uint8]  # (H, W, 3) uint8 RGB, a whole frame
    box: Box  # of the face there
    crops: NDArray[np.uint8]  # (T, S, S, 3) uint8 RGB, placed alike for both
    times_seconds: NDArray[np.float64]  # (T,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """What a page shows, of the face that differs most; not in JSON."""

    a: View
    b: View
    excess: NDArray[np.float64]  # (T, C, C) grey levels beyond what encoding anew explains
    lasting: NDArray[np.float64]  # (C, C) the same of the mean over time
    inside: NDArray[np.float64]  # (T,) mean difference in the face
    expected: NDArray[np.float64]  # (T,) of it, what encoding anew explains
    # (D, D) each cell's part in the detail that A, where negative B, lacks; None where not measured
    lost: NDArray[np.float64] | None


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """The comparison of two videos, A and B."""

    a: Side  # the first video
    b: Side  # the second video
    answer: Answer  # whether they show one scene, and whether a face differs there
    reason: str  # of the answer, a phrase
    same_file: bool = False  # whether both have the same bytes
    geometry: Geometry | None = None  # None where they are one file, or show other scenes
    faces: tuple[FaceDifference, ...] = ()  # of all faces, the one that differs most first
    # natural logarithm of B's fine detail over A's where one of the faces may be a mixture of both,
    # beyond what the surroundings lead one to expect: above 0 A lacks some, as a forgery does that
    # was blended in; None where the faces do not differ or it could not be measured
    lost_detail: float | None = None
    # log10 of how many times as likely such a pair is if A is forged and B is not than the other
    # way round; 0 where the two are alike; None for another scene, where it was not measured, and
    # where the faces differ by little more than encoding anew explains
    log10_lr: float | None = None
    log10_lr_low: float | None = None  # lower end of the interval of log10_lr; None with it
    log10_lr_high: float | None = None  # upper end of the interval of log10_lr; None with it
    likelihood: str | None = None  # the ratio in words
    forged: Forged | None = None  # the one for which the ratio speaks; None where it is near 1
    origin: str = ""  # what the ratio was measured on, or why there is none; a sentence
    notes: tuple[str, ...] = ()  # on the bundle

    @property
    def warnings(self) -> list[str]:
        """What must be known before the answer, as sentences without full stop."""
        sides = (("A", self.a), ("B", self.b))
        trained = [
            f"{name} is a video that trained {' and '.join(side.trained)}: what the bundle says of "
            "it is worth nothing"
            for name, side in sides
            if side.trained
        ]
        measured = [
            f"{name} is among the videos that the likelihood ratio was measured on"
            for name, side in sides
            if side.measured and self.answer == "different"
        ]
        return [*trained, *measured, *self.notes]


@dataclass(frozen=True, kw_only=True)
class NotCompared:
    """Why a video was not compared with its reference."""

    failure: str  # class of the failure
    message: str  # what was wrong, one line


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A result, and what its page shows."""

    result: PairResult
    pictures: Pictures | None = None  # None where the faces were not compared


def swapped(comparison: Comparison) -> Comparison:
    """The same comparison with A and B swapped: mirrored to the last bit."""
    result, seen = comparison.result, comparison.pictures
    place, low, high = result.geometry, result.log10_lr_low, result.log10_lr_high
    return Comparison(
        result=replace(
            result,
            a=result.b,
            b=result.a,
            geometry=None if place is None else _swapped_geometry(place),
            lost_detail=_negative(result.lost_detail),
            log10_lr=_negative(result.log10_lr),
            log10_lr_low=_negative(high),
            log10_lr_high=_negative(low),
            likelihood=None if result.log10_lr is None else in_words(-result.log10_lr),
            forged=None if result.forged is None else OTHER[result.forged],
        ),
        pictures=None if seen is None else _swapped_pictures(seen),
    )


def _swapped_geometry(place: Geometry) -> Geometry:
    return replace(
        place,
        lag_seconds=0.0 - place.lag_seconds,  # no negative zero
        scale=1 / place.scale,
        common_a=place.common_b,
        common_b=place.common_a,
    )


def _swapped_pictures(seen: Pictures) -> Pictures:
    return replace(seen, a=seen.b, b=seen.a, lost=None if seen.lost is None else 0.0 - seen.lost)


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def in_words(log10_lr: float) -> str:
    """The pair's ratio as a sentence, without its full stop."""
    times = times_in_words(log10_lr)
    more, less = ("A", "B") if log10_lr > 0 else ("B", "A")
    if times == "1":
        return "such a pair is about as likely if A is forged as if B is"
    return f"such a pair is at least {times} times as likely if {more} is forged than if {less} is"


def lost_in_words(lost_detail: float) -> str:
    """Which face lacks how much detail as a sentence, without its full stop."""
    share = 1 - float(np.exp(-abs(lost_detail)))
    if share < LEAST_SHARE:
        return "where the two faces agree in part, neither lacks fine detail"
    less, more = ("A", "B") if lost_detail > 0 else ("B", "A")
    return (
        f"where the two faces agree in part, {less}'s has {share:.1%} less fine detail than "
        f"{more}'s, measured against what lies around them"
    )
