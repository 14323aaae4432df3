"""From stored sequences to arrays that a head trains on: padded, masked, joined with labels.

Labels come from the manifest at this moment and from nowhere else: re-labelling or re-splitting
never re-extracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.published import Features


class VideoLike(Protocol):
    """What is read of `data.manifest.Video`."""

    @property
    def path(self) -> str: ...
    @property
    def label(self) -> int: ...
    @property
    def group(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """Many videos as one array.

    Attributes:
        features: (N, T, D) float16 or float32, zeros after a video's end.
        mask: (N, T) bool, true where there is a frame; no row is all false.
        labels: (N,) int8, 1 = fake.
        groups: N names; videos of one group share a person or a source.
        methods: N names; how a fake was made.
        paths: N, as in the manifest.
        sha256s: N, of the video files.
        missing: paths of videos asked for that have no features.
    """

    features: NDArray[np.floating[Any]]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int8]
    groups: tuple[str, ...]
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    sha256s: tuple[str, ...]
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def load_sequences(features: Features, videos: Sequence[VideoLike]) -> Sequences:
    """Loads the features of these videos, in their order.

    Args:
        features: a published folder.
        videos: rows of a manifest; those without features are left out and named in `missing`.

    Returns:
        Arrays padded to the longest of these videos; N and T can be 0.
    """
    there = [video for video in videos if video.sha256 in features]
    stored = [features.sequence(video.sha256).features for video in there]
    longest = max((len(one) for one in stored), default=0)
    padded = np.zeros((len(stored), longest, features.dim), features.recipe.dtype)
    mask = np.zeros((len(stored), longest), bool)
    for row, one in enumerate(stored):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = True
    return Sequences(
        features=padded,
        mask=mask,
        labels=np.asarray([video.label for video in there], np.int8),
        groups=tuple(video.group for video in there),
        methods=tuple(video.method for video in there),
        paths=tuple(video.path for video in there),
        sha256s=tuple(video.sha256 for video in there),
        missing=tuple(video.path for video in videos if video.sha256 not in features),
    )
