"""Describes what a feature set, or each recipe's part of a store, holds: counts and statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError
from features.store.feature_set import SEEN_IN_VALIDATION, Features
from features.store.key import Recipe
from features.store.layout import is_feature_set, parts_of, sealed_in, staged_in
from features.store.shard import Shard
from features.upkeep.inspect_facts import (
    DimensionsFacts,
    EachDimensionFacts,
    FeatureSetCounts,
    FolderFacts,
    PartCounts,
    ShardsFacts,
    SpreadFacts,
)

CHUNK_BYTES = 16 << 20
"""Of rows as float64 at a time: what statistics cost in memory, however large the store."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """Of each dimension over all frames; arrays are (D,) float64, `std` of the population."""

    frames: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    smallest: NDArray[np.float64]
    largest: NDArray[np.float64]

    @property
    def dead(self) -> int:
        """Number of dimensions with one value in all frames, which a head cannot learn from."""
        return int((self.smallest == self.largest).sum())

    def to_json(self) -> DimensionsFacts:
        """The spread over dimensions, as plain values."""

        def spread(values: NDArray[np.float64]) -> SpreadFacts:
            return {
                "min": float(values.min()),
                "mean": float(values.mean()),
                "max": float(values.max()),
            }

        return {
            "mean": spread(self.mean),
            "std": spread(self.std),
            "smallest": float(self.smallest.min()),
            "largest": float(self.largest.max()),
            "dead_dimensions": self.dead,
        }

    def each(self) -> EachDimensionFacts:
        """Every dimension's own, as plain values: D of each."""
        return {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "smallest": self.smallest.tolist(),
            "largest": self.largest.tolist(),
        }


def statistics(
    rows: Iterable[NDArray[np.floating[Any]]], *, chunk_bytes: int = CHUNK_BYTES
) -> Statistics | None:
    """Statistics of all rows of some arrays (R, D), in one pass; None where there is no row.

    Sums are of differences from the first row, so that a spread far from zero stays exact.
    """
    first: NDArray[np.float64] | None = None
    frames = 0
    for array in rows:
        step = max(1, chunk_bytes // (8 * array.shape[1]))
        for start in range(0, len(array), step):
            chunk = array[start : start + step].astype(np.float64)
            if first is None:
                first = smallest = largest = chunk[0]
                total = squares = np.zeros_like(first)
            apart = chunk - first
            frames += len(chunk)
            total = total + apart.sum(axis=0)
            squares = squares + (apart**2).sum(axis=0)
            smallest = np.minimum(smallest, chunk.min(axis=0))
            largest = np.maximum(largest, chunk.max(axis=0))
    if first is None:
        return None
    mean = total / frames
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0.0))
    return Statistics(frames=frames, mean=first + mean, std=std, smallest=smallest, largest=largest)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """What a feature set, one recipe's part of a store, or a store holds."""

    # plain JSON, name to value in the order to show them; of `features.upkeep.inspect_facts`
    facts: Mapping[str, Any]
    # Of each dimension; None where there is no frame, and for a store.
    statistics: Statistics | None = None
    parts: tuple[Inspection, ...] = ()  # of a store

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows: every dimension's own statistics, too."""
        each = {"each_dimension": self.statistics.each()} if self.statistics else {}
        recipes = {"recipes": [part.to_json() for part in self.parts]} if self.parts else {}
        return {**self.facts, **each, **recipes}


def inspect(folder: Path) -> Inspection:
    """Describes a feature set, a store, or one recipe's part of a store.

    Raises:
        InputError: it is none of them.
        StoreError: a feature set is damaged.
    """
    if is_feature_set(folder) or not folder.is_dir():
        return inspect_feature_set(Features(folder))
    parts = tuple(inspect_part(part) for part in parts_of(folder))
    facts: FolderFacts = {
        "folder": str(folder),
        "videos": sum(part.facts["videos"] for part in parts),
        "size_bytes": sum(part.facts["size_bytes"] for part in parts),
    }
    return Inspection(facts=facts, parts=parts)


def inspect_feature_set(features: Features) -> Inspection:
    """Recipe, backbone, counts, sizes, versions and statistics of a feature set."""
    facts, numbers = _inspect_shards(features.folder, features.shards, features.recipe)
    facts["videos"], facts["dim"] = len(features), features.dim
    more: FeatureSetCounts = {
        "views": features.views.count,
        "augmented views": features.augmented,
        "failures": len(features.failures()),
        "trained on": {
            name: f"{len(part['sha256s'])} videos of {len(part['groups'])} groups"
            for name, part in features.provenance.get("trained_on", {}).items()
        },
    }
    if mark := features.provenance.get(SEEN_IN_VALIDATION):
        more["mind"] = str(mark)
    return Inspection(facts={**facts, **more}, statistics=numbers)


def inspect_part(part: Path) -> Inspection:
    """The same of one recipe's part of a store; damaged shards are counted."""
    shards = []
    for path in sealed_in(part):
        with contextlib.suppress(StoreError):  # `verify` reports it
            shards.append(Shard(path))
    facts: FolderFacts = {"folder": str(part), "videos": 0, "size_bytes": 0}
    numbers = None
    if shards:
        facts, numbers = _inspect_shards(part, shards, shards[0].recipe)
    more: PartCounts = {
        "staged videos": len(staged_in(part)),
        "unreadable shards": len(sealed_in(part)) - len(shards),
    }
    return Inspection(facts={**facts, **more}, statistics=numbers)


def _inspect_shards(
    folder: Path, shards: Sequence[Shard], recipe: Recipe
) -> tuple[ShardsFacts, Statistics | None]:
    """Counts, sizes, recipe and statistics of shards of one recipe; videos count once."""
    counts = np.concatenate([np.diff(shard.offsets) for shard in shards] or [np.zeros(1, int)])
    frames = int(counts.sum())
    seen = sum(int(shard.rows["face_found"].sum()) for shard in shards)
    numbers = statistics(shard.rows["features"] for shard in shards)
    versions: dict[str, set[str]] = {}  # several, where several runs made the shards
    for shard in shards:
        for name, version in shard.versions.items():
            versions.setdefault(name, set()).add(version)
    facts: ShardsFacts = {
        "folder": str(folder),
        "videos": len({key for shard in shards for key in shard.keys}),
        "frames": frames,
        "frames per video": f"{counts.min():.0f} to {counts.max():.0f}",
        "faces seen": f"{seen / max(frames, 1):.1%} of frames",
        "shards": len(shards),
        "size_bytes": sum(shard.path.stat().st_size for shard in shards),
        "dim": shards[0].dim if shards else 0,
        "mean": float(numbers.mean.mean()) if numbers else 0.0,
        "largest": float(numbers.largest.max()) if numbers else 0.0,
        "dimensions": numbers.to_json() if numbers else {},
        "dtype": recipe.dtype,
        "backbone": recipe.backbone,
        "backbone_digest": recipe.backbone_digest,
        "recipe_digest": recipe.digest,
        "pixels_version": recipe.pixels_version,
        "face_detector": recipe.face_detector,
        "frames recipe": recipe.frames,
        "versions": {name: ", ".join(sorted(versions[name])) for name in sorted(versions)},
    }
    return facts, numbers
