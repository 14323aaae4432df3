"""Merges small shards of one recipe: `unmask store compact`.

Each run of `extract` ends with a shard that is not full; a thousand small runs leave a thousand.
The merged shards are durable before the small ones go. After a kill in between, videos lie in two
shards, which harms nobody: the next run merges the same videos into the same bytes and goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data.errors import StoreError
from data.io.atomic_files import sync_folder
from features.store.key import canonical
from features.store.layout import leftovers_in, recipe_of, sealed_in
from features.store.lock import hold_lock
from features.store.sealing import seal_shard, writing
from features.store.shard import Shard, StoredSequence
from features.store.store import SHARD_BYTES


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """What was merged in one part.

    Attributes:
        part: the folder.
        merged: names of the shards that went.
        made: names of the shards that hold their videos now; empty in a dry run.
        made_count: how many these are, or would be.
        left: names of the shards that were left out: damaged, foreign, or of a later version.
    """

    part: Path
    merged: tuple[str, ...]
    made: tuple[str, ...]
    made_count: int
    left: tuple[str, ...]


class Place(NamedTuple):
    """Where a sequence lies."""

    shard: Shard
    number: int


def compact_part(
    part: Path, *, shard_bytes: int = SHARD_BYTES, dry_run: bool = False
) -> Compaction:
    """Merges the small shards of a part; holds its lock, but not in a dry run.

    Args:
        part: one recipe's folder.
        shard_bytes: a shard with fewer bytes of rows is small; a merged one is closed at it.
        dry_run: changes nothing.

    Raises:
        LockedError: another process writes to it.
        OutputError: it cannot be written; every video is where it was.
        StoreError: a shard was damaged meanwhile; every video is where it was.
    """
    if dry_run:
        return _compact(part, shard_bytes, dry_run=True)
    with writing(part), hold_lock(part):
        for path in leftovers_in(part):
            path.unlink()
        return _compact(part, shard_bytes, dry_run=False)


def _compact(part: Path, shard_bytes: int, *, dry_run: bool) -> Compaction:
    full, small, left = _sort_out(part, shard_bytes)
    merged, made, made_count = [], [], 0
    placed = _doubles(full, small)
    for group in _groups(small):
        shards = plan_shards(group, placed, shard_bytes)
        count = sum(map(len, shards))
        if len(group) == 1 and count == len(group[0]):
            continue
        made_count += len(shards)
        merged += [shard.path for shard in group]
        if not dry_run:
            made += [_merge(places) for places in shards]
    if not dry_run and merged:
        for path in set(merged) - set(made):
            path.unlink()
        sync_folder(merged[0].parent)
    return Compaction(
        part=part,
        merged=tuple(sorted(path.name for path in set(merged) - set(made))),
        made=tuple(path.name for path in made),
        made_count=made_count,
        left=tuple(left),
    )


def _sort_out(part: Path, shard_bytes: int) -> tuple[list[Shard], list[Shard], list[str]]:
    """The full shards, the small and intact ones, and the names of those that are left out."""
    full, small, left = [], [], []
    for path in sealed_in(part):
        try:
            shard = Shard(path)
        except StoreError:
            left.append(path.name)
            continue
        if not shard.recipe.digest.startswith(recipe_of(part)):
            left.append(path.name)
        elif shard.nbytes >= shard_bytes:
            full.append(shard)
        elif shard.damaged():
            left.append(path.name)
        else:
            small.append(shard)
    return full, small, left


def _doubles(full: Sequence[Shard], small: Sequence[Shard]) -> set[str]:
    """Keys of videos in small shards that a full one holds intact."""
    asked = {key for shard in small for key in shard.keys}
    return {
        key
        for shard in full
        for number, key in enumerate(shard.keys)
        if key in asked and shard.intact(number)
    }


def _groups(small: Sequence[Shard]) -> list[list[Shard]]:
    """Shards that may become one: of one header, since a header speaks for all its videos."""
    groups: dict[str, list[Shard]] = {}
    for shard in small:
        header = canonical([shard.recipe.to_json(), shard.versions, shard.dim])
        groups.setdefault(header, []).append(shard)
    return [groups[header] for header in sorted(groups)]


def plan_shards(group: Sequence[Shard], placed: set[str], shard_bytes: int) -> list[list[Place]]:
    """Says which sequences make which shard: by path and key, each once, cut as a run cuts them.

    Args:
        group: the shards to merge.
        placed: keys that need no place any more; those of the group are added.
        shard_bytes: a shard is closed when its rows reach this.
    """
    places: dict[str, Place] = {}
    for shard in group:
        for number, key in enumerate(shard.keys):
            if key not in placed:
                places.setdefault(key, Place(shard, number))
    placed |= places.keys()
    shards: list[list[Place]] = []
    size = shard_bytes
    paths = {key: shard.paths[number] for key, (shard, number) in places.items()}
    for key in sorted(places, key=lambda key: (paths[key], key)):
        if size >= shard_bytes:
            shards.append([])
            size = 0
        shard, number = places[key]
        shards[-1].append(places[key])
        size += shard.sequence(number).nbytes
    return shards


def _merge(places: Sequence[Place]) -> Path:
    """Writes one merged shard; returns its path."""
    first = places[0].shard
    return seal_shard(
        first.path.parent,
        _read(places),
        first.recipe,
        first.versions,
        frame_counts=[len(shard.sequence(number).features) for shard, number in places],
        leftover=first.keys[places[0].number],
    )


def _read(places: Sequence[Place]) -> Iterator[StoredSequence]:
    for shard, number in places:
        if not shard.intact(number):
            raise StoreError(f"{shard.path} was damaged just now; run again, and check the disk")
        yield shard.sequence(number)
