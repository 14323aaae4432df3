"""Reads metadata files of data sets: size bounded, values checked, paths inside the data set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry
from data.errors import InputError
from data.io import reading
from data.io.reading import open_file, shown, unreadable
from data.io.system_errors import is_no_such_file

MAX_BYTES = 256 << 20
"""Largest file that is read, in bytes. The largest of the field lists frames and has tens of MB."""

HEAD_BYTES = 65536
"""Of a file whose kind is found out."""

REMEDY = "download it again, or move it away"

LABELS = {"real": REAL, "fake": FAKE, "0": REAL, "1": FAKE}
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


def read_json(path: Path) -> object:
    """A whole JSON file.

    Raises:
        InputError: it cannot be read, is too large, not UTF-8, ill-formed, nested too deep, or
            gives one key two values.
    """
    return reading.read_json(path, remedy=REMEDY, most_bytes=MAX_BYTES, nan=True)


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that are not blank: file and line number for messages, and the text.

    Raises:
        InputError: it cannot be read, is too large, or not UTF-8.
    """
    content = reading.read_text(path, remedy=REMEDY, most_bytes=MAX_BYTES)
    for line, text in enumerate(content.splitlines(), start=1):
        if text.strip():
            yield f"{path}, line {line}", text.strip()


def read_head(path: Path) -> str:
    """The start of a file that may be of any kind; "" where there is none.

    Raises:
        InputError: it may not be read.
    """
    try:
        with open_file(path) as handle:
            return handle.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        if is_no_such_file(error):
            return ""
        raise unreadable(path, error) from error


def read_records(path: Path, fields: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    """The records of a JSON of videos: place for messages, path of the video, and its fields.

    Args:
        path: of the JSON: {path of a video: {field: value}}.
        fields: that a record should have, for the message.

    Raises:
        InputError: as `read_object`, or a path leads out of the folder, or a record is no object.
    """
    for name, record in read_object(path).items():
        place = f"{path}, {name[:60]!r}"
        video = inside(name, place)
        if not isinstance(record, dict | None):
            raise InputError(
                f"{place}: it must be an object with {fields}, got {kind(record)}; "
                "download it again"
            )
        yield place, video, record or {}


def read_object(path: Path) -> dict[str, object]:
    """A JSON file that holds an object.

    Raises:
        InputError: as `read_json`, or it holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, got {kind(content)}; download it again")
    return content


def inside(text: object, place: str) -> str:
    """A path in a metadata file, relative to a folder and inside it, POSIX.

    Raises:
        InputError: it is no text, is absolute, or leads out of the folder.
    """
    # JSON can hold half a surrogate pair; a file's name cannot.
    if isinstance(text, str) and not re.search("[\x00-\x1f\ud800-\udfff]", text):
        path = PurePosixPath(text)
        if path.name and not path.is_absolute() and ".." not in path.parts:
            return path.as_posix()
    raise InputError(
        f"{place}: a path must lie inside the data set, got {shown(text)}; correct or remove it"
    )


def label_in(value: object, place: str) -> int | None:
    """A label as JSON or CSV gives it: real or fake in any case, 0 or 1 (fake); None if empty.

    Raises:
        InputError: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip().casefold()
        if not text or text in LABELS:
            return LABELS.get(text)
    raise InputError(f"{place}: the label must be REAL or FAKE, got {shown(value)}; correct it")


def split_in(value: object, place: str) -> str:
    """A split as a data set writes it; "" for None.

    Raises:
        InputError: it is something else.
    """
    split = SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
    if value is not None and split is None:
        raise InputError(
            f"{place}: the split must be train, val or test, got {shown(value)}; correct it"
        )
    return split or ""


def normalise_splits(entries: list[Entry]) -> list[Entry]:
    """Splits as unmask uses them.

    Where every video is in "train" there is no split. Where there are test videos and no
    validation videos, these are taken from the training videos.
    """
    splits = {entry.split for entry in entries if entry.split}
    if "train" not in splits or "val" in splits:
        return entries
    instead = "" if splits == {"train"} else NOT_TEST
    return [replace(entry, split=instead) if entry.split == "train" else entry for entry in entries]


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


def find_file(folder: Path | None, name: str) -> Path | None:
    """As `find`, but a file."""
    path = find(folder, name)
    return path if path and path.is_file() else None


def find(folder: Path | None, name: str) -> Path | None:
    """The file or folder of that name in a folder, in any case; an exact match first."""
    if folder is None or (folder / name).exists():
        return folder and folder / name
    wanted = name.casefold()
    try:
        found = sorted(one for one in os.listdir(folder) if one.casefold() == wanted)
    except OSError:
        return None
    return folder / found[0] if found else None


def folders_of(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; hidden ones left out; none where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            names = [one.name for one in found if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]
