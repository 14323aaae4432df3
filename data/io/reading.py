"""Reads files from disk; each fault is one line that names the file and the remedy.

A file is opened without waiting: a named pipe that nobody writes to, or a device, would block a
command for ever. System errors (missing, a folder, no permission) are `InputError`; faults of the
content (empty, truncated, of another encoding, no JSON) have the class that the caller gives.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import reprlib
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from data.errors import InputError, UnmaskError
from data.io.system_errors import cannot_read
from data.operating_system.files import (
    O_BINARY,
    O_CLOEXEC,
    O_NONBLOCK,
    is_null_device,
    set_blocking,
)

CHUNK_BYTES = 1 << 20
MAX_BYTES = 1 << 30
"""Largest file that is read whole: a manifest of a million videos has 300 MB."""

BAD_JSON = (ValueError, RecursionError)
"""Errors of `json.loads`, also for a number of 5,000 digits and for brackets 10,000 deep."""

BAD_FACTS = (
    ArithmeticError,  # float() of a whole number that no float can hold
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Errors of reading values out of JSON where they are not of the expected type."""


def open_file(path: Path) -> BufferedReader:
    """Opens a file for reading; refuses folders, named pipes, sockets and devices.

    Except a pipe that the shell made for this command, as in `--params <(command)`, and
    `/dev/null`.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    try:
        facts = os.stat(path)  # before it is opened: that would wake a pipe's writer
    except ValueError as error:  # a NUL, or half a surrogate pair: no file has such a name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    _refuse_special(facts, path)
    descriptor = os.open(path, os.O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_BINARY)
    try:
        _refuse_special(os.fstat(descriptor), path)
        set_blocking(descriptor)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_special(facts: os.stat_result, path: Path) -> None:
    """Raises OSError for what is no file."""
    if stat.S_ISREG(facts.st_mode):
        return
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    ours = str(path) == "/dev/stdin" or str(path).startswith(("/dev/fd/", "/proc/self/fd/"))
    if ours and stat.S_ISFIFO(facts.st_mode):
        return
    if is_null_device(facts):
        return
    raise OSError(errno.EINVAL, "it is a pipe, socket or device, not a file", str(path))


def unreadable(path: Path, error: OSError, *, missing: str = "") -> UnmaskError:
    """Converts an error of reading a file; `missing` is the message where there is none."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if isinstance(error, NotADirectoryError) and not path.parent.is_dir():
            return InputError(missing or f"{path.parent} is not a folder")
        return InputError(missing or f"{path} does not exist; check the path")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path} is a folder, not a file; give the file itself")
    return cannot_read(path, error)


def check_readable(path: Path, *, missing: str = "") -> None:
    """Refuses a file early that a library would open by its name and report badly.

    Raises:
        InputError: it is not there, no file, or not permitted.
    """
    try:
        open_file(path).close()
    except OSError as error:
        raise unreadable(path, error, missing=missing) from error


def read_bytes(
    path: Path,
    *,
    remedy: str,
    missing: str = "",
    most_bytes: int | None = None,
    damaged: type[UnmaskError] = InputError,
) -> bytes:
    """Reads a whole file.

    Args:
        path: of the file.
        remedy: for content that cannot be used: "download it again".
        missing: the whole message where there is no such file.
        most_bytes: larger files are refused; `MAX_BYTES` by default.
        damaged: the class of error for content that cannot be used.

    Raises:
        InputError: it is not there, no file, or not permitted.
        UnmaskError: of the class `damaged`: it is too large.
    """
    most = MAX_BYTES if most_bytes is None else most_bytes
    try:
        with open_file(path) as handle:
            size_bytes = os.fstat(handle.fileno()).st_size  # 0 of a pipe
            content = _up_to(handle, most + 1) if size_bytes <= most else b""
    except OSError as error:
        raise unreadable(path, error, missing=missing) from error
    if max(size_bytes, len(content)) > most:
        size = f"{most >> 20} MiB" if most >> 20 else f"{most} bytes"
        raise damaged(f"{path} has more than {size}, which no such file has; {remedy}")
    return content


def _up_to(handle: BufferedReader, most: int) -> bytes:
    """Reads at most `most` bytes; `read(most)` would allocate them all first."""
    parts, left = [], most
    while left and (part := handle.read(min(left, CHUNK_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def decode(content: bytes, path: Path, *, remedy: str, damaged: type[UnmaskError]) -> str:
    """Decodes UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnmaskError: of the class `damaged`: it is neither.
    """
    utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}); {remedy}"
        ) from error


def read_text(
    path: Path, *, remedy: str, damaged: type[UnmaskError] = InputError, **options: Any
) -> str:
    """Reads a whole file as text; options and errors as `read_bytes` and `decode`."""
    content = read_bytes(path, remedy=remedy, damaged=damaged, **options)
    return decode(content, path, remedy=remedy, damaged=damaged)


def read_json(
    path: Path,
    *,
    remedy: str,
    damaged: type[UnmaskError] = InputError,
    nan: bool = False,
    **options: Any,
) -> Any:
    """Reads a whole JSON file; options and errors as `read_text` and `parse_json`.

    With `nan`, NaN and infinity are read, which JSON does not have and some programs write.
    """
    text = read_text(path, remedy=remedy, damaged=damaged, **options)
    try:
        return parse_json(text, nan=nan)
    except BAD_JSON as error:
        raise damaged(f"{path} is not JSON: {why_not_json(text, error)}; {remedy}") from error


def parse_json(text: str, *, nan: bool = False) -> Any:
    """Parses JSON.

    Raises:
        ValueError: it is none, or has a key with two values, or a number that is not finite.
        RecursionError: it is nested too deep.
    """
    if nan:
        return json.loads(text, object_pairs_hook=_members)
    return json.loads(
        text, object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_finite
    )


def why_not_json(text: str, error: Exception) -> str:
    """Describes an error of `parse_json`."""
    if not text.strip():
        return "it is empty"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a repeated key must have the same value."""
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f"the key {shown(key)} stands twice, with two values")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def file_sha256(path: Path) -> str:
    """The sha256 of a file, hex.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    with open_file(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A value from an untrusted file, shortened to one line of a message."""
    try:
        return _SHORT.repr(value)[:80]
    except (ValueError, RecursionError):  # a whole number of too many digits to write
        return f"a {type(value).__name__} too large to show"
