"""Adopts shards of a feature set into the store, so that what `dvc pull` brought is not made again.

A fresh clone has feature sets and no store. Before a feature set is replaced, those of its shards
that the store lacks become the store's own, if they are of the same recipe.
"""

from __future__ import annotations

from pathlib import Path

from data.errors import InputError, StoreError
from features.store.feature_set import read_index
from features.store.shard import Shard
from features.store.store import FeatureStore


def adopt_feature_set(folder: Path, store: FeatureStore) -> int:
    """Adopts the shards that have a video which the store lacks; returns the number of videos.

    What cannot be trusted is passed over, and its videos are embedded again: a folder without an
    intact index, a shard of another recipe, a shard with a changed byte.

    Raises:
        OutputError: the store cannot be written.
    """
    try:
        index = read_index(folder)
    except (InputError, StoreError):
        return 0
    if index.recipe.digest != store.recipe.digest:
        return 0
    names = sorted({Path(name).name for name in index.shards})
    before = len(store.shards)
    for name in names:
        if _lacks(store, folder / name):
            store.take(folder / name)
    return len(store.shards) - before


def _lacks(store: FeatureStore, path: Path) -> bool:
    """Whether a shard has a video that the store lacks; reads its header alone."""
    try:
        return not store.shards.keys() >= set(Shard(path).keys)
    except (InputError, StoreError, OSError):
        return False
