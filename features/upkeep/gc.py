"""What of a working store nobody needs, and its removal: `unmask store gc`.

A shard stays if a folder of features uses it or a video in it, or if its file has another hard
link: a folder that was not looked at or DVC's cache, and removing it would free nothing. Files of a
later version and damaged ones of a recipe in use stay, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import StoreError
from data.io.atomic_files import sync_folder
from features.store.layout import SHARDS, STAGING, leftovers_in, recipe_of, sealed_in, staged_in
from features.store.lock import LOCK
from features.store.preamble import LaterVersionError
from features.store.sealing import writing
from features.store.shard import Shard
from features.upkeep.references import Usage

Reason = Literal["unused", "doubled", "leftover"]


@dataclass(frozen=True, kw_only=True)
class Waste:
    """A file that can go.

    Attributes:
        path: the file.
        reason: "unused": no folder of features uses it; "doubled": each of its videos is intact in
            another shard of the store; "leftover": a killed writer left it half done.
        size_bytes: of the file; it is freed only if the file has no other link.
        videos: in it; 0 where that cannot be read.
        staged: whether it is a finished video that waits for its run to go on.
    """

    path: Path
    reason: Reason
    size_bytes: int
    videos: int
    staged: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes and what stays of one part.

    Attributes:
        part: the folder.
        waste: what goes.
        linked: shards that no folder uses, but that have other hard links, so they stay.
        kept: number of all shards that stay, those included.
    """

    part: Path
    waste: tuple[Waste, ...]
    linked: tuple[Path, ...]
    kept: int


def plan_part(part: Path, usage: Usage, *, drop_linked: bool = False) -> Plan:
    """Finds what can go; changes nothing.

    Args:
        part: one recipe's folder.
        usage: of all folders of features that are to stay whole.
        drop_linked: other hard links do not count as use.
    """
    in_use = usage.has_recipe(recipe_of(part))
    stays: list[Shard] = []
    waste, linked, others = [], [], 0
    for path in sealed_in(part):
        try:
            shard = Shard(path)
        except LaterVersionError:
            others += 1
            continue
        except StoreError:
            if in_use or path.name in usage.names or path.stat().st_nlink > 1:
                others += 1
            else:
                waste.append(_waste(path, "unused", 0))
            continue
        if path.name in usage.names or not usage.keys.isdisjoint(shard.keys):
            stays.append(shard)
        elif path.stat().st_nlink > 1 and not drop_linked:
            stays.append(shard)
            linked.append(path)
        else:
            waste.append(_waste(path, "unused", len(shard)))
    doubled = doubled_among(stays)
    waste += [_waste(shard.path, "doubled", len(shard)) for shard in doubled]
    if not in_use:
        waste += [_waste(path, "unused", 1, staged=True) for path in staged_in(part)]
    waste += [_waste(path, "leftover", 0) for path in leftovers_in(part)]
    gone = {one.path for one in waste}
    return Plan(
        part=part,
        waste=tuple(waste),
        linked=tuple(path for path in linked if path not in gone),
        kept=len(stays) - len(doubled) + others,
    )


def _waste(path: Path, reason: Reason, videos: int, *, staged: bool = False) -> Waste:
    size_bytes = path.stat().st_size
    return Waste(path=path, reason=reason, size_bytes=size_bytes, videos=videos, staged=staged)


def doubled_among(shards: Iterable[Shard]) -> list[Shard]:
    """Those whose every video is in a larger one of the others, where its rows are intact.

    Only rows that may be the last ones are read: of videos that two shards hold.
    """
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


def remove(plan: Plan) -> None:
    """Removes what can go, and the whole part where nothing is left; the caller holds its lock.

    Raises:
        OutputError: it cannot be removed.
    """
    with writing(plan.part):
        for waste in plan.waste:
            waste.path.unlink(missing_ok=True)
        for name in (SHARDS, STAGING):
            if (plan.part / name).is_dir():
                sync_folder(plan.part / name)
        _remove_if_empty(plan.part)


def _remove_if_empty(part: Path) -> None:
    """Removes a part with nothing but its empty folders and its lock."""
    names = {path.name for path in part.iterdir()}
    folders: Sequence[Path] = [part / name for name in (SHARDS, STAGING) if name in names]
    if names - {SHARDS, STAGING, LOCK} or any(any(folder.iterdir()) for folder in folders):
        return
    with contextlib.suppress(OSError):  # a writer that comes now has it again
        for folder in folders:
            folder.rmdir()
        (part / LOCK).unlink(missing_ok=True)
        part.rmdir()
