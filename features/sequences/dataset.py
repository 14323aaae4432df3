"""Arrays that a head trains on: stored sequences, padded, masked, joined with labels.

Labels come from the manifest when the arrays are made, so re-labelling or re-splitting needs no
extraction. Features are read batch by batch from the memory-mapped shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Video
from features.sequences.padded import Padded, Rows
from features.store.feature_set import Features


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """Many videos as one array."""

    features: Rows  # (N, T, D) float16 or float32, zeros after a video's end
    mask: NDArray[np.bool_]  # (N, T) bool, true where there is a frame; no row is all false
    labels: NDArray[np.int8]  # (N,) int8, 1 = fake
    groups: tuple[str, ...]  # N names; videos of one group share a person or a source
    methods: tuple[str, ...]  # N names; how a fake was made
    paths: tuple[str, ...]  # N, as in the manifest
    sha256s: tuple[str, ...]  # N, of the video files
    # N paths of the real video of the same scene that a fake was made from, "" where unknown; or
    # none at all
    originals: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # paths of videos asked for that have no features
    # (K N, T, D) where videos have augmented views: view k of video n is row k N + n, view 0 the
    # same as in `features`; None where there is no other view.
    views: Rows | None = None
    viewless: int = 0  # number of videos that lack a view; their own features take its place

    def __len__(self) -> int:
        return len(self.labels)

    def parts(self, size: int) -> Iterator[Sequences]:
        """Yields at most `size` videos at a time, with their features in memory and no views."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield replace(
                self,
                features=self.features[rows],
                mask=self.mask[rows],
                labels=self.labels[rows],
                groups=self.groups[rows],
                methods=self.methods[rows],
                paths=self.paths[rows],
                sha256s=self.sha256s[rows],
                originals=self.originals[rows],
                missing=(),
                views=None,
                viewless=0,
            )


def load_sequences(
    features: Features, videos: Sequence[Video], *, views: bool = False
) -> Sequences:
    """The features of these videos, in their order.

    Args:
        features: a feature set.
        videos: rows of a manifest; those without features are left out and named in `missing`.
        views: load their augmented views, too: for training only.

    Returns:
        Arrays padded to the longest of these videos; N and T can be 0.
    """
    present = [video for video in videos if video.sha256 in features]
    stored = [features.sequence(video.sha256).features for video in present]
    padded = Padded(stored, dim=features.dim, dtype=features.recipe.dtype)
    lengths = np.array([len(one) for one in stored], np.int64)
    mask = np.arange(padded.shape[1]) < lengths[:, None]
    every, viewless = list(stored), set[int]()
    for view in range(1, features.views.count if views else 1):
        for number, video in enumerate(present):
            seen = features.view(video.sha256, view)
            if seen is not None:
                every.append(seen.features)
            else:  # it came into the training split after it was extracted
                every.append(stored[number])
                viewless.add(number)
    some = len(every) > len(stored) and len(viewless) < len(stored)
    return Sequences(
        features=padded,
        mask=mask,
        labels=np.asarray([video.label for video in present], np.int8),
        groups=tuple(video.group for video in present),
        methods=tuple(video.method for video in present),
        paths=tuple(video.path for video in present),
        sha256s=tuple(video.sha256 for video in present),
        originals=tuple(video.original for video in present),
        missing=tuple(video.path for video in videos if video.sha256 not in features),
        views=Padded(every, dim=features.dim, dtype=features.recipe.dtype) if some else None,
        viewless=len(viewless),
    )
