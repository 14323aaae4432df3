"""Where things lie: the parts of a working store, and the published folders round about.

docs/store-format.md is the specification. Nothing here opens a shard.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.errors import InputError
from data.io.reading import read_json

STAGING = "staging"
SHARDS = "shards"
INDEX = "features.json"
FEATURES_FORMAT = "unmask-features"
OURS = re.compile(r"\.?[0-9a-f]{64}(\.h5)?")  # staged files and leftovers; no other is touched
STORE = Path(".unmask") / "store"
"""Where `extract` keeps its features, unless it is told otherwise."""


def is_feature_set(folder: Path) -> bool:
    """Whether a folder has an index, readable or not."""
    return os.path.lexists(folder / INDEX)


def parts_of(store: Path) -> list[Path]:
    """The folders of a store that hold one recipe each, or the one that it is itself.

    Raises:
        InputError: it is no store.
    """
    parts = [part for part in (store, *sorted(store.glob("*/"))) if (part / SHARDS).is_dir()]
    if not parts:
        raise InputError(f"{store} is neither a folder of features nor a store")
    return parts


def recipe_of(part: Path) -> str:
    """The first 16 digits of the recipe's digest: the name of its part."""
    return part.resolve().name


def sealed_in(part: Path) -> list[Path]:
    """The shards of a part, by name."""
    return sorted((part / SHARDS).glob("shard-*.h5"))


def staged_in(part: Path) -> list[Path]:
    """The finished videos that no shard holds yet, by name."""
    found = sorted((part / STAGING).glob("*.h5"))
    return [path for path in found if OURS.fullmatch(path.name) and path.name[0] != "."]


def leftovers_in(part: Path) -> list[Path]:
    """What killed writers left half done, by name."""
    found = [*(part / STAGING).glob(".*"), *(part / SHARDS).glob(".*")]
    return sorted(path for path in found if OURS.fullmatch(path.name))


def sha256_of(shard: Path) -> str:
    """What a shard's bytes were when they were written: its name says so."""
    return shard.stem.removeprefix("shard-")


def find_feature_sets(root: Path) -> Iterator[Path]:
    """All folders of features below a folder, in order; hidden ones and links are not looked into.

    What only calls its index like ours is no folder of features; a damaged index counts as ours.
    """
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if INDEX in files and _is_ours(Path(folder) / INDEX):
            yield Path(folder)


def _is_ours(index: Path) -> bool:
    try:
        facts = read_json(index, remedy="extract again")
        return isinstance(facts, dict) and facts.get("format", FEATURES_FORMAT) == FEATURES_FORMAT
    except InputError:
        return True


def copies_of(shard: Path, folders: Iterable[Path]) -> list[Path]:
    """Files of the same name in other folders: published ones, stores, and parts of stores."""
    found = []
    for folder in folders:
        for pattern in (shard.name, f"{SHARDS}/{shard.name}", f"*/{SHARDS}/{shard.name}"):
            found += [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    return [path for path in dict.fromkeys(found) if path.resolve() != shard.resolve()]
