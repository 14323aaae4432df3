"""Repair: intact videos of a damaged shard move to a new one, and lost videos are listed.

The new shard is durable before the damaged one is removed, so a kill at any moment loses nothing
and the next repair makes the same bytes again. A store is a cache: nothing is kept of a shard whose
header is damaged, and `extract` embeds its videos again. docs/store-format.md specifies it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from data.errors import InputError, StoreError
from data.io.atomic_files import sync_folder
from data.io.atomic_folders import check_replaceable, replace_folder
from data.io.reading import file_sha256
from data.io.system_errors import cannot_write
from features.store import layout
from features.store.feature_set import entry_of, link_or_copy, read_index, write_index
from features.store.layout import INDEX, SHARDS, sha256_of
from features.store.lock import hold_lock, writing
from features.store.preamble import LaterVersionError
from features.store.shard import Shard
from features.store.store import seal_shard
from features.store.verify import intact_sequences

Action = Literal["rescued", "removed", "left"]


@dataclass(frozen=True, kw_only=True)
class LostVideo:
    """A video whose features are lost, under the names that its shard has: `extract` embeds it."""

    path: str  # of the video, as it was when its features were made
    sha256: str  # of the video file, hex


@dataclass(frozen=True, kw_only=True)
class FileRepair:
    """What is done about one damaged file."""

    file: Path  # its path
    # "rescued": its intact videos are in a new shard; "removed": no video in it was intact; "left":
    # unmask must not change it
    action: Action
    message: str  # what was wrong, one line
    new_file: Path | None = None  # path of the new shard; None where there is none, or in a dry run
    kept: int = 0  # number of videos that are kept
    lost: tuple[LostVideo, ...] = ()  # videos that no other intact file of the folder holds
    # number of lost videos that cannot be named; None where not even that is known
    unnamed: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Result of `repair`."""

    folder: Path  # that was repaired
    dry_run: bool  # whether nothing was changed
    files: tuple[FileRepair, ...]  # one entry for each damaged file
    also_in: tuple[Path, ...]  # folders where a file of the same name is damaged, too
    to_extract: tuple[LostVideo, ...]  # all lost videos that have a name, each once
    # number of lost videos that cannot be named, of the files where it is known
    unnamed: int


def repair(folder: Path, *, dry_run: bool = False) -> Repair:
    """Repairs a feature set, a store, or one recipe's part of a store.

    A dry run changes nothing and takes no lock.

    Raises:
        InputError: it is none of them.
        LockedError: another process writes to the store.
        OutputError: it cannot be written; nothing intact is lost.
        StoreError: the index of a feature set is damaged, so its content is unknown.
    """
    files: list[FileRepair] = []
    if layout.is_feature_set(folder):
        files = _repair_feature_set(folder, dry_run=dry_run)
    else:
        for part in layout.parts_of(folder):
            files += _repair_part(part, dry_run=dry_run)
    also_in = _damaged_elsewhere(one.file for one in files if one.action != "left")
    lost = {video.sha256: video for one in files for video in one.lost}
    return Repair(
        folder=folder,
        dry_run=dry_run,
        files=tuple(files),
        also_in=also_in,
        to_extract=tuple(lost.values()),
        unnamed=sum(one.unnamed or 0 for one in files),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Examined:
    """What is left of one file; `message` is empty where nothing is wrong with it."""

    path: Path
    message: str = ""
    action: Action = "removed"
    shard: Shard | None = None  # None: its header cannot be trusted
    intact: tuple[int, ...] = ()  # numbers of videos


def _examine(path: Path, recipe_digest: str, *, staged: bool = False) -> _Examined:
    """Reads every byte of a shard and finds the videos that are intact.

    What the system fails to read at this moment is left: the disk may read it later.

    Args:
        path: the file; it may be missing.
        recipe_digest: of the recipe that it must have, or the first digits of it.
        staged: it holds one video and is named by its key, not by its bytes.
    """
    unchanged = False
    try:
        unchanged = file_sha256(path) == sha256_of(path)
        shard = Shard(path)
    except FileNotFoundError:
        return _Examined(path=path, message="it is not there")
    except (LaterVersionError, InputError) as error:
        return _Examined(path=path, message=str(error), action="left")
    except StoreError as error:
        if unchanged:  # so HDF5 or the system fails, not the file
            return _Examined(path=path, message=str(error), action="left")
        return _Examined(path=path, message="its header is damaged, so nothing in it can be used")
    except OSError as error:
        message = f"it cannot be read: {error.strerror or error}; check the disk, then try again"
        return _Examined(path=path, message=message, action="left")
    if not shard.recipe.digest.startswith(recipe_digest):
        message = f"it is of the recipe {shard.recipe.digest[:16]} and does not belong there"
        return _Examined(path=path, message=message, action="left")
    intact = tuple(range(len(shard)) if unchanged else intact_sequences(shard))
    if unchanged or (staged and shard.keys == (path.stem,) and intact):
        return _Examined(path=path, shard=shard, intact=intact)
    message = "its bytes are not those that were written"
    if staged or not intact:
        return _Examined(path=path, message=message, shard=shard)
    return _Examined(path=path, message=message, action="rescued", shard=shard, intact=intact)


def _reports(examined: list[_Examined], rescued: dict[Path, Path | None]) -> list[FileRepair]:
    """What is done about the damaged ones, with the new shard of each."""
    held = {one.shard.keys[number] for one in examined if one.shard for number in one.intact}
    reports = []
    for one in examined:
        if not one.message:
            continue
        lost: list[LostVideo] = []
        if (shard := one.shard) is not None:
            named = zip(shard.keys, shard.paths, shard.sha256s, strict=True)
            lost = [LostVideo(path=path, sha256=sha) for key, path, sha in named if key not in held]
        new = rescued.get(one.path)
        reports.append(
            FileRepair(
                file=one.path,
                action=one.action,
                message=one.message,
                new_file=one.path.with_name(new.name) if new else None,
                kept=len(one.intact),
                lost=tuple(lost),
                unnamed=None if shard is None and one.action == "removed" else 0,
            )
        )
    return reports


def _rescue(examined: _Examined, folder: Path) -> Path | None:
    """Writes the intact videos of a damaged shard, in their order, as a shard like any other."""
    shard, intact = examined.shard, examined.intact
    if shard is None or not intact:
        return None
    return seal_shard(
        folder,
        (shard.sequence(number) for number in intact),
        shard.recipe,
        shard.versions,
        frame_counts=[len(shard.sequence(number).features) for number in intact],
        first_key=shard.keys[intact[0]],
    )


def _repair_part(part: Path, *, dry_run: bool) -> list[FileRepair]:
    """Repairs one recipe's part of a store; holds its lock, but not in a dry run."""

    def examine() -> list[_Examined]:
        recipe = layout.recipe_of(part)
        sealed = [_examine(path, recipe) for path in layout.sealed_in(part)]
        return sealed + [_examine(path, recipe, staged=True) for path in layout.staged_in(part)]

    if dry_run:
        return _reports(examine(), {})
    with writing(part), hold_lock(part):
        examined = examine()
        rescued: dict[Path, Path | None] = {}
        for one in examined:
            if one.message and one.action != "left":
                rescued[one.path] = _rescue(one, one.path.parent)
                if rescued[one.path] != one.path:
                    one.path.unlink()
                    sync_folder(one.path.parent)
        for path in layout.leftovers_in(part):
            path.unlink()
        return _reports(examined, rescued)


def _repair_feature_set(folder: Path, *, dry_run: bool) -> list[FileRepair]:
    """Repairs a feature set: the folder is replaced in one step, so readers find it whole."""
    if not dry_run:
        check_replaceable(folder, marker=INDEX)
    index = read_index(folder)
    entries = {Path(name).name: entry for name, entry in index.shards.items()}
    examined = [_examine(folder / name, index.recipe.digest) for name in entries]
    damaged = [one for one in examined if one.message and one.action != "left"]
    rescued: dict[Path, Path | None] = {}
    if damaged and not dry_run:
        gone = {one.path.name for one in damaged}
        listed = {name: entry for name, entry in entries.items() if name not in gone}
        with replace_folder(folder, marker=INDEX) as new:
            shutil.copytree(
                folder,
                new,
                dirs_exist_ok=True,
                copy_function=_carry,
                ignore=lambda inside, _: gone | {INDEX} if Path(inside) == folder else (),
            )
            rescued = {one.path: _rescue(one, new) for one in damaged}
            for path in filter(None, rescued.values()):
                listed[path.name] = entry_of(path, Shard(path))
            write_index(new, index.facts | {"shards": [listed[name] for name in sorted(listed)]})
    return [
        replace(one, unnamed=entries[one.file.name]["videos"]) if one.unnamed is None else one
        for one in _reports(examined, rescued)
    ]


def _carry(source: str, target: str) -> None:
    try:
        link_or_copy(Path(source), Path(target))
    except OSError as error:
        raise cannot_write(target, error) from error


def _damaged_elsewhere(damaged: Iterable[Path]) -> tuple[Path, ...]:
    """Folders below the current one with the same damage: a hard link has the same bytes."""
    found = set()
    feature_sets = list(layout.find_feature_sets(Path()))
    for path in damaged:
        copies = [folder / path.name for folder in feature_sets]
        for copy in (*copies, *layout.STORE.glob(f"*/{SHARDS}/{path.name}")):
            with suppress(OSError):
                if copy.resolve() != path.resolve() and file_sha256(copy) != sha256_of(copy):
                    found.add(copy.parents[copy.parent.name == SHARDS])
    return tuple(sorted(found))
