"""A CSV with the columns path,label and, where known, group, method and split.

Also read are target, source and original, which `forge` writes to link a fake to its real video,
and origin: "rendered" by code or "filmed" by a camera.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, REAL, Entry, Listing, find_videos, label_of
from data.datasets.layouts.metadata import SPLITS
from data.errors import InputError
from data.io.tables import Table, columns_of, from_text, path_in, refuse_elsewhere

NAMES = ("labels.csv", "metadata.csv")
"""Tables in a folder; the first one with a path and a label is read."""

ORIGINS = ("rendered", "filmed")

WANTED = ("path", "label")

NUMBERS = {"0": REAL, "1": FAKE}


def detect(root: Path) -> bool:
    """Whether the root is a table or holds one."""
    if root.is_file():
        return root.suffix.casefold() != ".json"
    return _table_in(root) is not None


def read(root: Path) -> Listing:
    """Reads the table; paths are relative to its folder and must stay inside it.

    Raises:
        InputError: no table, or a row is invalid; the line is named.
    """
    path = root if root.is_file() else _table_in(root)
    if path is None:
        raise InputError(
            f"{root} holds no {' or '.join(NAMES)} with the columns path,label; write one"
        )
    listing = Listing(root=path.parent, source=path.name)
    lines: dict[str, int] = {}
    table = Table(path, WANTED, needed=WANTED[:1])
    if table.lacking():
        raise InputError(
            f"{path} must have the columns path and label, "
            f"got {', '.join(filter(None, table.columns))[:80] or 'none'}; "
            "name them in its first line"
        )
    for row in table:
        entry = _entry(row.cells, path, row.place)
        if entry.path in lines:
            raise InputError(f"{row.place}: {entry.path!r} is in line {lines[entry.path]} already")
        lines[entry.path] = row.line
        listing.entries.append(entry)
    if not listing.entries:
        raise InputError(f"{path} lists no video; write a line for each")
    listing.entries.sort(key=lambda entry: entry.path)
    found = find_videos(path.parent)
    listing.not_videos = found.others - 1 + sum(one not in lines for one in found.images)
    listing.unlabelled = [one for one in found.videos if one not in lines]
    return listing


def _entry(row: dict[str, str], table: Path, place: str) -> Entry:
    """One row, checked."""
    text = path_in(row["path"], table.parent)
    if not os.path.exists(table.parent / text):  # False, not an error, for any text
        # In hand-written tables blanks beside a comma are common; a name may also have them.
        text = path_in(row["path"].strip(), table.parent)
        refuse_elsewhere(text, table.parent, place)
    path = PurePosixPath(text)
    if not path.name or path.is_absolute() or ".." in path.parts or "\0" in text:
        raise InputError(f"{place}: the path must lie in the table's folder, got {text!r}")
    written = row["label"].strip()
    label = NUMBERS.get(written, label_of(written))
    if label is None:
        raise InputError(f"{place}: the label must be real, fake, 0 or 1 (fake), got {written!r}")
    split = SPLITS.get(row.get("split", "").strip().casefold())
    if split is None:
        raise InputError(f"{place}: the split must be train, val or test, got {row['split']!r}")
    return Entry(
        path=path.as_posix(),
        label=label,
        group=from_text(row.get("group", "").strip()),
        method=(from_text(row.get("method", "").strip()) or "fake") if label == FAKE else "real",
        split=split,
        target=from_text(row.get("target", "").strip()),
        source=from_text(row.get("source", "").strip()),
        original=path_in(row.get("original", "").strip(), table.parent),
        # A column of this name with other values is about something else.
        origin=origin if (origin := row.get("origin", "").strip().casefold()) in ORIGINS else "",
    )


def _table_in(folder: Path) -> Path | None:
    """The table of a folder, if it holds one.

    A labels.csv is always read, and its faults are errors. A metadata.csv without a path and a
    label may be another program's, about other things.
    """
    for name in NAMES:
        path = folder / name
        if path.is_file() and (name == NAMES[0] or {*WANTED} <= {*columns_of(path, WANTED)}):
            return path
    return None
