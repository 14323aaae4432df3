"""Turns an `OSError` that a file or a disk can cause into one line with a remedy.

Any other is a bug of unmask and keeps its traceback. Code that writes converts errors itself
(`writing`, `data.io.atomic_files`), so that an uncaught error comes from reading, unless its number
or its file says otherwise.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError, OutputError, UnmaskError

Errno = int


def _numbers(*names: str) -> frozenset[Errno]:
    """The numbers of these errors; not every system has all of them."""
    return frozenset(number for name in names if (number := getattr(errno, name, None)) is not None)


FULL = _numbers("ENOSPC", "EDQUOT")
READ_ONLY = _numbers("EROFS")
FORBIDDEN = _numbers("EACCES", "EPERM")
TOO_LONG = _numbers("ENAMETOOLONG")
LOOP = _numbers("ELOOP")
TOO_LARGE = _numbers("EFBIG", "EOVERFLOW")
TOO_MANY_OPEN = _numbers("EMFILE", "ENFILE")
NO_MEMORY = _numbers("ENOMEM")
DEVICE = _numbers(
    *("EIO", "ESTALE", "ENXIO", "ENODEV", "EREMOTEIO", "EUCLEAN", "EBADMSG", "ENOMEDIUM"),
    *("ENOTCONN", "ECONNABORTED", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"),
    *("ENONET", "ECOMM", "EMEDIUMTYPE", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "ESHUTDOWN"),
)
"""A disk fails or was unplugged, a network drive is gone."""
GONE = _numbers("ENOENT")
KIND = _numbers("ENOTDIR", "EISDIR", "EEXIST", "ENOTEMPTY", "EXDEV")
"""Something of another kind is in the way."""
BUSY = _numbers("EBUSY", "ETXTBSY", "EAGAIN", "EDEADLK", "ENOLCK")
UNABLE = _numbers("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "ENOTTY", "ESPIPE", "EILSEQ")
"""This file system, or this kind of file, does not support it."""
LINKS = _numbers("EMLINK")

ALWAYS = FULL | READ_ONLY | TOO_LONG | LOOP | TOO_LARGE | TOO_MANY_OPEN | NO_MEMORY | DEVICE | LINKS
"""Caused by a disk or the system, whether or not the error names a file."""
WITH_A_FILE = FORBIDDEN | GONE | KIND | BUSY | UNABLE
"""Caused by a disk where the error names a file of the user; without one, a bug."""
WRITES = FULL | READ_ONLY | LINKS | _numbers("EFBIG", "EEXIST", "ENOTEMPTY", "EXDEV", "ETXTBSY")
"""Caused by writing only."""

_CODE = Path(__file__).resolve().parents[2]
_PYTHON = tuple({Path(one).resolve() / "lib" for one in (sys.prefix, sys.base_prefix)})
_CODE_SUFFIXES = (".py", ".pyc", ".so", ".jinja", ".template", ".css")

_WRITE_REMEDIES: tuple[tuple[frozenset[Errno], str], ...] = (
    (FULL, "free some space"),
    (READ_ONLY, "choose a place that is not read-only"),
    (FORBIDDEN, "ask for permission to write there, or choose another place"),
    (TOO_LONG, "choose a shorter name"),
    (LOOP, "its links lead in a circle: remove them, or choose another place"),
    (TOO_LARGE, "the file system or `ulimit -f` allows no file so large: choose another place"),
    (TOO_MANY_OPEN, "allow more open files with `ulimit -n`"),
    (NO_MEMORY, "free some memory, or take fewer --workers"),
    (DEVICE, "check the disk or network drive, or choose another place"),
    (GONE, "its folder was removed or is not there: choose another place"),
    (KIND, "something else is in the way: choose another place"),
    (BUSY, "another process or a mount holds it: choose another place"),
)
_READ_REMEDIES: tuple[tuple[frozenset[Errno], str], ...] = (
    (FORBIDDEN, "allow it with chmod, or run as its owner"),
    (TOO_LONG, "give a shorter name, or move it to a folder with a shorter one"),
    (LOOP, "its links lead in a circle: give the file itself"),
    (TOO_MANY_OPEN, "allow more open files with `ulimit -n`"),
    (NO_MEMORY, "free some memory, or take fewer --workers"),
    (DEVICE, "check the disk or network drive"),
    (GONE, "it was moved or removed: give the path where it is"),
    (KIND, "it is not of the kind that is read here: give another path"),
    (BUSY, "another process holds it: wait for it"),
    (UNABLE, "give another file"),
)


def reason(error: OSError) -> str:
    """The system's message."""
    return error.strerror or str(error) or type(error).__name__


def write_remedy(error: OSError) -> str:
    """What the user can do about an error of writing."""
    return _remedy(error, _WRITE_REMEDIES, "choose another place")


def read_remedy(error: OSError) -> str:
    """What the user can do about an error of reading."""
    return _remedy(error, _READ_REMEDIES, "give another path, or check the disk")


def _remedy(
    error: OSError, remedies: tuple[tuple[frozenset[Errno], str], ...], otherwise: str
) -> str:
    return next((remedy for numbers, remedy in remedies if error.errno in numbers), otherwise)


def cannot_write(what: object, error: OSError, *, then: str = "") -> OutputError:
    """The error for something that could not be written.

    Args:
        what: the path, or words for it.
        error: the system's.
        then: appended after the remedy: ", finished videos are kept".
    """
    return OutputError(f"cannot write {what}: {reason(error)}; {write_remedy(error)}{then}")


def cannot_read(what: object, error: OSError) -> InputError:
    """The error for something that could not be read."""
    return InputError(f"cannot read {what}: {reason(error)}; {read_remedy(error)}")


def is_no_such_file(error: OSError) -> bool:
    """Whether no such file exists, as opposed to one that a disk or permission makes unreadable."""
    return error.errno in GONE | KIND | UNABLE | LOOP


@contextmanager
def writing(what: object, *, then: str = "") -> Iterator[None]:
    """Converts `OSError` in the block, which must only write.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(what, error, then=then) from error


def as_users_error(error: OSError) -> UnmaskError | None:
    """Converts an uncaught error for the user; None for a bug of unmask."""
    file = _file_of(error)
    if error.errno in GONE and file is None and "temporary directory" in reason(error):
        return OutputError(f"{reason(error)}; free some space, or set TMPDIR to another folder")
    known = error.errno in ALWAYS or (error.errno in WITH_A_FILE and file and not _is_code(file))
    if not known:
        return None
    if _looks_like_writing(error, file):
        return cannot_write(file or "the output", error)
    return cannot_read(file or "a file", error)


def is_of_writing(error: OSError, folder: Path) -> bool:
    """Whether an error while `folder` was filled comes from writing there, not from reading."""
    if error.errno in WRITES or error.filename2 is not None:
        return True
    file = _file_of(error)
    return file is None or Path(file).is_relative_to(folder)


def _file_of(error: OSError) -> str | None:
    """The file that an error names; for a rename, the target."""
    for one in (error.filename2, error.filename):
        if isinstance(one, bytes | str | os.PathLike) and one:
            return os.fsdecode(one)
    return None


def _is_code(file: str) -> bool:
    """Whether it is a part of unmask or Python: if one is missing, the installation is broken."""
    path = Path(os.path.abspath(file))
    ours = path.is_relative_to(_CODE) and path.suffix in _CODE_SUFFIXES
    return ours or any(path.is_relative_to(folder) for folder in _PYTHON)


def _looks_like_writing(error: OSError, file: str | None) -> bool:
    """Whether it comes from writing: by its number, a second file, or the permissions there."""
    if error.errno in WRITES or error.filename2 is not None:
        return True
    if error.errno not in FORBIDDEN or file is None:
        return False
    if os.path.lexists(file):
        return os.access(file, os.R_OK)  # so it was not reading that was forbidden
    folder = os.path.dirname(os.path.abspath(file))
    return os.access(folder, os.X_OK) and not os.access(folder, os.W_OK)
