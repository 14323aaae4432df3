"""File names in text files: what is not UTF-8 is written in a way that reads back as the same name.

Linux allows any bytes in a name. Inside, Python holds those that are not UTF-8 as single surrogates
(PEP 383); no text file can. Byte ff of a name is written as the six characters `\\udcff`, as Python
and JSON write it. A name that happens to hold such six characters itself has its backslash written
as `\\u005c`, so that no name is lost.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from data.errors import InputError

_ELSEWHERE = re.compile(r"[A-Za-z]:[\\/]|\\\\|~[\\/]")  # C:\\, \\\\server, ~/
_ESCAPED = re.compile(r"\\u(dc[89a-f][0-9a-f]|005c)")


def to_text(name: str) -> str:
    """A name as it stands in a text file; most stand there as they are."""
    if name.isascii() and "\\u" not in name:
        return name
    escaped = _ESCAPED.sub(r"\\u005cu\1", name)
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def from_text(text: str) -> str:
    """The name that `to_text` wrote."""
    if "\\u" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def path_in(text: str, folder: Path) -> str:
    """The path that a table means, as it lies below a folder.

    Windows writes `real\\a.mp4`; on Linux that may be a name. It is taken for one where there is
    such a file, and for a path where there is no such file but one in such a folder.
    """
    name = from_text(text)
    if "\\" not in text or os.path.isfile(folder / name):  # False, not an error, for any text
        return name
    posix = text.replace("\\", "/")
    return posix if os.path.isfile(folder / posix) else name


def refuse_elsewhere(path: str, folder: Path, place: str) -> None:
    """Refuses a path that says where a video lies on another machine, or for a shell.

    Args:
        path: as `path_in` gives it.
        folder: that it lies below.
        place: file and line, for the message.

    Raises:
        InputError: it begins with a drive or with the home folder, and is no name there, either.
    """
    if _ELSEWHERE.match(path) and not os.path.isfile(folder / path):
        raise InputError(
            f"{place}: {path!r} begins with a drive, a server or a home folder; write paths "
            f"relative to {folder}, as in real/a.mp4"
        )
