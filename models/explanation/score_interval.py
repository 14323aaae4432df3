"""What stands behind the score of one video: how it moves with the frames that are looked at.

One head scores parts of one sequence: windows, for a timeline; random halves, for an interval. A
half of a video's frames, drawn without replacement, scatters around the whole as much as the whole
scatters around what all its frames would give (the half-sample of Shao and Wu, 1989), and unlike
the bootstrap's draws it repeats no frame, so that a head that reads motion sees none that stands
still. The interval tells which frames were looked at and nothing else: not how wrong the head is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from features.sequences.dataset import Sequences
from models.bundle import BundledHead
from models.evaluation.calibration import bounded_logit
from models.evaluation.evaluate import percentiles
from models.heads.training import score

DRAWS = 200
"""Halves of which an interval is made."""
INTERVAL_LEVEL = 0.95
"""Of the interval around one video's score; `evaluate.confidence` is of a report's intervals."""
LEAST_UNITS = 4
"""With fewer pieces than this there are too few halves to speak of an interval."""
WINDOW_FRAMES = 4
"""The shortest window of a timeline: what an LSTM needs to see something move."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Consecutive frames and their own score.

    Attributes:
        start_seconds: of its first frame.
        end_seconds: of its last frame.
        probability_fake: calibrated, by the head on these frames alone.
    """

    start_seconds: float
    end_seconds: float
    probability_fake: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One face's score and how it moves with its frames.

    Attributes:
        probability_fake: calibrated, of all frames: the verdict's.
        low: of the interval of INTERVAL_LEVEL over halves of the frames; None where there are too
            few.
        high: likewise.
        agreement: share of the halves, laid around the score as for the interval, that give the
            same verdict; None likewise.
        windows: scores over time.
    """

    probability_fake: float
    low: float | None
    high: float | None
    agreement: float | None
    windows: tuple[Window, ...]


def weigh(
    head: BundledHead,
    features: NDArray[np.floating[Any]],
    timestamps_seconds: NDArray[np.float64],
    *,
    clip_length: int | None = None,
    seed: int = 0,
) -> Evidence:
    """Scores one face's sequence, its windows and its halves.

    Args:
        head: of the bundle.
        features: (T, D), rounded as the store rounds them.
        timestamps_seconds: (T,) of the frames.
        clip_length: frames of one run, where the recipe takes runs of consecutive frames.
        seed: of the draws.
    """
    count = len(features)
    halves = half_samples(count, block=clip_length or 2, seed=seed)
    windows = list(window_frames(count, clip_length=clip_length))
    raw = score_parts(head, features, [np.arange(count), *windows, *halves])
    own, at, drawn = raw[0], raw[1 : 1 + len(windows)], raw[1 + len(windows) :]
    calibrated = head.calibration.apply(raw)
    probability = float(calibrated[0])
    low = high = agreement = None
    if len(halves):
        ends = head.calibration.apply(np.asarray(interval(float(own), drawn)))
        low, high = float(ends[0]), float(ends[1])
        verdict = head.calibration.verdict(probability, head.threshold)
        same = [
            head.calibration.verdict(float(one), head.threshold) == verdict
            for one in head.calibration.apply(centred(float(own), drawn))
        ]
        agreement = float(np.mean(same))
    scores = head.calibration.apply(at)
    return Evidence(
        probability_fake=probability,
        low=low,
        high=high,
        agreement=agreement,
        windows=tuple(
            Window(
                start_seconds=float(timestamps_seconds[frames[0]]),
                end_seconds=float(timestamps_seconds[frames[-1]]),
                probability_fake=float(value),
            )
            for frames, value in zip(windows, scores, strict=True)
        ),
    )


def score_parts(
    head: BundledHead,
    features: NDArray[np.floating[Any]],
    parts: Sequence[NDArray[np.integer[Any]]],
) -> NDArray[np.float64]:
    """Raw scores, (N,), of parts of one sequence (T, D), each a list of frame numbers in order."""
    padded = np.zeros((len(parts), *features.shape), features.dtype)
    mask = np.zeros(padded.shape[:2], bool)
    for row, frames in enumerate(parts):
        padded[row, : len(frames)] = features[frames]
        mask[row, : len(frames)] = True
    return score_sequences(head, padded, mask)


def score_sequences(
    head: BundledHead, features: NDArray[np.floating[Any]], mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Raw scores, (N,), of (N, T, D) features where (N, T) mask is true."""
    count = len(features)
    nothing = ("",) * count
    return score(
        head.model,
        Sequences(
            features=features,
            mask=mask,
            labels=np.zeros(count, np.int8),
            groups=nothing,
            methods=nothing,
            paths=nothing,
            sha256s=nothing,
        ),
    )


def window_frames(
    count: int, *, clip_length: int | None = None
) -> Sequence[NDArray[np.integer[Any]]]:
    """Frame numbers of each window: a quarter of the frames, or one run where runs were taken."""
    if clip_length is not None:
        starts = range(0, count, clip_length)
        return [np.arange(start, min(start + clip_length, count)) for start in starts]
    length = min(count, max(WINDOW_FRAMES, count // 4))
    steps = range(0, count - length + 1, max(1, length // 4))
    return [np.arange(at, at + length) for at in sorted({*steps, count - length})]


def half_samples(count: int, *, block: int, seed: int) -> list[NDArray[np.integer[Any]]]:
    """Frame numbers of random halves, in order; neighbours that are alike stay together.

    Args:
        count: T, of the frames.
        block: consecutive frames that are drawn as one piece.
        seed: of the draws.

    Returns:
        At most DRAWS different halves; none with fewer than LEAST_UNITS pieces.
    """
    pieces = np.array_split(np.arange(count), range(block, count, block))
    if len(pieces) < LEAST_UNITS:
        return []
    half = len(pieces) // 2
    if comb(len(pieces), half) <= DRAWS:
        chosen = list(itertools.combinations(range(len(pieces)), half))
    else:
        draw = np.random.default_rng(seed)
        drawn: set[tuple[int, ...]] = set()
        while len(drawn) < DRAWS:
            some = draw.choice(len(pieces), half, replace=False)
            drawn.add(tuple(sorted(int(one) for one in some)))
        chosen = sorted(drawn)
    return [np.concatenate([pieces[one] for one in some]) for some in chosen]


def centred(own: float, halves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw scores of halves, (N,), laid around the raw score of the whole.

    A half may be less telling than the whole, and an LSTM that sees half the steps scores lower:
    that is no scatter. So their scatter around their own median is laid around the score, on the
    scale of log-odds. Interval and agreement are both taken from what this returns.
    """
    scattered = bounded_logit(halves)
    moved = scattered - np.median(scattered)
    # What does not move is the score itself: rounding must not carry it over a threshold.
    return np.where(moved == 0, own, expit(bounded_logit(np.asarray(own)) + moved))


def interval(own: float, halves: NDArray[np.float64]) -> tuple[float, float]:
    """The interval of INTERVAL_LEVEL around a raw score, of its `centred` halves.

    Its ends are scores of halves, the outer of two where a percentile lies between them, so that
    at least this share of the halves lies inside, however few they are.
    """
    around = centred(own, halves)
    below, above = percentiles(INTERVAL_LEVEL)
    low = np.percentile(around, below, method="lower")
    high = np.percentile(around, above, method="higher")
    return min(float(low), own), max(float(high), own)  # log-odds are bounded, `own` may be 1
