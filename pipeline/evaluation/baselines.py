"""The controls of a report: what plainer models reach on the same videos and the same draws.

A head that is shown something else than whole videos, single frames for one, gives scores of
another spread. Each such control has a threshold of its own, chosen on validation as the head's is;
a bundle of an earlier unmask has none, and then what needs a threshold is left out.
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
from pipeline.evaluation.results import Control

MOST_SETS = 12
"""More folders at the top than these are people, not data sets."""

AT_ONCE = 512
"""Videos whose features are in memory at once: all of them may be more than there is."""

Measure = Callable[[NDArray[np.float64], float | None], Evaluation]
"""Scores (N,) and threshold to an evaluation, always on the same videos and draws."""

FRAMES, ONE_FRAME, SHUFFLED = "frames", "one frame", "shuffled frames"
"""What a head may be shown; the keys of `BundledHead.ablation_thresholds`."""


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
    """The bundle, its heads with a threshold for each control, by the rule of the head's own.

    Args:
        bundle: trained and calibrated.
        val: the validation videos.
        config: names the rule.
        seed: of the shuffle.
    """

    def chosen(labels: NDArray[np.integer], scores: NDArray[np.float64]) -> float:
        return pick_threshold(labels.astype(np.int64), scores, config)[0]

    def of_frames(frame_scores: NDArray[np.float64]) -> dict[str, float]:
        rows, columns = np.nonzero(val.mask)
        return {FRAMES: chosen(val.labels[rows], frame_scores[rows, columns])}

    frames = score_frames(bundle, val)
    found = of_frames(frames)
    found[ONE_FRAME] = chosen(val.labels, score_middle(val.mask, frames))
    if bundle.head.config.kind != "mean":
        found[SHUFFLED] = chosen(val.labels, score_shuffled(bundle, val, seed=seed))
    baseline = bundle.baseline
    if baseline is not None:
        only = of_frames(score_frames(bundle, val, baseline=True))
        baseline = replace(baseline, ablation_thresholds=only)
    return replace(bundle, head=replace(bundle.head, ablation_thresholds=found), baseline=baseline)


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
    thresholds = bundle.head.ablation_thresholds
    majority = float(np.mean(sequences.labels) >= 0.5)
    found = {"majority class": measure(np.full(len(sequences), majority), 0.5)}
    if "metadata" in bundle.linear_baselines:
        linear = bundle.linear_baselines["metadata"]
        facts = metadata(videos, linear.codecs)
        found["metadata only"] = measure(linear.score(facts), linear.threshold)
    if "logistic" in bundle.linear_baselines:
        linear = bundle.linear_baselines["logistic"]
        means = pooled(sequences.features, sequences.mask)
        found["logistic regression"] = measure(linear.score(means), linear.threshold)
    kind = bundle.head.config.kind.upper()
    if bundle.head.config.kind != "mean":  # its own order does not matter to a mean
        mixed = score_shuffled(bundle, sequences, seed=seed)
        found[f"{kind}, shuffled frames"] = measure(mixed, thresholds.get(SHUFFLED))
    single = score_middle(sequences.mask, frame_scores)
    found[f"{kind}, one frame"] = measure(single, thresholds.get(ONE_FRAME))
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
