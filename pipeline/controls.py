"""The controls of a report: what plainer models reach on the same videos and the same draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from data.layouts.listing import is_container, label_of
from data.manifest import Video
from features.sequences import Sequences
from models.bundle import Bundle
from models.controls import metadata, pooled, shuffled
from models.evaluate import Evaluation, difference
from pipeline.results import Control

MOST_SETS = 12
"""More folders at the top than these are people, not data sets."""

AT_ONCE = 512
"""Videos whose features are in memory at once: all of them may be more than there is."""

Measure = Callable[[NDArray[np.float64], float], Evaluation]
"""Scores (N,) and threshold to an evaluation, always on the same videos and draws."""


def score_frames(
    bundle: Bundle, sequences: Sequences, *, baseline: bool = False
) -> NDArray[np.float64]:
    """P(fake) of each frame as if it were the whole video, (N, T), NaN where there is none."""
    scores = np.full(sequences.mask.shape, np.nan)
    start = 0
    for part in sequences.parts(AT_ONCE):
        there = part.mask
        frames = part.features[there][:, None]  # (F, 1, D)
        alone = replace(part, features=frames, mask=np.ones(frames.shape[:2], bool))
        scores[start : start + len(part)][there] = bundle.score(alone, baseline=baseline)
        start += len(part)
    return scores


def run_controls(
    bundle: Bundle,
    sequences: Sequences,
    videos: Sequence[Video],
    frame_scores: NDArray[np.float64],
    measure: Measure,
    head: Evaluation,
    *,
    seed: int,
) -> list[Control]:
    """Measures the controls.

    Args:
        bundle: its head is shown shuffled and single frames; its linear controls are scored.
        sequences: the evaluated videos.
        videos: their rows of the manifest, in the same order.
        frame_scores: (N, T) as `score_frames` gives them for the head.
        measure: evaluates scores on these videos.
        head: what the bundle's head reaches.
        seed: of the shuffle.
    """
    threshold = bundle.head.threshold
    majority = float(np.mean(sequences.labels) >= 0.5)
    found = {"majority class": measure(np.full(len(sequences), majority), 0.5)}
    if "metadata" in bundle.controls:
        linear = bundle.controls["metadata"]
        facts = metadata(videos, linear.codecs)
        found["metadata only"] = measure(linear.score(facts), linear.threshold)
    if "logistic" in bundle.controls:
        linear = bundle.controls["logistic"]
        means = pooled(sequences.features, sequences.mask)
        found["logistic regression"] = measure(linear.score(means), linear.threshold)
    kind = bundle.head.config.kind.upper()
    if bundle.head.config.kind != "mean":  # its own order does not matter to a mean
        rng = np.random.default_rng(seed)
        mixed = [
            bundle.score(replace(part, features=shuffled(part.features[:], part.mask, rng)))
            for part in sequences.parts(AT_ONCE)
        ]
        found[f"{kind}, shuffled frames"] = measure(np.concatenate(mixed), threshold)
    middle = [np.flatnonzero(row)[row.sum() // 2] for row in sequences.mask]
    single = frame_scores[np.arange(len(sequences)), middle]
    found[f"{kind}, one frame"] = measure(single, threshold)
    return [
        Control(name=name, evaluation=one, gain=difference(head, one))
        for name, one in found.items()
    ]


def kinds_of(videos: Sequence[Video]) -> dict[str, list[str]]:
    """Parts worth a table of their own: by data set and compression, where there are several."""
    tops = [PurePosixPath(video.path).parts[0] for video in videos]
    named = [
        top if top != video.path and label_of(top) is None and not is_container(top) else ""
        for top, video in zip(tops, videos, strict=True)
    ]
    found = {"data set": named, "compression": [video.compression for video in videos]}
    return {kind: names for kind, names in found.items() if 1 < len({*names} - {""}) <= MOST_SETS}
