"""Reads CSV files as people and programs write them.

Excel writes semicolons where the comma is for decimals, tabs in its "Unicode text" (UTF-16), a
first line `sep=;` or rows of nothing but separators. The separator is the one that gives the wanted
header: csv.Sniffer guesses by letters that are frequent in file names.

File names in tables: Linux allows any bytes in a name. Python represents those that are not UTF-8
as single surrogates (PEP 383), which no UTF-8 file can hold. Byte ff of a name is written as the
six characters `\\udcff`, as Python and JSON write it. A name that contains such six characters
itself has its backslash written as `\\u005c`, so that every name is read back unchanged.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError, UnmaskError
from data.io.reading import decode, open_file, read_bytes, unreadable
from data.io.system_errors import is_no_such_file

SEPARATORS = (",", ";", "\t", "|")
HEAD_BYTES = 65536
SAVE_AS = "save it as a CSV in UTF-8 (in Excel: CSV UTF-8)"
_SEP = re.compile(r'"?sep=([,;:|\t])"?[,;\t| ]*(\r\n|\r|\n|\Z)', re.IGNORECASE)
_ELSEWHERE = re.compile(r"[A-Za-z]:[\\/]|\\\\|~[\\/]")  # C:\\, \\\\server, ~/
_ESCAPED = re.compile(r"\\u(dc[89a-f][0-9a-f]|005c)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row."""

    place: str  # file and line, for messages
    line: int  # number of its last line
    cells: dict[str, str]  # by column


class Table:
    """A table with a header; iterate for its rows.

    Args:
        path: of the file.
        wanted: names of columns, in lower case, by which the header is recognised.
        needed: those of them that every row must reach; all by default.
        missing: the whole message where there is no such file.
        damaged: the class of error for content that cannot be used.

    Attributes:
        columns: names in lower case, stripped; "" where one has no name.

    Raises:
        InputError: it is not there, no file, or not permitted.
        UnmaskError: of the class `damaged`: it is no text, or two columns have one name.
    """

    def __init__(
        self,
        path: Path,
        wanted: Sequence[str],
        *,
        needed: Sequence[str] | None = None,
        missing: str = "",
        damaged: type[UnmaskError] = InputError,
    ) -> None:
        self._path, self._wanted, self._damaged = path, frozenset(wanted), damaged
        self._needed = self._wanted if needed is None else frozenset(needed)
        content = read_bytes(path, remedy=SAVE_AS, missing=missing, damaged=damaged)
        if content.startswith(b"PK\x03\x04"):
            raise damaged(f"{path} is a workbook, not a CSV in UTF-8; {SAVE_AS}")
        try:
            self._text = decode(content, path, remedy=SAVE_AS, damaged=damaged)
        except damaged as error:
            raise damaged(f"{path} is not a CSV in UTF-8: {error}") from error
        self._start, self._separator = header_of(self._text, wanted)
        if "\0" in self._text[: self._start + HEAD_BYTES].partition("\n")[0]:
            raise damaged(f"{path} is not a CSV in UTF-8: it has NUL bytes, as UTF-16; {SAVE_AS}")
        self._rows = self._read()
        found = next(self._rows, (0, []))[1]
        self.columns = tuple(name.strip().casefold() for name in found)
        twice = [name for name in self.columns if name and self.columns.count(name) > 1]
        if twice and twice[0] in self._wanted:
            raise damaged(f"{path} has two columns called {twice[0]}; remove one")

    def require(self, columns: Iterable[str]) -> None:
        """Makes these, of its `columns`, those that every row must reach."""
        self._needed = frozenset(columns)

    def lacking(self) -> list[str]:
        """The wanted columns that are missing, sorted."""
        return sorted(self._wanted - set(self.columns))

    def __iter__(self) -> Iterator[Row]:
        """Yields the rows that are not blank.

        Raises:
            UnmaskError: of the class `damaged`: a row has too many cells or too few, or its quotes
                do not match.
        """
        width = len(self.columns)
        for line, cells in self._rows:
            place = f"{self._path}, line {line}"
            if any(cell.strip() for cell in cells[width:]):
                raise self._damaged(
                    f"{place}: the row has {len(cells)} cells, the header {width}; put quotes "
                    f"around a cell with {self._separator!r} in it"
                )
            named = dict(zip(self.columns, cells, strict=False))
            if self._needed - named.keys():
                raise self._damaged(
                    f"{place}: the row is too short, it has {len(cells)} of {width} cells; "
                    "fill in the rest"
                )
            yield Row(place=place, line=line, cells=dict.fromkeys(self.columns, "") | named)

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        """Yields line number and cells of every row that is not blank, the header first."""
        before = 1 if self._start else 0  # sep=
        reader = csv.reader(
            io.StringIO(self._text[self._start :], newline=""),
            delimiter=self._separator,
            strict=True,
        )
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num + before, cells
        except csv.Error as error:
            raise self._damaged(
                f"{self._path} is not a CSV in UTF-8: line {reader.line_num + before}: {error}; "
                "mend its quotes, or save it anew"
            ) from error


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """A table sorted by its column path; a missing cell is empty, names are as of `to_text`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    ordered = sorted(rows, key=lambda row: row["path"])
    writer.writerows({key: to_text(cell) for key, cell in row.items()} for row in ordered)
    return text.getvalue()


def header_of(text: str, wanted: Sequence[str]) -> tuple[int, str]:
    """Where the header starts, and the separator that gives most of the wanted columns.

    Args:
        text: of the table, or its start.
        wanted: names of columns, in lower case.
    """
    declared = _SEP.match(text)
    start = declared.end() if declared else 0
    separators = (declared[1], *SEPARATORS) if declared else SEPARATORS
    head = text[start : start + HEAD_BYTES]
    return start, max(
        separators, key=lambda one: len(set(wanted).intersection(_columns(head, one)))
    )


def _columns(text: str, separator: str) -> list[str]:
    """The names in the first row that is not blank, in lower case; empty where there is none."""
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if any(cell.strip() for cell in cells):
                return [cell.strip().casefold() for cell in cells]
    except csv.Error:
        pass
    return []


def columns_of(path: Path, wanted: Sequence[str]) -> list[str]:
    """The named columns of a file that may be a table, in lower case; empty where it is none.

    Raises:
        InputError: it may not be read, so that what it is remains unknown.
    """
    try:
        with open_file(path) as handle:
            content = handle.read(HEAD_BYTES)
    except OSError as error:
        if is_no_such_file(error):
            return []
        raise unreadable(path, error) from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content[: len(content) // 2 * 2].decode("utf-16", "replace")
    else:
        text = content.decode("utf-8-sig", "replace")
    start, separator = header_of(text, wanted)
    return [name for name in _columns(text[start:], separator) if name]


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

    Raises:
        InputError: it begins with a drive, a server or a home folder, and no such file is there.
    """
    if _ELSEWHERE.match(path) and not os.path.isfile(folder / path):
        raise InputError(
            f"{place}: {path!r} begins with a drive, a server or a home folder; write paths "
            f"relative to {folder}, as in real/a.mp4"
        )
