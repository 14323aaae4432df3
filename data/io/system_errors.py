"""What the system's errors mean for a user: which a disk can cause, and what to do about each.

An `OSError` that a file or a disk can cause becomes one line with a remedy; any other is a bug of
unmask and keeps its traceback. Whoever writes turns errors into `OutputError` itself (`writing`,
`data.io.atomic_files`), so that an error which nobody caught comes from reading, unless its number
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
    """Numbers of these errors; not every system has all of them."""
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
"""A disk that fails, one that was unplugged, a network drive that went away."""
GONE = _numbers("ENOENT")
KIND = _numbers("ENOTDIR", "EISDIR", "EEXIST", "ENOTEMPTY", "EXDEV")
"""Something of another kind is in the way."""
BUSY = _numbers("EBUSY", "ETXTBSY", "EAGAIN", "EDEADLK", "ENOLCK")
UNABLE = _numbers("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "ENOTTY", "ESPIPE", "EILSEQ")
"""What this file system, or this kind of file, cannot do."""
LINKS = _numbers("EMLINK")

ALWAYS = FULL | READ_ONLY | TOO_LONG | LOOP | TOO_LARGE | TOO_MANY_OPEN | NO_MEMORY | DEVICE | LINKS
"""A disk's or the system's, whether or not the error names a file."""
WITH_A_FILE = FORBIDDEN | GONE | KIND | BUSY | UNABLE
"""A disk's where the error names a file of the user; without one, a bug."""
WRITES = FULL | READ_ONLY | LINKS | _numbers("EFBIG", "EEXIST", "ENOTEMPTY", "EXDEV", "ETXTBSY")
"""Nothing but writing causes these."""

_CODE = Path(__file__).resolve().parents[2]
_PYTHON = tuple({Path(one).resolve() / "lib" for one in (sys.prefix, sys.base_prefix)})
_CODE_SUFFIXES = (".py", ".pyc", ".so", ".template", ".css")

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
    """The system's own words."""
    return error.strerror or str(error) or type(error).__name__


def write_remedy(error: OSError) -> str:
    """What to do about an error of writing."""
    return _remedy(error, _WRITE_REMEDIES, "choose another place")


def read_remedy(error: OSError) -> str:
    """What to do about an error of reading."""
    return _remedy(error, _READ_REMEDIES, "give another path, or check the disk")


def _remedy(
    error: OSError, remedies: tuple[tuple[frozenset[Errno], str], ...], otherwise: str
) -> str:
    return next((told for numbers, told in remedies if error.errno in numbers), otherwise)


def cannot_write(what: object, error: OSError, *, then: str = "") -> OutputError:
    """The one line about something that could not be written.

    Args:
        what: the path, or words for it.
        error: the system's.
        then: what else is to be said, after the remedy: ", finished videos are kept".
    """
    return OutputError(f"cannot write {what}: {reason(error)}; {write_remedy(error)}{then}")


def cannot_read(what: object, error: OSError) -> InputError:
    """The one line about something that could not be read."""
    return InputError(f"cannot read {what}: {reason(error)}; {read_remedy(error)}")


def is_no_such_file(error: OSError) -> bool:
    """Whether nothing is there, or no file: for who only looks whether there is one.

    Of a file that a disk or a permission keeps from being read, its content would be passed over.
    """
    return error.errno in GONE | KIND | UNABLE | LOOP


@contextmanager
def writing(what: object, *, then: str = "") -> Iterator[None]:
    """Turns what the system says against writing into one line; for steps that only write.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(what, error, then=then) from error


def as_users_error(error: OSError) -> UnmaskError | None:
    """What a user is told of an error that nobody caught; None for a bug of unmask."""
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
    """Whether an error, met while a folder was filled, is of that and not of a file that was read.

    Args:
        error: the system's.
        folder: that was filled.
    """
    if error.errno in WRITES or error.filename2 is not None:
        return True
    file = _file_of(error)
    return file is None or Path(file).is_relative_to(folder)


def _file_of(error: OSError) -> str | None:
    """The file that an error names; of a rename, the one that was to be written."""
    for one in (error.filename2, error.filename):
        if isinstance(one, bytes | str | os.PathLike) and one:
            return os.fsdecode(one)
    return None


def _is_code(file: str) -> bool:
    """Whether it is a part of unmask or Python: one that is missing is a broken installation."""
    path = Path(os.path.abspath(file))
    ours = path.is_relative_to(_CODE) and path.suffix in _CODE_SUFFIXES
    return ours or any(path.is_relative_to(folder) for folder in _PYTHON)


def _looks_like_writing(error: OSError, file: str | None) -> bool:
    """Whether it comes from writing: by its number, a second file, or who may do what there."""
    if error.errno in WRITES or error.filename2 is not None:
        return True
    if error.errno not in FORBIDDEN or file is None:
        return False
    if os.path.lexists(file):
        return os.access(file, os.R_OK)  # so it was not reading that was forbidden
    folder = os.path.dirname(os.path.abspath(file))
    return os.access(folder, os.X_OK) and not os.access(folder, os.W_OK)
