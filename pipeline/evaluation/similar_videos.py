"""How a bundle's verdicts did on test videos like a given one, in counts.

A detector's error depends on what a video is like: small or strongly compressed faces are harder,
and so are forgeries by methods that its training lacks. `unmask evaluate` cuts the test videos into
parts by each of four quantities and counts what was called what; a verdict's page shows the parts
that its video falls into. Plain counts: a part of a dozen videos has no rate worth an interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

QUANTITIES = {
    "picture": "shorter side of the picture, pixels",
    "bits": "bits for each pixel",
    "face": "side of the face crop, pixels",
    "frames": "frames used",
}
"""What a video is measured by, in words."""
PARTS = 4
"""At most, of each quantity."""
FEWEST = 8
"""Videos of a part; with fewer in all there is one part."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Verdicts on some videos."""

    fakes: int  # forgeries
    caught: int  # of these, called FAKE
    reals: int  # real videos
    cleared: int  # of these, called REAL
    unsure: int  # without verdict, of both

    @classmethod
    def of(cls, labels: NDArray[np.integer[Any]], verdicts: NDArray[np.str_]) -> Self:
        """Counts labels (N,), 1 = fake, and verdicts (N,) "FAKE", "REAL" or "UNSURE"."""
        fake = labels == 1
        return cls(
            fakes=int(fake.sum()),
            caught=int((fake & (verdicts == "FAKE")).sum()),
            reals=int((~fake).sum()),
            cleared=int((~fake & (verdicts == "REAL")).sum()),
            unsure=int((verdicts == "UNSURE").sum()),
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """The test videos between two values of a quantity."""

    low: float  # of these videos, the least
    high: float  # the largest
    counts: Counts

    @property
    def videos(self) -> int:
        """How many they are."""
        return self.counts.fakes + self.counts.reals


@dataclass(frozen=True, kw_only=True)
class TestedVideos:
    """All counts of an evaluation."""

    parts: Mapping[str, tuple[Part, ...]]  # quantity -> parts, by size; none where it is unknown
    # forgeries by methods that training lacks; None where the methods of training are unknown
    unseen_methods: Counts | None

    @property
    def overall(self) -> Counts | None:
        """Of all test videos; None where none was measured. Each quantity's parts hold them all."""
        parts = max(self.parts.values(), key=lambda one: sum(part.videos for part in one))
        counts = [asdict(one.counts) for one in parts]
        if not counts:
            return None
        return Counts(**{name: sum(one[name] for one in counts) for name in counts[0]})

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Reads what `asdict` made.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        unseen = facts["unseen_methods"]
        return cls(
            parts={
                name: tuple(
                    Part(
                        low=float(one["low"]),
                        high=float(one["high"]),
                        counts=_counts(one["counts"]),
                    )
                    for one in facts["parts"][name]
                )
                for name in QUANTITIES
            },
            unseen_methods=None if unseen is None else _counts(unseen),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Alike:
    """One row of a verdict's table: a quantity of the video, and the tests like it."""

    words: str  # the quantity
    value: float  # of this video
    low: float  # of the test videos counted, the least
    high: float  # the largest
    outside: bool  # whether no test video was as small, or none as large
    counts: Counts


def count_tested(
    labels: NDArray[np.integer[Any]],
    verdicts: NDArray[np.str_],
    quantities: Mapping[str, NDArray[np.float64]],
    unseen: NDArray[np.bool_] | None,
) -> TestedVideos:
    """Counts the verdicts of an evaluation.

    Args:
        labels: (N,) 1 = fake.
        verdicts: (N,) "FAKE", "REAL" or "UNSURE".
        quantities: each of QUANTITIES -> (N,), NaN where it is unknown.
        unseen: (N,) which are forgeries by a method that training lacks; None if unknown.
    """
    return TestedVideos(
        parts={name: _parts(quantities[name], labels, verdicts) for name in QUANTITIES},
        unseen_methods=None if unseen is None else Counts.of(labels[unseen], verdicts[unseen]),
    )


def tests_like(tested: TestedVideos, quantities: Mapping[str, float]) -> list[Alike]:
    """The parts that a video falls into; between two parts, the nearer one.

    Args:
        tested: counts of the bundle's evaluation.
        quantities: of the video; one that is missing or NaN has no row.
    """
    rows = []
    for name, words in QUANTITIES.items():
        parts, value = tested.parts[name], quantities.get(name, np.nan)
        if not parts or np.isnan(value):
            continue
        part = min(parts, key=lambda one: max(one.low - value, value - one.high, 0))
        outside = not parts[0].low <= value <= parts[-1].high
        rows.append(
            Alike(
                words=words,
                value=value,
                low=part.low,
                high=part.high,
                outside=outside,
                counts=part.counts,
            )
        )
    return rows


def measured(
    *,
    width: int,
    height: int,
    fps: float,
    bit_rate: int,
    face_pixels: float,
    frames: int,
) -> dict[str, float]:
    """The quantities of one video; NaN where its file does not say."""
    pixels_per_second = width * height * fps
    known = pixels_per_second > 0 and bit_rate > 0
    return {
        "picture": float(min(width, height)),
        "bits": bit_rate / pixels_per_second if known else float("nan"),
        "face": float(face_pixels),
        "frames": float(frames),
    }


def median_side(boxes: NDArray[np.floating[Any]]) -> float:
    """Median side of a face's square crops, (T, 4) x0, y0, x1, y1, in pixels as shown."""
    return float(np.median(boxes[:, 2] - boxes[:, 0]))


def _parts(
    values: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    verdicts: NDArray[np.str_],
) -> tuple[Part, ...]:
    """Parts of about equal size; equal values are in one part."""
    known = np.flatnonzero(~np.isnan(values))
    count = max(1, min(PARTS, len(known) // FEWEST))
    ordered = np.sort(values[known])
    edges = ordered[[len(known) * place // count for place in range(1, count)]]
    numbers = np.searchsorted(edges, values[known], side="right")
    found = []
    for number in np.unique(numbers):
        rows = known[numbers == number]
        part = values[rows]
        counts = Counts.of(labels[rows], verdicts[rows])
        found.append(Part(low=float(part.min()), high=float(part.max()), counts=counts))
    return tuple(found)


def _counts(facts: Mapping[str, Any]) -> Counts:
    return Counts(
        **{name: int(facts[name]) for name in ("fakes", "caught", "reals", "cleared", "unsure")}
    )


def unseen_forgeries(
    labels: Sequence[int], methods: Sequence[str], trained: set[str]
) -> NDArray[np.bool_]:
    """(N,): which videos are forgeries by none of the methods of training."""
    pairs = zip(labels, methods, strict=True)
    return np.array([label == 1 and method not in trained for label, method in pairs], bool)
