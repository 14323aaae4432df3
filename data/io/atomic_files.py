"""Writes files whole or not at all, durably, and never in place of a device.

A temporary file in the same folder, fsync, rename, fsync of the folder (as in borg's
`platform/base.py`). An output is a regular file or a new name. Links are followed; a folder,
device, FIFO or socket is refused (`data.io.output_paths`). Inside a folder that is still hidden
(`data.io.atomic_folders.replace_folder`), `write_plain` writes files under their own names. All
functions raise OutputError or, the lower ones, OSError where a disk is full, read-only or fails.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.io.output_paths import check_kind
from data.io.system_errors import DEVICE, FULL, cannot_write
from data.operating_system.files import give_to, open_folder, sync_file

NAME_BYTES = 200
"""Bytes of a long file name that go into the temporary one: names may have 255."""


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents, durably."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        if at == at.parent:
            break
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


@contextmanager
def atomic_file(path: Path, *, suffix: str = "", also: str = "") -> Iterator[Path]:
    """Yields a temporary file to write, which becomes `path` when the block succeeds.

    A new file has the mode that the umask allows, a replaced one keeps its mode and owner.

    Args:
        path: of the file; its folder is made.
        suffix: of the temporary file's name, for writers that depend on it.
        also: appended to the message after the remedy: ", finished videos are kept".

    Raises:
        OutputError: it cannot be written; an older file is as it was.
    """
    target = check_kind(path)
    temporary = target.with_name(f"{hidden_name(target.name)}{suffix}")
    try:
        try:
            make_folder(target.parent)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            yield temporary
            sync_file(temporary)
            _take_over(target, temporary)
            name_file(temporary, target)
        except OSError as error:
            raise cannot_write(path, error, then=also) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8 whole or not at all; lines end as they do in `text`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(text.encode())


def as_json(facts: Mapping[str, Any]) -> str:
    """JSON with sorted keys and a newline at the end; a NaN is a bug of unmask and raises.

    Dataclasses are objects of their fields.
    """
    return json.dumps(facts, default=asdict, indent=2, sort_keys=True, allow_nan=False) + "\n"


def as_csv(header: Sequence[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV; bytes of a file name that are not UTF-8 are escaped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def write_plain(path: Path, content: str | bytes) -> None:
    """Writes a file into a folder that is still hidden; `replace_folder` makes it durable."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def name_file(temporary: Path, path: Path) -> None:
    """Renames a finished and synced file, durably."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Forces a folder's entries to disk; some file systems refuse that and need not do it."""
    handle = open_folder(folder)
    if handle is None:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in DEVICE | FULL:
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Forces a folder and everything in it to disk."""
    for path in (*folder.rglob("*"), folder):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            sync_file(path)
        elif stat.S_ISDIR(mode):
            sync_folder(path)


def hidden_name(name: str) -> str:
    """A random hidden name for a temporary sibling of `name`."""
    return f".{shortened(name)}.{secrets.token_hex(4)}"


def shortened(name: str) -> str:
    """A name short enough to put something around it."""
    return os.fsencode(name)[:NAME_BYTES].decode("utf-8", "ignore")


def _take_over(target: Path, temporary: Path) -> None:
    """Copies the mode, and where allowed the owner, of the replaced file to the temporary one."""
    try:
        facts = os.stat(target)
    except FileNotFoundError:
        return
    mine = os.stat(temporary)
    if (facts.st_uid, facts.st_gid) != (mine.st_uid, mine.st_gid):
        with suppress(OSError):
            give_to(temporary, facts.st_uid, facts.st_gid)
    try:
        os.chmod(temporary, stat.S_IMODE(facts.st_mode) & 0o777)
    except OSError as error:  # file systems without modes, as FAT
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
