"""Folders of results: written whole or not at all, read with their format checked.

A new folder grows in a hidden sibling of the old one and takes its place in one step; a failure on
the way leaves the old one as it was (as borg's `platform/base.py` does for files). A sibling is
called `.<folder>.<8 hex digits>`. Its writer holds a `flock` on the folder itself, which the system
releases with the process: an unlocked sibling was left by a killed run, and is removed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data.errors import OutputError, StoreError
from data.io.atomic_files import (
    as_json,
    hidden_name,
    make_folder,
    shortened,
    sync_folder,
    sync_tree,
    write_plain,
)
from data.io.output_paths import (
    check_folder_writable,
    check_out_folder,
    follow,
    is_mount_point,
    refuse_other_kind,
)
from data.io.reading import read_json
from data.io.system_errors import cannot_read, cannot_write, is_of_writing, writing
from data.operating_system.files import has_folder_locks, lock_folder, open_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_OLD = ".old"
"""Ends the name of the replaced folder, where a file system cannot exchange two in one step."""


@contextmanager
def replace_folder(folder: Path, *, marker: str) -> Iterator[Path]:
    """Yields a temporary folder to fill, which becomes `folder` when the block succeeds.

    Args:
        folder: where the result goes. An older one is replaced only if it holds `marker`
            or nothing at all: a mistyped path must not cost a user's files.
        marker: name of the file by which such a folder is recognised.

    Raises:
        OutputError: the path is taken by something else, or cannot be written.
    """
    target = follow(folder)  # the link is the user's own
    recover(target)
    check_replaceable(folder, marker=marker)
    with writing(folder):
        new, lock = make_sibling(target)
    try:
        yield new
        sync_tree(new)
        swap(new, target)
        sync_folder(target.parent)
    except OSError as error:
        if not is_of_writing(error, new):
            raise cannot_read(error.filename, error) from error
        raise cannot_write(folder, error) from error
    finally:
        try:
            shutil.rmtree(new, ignore_errors=True)
        finally:
            close_lock(lock)


def check_replaceable(folder: Path, *, marker: str) -> None:
    """Refuses early what `replace_folder` would refuse after hours of work; makes the parent.

    Raises:
        OutputError: the path is taken by something else, or cannot be written.
    """
    target = follow(folder)
    refuse_other_kind(folder, target)
    _refuse_foreign(folder, target, marker)
    if target.is_dir() and (target.name in ("", "..") or is_mount_point(target)):
        raise OutputError(
            f"{folder} is a mount point or the current folder, which cannot be replaced; "
            "give a folder inside it"
        )
    with writing(folder):
        make_folder(target.parent)
    check_folder_writable(target.parent, what=folder)


def check_fillable(folder: Path, *, marker: str, files: Iterable[str]) -> None:
    """As `check_replaceable`, for a folder to which these files are added; makes nothing.

    Raises:
        OutputError: the path is taken by something else, or cannot be written.
    """
    target = check_out_folder(folder, files=files)
    _refuse_foreign(folder, target, marker)


def _refuse_foreign(folder: Path, target: Path, marker: str) -> None:
    """Refuses a folder that holds other files and no marker."""
    with writing(folder):
        if target.is_dir() and not (target / marker).exists() and any(target.iterdir()):
            raise OutputError(f"{folder} holds other files and no {marker}; choose an empty folder")


def make_sibling(folder: Path) -> tuple[Path, int | None]:
    """Makes an empty, locked sibling; `close_lock`, after the swap, releases the lock.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        new = folder.parent / hidden_name(folder.name)
        new.mkdir()
        lock = open_folder(new)
        lock_folder(lock, wait=True)  # or there are no locks: then `recover` removes nothing
        if lock is None:
            return new, None
        # Before it was locked it looked like a leftover: another process may have removed it.
        with suppress(OSError):
            if os.path.samestat(new.stat(), os.fstat(lock)):
                return new, lock
        os.close(lock)


def close_lock(lock: int | None) -> None:
    """Releases the lock of `make_sibling`."""
    if lock is not None:
        os.close(lock)


def swap(new: Path, folder: Path) -> None:
    """Puts `new` where `folder` is, in one step where the file system can.

    The replaced folder is then called `new`, or it is gone.

    Raises:
        OSError: it cannot be done; `folder` is as it was.
    """
    if not folder.exists():
        new.rename(folder)
        return
    try:
        exchange(new, folder)
    except OSError:
        _swap_in_two_steps(new, folder)


def exchange(one: Path, other: Path) -> None:
    """Exchanges the names of two folders in one step: renameat2(2) of Linux.

    Raises:
        OSError: it cannot be done, here or anywhere on this system.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError) as error:  # the last on Windows
        raise OSError(errno.ENOSYS, "this system has no renameat2") from error
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if renameat2(*names, ctypes.c_uint(_RENAME_EXCHANGE)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _swap_in_two_steps(new: Path, folder: Path) -> None:
    """POSIX cannot rename onto a folder that is not empty; `recover` undoes a kill in between."""
    old = new.with_name(new.name + _OLD)
    with _locked(folder):  # the lock stays under the new name, so that nobody recovers it meanwhile
        folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Cleans up after killed runs: undoes a half-done swap and removes their siblings.

    Left alone are links, folders of other names, those that a living process holds, and, where a
    file system has no locks, all.
    """
    name = re.escape(shortened(folder.name))
    pattern = re.compile(rf"\.{name}\.[0-9a-f]{{8}}({re.escape(_OLD)})?")
    try:
        found = [path for path in folder.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return
    for path in sorted(found, reverse=True):  # `.old` before its new one, and undone before it
        with suppress(OSError):
            if path.is_symlink() or not path.is_dir():
                continue
            with _locked(path) as locked:
                if not locked:
                    may = path.name.endswith(_OLD) and not has_folder_locks()
                    if not (may and not folder.exists()):
                        continue
                if path.name.endswith(_OLD) and not folder.exists():
                    path.rename(folder)
                else:
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Locks a folder for the block; yields whether that succeeded at once."""
    lock = open_folder(folder)
    try:
        yield lock_folder(lock, wait=False)
    finally:
        close_lock(lock)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes JSON into a folder that is still hidden; a NaN is a bug of unmask and raises."""
    write_plain(path, as_json(facts))


def read_versioned_json(path: Path, wanted: str, version: int) -> dict[str, Any]:
    """Reads a JSON object that declares its format and version.

    Args:
        path: the JSON file.
        wanted: the format that it must declare.
        version: the latest version that this program reads.

    Raises:
        InputError: there is no such file, or it may not be read.
        StoreError: damaged, of another format or of a later version.
    """
    there = path.parent.is_dir() or not path.parent.exists()
    missing = f"{path.parent} holds no {path.name}; is it the right folder?"
    facts = read_json(
        path,
        remedy="it is damaged, or another program's; write it anew",
        missing=missing if there else f"{path.parent} is not a folder",
        damaged=StoreError,
    )
    if not isinstance(facts, dict) or facts.get("format") != wanted:
        raise StoreError(f"{path} is not of the format {wanted}; give another, or write it anew")
    declared = facts.get("version")
    if not isinstance(declared, int) or isinstance(declared, bool) or declared < 1:
        raise StoreError(f"{path} has no valid version; write it anew")
    if declared > version:
        raise StoreError(
            f"{path} is of version {declared}, this unmask reads up to {version}; "
            "use a later unmask"
        )
    return facts
