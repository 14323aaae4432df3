"""The interval of one video's score over the frames that are taken, and its scores over time.

One head scores parts of one sequence: windows, for a timeline; random halves, for an interval. A
half of a video's frames, drawn without replacement, varies around the whole as much as the whole
varies around the score of all its frames (the half-sample of Shao and Wu, 1989), and unlike a
bootstrap draw it repeats no frame, which a head that reads motion would see as a still. The
interval covers the choice of frames alone, not the error of the head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from features.sequences.dataset import Sequences
from models.bundle import BundledHead
from models.evaluation.calibration import bounded_logit
from models.evaluation.evaluate import percentiles
from models.heads.inference import HeadNetwork, map_frames, score

DRAWS = 200
"""Halves that make an interval."""
INTERVAL_LEVEL = 0.95
"""Of the interval around one video's score; `evaluate.confidence` is of a report's intervals."""
LEAST_UNITS = 4
"""With fewer pieces than this there are too few different halves for an interval."""
WINDOW_FRAMES = 4
"""The shortest window of a timeline: what an LSTM needs to see motion."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Consecutive frames and their own score."""

    start_seconds: float  # of its first frame
    end_seconds: float  # of its last frame
    probability_fake: float  # calibrated, by the head on these frames alone


@dataclass(frozen=True, kw_only=True)
class ScoreInterval:
    """One face's score and how it varies with its frames."""

    probability_fake: float  # calibrated, of all frames: the verdict's
    # of the interval of INTERVAL_LEVEL over halves of the frames; None where there are too few
    low: float | None
    high: float | None  # likewise
    # share of the halves, centred as for the interval, that give the same verdict; None likewise
    agreement: float | None
    windows: tuple[Window, ...]  # scores over time


def score_interval(
    head: BundledHead,
    features: NDArray[np.floating[Any]],
    timestamps_seconds: NDArray[np.float64],
    *,
    clip_length: int | None = None,
    seed: int = 0,
) -> ScoreInterval:
    """Scores one face's sequence, its windows and its halves.

    Args:
        head: of the bundle.
        features: (T, D), rounded as the store rounds them.
        timestamps_seconds: (T,) of the frames.
        clip_length: frames of one run, where the recipe takes runs of consecutive frames.
        seed: of the draws.
    """
    count, apply = len(features), head.calibration.apply
    halves = half_samples(count, block=clip_length or 2, seed=seed)
    windows = list(window_frames(count, clip_length=clip_length))
    raw = score_parts(head, features, [np.arange(count), *windows, *halves])
    whole, of_halves = float(raw[0]), raw[1 + len(windows) :]
    calibrated = apply(raw)
    probability = float(calibrated[0])
    low = high = agreement = None
    if halves:
        low, high = apply(np.asarray(interval(whole, of_halves))).tolist()
        verdict = head.calibration.verdict(probability, head.threshold)
        verdicts = [
            head.calibration.verdict(one, head.threshold)
            for one in apply(centred(whole, of_halves)).tolist()
        ]
        agreement = verdicts.count(verdict) / len(verdicts)
    return ScoreInterval(
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
            for frames, value in zip(windows, calibrated[1:], strict=False)
        ),
    )


def score_parts(
    head: BundledHead,
    features: NDArray[np.floating[Any]],
    parts: Sequence[NDArray[np.integer[Any]]],
) -> NDArray[np.float64]:
    """Raw scores, (N,), of parts of one sequence (T, D), each a list of frame numbers in order.

    What the head does to a frame by itself, its large matrices, is done once for all parts: 200
    halves of 16 frames took 0.6 s at D = 2048.
    """
    if hasattr(head.model, "layers"):
        first, rest = HeadNetwork.of(head.model).by_frame()
        head, features = replace(head, model=rest), map_frames(first, features)
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
    unknown = ("",) * len(features)
    sequences = Sequences(
        features=features,
        mask=mask,
        labels=np.zeros(len(features), np.int8),
        groups=unknown,
        methods=unknown,
        paths=unknown,
        sha256s=unknown,
    )
    return score(head.model, sequences)


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
    """Frame numbers of random halves, in order; similar neighbours stay together.

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
            drawn.add(tuple(sorted(some.tolist())))
        chosen = sorted(drawn)
    return [np.concatenate([pieces[one] for one in some]) for some in chosen]


def centred(whole: float, halves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw scores of halves, (N,), moved so that their median is the raw score of the whole.

    On the scale of log-odds. A half may have systematically another score: an LSTM that sees half
    the steps scores lower, which is no variation between halves.
    """
    logits = bounded_logit(halves)
    moved = logits - np.median(logits)
    # Where nothing varies it is the score itself: rounding must not carry it over a threshold.
    return np.where(moved == 0, whole, expit(bounded_logit(np.asarray(whole)) + moved))


def interval(whole: float, halves: NDArray[np.float64]) -> tuple[float, float]:
    """The interval of INTERVAL_LEVEL around a raw score, of its `centred` halves.

    Its ends are scores of halves, the outer of two where a percentile lies between them, so that
    at least this share of the halves lies inside, however few they are.
    """
    around = centred(whole, halves)
    below, above = percentiles(INTERVAL_LEVEL)
    low = np.percentile(around, below, method="lower")
    high = np.percentile(around, above, method="higher")
    return min(float(low), whole), max(float(high), whole)  # logits are bounded, `whole` may be 1
