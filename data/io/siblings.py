"""The hidden sibling in which a folder of results grows, its swap, and what killed runs left of it.

A sibling is called `.<folder>.<8 hex digits>`. Whoever fills one holds a `flock` on the folder
itself, which the system drops with the process: one that nobody holds was left by a killed run.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from data.io.atomic_files import shortened

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_OLD = ".old"
"""Ends the name of the replaced folder, where a file system cannot exchange two in one step."""


def make_sibling(folder: Path) -> tuple[Path, int]:
    """Makes an empty sibling; closing the descriptor, after the swap, lets go of it.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        new = folder.parent / f".{shortened(folder.name)}.{secrets.token_hex(4)}"
        new.mkdir()
        lock = os.open(new, os.O_RDONLY)
        with contextlib.suppress(OSError):  # no locks here: then nobody can take it away, either
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Between its making and its lock it looked like a leftover: another may have removed it.
        with contextlib.suppress(OSError):
            if os.path.samestat(new.stat(), os.fstat(lock)):
                return new, lock
        os.close(lock)


def swap(new: Path, folder: Path) -> None:
    """Puts `new` where `folder` is, in one step where the file system can.

    What was there is then called `new`, or it is gone.

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
    except (OSError, AttributeError) as error:
        raise OSError(errno.ENOSYS, "this system has no renameat2") from error
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if renameat2(*names, ctypes.c_uint(_RENAME_EXCHANGE)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _swap_in_two_steps(new: Path, folder: Path) -> None:
    """POSIX cannot rename onto a folder that is not empty; a kill in between is for `recover`."""
    old = new.with_name(new.name + _OLD)
    with _held(folder):  # it stays held under its other name, so that nobody recovers it meanwhile
        folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Ends what killed runs began: a half-done swap is undone, their siblings are removed.

    Nothing that a living process holds is touched, nor what is called otherwise, nor a link. Where
    it cannot be known, because the file system has no locks, nothing is done.
    """
    name = re.escape(shortened(folder.name))
    pattern = re.compile(rf"\.{name}\.[0-9a-f]{{8}}({re.escape(_OLD)})?")
    try:
        found = [path for path in folder.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return
    for path in sorted(found, reverse=True):  # `.old` before its new one, and undone before it
        with contextlib.suppress(OSError):
            if path.is_symlink() or not path.is_dir():
                continue
            with _held(path) as held:
                if not held:
                    continue
                if path.name.endswith(_OLD) and not folder.exists():
                    path.rename(folder)
                else:
                    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether the lock on a folder could be had at once; it is held until the block ends."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    except OSError:
        held = False
    try:
        yield held
    finally:
        os.close(lock)
