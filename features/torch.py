"""A feature set as a PyTorch map-style data set; TensorFlow is not imported.

    data = FeatureDataset("embeddings", "manifest.csv", split="train")
    loader = DataLoader(data, batch_size=32, shuffle=True, num_workers=4, collate_fn=collate)

Features are read from the shards' memory maps, one sequence at a time. A worker process opens maps
of its own: what is sent to it are the paths alone, so that neither a copy of the features nor an
open file goes through a pipe.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from data.datasets.manifest import Manifest, Video
from data.errors import InputError, ToolError
from features.store.feature_set import Features

try:
    import torch
    from torch.utils.data import Dataset
except ImportError as error:
    raise ToolError("PyTorch is not installed: pip install 'unmask[torch]'") from error


class Item(TypedDict):
    """One video."""

    features: torch.Tensor  # (T, D) float32
    length: int  # T
    label: int  # 1 = fake
    group: str  # videos of one group share a person or a source
    method: str  # how a fake was made
    video: str  # path in the manifest
    sha256: str  # of the video file


class Batch(TypedDict):
    """B videos, padded to the longest."""

    features: torch.Tensor  # (B, T, D) float32, zeros after a video's end
    mask: torch.Tensor  # (B, T) bool, true where there is a frame
    length: torch.Tensor  # (B,) int64
    label: torch.Tensor  # (B,) int64, 1 = fake
    group: list[str]
    method: list[str]
    video: list[str]
    sha256: list[str]


class FeatureDataset(Dataset[Item]):  # type: ignore[misc]
    """The videos of a manifest that have features, in its order.

    Args:
        features: feature set that `extract` wrote.
        manifest: that `index` wrote; labels and splits are read from it.
        split: "train", "val", "test" or "all".

    Attributes:
        dim: D, length of one embedding.
        videos: rows of the manifest, one for each item.
        missing: paths of videos that have no features.

    Raises:
        InputError: one of them cannot be read, or no video of the split has features.
        StoreError: the feature set is damaged.
    """

    def __init__(self, features: str | Path, manifest: str | Path, *, split: str = "all") -> None:
        self.folder = Path(features)
        self._opened: Features | None = None
        self._process = 0  # that opened it: a forked worker does so anew
        opened = self._features()
        wanted = Manifest.read(Path(manifest)).split(split)
        self.dim = opened.dim
        self.videos: tuple[Video, ...] = tuple(one for one in wanted if one.sha256 in opened)
        self.missing = tuple(one.path for one in wanted if one.sha256 not in opened)
        if not self.videos:
            raise InputError(
                f"{self.folder} has features of no video of {manifest}"
                + ("" if split == "all" else f" in the split {split}")
                + "; extract them"
            )

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Item:
        video = self.videos[index]
        stored = self._features().sequence(video.sha256).features
        features = torch.from_numpy(np.array(stored, np.float32))  # a copy: maps are read-only
        return {
            "features": features,
            "length": len(features),
            "label": int(video.label),
            "group": video.group,
            "method": video.method,
            "video": video.path,
            "sha256": video.sha256,
        }

    @property
    def labels(self) -> torch.Tensor:
        """(N,) int64 of all items, as a sampler needs them; no features are read."""
        return torch.tensor([int(video.label) for video in self.videos])

    @property
    def groups(self) -> list[str]:
        """N names."""
        return [video.group for video in self.videos]

    def _features(self) -> Features:
        if self._opened is None or self._process != os.getpid():
            self._opened, self._process = Features(self.folder), os.getpid()
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


def collate(items: Sequence[Item]) -> Batch:
    """Puts items into one padded batch, for a DataLoader's `collate_fn`."""
    lengths = torch.tensor([one["length"] for one in items])
    features = torch.nn.utils.rnn.pad_sequence([one["features"] for one in items], batch_first=True)
    return {
        "features": features,
        "mask": torch.arange(features.shape[1]) < lengths[:, None],
        "length": lengths,
        "label": torch.tensor([one["label"] for one in items]),
        "group": [one["group"] for one in items],
        "method": [one["method"] for one in items],
        "video": [one["video"] for one in items],
        "sha256": [one["sha256"] for one in items],
    }
