"""Files and folders: reading at a place, syncing, locking, opening without following links."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

IS_WINDOWS = sys.platform == "win32"
PIECE_BYTES = 1 << 20

# Flags of `os.open`; 0 where a system has none. Windows would translate line ends in files that are
# not opened with O_BINARY.
O_BINARY = getattr(os, "O_BINARY", 0)
O_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
O_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
O_DIRECTORY = getattr(os, "O_DIRECTORY", 0)


def pread(descriptor: int, size: int, at: int) -> bytes:
    """Reads at a place; where the system has no `pread`, one thread alone may use the file."""
    call = getattr(os, "pread", None)
    if call is not None:
        return bytes(call(descriptor, size, at))
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, size)


def pwrite(descriptor: int, content: bytes | memoryview, at: int) -> int:
    """Writes at a place; where the system has no `pwrite`, one thread alone may use the file."""
    call = getattr(os, "pwrite", None)
    if call is not None:
        return int(call(descriptor, content, at))
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.write(descriptor, content)


def memory_file(name: str) -> int:
    """A descriptor of a file without a name: in memory, or in the folder of temporary files."""
    create = getattr(os, "memfd_create", None)
    if create is not None:
        return int(create(name))
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def copy_to(target: int, source: int) -> None:
    """Copies a file from its start to another descriptor."""
    os.lseek(source, 0, os.SEEK_SET)
    while part := os.read(source, PIECE_BYTES):
        while part:
            part = part[os.write(target, part) :]


def set_blocking(descriptor: int) -> None:
    """Undoes O_NONBLOCK; nothing where there is none."""
    if sys.platform != "win32":
        os.set_blocking(descriptor, True)


def is_null_device(facts: os.stat_result) -> bool:
    """Whether it is the device that is always empty, `/dev/null`."""
    if sys.platform == "win32":
        return False
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == os.stat(os.devnull).st_rdev


def give_to(path: Path, user: int, group: int) -> None:
    """Changes a file's owner, where files have one.

    Raises:
        OSError: that is not allowed.
    """
    chown = getattr(os, "chown", None)
    if chown is not None:
        chown(path, user, group)


def allocate(descriptor: int, size_bytes: int) -> None:
    """Takes space on the disk ahead, so that a full disk is found out now; elsewhere than on Linux
    the file is only as long as that.

    Raises:
        OSError: there is not enough.
    """
    call = getattr(os, "posix_fallocate", None)
    if call is not None:
        call(descriptor, 0, size_bytes)
    else:
        os.ftruncate(descriptor, size_bytes)


def sync_file(path: Path) -> None:
    """Forces a file's bytes to disk.

    Windows does so for files alone that are open for writing; those that may not be written were
    synced before they became so.
    """
    if not IS_WINDOWS:
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
        return
    try:
        with path.open("r+b") as handle:
            os.fsync(handle.fileno())
    except PermissionError:
        if os.access(path, os.W_OK):
            raise


def open_folder(folder: Path) -> int | None:
    """A descriptor of a folder, to sync or lock it; None on Windows, where folders have none."""
    return None if IS_WINDOWS else os.open(folder, os.O_RDONLY)


def lock_folder(descriptor: int | None, *, wait: bool) -> bool:
    """Takes a folder's `flock`; returns whether it was had.

    Without such locks (Windows, some network file systems) it never is.
    """
    if descriptor is None or sys.platform == "win32":
        return False
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True


def has_folder_locks() -> bool:
    """Whether `lock_folder` may succeed at all."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        return False
    return not IS_WINDOWS


def protect(path: Path) -> None:
    """Makes a finished file read-only; not on Windows, where such a file cannot be removed."""
    if not IS_WINDOWS:
        path.chmod(0o444)


def is_private(folders: Iterable[Path]) -> bool:
    """Whether this user owns these folders and nobody else may write to them.

    Windows keeps a user's folders from others by rights that a mode does not show: True there.

    Raises:
        OSError: one cannot be looked at.
    """
    user = getattr(os, "geteuid", None)
    facts = [folder.stat() for folder in folders]
    return user is None or all(one.st_uid == user() and not one.st_mode & 0o022 for one in facts)


def open_beneath(folder: Path, parts: Sequence[str]) -> int:
    """Opens a file below a folder for reading; no part of its path may be a link.

    Where a system cannot open relative to a folder (Windows), each part is looked at before.

    Raises:
        OSError: it cannot be read, or a part is a link.
    """
    flags = os.O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_BINARY
    if os.open not in os.supports_dir_fd or not O_DIRECTORY or not O_NOFOLLOW:
        at = folder
        for part in parts:
            at = at / part
            if at.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(at))
        return os.open(at, flags)
    *folders, name = parts
    inside = os.open(folder, os.O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    try:
        for part in folders:
            inner = os.open(part, flags | O_DIRECTORY, dir_fd=inside)
            os.close(inside)
            inside = inner
        return os.open(name, flags, dir_fd=inside)
    finally:
        os.close(inside)


def split_pair(text: str, *, drives: bool = sys.platform == "win32") -> tuple[str, str]:
    """Two paths with a colon between them, "a:b"; an empty one where there are not two.

    Args:
        text: to be parted at its last colon.
        drives: whether a letter and a colon begin a path, as in `C:\\a`.
    """
    drive = re.fullmatch(r"(.+):([A-Za-z]:[\\/][^:]*)", text) if drives else None
    if drive:
        return drive[1], drive[2]
    first, _, second = text.rpartition(":")
    if drives and re.fullmatch(r"[A-Za-z]", first) and second[:1] in ("/", "\\"):
        return "", text  # one path alone
    return first, second
