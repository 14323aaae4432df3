"""Tables as people and programs write them: the one reader of CSV files.

Excel writes semicolons where the comma is for decimals, tabs in its "Unicode text" (UTF-16), a
first line `sep=;` or rows of nothing but separators. The separator is the one that makes the wanted
header, since csv.Sniffer guesses by letters that are frequent in file names.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError, UnmaskError
from data.io.file_names import to_text
from data.io.reading import decode, open_file, read_bytes, unreadable
from data.io.system_errors import is_no_such_file

SEPARATORS = (",", ";", "\t", "|")
HEAD_BYTES = 65536
SAVE_AS = "save it as a CSV in UTF-8 (in Excel: CSV UTF-8)"
_SEP = re.compile(r'"?sep=([,;:|\t])"?[,;\t| ]*(\r\n|\r|\n|\Z)', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        place: file and line, for messages.
        line: number of its last line.
        cells: by column.
    """

    place: str
    line: int
    cells: dict[str, str]


class Table:
    """A table with a header; iterate for its rows.

    Args:
        path: of the file.
        wanted: names of columns, in lower case, that tell the header.
        needed: of these, which a row is too short without; all by default.
        missing: the whole message where there is no such file.
        damaged: the class of error for content that cannot be used.

    Attributes:
        columns: in lower case, without blanks around them; "" where one has no name.

    Raises:
        InputError: it is not there, no file, or not permitted.
        UnmaskError: of the class `damaged`: it is no text, or a column stands twice.
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

    def lacking(self) -> list[str]:
        """The wanted columns that are not there, sorted."""
        return sorted(self._wanted - set(self.columns))

    def __iter__(self) -> Iterator[Row]:
        """The rows that are not blank.

        Raises:
            UnmaskError: of the class `damaged`: a row has too many cells or too few, or its quotes
                do not match; the line is named.
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
        """Line number and cells of every row that is not blank, the header first."""
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
    """Where the header starts, and the separator that makes it.

    Args:
        text: of the table, or its start.
        wanted: names of columns, in lower case.
    """
    told = _SEP.match(text)
    start = told.end() if told else 0
    separators = (told[1], *SEPARATORS) if told else SEPARATORS
    most, best = 0, separators[0]
    for separator in separators:
        columns = _first_row(text[start : start + HEAD_BYTES], separator)
        known = len(columns & set(wanted))
        if known > most:
            most, best = known, separator
    return start, best


def _first_row(text: str, separator: str) -> set[str]:
    """The names in the first row that is not blank."""
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if any(cell.strip() for cell in cells):
                return {cell.strip().casefold() for cell in cells}
    except csv.Error:
        pass
    return set()


def columns_of(path: Path, wanted: Sequence[str]) -> list[str]:
    """The columns of a file that may be a table: in lower case, blank ones left out.

    Nothing where it is none: this only finds out what lies in a folder.

    Raises:
        InputError: it may not be read: what it says would be passed over.
    """
    try:
        with open_file(path) as handle:
            content = handle.read(HEAD_BYTES)
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            content = content[: len(content) // 2 * 2]
            text = content.decode("utf-16", "replace")
        else:
            text = content.decode("utf-8-sig", "replace")
    except OSError as error:
        if is_no_such_file(error):
            return []
        raise unreadable(path, error) from error
    except UnicodeDecodeError:
        return []
    start, separator = header_of(text, wanted)
    try:
        for cells in csv.reader(io.StringIO(text[start:], newline=""), delimiter=separator):
            if any(cell.strip() for cell in cells):
                return [cell.strip().casefold() for cell in cells if cell.strip()]
    except csv.Error:
        pass
    return []
