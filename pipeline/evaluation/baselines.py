"""Baselines: what simpler models reach on the same videos and the same bootstrap draws.

A head that is shown something else than whole videos, single frames for one, gives scores of
another spread. Each such baseline has a threshold of its own, chosen on validation as the head's
is; a bundle of an earlier version has none, and then what needs a threshold is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from data.datasets.layouts.listing import is_container, label_of
from data.datasets.manifest import Video
from features.sequences.dataset import Sequences
from models.bundle import Bundle
from models.configs import CalibrationConfig
from models.evaluation.baselines import metadata, pooled, shuffled
from models.evaluation.evaluate import Evaluation, difference
from models.evaluation.thresholds import pick_threshold
from pipeline.evaluation.results import BaselineResult

MOST_SETS = 12
"""More folders at the top than these are people, not data sets."""

AT_ONCE = 512
"""Videos whose features are in memory at once: all of them may be more than there is."""

Measure = Callable[[NDArray[np.float64], float | None], Evaluation]
"""Scores (N,) and threshold to an evaluation, always on the same videos and draws."""

FRAMES, ONE_FRAME, SHUFFLED = "frames", "one frame", "shuffled frames"
"""Inputs of the ablations; the keys of `BundledHead.ablation_thresholds`."""


def score_frames(
    bundle: Bundle, sequences: Sequences, *, baseline: bool = False
) -> NDArray[np.float64]:
    """P(fake) of each frame as if it were the whole video, (N, T), NaN where there is none."""
    scores = np.full(sequences.mask.shape, np.nan)
    start = 0
    for part in sequences.parts(AT_ONCE):
        frames = part.features[part.mask][:, None]  # (F, 1, D)
        alone = replace(part, features=frames, mask=np.ones(frames.shape[:2], bool))
        scores[start : start + len(part)][part.mask] = bundle.score(alone, baseline=baseline)
        start += len(part)
    return scores


def score_middle(mask: NDArray[np.bool_], frame_scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(fake) of each video's middle frame alone, (N,)."""
    middle = [np.flatnonzero(row)[row.sum() // 2] for row in mask]
    return frame_scores[np.arange(len(mask)), middle]


def score_shuffled(bundle: Bundle, sequences: Sequences, *, seed: int) -> NDArray[np.float64]:
    """P(fake) of each video with its frames in another order, (N,)."""
    rng = np.random.default_rng(seed)
    parts = [
        bundle.score(replace(part, features=shuffled(part.features[:], part.mask, rng)))
        for part in sequences.parts(AT_ONCE)
    ]
    return np.concatenate(parts)


def with_ablation_thresholds(
    bundle: Bundle, val: Sequences, config: CalibrationConfig, *, seed: int
) -> Bundle:
    """The bundle, its heads with a threshold for each baseline.

    Args:
        bundle: trained and calibrated.
        val: the validation videos.
        config: the rule, which is that of the head's own threshold.
        seed: of the shuffle.
    """

    def choose(labels: NDArray[np.integer], scores: NDArray[np.float64]) -> float:
        return pick_threshold(labels.astype(np.int64), scores, config)[0]

    rows, columns = np.nonzero(val.mask)
    frames = score_frames(bundle, val)
    thresholds = {
        FRAMES: choose(val.labels[rows], frames[rows, columns]),
        ONE_FRAME: choose(val.labels, score_middle(val.mask, frames)),
    }
    if bundle.head.config.kind != "mean":
        thresholds[SHUFFLED] = choose(val.labels, score_shuffled(bundle, val, seed=seed))
    baseline = bundle.baseline
    if baseline is not None:
        frames = score_frames(bundle, val, baseline=True)
        own = {FRAMES: choose(val.labels[rows], frames[rows, columns])}
        baseline = replace(baseline, ablation_thresholds=own)
    head = replace(bundle.head, ablation_thresholds=thresholds)
    return replace(bundle, head=head, baseline=baseline)


def measure_baselines(
    bundle: Bundle,
    sequences: Sequences,
    videos: Sequence[Video],
    frame_scores: NDArray[np.float64],
    measure: Measure,
    head: Evaluation,
    *,
    seed: int,
) -> list[BaselineResult]:
    """Measures all baselines but the mean-pool head.

    Args:
        bundle: its head is shown shuffled and single frames; its linear models are scored.
        sequences: the evaluated videos.
        videos: their rows of the manifest, in the same order.
        frame_scores: (N, T) as `score_frames` gives them for the head.
        measure: evaluates scores on these videos.
        head: what the bundle's head reaches.
        seed: of the shuffle.
    """
    thresholds = bundle.head.ablation_thresholds
    majority = float(np.mean(sequences.labels) >= 0.5)
    found = {"majority class": measure(np.full(len(sequences), majority), 0.5)}
    if linear := bundle.linear_baselines.get("metadata"):
        columns = metadata(videos, linear.codecs)
        found["metadata only"] = measure(linear.score(columns), linear.threshold)
    if linear := bundle.linear_baselines.get("logistic"):
        means = pooled(sequences.features, sequences.mask)
        found["logistic regression"] = measure(linear.score(means), linear.threshold)
    kind = bundle.head.config.kind.upper()
    if bundle.head.config.kind != "mean":  # a mean does not depend on the order
        scores = score_shuffled(bundle, sequences, seed=seed)
        found[f"{kind}, shuffled frames"] = measure(scores, thresholds.get(SHUFFLED))
    single = score_middle(sequences.mask, frame_scores)
    found[f"{kind}, one frame"] = measure(single, thresholds.get(ONE_FRAME))
    return [
        BaselineResult(name=name, evaluation=one, gain=difference(head, one))
        for name, one in found.items()
    ]


def kinds_of(videos: Sequence[Video]) -> dict[str, list[str]]:
    """Parts that get metrics of their own: data sets and compressions, where there are several.

    Returns:
        "data set", "compression" -> the part of each video; "" for none.
    """
    folders = [PurePosixPath(video.path).parts[0] for video in videos]
    named = [
        "" if folder == video.path or label_of(folder) is not None or is_container(folder)
        else folder
        for folder, video in zip(folders, videos, strict=True)
    ]  # fmt: skip
    found = {"data set": named, "compression": [video.compression for video in videos]}
    return {kind: names for kind, names in found.items() if 1 < len({*names} - {""}) <= MOST_SETS}
