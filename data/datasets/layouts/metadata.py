"""Metadata files of data sets: from strangers, so bounded, checked, and no way out of the root."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry
from data.errors import InputError
from data.io.reading import read_json as read_any_json
from data.io.reading import read_text as read_any_text
from data.io.reading import shown

MAX_BYTES = 256 << 20
"""Largest file that is read, in bytes. The largest of the field lists frames and has tens of MB."""

REMEDY = "download it again, or move it away"

LABELS = {"real": REAL, "fake": FAKE, "0": REAL, "1": FAKE}
SPLITS = {
    "": "",
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def read_text(path: Path) -> str:
    """A whole file as text.

    Raises:
        InputError: it is too large, not UTF-8, or cannot be read.
    """
    return read_any_text(path, remedy=REMEDY, most_bytes=MAX_BYTES)


def read_json(path: Path) -> object:
    """A whole JSON file.

    Raises:
        InputError: as `read_text`, or it is ill-formed, nested too deep, or gives one key two
            values.
    """
    return read_any_json(path, remedy=REMEDY, most_bytes=MAX_BYTES, nan=True)


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
    """A path that a metadata file gives, relative to a folder and inside it, POSIX.

    Args:
        text: as read.
        place: file and key, for the message.

    Raises:
        InputError: it is no text, absolute, or leads out of the folder.
    """
    # Half a surrogate pair, which JSON can hold, is in no file's name.
    if isinstance(text, str) and not re.search("[\x00-\x1f\ud800-\udfff]", text):
        path = PurePosixPath(text)
        if path.name and not path.is_absolute() and ".." not in path.parts:
            return path.as_posix()
    raise InputError(
        f"{place}: a path must lie inside the data set, got {shown(text)}; mend or remove it"
    )


def label_in(value: object, place: str) -> int | None:
    """A label as JSON or CSV gives it: real or fake in any case, 0 or 1 (fake); None for nothing.

    Raises:
        InputError: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip().casefold()
        if not text or text in LABELS:
            return LABELS.get(text)
    raise InputError(f"{place}: the label must be REAL or FAKE, got {shown(value)}; mend it")


def split_in(value: object, place: str) -> str:
    """A split as a data set writes it; "" for nothing.

    Raises:
        InputError: it is something else.
    """
    split = SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
    if value is not None and split is None:
        raise InputError(
            f"{place}: the split must be train, val or test, got {shown(value)}; mend it"
        )
    return split or ""


def settled(entries: list[Entry]) -> list[Entry]:
    """Splits as unmask uses them.

    Where every video is in "train" they part nothing, so none is given. Where there are test
    videos and no validation, it is taken from the training videos.
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


def find(folder: Path, name: str) -> Path | None:
    """The file or folder of that name in a folder, in any case; its own case first."""
    if (folder / name).exists():
        return folder / name
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
