"""Checks where output goes: a regular file or a new name, or a folder that can be written.

Every command checks its outputs before it begins: a read-only disk, or a device in a file's place,
must not be found out after hours of work. Links are followed.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from data.errors import OutputError
from data.io.system_errors import writing
from data.operating_system.machine import mounted_paths

_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


def follow(path: Path) -> Path:
    """The target of a chain of links, which need not exist; the path itself, if it is no link.

    Raises:
        OutputError: the links lead in a circle, or cannot be read.
    """
    with writing(path):
        if not path.is_symlink():
            return path
        with suppress(FileNotFoundError):  # the target may still have to be made
            os.stat(path)
        return Path(os.path.realpath(path))


def check_output(path: Path) -> None:
    """Refuses early what writing a file would refuse after hours of work; makes nothing.

    Raises:
        OutputError: it is no regular file, or cannot be written.
    """
    target = check_kind(path)
    if is_mount_point(target):
        raise OutputError(f"{path} is mounted by itself, so it cannot be replaced; choose another")
    check_folder_writable(target.parent, what=path)


def check_out_folder(folder: Path, *, files: Iterable[str] = ()) -> Path:
    """Refuses a folder to fill, or files in it, that cannot be written; makes nothing.

    For folders that are filled file by file; for others, see `data.io.atomic_folders`. Returns the
    folder itself, where a link leads to it.

    Raises:
        OutputError: the path is taken by something else, or no file can be made there.
    """
    target = follow(folder)
    refuse_other_kind(folder, target)
    check_folder_writable(target, what=folder)
    for name in files:
        check_output(folder / name)
    return target


def check_folder_writable(folder: Path, *, what: object) -> None:
    """Makes a file without a name in a folder, or in its nearest parent that exists.

    Raises:
        OutputError: no file can be made there.
    """
    with writing(what):
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise OutputError(f"cannot write {what}: {folder} is no folder; choose another place")
        with tempfile.TemporaryFile(dir=folder):
            pass


def refuse_other_kind(folder: Path, target: Path) -> None:
    """Refuses a path for a folder that is taken by a file, device, FIFO or socket.

    Raises:
        OutputError: it is.
    """
    kind = _kind_of(folder, target)
    if kind not in ("", "a folder"):
        raise OutputError(f"{folder} is {kind}; choose another place to write to")


def is_mount_point(path: Path) -> bool:
    """Whether something, perhaps a single file, is mounted there: it cannot be replaced."""
    real = os.path.realpath(path)
    mounted = any(os.fsdecode(_unescaped(path)) == real for path in mounted_paths())
    return mounted or os.path.ismount(real)


def _unescaped(text: bytes) -> bytes:
    """mountinfo writes white space as octal numbers."""
    for escaped, plain in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n")):
        text = text.replace(escaped, plain)
    return text.replace(b"\\134", b"\\")


def check_kind(path: Path) -> Path:
    """The file that will be written, links followed.

    Raises:
        OutputError: it is no regular file.
    """
    target = follow(path)
    kind = _kind_of(path, target)
    if kind == "a folder":
        raise OutputError(f"cannot write {path}: it is a folder; give the name of a file")
    if kind not in ("", "a file"):
        raise OutputError(f"cannot write {path}: it is {kind}; give the name of a file")
    return target


def _kind_of(path: Path, target: Path) -> str:
    """The kind of file that is there, in words; "" for none."""
    with writing(path):
        try:
            mode = os.stat(target).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no regular file")
