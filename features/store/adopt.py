"""Taking over shards that another machine made: what `dvc pull` brought is not made again.

A fresh clone has published folders and no store. Before a folder of features is replaced, the
shards of the same recipe in it that the store lacks become the store's own.
"""

from __future__ import annotations

from pathlib import Path

from data.errors import InputError, StoreError
from data.io.reading import BAD_FACTS
from features.store.feature_set import read_index
from features.store.key import Recipe
from features.store.shard import Shard
from features.store.store import FeatureStore


def adopt_published(folder: Path, store: FeatureStore) -> int:
    """Takes over what the store lacks; returns how many videos that were.

    What cannot be trusted is passed over, and its videos are embedded anew: a folder without an
    intact index, a shard of another recipe, a shard with a changed byte.

    Args:
        folder: a published folder; there need be none.
        store: open for writing.

    Raises:
        OutputError: the store cannot be written.
    """
    try:
        facts = read_index(folder)
        if Recipe.from_json(facts["recipe"]).digest != store.recipe.digest:
            return 0
        names = sorted({Path(str(entry["file"])).name for entry in facts["shards"]})
    except (InputError, StoreError, *BAD_FACTS):
        return 0
    before = len(store.shards)
    for name in names:
        if _lacks(store, folder / name):
            store.take(folder / name)
    return len(store.shards) - before


def _lacks(store: FeatureStore, path: Path) -> bool:
    """Whether a shard has a video that is new to the store; by its header, no row is read."""
    try:
        return not store.shards.keys() >= set(Shard(path).keys)
    except (InputError, StoreError, OSError):
        return False
