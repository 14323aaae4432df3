"""Compares two feature sets: which videos, of which recipe, and how far apart their embeddings are.

Made for a frozen and a fine-tuned backbone on the same videos: what did fine-tuning move?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.store.feature_set import Features
from features.store.shard import StoredSequence

MEASURES = ("mean_cosine", "mean_distance", "frame_cosine", "frame_distance")


@dataclass(frozen=True, kw_only=True)
class VideoChange:
    """How far one video's features are apart."""

    path: str  # of the video, as the first feature set has it
    sha256: str  # of the video file, hex
    frames: int  # number of frames that both have, by their timestamps
    mean_cosine: float  # cosine similarity of the two mean embeddings over all frames, -1 to 1
    mean_distance: float  # the length of their difference over the mean of their lengths, 0 to 2
    frame_cosine: float | None  # mean cosine similarity of the common frames; None without any
    frame_distance: float | None  # mean relative distance of the common frames; None without any


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A measure over videos."""

    mean: float  # over the videos that have it
    min: float  # the smallest
    max: float  # the largest


@dataclass(frozen=True, kw_only=True)
class Diff:
    """Result of `diff` of two feature sets, a and b."""

    a: Path  # folder of the first
    b: Path  # folder of the second
    common: int  # number of videos in both
    only_a: tuple[str, ...]  # paths of the videos in the first alone, sorted
    only_b: tuple[str, ...]  # paths of the videos in the second alone, sorted
    # what differs in the recipes: dotted name, as "frames.size" -> both values, None for an absent
    # one; "dim" is D, the length of one embedding
    recipe: dict[str, tuple[Any, Any]]
    # of each common video, the most changed first; none where D differs
    changes: tuple[VideoChange, ...]
    # "mean_cosine", "mean_distance", "frame_cosine", "frame_distance" -> over all these videos;
    # without those that no video has
    summary: dict[str, Spread]


def summarize(changes: Sequence[VideoChange]) -> dict[str, Spread]:
    """Mean, min and max over videos of each measure; empty where nothing was compared."""
    summary = {}
    for name in MEASURES:
        found = (getattr(change, name) for change in changes)
        if values := [float(one) for one in found if one is not None]:
            summary[name] = Spread(mean=float(np.mean(values)), min=min(values), max=max(values))
    return summary


def diff(a: Features, b: Features) -> Diff:
    """Compares two feature sets, video by video."""
    in_a, in_b = set(a.sha256s), set(b.sha256s)
    common = in_a & in_b
    changes = []
    if a.dim == b.dim:
        changes = [video_change(a.sequence(one), b.sequence(one), sha256=one) for one in common]
    changes.sort(key=lambda change: (-change.mean_distance, change.path, change.sha256))
    return Diff(
        a=a.folder,
        b=b.folder,
        common=len(common),
        only_a=tuple(sorted(a.sequence(sha256).path for sha256 in in_a - common)),
        only_b=tuple(sorted(b.sequence(sha256).path for sha256 in in_b - common)),
        recipe=differences(asdict(a.recipe) | {"dim": a.dim}, asdict(b.recipe) | {"dim": b.dim}),
        changes=tuple(changes),
        summary=summarize(changes),
    )


def video_change(a: StoredSequence, b: StoredSequence, *, sha256: str) -> VideoChange:
    """How far two sequences of one video, of one D, are apart."""
    rows_a = a.features.astype(np.float64)  # (T, D)
    rows_b = b.features.astype(np.float64)
    mean_cosine, mean_distance = _apart(rows_a.mean(axis=0)[None], rows_b.mean(axis=0)[None])
    _, in_a, in_b = np.intersect1d(a.timestamps_seconds, b.timestamps_seconds, return_indices=True)
    frame_cosine, frame_distance = _apart(rows_a[in_a], rows_b[in_b])
    return VideoChange(
        path=a.path,
        sha256=sha256,
        frames=len(in_a),
        mean_cosine=float(mean_cosine[0]),
        mean_distance=float(mean_distance[0]),
        frame_cosine=float(frame_cosine.mean()) if len(in_a) else None,
        frame_distance=float(frame_distance.mean()) if len(in_a) else None,
    )


def _apart(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine similarity and relative distance of rows (N, D); equal rows have 1 and 0."""
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product, size = length_a * length_b, (length_a + length_b) / 2
    same = (a == b).all(axis=1)  # rows of zeros, too
    cosine = np.where(same, 1.0, (a * b).sum(axis=1) / np.where(product > 0, product, 1.0))
    distance = np.linalg.norm(a - b, axis=1) / np.where(size > 0, size, 1.0)
    return np.clip(cosine, -1.0, 1.0), distance


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between nested mappings: dotted name to both values, None for an absent one."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*a, *b}):
        one, other = a.get(name), b.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= {f"{name}.{key}": pair for key, pair in differences(one, other).items()}
        elif one != other:
            found[name] = (one, other)
    return found
