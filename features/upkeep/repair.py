"""Repair: intact videos of a damaged shard move into a new one, and what is lost is named.

The new shard is durable before the damaged one goes, so that a kill at any moment loses nothing:
the next repair makes the same bytes again. An intact copy of the whole shard, in another folder, is
better than a rescue and is taken first. docs/store-format.md specifies it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import InputError, StoreError
from data.io.atomic_files import name_file, sync_file, sync_folder
from data.io.reading import file_sha256
from features.store.layout import (
    copies_of,
    leftovers_in,
    recipe_of,
    sealed_in,
    sha256_of,
    staged_in,
)
from features.store.lock import hold_lock
from features.store.preamble import LaterVersionError
from features.store.sealing import seal_shard, writing
from features.store.shard import Shard
from features.upkeep.salvage import intact_videos, open_shard

Action = Literal["restored", "rescued", "removed", "left"]


@dataclass(frozen=True, kw_only=True)
class LostVideo:
    """A video whose features are gone: `extract` embeds it anew.

    Attributes:
        path: of the video when it was extracted.
        sha256: of the video file, or what stands for it in the store, hex.
    """

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Mending:
    """What repair does about one damaged file.

    Attributes:
        file: relative to the folder that is repaired.
        action: "restored": an intact copy takes its place; "rescued": its intact videos are in a
            new shard; "removed": nothing in it was intact; "left": not ours to mend.
        message: what was wrong, one line.
        new_file: where its videos are now; None where there is none, or in a dry run.
        kept: number of videos that are kept.
        lost: those that no other intact file of the folder holds.
        unnamed: number of lost videos that cannot be named; None where not even that is known.
    """

    file: str
    action: Action
    message: str
    new_file: str | None = None
    kept: int = 0
    lost: tuple[LostVideo, ...] = ()
    unnamed: int | None = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """What is left of one file.

    Attributes:
        path: the file.
        message: what is wrong with it; empty where nothing is.
        shard: opened, or its copy is; None where nothing can be read.
        intact: numbers of its intact videos.
        ours_to_mend: whether it may be replaced or removed.
        copy: an intact copy of the whole file, elsewhere.
    """

    path: Path
    message: str = ""
    shard: Shard | None = None
    intact: tuple[int, ...] = ()
    ours_to_mend: bool = True
    copy: Path | None = None

    @property
    def kept(self) -> set[str]:
        """Keys of all its videos that are there after the repair."""
        if self.shard is None or not self.ours_to_mend:
            return set()
        return {self.shard.keys[number] for number in self.intact}

    def lost(self, held: set[str]) -> tuple[LostVideo, ...]:
        """Its videos that are not among these keys."""
        if self.shard is None or not self.ours_to_mend:
            return ()
        named = zip(self.shard.keys, self.shard.paths, self.shard.sha256s, strict=True)
        return tuple(
            LostVideo(path=path, sha256=sha256) for key, path, sha256 in named if key not in held
        )


def repair_part(part: Path, *, copies: Sequence[Path] = (), dry_run: bool = False) -> list[Mending]:
    """Repairs one recipe's part of a working store; holds its lock, but not in a dry run.

    Args:
        part: the folder with `shards` and `staging`.
        copies: folders where intact copies of shards may be.
        dry_run: changes nothing.

    Raises:
        LockedError: another process writes to it.
        OutputError: it cannot be written.
    """
    if dry_run:
        return _mend_part(part, copies, dry_run=True)
    with writing(part), hold_lock(part):
        return _mend_part(part, copies, dry_run=False)


def _mend_part(part: Path, copies: Sequence[Path], *, dry_run: bool) -> list[Mending]:
    sealed = [examine(path, recipe_of(part), copies) for path in sealed_in(part)]
    staged = [examine_staged(path, recipe_of(part)) for path in staged_in(part)]
    held = {key for finding in (*sealed, *staged) for key in finding.kept}
    mendings = []
    for finding in sealed:
        if finding.message:
            mended = None if dry_run else mend(finding, finding.path.parent)
            mendings.append(tell(finding, mended, held, finding.path.relative_to(part)))
    for finding in staged:
        if finding.message:
            if finding.ours_to_mend and not dry_run:
                finding.path.unlink()
            mendings.append(tell(finding, None, held, finding.path.relative_to(part)))
    for path in [] if dry_run else leftovers_in(part):
        path.unlink()
    return mendings


def examine(path: Path, recipe_digest: str, copies: Iterable[Path] = ()) -> Finding:
    """Reads every byte of a shard whose name tells its sha256, and finds what is intact.

    Args:
        path: the file; it may be missing.
        recipe_digest: of the recipe that it must have, or the start of it.
        copies: folders where an intact copy may be.
    """
    message = ""
    shard = None
    try:
        if file_sha256(path) != sha256_of(path):
            message = "its bytes are not those that were written"
        shard = open_shard(path)
    except LaterVersionError as error:
        return Finding(path=path, message=str(error), ours_to_mend=False)
    except FileNotFoundError:
        message = "it is not there"
    except StoreError as error:
        if not message:  # whole, so it is HDF5 or the system that fails
            return Finding(path=path, message=str(error), ours_to_mend=False)
        message = "nothing in it can be read"
    except InputError as error:  # not permitted
        return Finding(path=path, message=str(error), ours_to_mend=False)
    except OSError as error:  # a disk that fails now may be read later: nothing is decided
        message = f"it cannot be read: {error.strerror or error}; check the disk, then try again"
        return Finding(path=path, message=message, ours_to_mend=False)
    if shard is not None and not shard.recipe.digest.startswith(recipe_digest):
        message = f"it is of the recipe {shard.recipe.digest[:16]} and does not belong there"
        return Finding(path=path, message=message, shard=shard, ours_to_mend=False)
    if shard is not None and not message:
        return Finding(path=path, shard=shard, intact=tuple(range(len(shard))))
    copy = _intact_copy(path, copies)
    if copy is not None:
        shard = Shard(copy)
        intact = tuple(range(len(shard)))
    else:
        intact = () if shard is None else tuple(intact_videos(shard))
    return Finding(path=path, message=message, shard=shard, intact=intact, copy=copy)


def examine_staged(path: Path, recipe_digest: str) -> Finding:
    """Reads every byte of a staged file: all of it is intact, or nothing is."""
    try:
        shard = Shard(path)
        whole = shard.keys == (path.stem,) and intact_videos(shard) == [0]
        if whole and shard.recipe.digest.startswith(recipe_digest):
            return Finding(path=path, shard=shard, intact=(0,))
        return Finding(path=path, message="its features are damaged", shard=shard)
    except (InputError, LaterVersionError) as error:
        return Finding(path=path, message=str(error), ours_to_mend=False)
    except (StoreError, OSError):
        return Finding(path=path, message="nothing in it can be read")


def _intact_copy(path: Path, folders: Iterable[Path]) -> Path | None:
    for copy in copies_of(path, folders):
        with contextlib.suppress(OSError):
            if file_sha256(copy) == sha256_of(path):
                return copy
    return None


def mend(finding: Finding, folder: Path) -> Path | None:
    """Puts into a folder what is intact of a shard, and then takes the damaged file away.

    Returns:
        The new shard, durable; None where nothing was intact.

    Raises:
        OutputError: it cannot be written; the damaged shard is as it was.
        OSError: the same.
    """
    if not finding.ours_to_mend:
        return None
    new = None
    if finding.copy is not None:
        new = restore(finding.copy, folder)
    elif finding.shard is not None and finding.intact:
        new = rescue(finding.shard, finding.intact, folder)
    damaged = folder / finding.path.name
    if damaged != new and damaged.exists():
        damaged.unlink()
        sync_folder(folder)
    return new


def rescue(shard: Shard, intact: Sequence[int], folder: Path) -> Path:
    """Writes these videos of a damaged shard, in their order, as a shard like any other."""
    return seal_shard(
        folder,
        (shard.sequence(number) for number in intact),
        shard.recipe,
        shard.versions,
        frame_counts=[len(shard.sequence(number).features) for number in intact],
        leftover=shard.keys[intact[0]],
    )


def restore(copy: Path, folder: Path) -> Path:
    """Puts an intact copy of a shard in the damaged one's place.

    Raises:
        StoreError: the copy came out damaged.
        OSError: it cannot be written.
    """
    temporary = folder / f".{sha256_of(copy)}"
    temporary.unlink(missing_ok=True)
    try:
        os.link(copy, temporary)
    except OSError:
        shutil.copyfile(copy, temporary)
        if file_sha256(temporary) != sha256_of(copy):
            temporary.unlink()
            raise StoreError(f"{copy} cannot be copied whole; check the disk") from None
        sync_file(temporary)
        temporary.chmod(0o444)
    name_file(temporary, folder / copy.name)
    return folder / copy.name


def tell(finding: Finding, new: Path | None, held: set[str], file: Path) -> Mending:
    """What was, or in a dry run would be, done about a finding."""
    action: Action = "removed"
    if not finding.ours_to_mend:
        action = "left"
    elif finding.copy is not None:
        action = "restored"
    elif finding.intact:
        action = "rescued"
    unknown = finding.shard is None and action == "removed"
    return Mending(
        file=str(file),
        action=action,
        message=finding.message,
        new_file=str(file.with_name(new.name)) if new else None,
        kept=len(finding.kept),
        lost=finding.lost(held),
        unnamed=None if unknown else 0,
    )
