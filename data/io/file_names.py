"""File names in text files: escapes bytes that are not UTF-8, and reads them back.

Linux allows any bytes in a name. Python represents those that are not UTF-8 as single surrogates
(PEP 383), which no UTF-8 file can hold. Byte ff of a name is written as the six characters
`\\udcff`, as Python and JSON write it. A name that contains such six characters itself has its
backslash written as `\\u005c`, so that every name is read back unchanged.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from data.errors import InputError

_ELSEWHERE = re.compile(r"[A-Za-z]:[\\/]|\\\\|~[\\/]")  # C:\\, \\\\server, ~/
_ESCAPED = re.compile(r"\\u(dc[89a-f][0-9a-f]|005c)")


def to_text(name: str) -> str:
    """Escapes a name for a text file; most need no escape."""
    if name.isascii() and "\\u" not in name:
        return name
    escaped = _ESCAPED.sub(r"\\u005cu\1", name)
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def from_text(text: str) -> str:
    """Undoes `to_text`."""
    if "\\u" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def path_in(text: str, folder: Path) -> str:
    """The path, relative to a folder, that a table's cell means.

    Windows writes `real\\a.mp4`, which on Linux may be a file's name. It is taken as a name if such
    a file exists, and as a path if that exists instead.
    """
    name = from_text(text)
    if "\\" not in text or os.path.isfile(folder / name):  # False, not an error, for any text
        return name
    posix = text.replace("\\", "/")
    return posix if os.path.isfile(folder / posix) else name


def refuse_elsewhere(path: str, folder: Path, place: str) -> None:
    """Refuses an absolute path of another system, or one that a shell would expand.

    Args:
        path: as `path_in` returns it.
        folder: that it should be relative to.
        place: file and line, for the message.

    Raises:
        InputError: it begins with a drive, a server or a home folder, and no such file is there.
    """
    if _ELSEWHERE.match(path) and not os.path.isfile(folder / path):
        raise InputError(
            f"{place}: {path!r} begins with a drive, a server or a home folder; write paths "
            f"relative to {folder}, as in real/a.mp4"
        )
