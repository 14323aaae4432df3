"""Paths of a store's parts, their shards and staged files; how feature sets are found.

docs/store-format.md is the specification. Nothing here opens a shard.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from data.errors import InputError
from data.io.reading import read_json

STAGING = "staging"
SHARDS = "shards"
INDEX = "features.json"
FEATURES_FORMAT = "unmask-features"
OURS = re.compile(r"\.?[0-9a-f]{64}(\.h5)?")  # staged and temporary files; no other is removed
STORE = Path(".unmask") / "store"
"""The default store of `extract`."""


def is_feature_set(folder: Path) -> bool:
    """Whether a folder has an index, readable or not."""
    return os.path.lexists(folder / INDEX)


def parts_of(store: Path) -> list[Path]:
    """The parts of a store, one folder for each recipe; or the folder itself, if it is a part.

    Raises:
        InputError: it is no store.
    """
    parts = [part for part in (store, *sorted(store.glob("*/"))) if (part / SHARDS).is_dir()]
    if not parts:
        raise InputError(
            f"{store} is neither a feature set, which has a {INDEX}, nor a store; "
            "is it the right folder?"
        )
    return parts


def recipe_of(part: Path) -> str:
    """The first 16 digits of the recipe's digest: the name of the part."""
    return part.resolve().name


def sealed_in(part: Path) -> list[Path]:
    """The shards of a part, by name."""
    return sorted((part / SHARDS).glob("shard-*.h5"))


def staged_in(part: Path) -> list[Path]:
    """Files of finished videos that no shard holds yet, by name."""
    found = sorted((part / STAGING).glob("*.h5"))
    return [path for path in found if OURS.fullmatch(path.name) and path.name[0] != "."]


def leftovers_in(part: Path) -> list[Path]:
    """Temporary files of killed writers, by name."""
    found = [*(part / STAGING).glob(".*"), *(part / SHARDS).glob(".*")]
    return sorted(path for path in found if OURS.fullmatch(path.name))


def sha256_of(shard: Path) -> str:
    """Digest of a shard's bytes when it was written, from its name."""
    return shard.stem.removeprefix("shard-")


def find_feature_sets(root: Path) -> Iterator[Path]:
    """All feature sets below a folder, in order; hidden folders and links are not searched.

    A features.json of another program makes no feature set; a damaged one counts as ours.
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
