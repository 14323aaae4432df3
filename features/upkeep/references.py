"""Which shards folders of features use: by name, and by the videos in them.

By name alone it cannot be said: `compact` gives the store other shards of the same videos.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.errors import StoreError
from data.io.reading import BAD_FACTS
from features.store.feature_set import read_index
from features.store.shard import Shard


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What some folders of features use.

    Attributes:
        folders: which ones.
        recipes: digests of their recipes.
        names: of the shards that lie in them or should.
        keys: of the sequences in them.
    """

    folders: tuple[Path, ...]
    recipes: frozenset[str]
    names: frozenset[str]
    keys: frozenset[str]

    def has_recipe(self, part: str) -> bool:
        """Whether a folder is of the recipe whose digest begins so."""
        return any(digest.startswith(part) for digest in self.recipes)


def usage_of(folders: Iterable[Path]) -> Usage:
    """Reads the indexes and the shards' headers.

    Raises:
        InputError: one is no folder of features.
        StoreError: an index is damaged: what its folder uses cannot be known.
    """
    folders = tuple(folders)
    recipes: set[str] = set()
    names: set[str] = set()
    keys: set[str] = set()
    for folder in folders:
        facts = read_index(folder)
        try:
            recipes.add(str(facts["recipe_digest"]))
            names |= {str(entry["file"]) for entry in facts["shards"]}
        except BAD_FACTS as error:
            raise StoreError(f"{folder} has a damaged index; extract again") from error
        for path in folder.glob("*.h5"):
            names.add(path.name)
            try:
                keys.update(Shard(path).keys)
            except StoreError:
                continue  # damaged: its name still counts
    return Usage(
        folders=folders,
        recipes=frozenset(recipes),
        names=frozenset(names),
        keys=frozenset(keys),
    )
