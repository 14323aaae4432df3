"""A CSV with the columns path,label and, where known, group, method and split."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from data.errors import InputError
from data.layouts.listing import FAKE, REAL, Entry, Listing, is_video, label_of, walk

NAMES = ("labels.csv", "metadata.csv")
"""Tables that are looked for in a folder, the first one found is read."""

NUMBERS = {"0": REAL, "1": FAKE}
SPLITS = {
    "": "",
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def detect(root: Path) -> bool:
    """Whether the root is a table or holds one."""
    return root.is_file() or _table_in(root) is not None


def read(root: Path) -> Listing:
    """Reads the table; paths are relative to its folder and must stay inside it.

    Raises:
        InputError: no table, or a row that cannot be meant; the line is named.
    """
    path = root if root.is_file() else _table_in(root)
    if path is None:
        raise InputError(f"{root} holds no {' or '.join(NAMES)}")
    listing = Listing(root=path.parent)
    seen: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            columns = {name.strip().casefold(): name for name in reader.fieldnames or ()}
            if not {"path", "label"} <= columns.keys():
                raise InputError(
                    f"{path} must have the columns path and label, "
                    f"got {', '.join(columns) or 'none'}"
                )
            for row in reader:
                entry = _entry(
                    {name: (row[column] or "").strip() for name, column in columns.items()},
                    f"{path}, line {reader.line_num}",
                )
                if entry.path in seen:
                    raise InputError(
                        f"{path}, line {reader.line_num}: {entry.path!r} stands in line "
                        f"{seen[entry.path]} already"
                    )
                seen[entry.path] = reader.line_num
                listing.entries.append(entry)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV in UTF-8: {error}") from error
    if not listing.entries:
        raise InputError(f"{path} lists no video")
    listing.entries.sort(key=lambda entry: entry.path)
    for file in walk(path.parent):
        relative = file.relative_to(path.parent).as_posix()
        if not is_video(file):
            listing.not_videos += 1
        elif relative not in seen:
            listing.unlabelled.append(relative)
    return listing


def _entry(row: dict[str, str], place: str) -> Entry:
    """One row, checked."""
    path = PurePosixPath(row["path"])
    if not row["path"] or path.is_absolute() or ".." in path.parts or "\0" in row["path"]:
        raise InputError(f"{place}: the path must lie in the table's folder, got {row['path']!r}")
    label = NUMBERS.get(row["label"], label_of(row["label"]))
    if label is None:
        raise InputError(f"{place}: the label must be real or fake, got {row['label']!r}")
    split = SPLITS.get(row.get("split", "").casefold())
    if split is None:
        raise InputError(f"{place}: the split must be train, val or test, got {row['split']!r}")
    method = row.get("method", "") or "fake"
    return Entry(
        path=path.as_posix(),
        label=label,
        group=row.get("group", ""),
        method=method if label == FAKE else "real",
        split=split,
    )


def _table_in(folder: Path) -> Path | None:
    """The table of a folder, if it holds one."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)
