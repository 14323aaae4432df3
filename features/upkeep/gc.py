"""Garbage collection: finds and removes what of a store no feature set uses.

A shard stays if a feature set lists it or has a video of it, or if its file has another hard link:
a feature set that was not looked at, or DVC's cache, and removing it would free nothing. Files of a
later version, and damaged files of a recipe in use, stay, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict

from data.errors import InputError, StoreError
from data.io.atomic_files import sync_folder
from features.store import layout
from features.store.feature_set import read_index
from features.store.layout import SHARDS, STAGING
from features.store.lock import LOCK, hold_lock, writing
from features.store.preamble import LaterVersionError
from features.store.shard import Shard

Reason = Literal["unused", "doubled", "leftover"]


@dataclass(frozen=True, kw_only=True)
class GarbageFile:
    """A file that can be removed."""

    path: Path  # of the file
    # "unused": no feature set uses it; "doubled": all its videos are intact in larger shards;
    # "leftover": the temporary file of a killed run
    reason: Reason
    size_bytes: int  # it is freed only if the file has no other link
    videos: int  # number of its videos; 0 where that cannot be read
    staged: bool = False  # whether it is one finished video that waits for its run to go on


@dataclass(frozen=True, kw_only=True)
class PartGarbage:
    """What is removed and what stays of one recipe's part of a store."""

    part: Path  # the folder
    in_use: bool  # whether a feature set is of this recipe
    files: tuple[GarbageFile, ...]  # that can be removed
    # Shards that no feature set uses, but that have other hard links, so they stay.
    linked: tuple[Path, ...]
    kept: int  # number of all shards that stay, those included


class GarbageFacts(TypedDict):
    """What of a store no feature set uses: what is removed, or would be, and what stays."""

    keep: tuple[Path, ...]  # feature sets that stay whole
    waste: tuple[GarbageFile, ...]  # files that can be removed
    # shards that no feature set uses, but that stay, since their files have other hard links
    linked: list[Path]
    size_bytes: int  # of the files that can be removed, together


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What `find_garbage` found in each part of a store; `keep` are feature sets that stay."""

    keep: tuple[Path, ...]
    parts: tuple[PartGarbage, ...]

    @property
    def files(self) -> tuple[GarbageFile, ...]:
        """All files that can be removed."""
        return tuple(one for part in self.parts for one in part.files)

    def to_json(self) -> GarbageFacts:
        """What `--json` shows."""
        return {
            "keep": self.keep,
            "waste": self.files,
            "linked": [path for part in self.parts for path in part.linked],
            "size_bytes": sum(one.size_bytes for one in self.files),
        }


@dataclass(frozen=True, kw_only=True)
class References:
    """What some feature sets use: digests of recipes, names of shards, keys of sequences.

    By name alone use cannot be decided: the store may have other shards with the same videos.
    """

    folders: tuple[Path, ...]
    recipes: frozenset[str]
    names: frozenset[str]
    keys: frozenset[str]


def references_of(folders: Iterable[Path]) -> References:
    """Reads the indexes of feature sets and the headers of their shards.

    Raises:
        InputError: one is no feature set.
        StoreError: an index is damaged, so it is unknown what its feature set uses.
    """
    folders = tuple(folders)
    recipes: set[str] = set()
    names: set[str] = set()
    keys: set[str] = set()
    for folder in folders:
        index = read_index(folder)
        recipes.add(index.recipe.digest)
        names.update(index.shards)
        for path in folder.glob("*.h5"):
            names.add(path.name)
            with contextlib.suppress(StoreError):  # damaged: its name still counts
                keys.update(Shard(path).keys)
    return References(
        folders=folders, recipes=frozenset(recipes), names=frozenset(names), keys=frozenset(keys)
    )


@contextlib.contextmanager
def find_garbage(
    store: Path, *, keep: Sequence[Path] | None = None, drop_linked: bool = False, lock: bool
) -> Iterator[Garbage]:
    """Finds what can be removed; changes nothing.

    Args:
        store: a store, or one recipe's part of it.
        keep: feature sets that stay whole; None takes all below the current folder.
        drop_linked: other hard links do not count as use.
        lock: hold the writers' locks inside the block, so that `remove_garbage` may be called.

    Raises:
        InputError: it is no store, or there is no feature set to go by.
        LockedError: another process writes to the store.
        StoreError: the index of a feature set is damaged.
    """
    with contextlib.ExitStack() as locks:
        parts = layout.parts_of(store)
        for part in parts if lock else ():
            with writing(part):
                locks.enter_context(hold_lock(part))
        # Not before: `extract` holds the lock while it publishes, so none can appear from here on.
        used = references_of(layout.find_feature_sets(Path()) if keep is None else keep)
        if not used.folders:
            raise InputError(
                "no feature set below the current folder; name those that stay by --keep, "
                f"or remove {store} altogether"
            )
        found = tuple(part_garbage(part, used, drop_linked=drop_linked) for part in parts)
        yield Garbage(keep=used.folders, parts=found)


def part_garbage(part: Path, used: References, *, drop_linked: bool = False) -> PartGarbage:
    """Finds what can be removed of one recipe's part of a store; see `find_garbage`."""
    in_use = any(digest.startswith(layout.recipe_of(part)) for digest in used.recipes)
    stay: list[Shard] = []
    files: list[GarbageFile] = []
    linked: set[Path] = set()
    unreadable = 0

    def add(path: Path, reason: Reason, videos: int, *, staged: bool = False) -> None:
        size = path.stat().st_size
        files.append(
            GarbageFile(path=path, reason=reason, size_bytes=size, videos=videos, staged=staged)
        )

    for path in layout.sealed_in(part):
        has_links = path.stat().st_nlink > 1
        try:
            shard = Shard(path)
        except StoreError as error:
            later = isinstance(error, LaterVersionError)
            if later or in_use or path.name in used.names or has_links:
                unreadable += 1
            else:
                add(path, "unused", 0)
            continue
        if path.name in used.names or not used.keys.isdisjoint(shard.keys):
            stay.append(shard)
        elif has_links and not drop_linked:
            stay.append(shard)
            linked.add(path)
        else:
            add(path, "unused", len(shard))
    doubled = doubled_among(stay)
    for shard in doubled:
        add(shard.path, "doubled", len(shard))
    for path in () if in_use else layout.staged_in(part):
        add(path, "unused", 1, staged=True)
    for path in layout.leftovers_in(part):
        add(path, "leftover", 0)
    return PartGarbage(
        part=part,
        in_use=in_use,
        files=tuple(files),
        linked=tuple(sorted(linked - {one.path for one in files})),
        kept=len(stay) - len(doubled) + unreadable,
    )


def doubled_among(shards: Iterable[Shard]) -> list[Shard]:
    """Those whose every video is in a larger one of the others, where its rows are intact."""
    doubled = []
    places: dict[str, tuple[Shard, int]] = {}
    for shard in sorted(shards, key=lambda shard: (-len(shard), shard.path.name)):
        twins = [places.get(key) for key in shard.keys]
        if twins and all(twin is not None and twin[0].intact(twin[1]) for twin in twins):
            doubled.append(shard)
        else:
            for number, key in enumerate(shard.keys):
                places.setdefault(key, (shard, number))
    return doubled


def remove_garbage(garbage: Garbage) -> None:
    """Removes what was found, and each part with nothing left; inside `find_garbage` alone.

    Raises:
        OutputError: it cannot be removed.
    """
    for found in garbage.parts:
        with writing(found.part):
            for one in found.files:
                one.path.unlink(missing_ok=True)
            for folder in (found.part / SHARDS, found.part / STAGING):
                if folder.is_dir():
                    sync_folder(folder)
            _remove_if_empty(found.part)


def _remove_if_empty(part: Path) -> None:
    """Removes a part with nothing but its empty folders and its lock."""
    names = {path.name for path in part.iterdir()}
    folders = [part / name for name in (SHARDS, STAGING) if name in names]
    if names - {SHARDS, STAGING, LOCK} or any(any(folder.iterdir()) for folder in folders):
        return
    with contextlib.suppress(OSError):  # a writer that comes now makes it again
        for folder in folders:
            folder.rmdir()
        (part / LOCK).unlink(missing_ok=True)
        part.rmdir()
