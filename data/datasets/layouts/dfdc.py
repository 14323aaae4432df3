"""The Deepfake Detection Challenge (DFDC): parts of the training set, and labelled test sets.

    dfdc_train_part_0/metadata.json: {"a.mp4": {"label": "FAKE", "split": "train",
        "original": "b.mp4"}, ...}, beside the videos; also a single part as the root
    test/labels.csv: filename,label with 1 = fake, beside the videos

A fake's group is its original's; the data set says no more of its people. Every training video has
"split": "train", so this is no split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, Entry, Listing, is_video
from data.datasets.layouts.metadata import (
    find_file,
    folders_of,
    inside,
    label_in,
    normalise_splits,
    read_head,
    read_records,
    split_in,
)
from data.errors import InputError
from data.io.tables import Table, columns_of, path_in

PART = re.compile(r"dfdc_train_part_?\d+", re.IGNORECASE)
RECORD = re.compile(r'"[^"]+\.\w+"\s*:\s*\{[^{}]*"label"\s*:\s*"(real|fake)"', re.IGNORECASE)
COLUMNS = ["filename", "label"]


def detect(root: Path) -> bool:
    """Whether such a metadata.json or labels.csv is there, at most two folders deep.

    A labels.csv of another kind in the root is the user's own, for what is below it.
    """
    own = root / "labels.csv"
    if not root.is_dir() or (own.is_file() and columns_of(own, COLUMNS) != COLUMNS):
        return False
    return next(_parts(root), None) is not None


def read(root: Path) -> Listing:
    """Reads every part and test set below the root.

    Raises:
        InputError: there is none, it names no video that is there, or a record is invalid.
    """
    listing = Listing(root=root, source="DFDC's metadata")
    parts = sorted(_parts(root))
    owners = {part.parent.relative_to(root).as_posix(): part for part in parts}
    videos: dict[Path, dict[str, str]] = {part: {} for part in parts}
    for path in listing.scan():
        # The innermost folder with metadata owns a video.
        above = (parent.as_posix() for parent in PurePosixPath(path).parents)
        home = next((folder for folder in above if folder in owners), None)
        if home is None:
            listing.unlabelled.append(path)
        else:
            videos[owners[home]][_key(path if home == "." else path[len(home) + 1 :])] = path
    named: set[str] = set()
    absent = 0
    for part in parts:
        records = _csv(part) if part.suffix.casefold() == ".csv" else _json(part)
        there = videos[part]
        for entry in records:
            named.add(entry.group)
            video = there.pop(_key(entry.path), None)
            if video is None:
                absent += 1
            elif entry.label < 0:
                listing.unlabelled.append(video)
            else:
                # Beside the fake, until it is found among the reals of all parts.
                folder = part.parent.relative_to(root)
                original = (folder / entry.original).as_posix() if entry.original else ""
                listing.entries.append(replace(entry, path=video, original=original))
        listing.unlabelled += there.values()
    if not listing.entries:
        lists = parts[0].name if parts else "a metadata.json or labels.csv"
        raise InputError(
            f"{root} holds no video that {lists} labels; "
            "put the videos of each part beside its metadata.json"
        )
    reals = {entry.group: entry.path for entry in listing.entries if entry.label != FAKE}
    listing.entries = [
        replace(entry, original=reals.get(entry.linked[0], entry.original))
        if entry.linked
        else entry
        for entry in normalise_splits(sorted(listing.entries, key=lambda entry: entry.path))
    ]
    listing.official = any(entry.split for entry in listing.entries)
    listing.unlabelled.sort()
    listing.add_missing(absent, "videos named in the metadata")
    originals = {name for entry in listing.entries for name in entry.linked}
    listing.add_missing(len(originals - named), "originals of the fakes")
    return listing


def _parts(root: Path) -> Iterator[Path]:
    """Metadata files, in the root and two folders deep; of one folder labels.csv comes first."""
    level = [root]
    for _ in range(3):
        for folder in level:
            table, records = find_file(folder, "labels.csv"), find_file(folder, "metadata.json")
            if table and columns_of(table, COLUMNS) == COLUMNS:
                yield table
            elif records and (PART.fullmatch(folder.name) or RECORD.search(read_head(records))):
                yield records
        level = [below for folder in level for below in folders_of(folder)]


def _json(path: Path) -> Iterator[Entry]:
    """The records of a part; label -1 where one has none."""
    for place, file, record in read_records(path, '"label"'):
        label = label_in(record.get("label"), place)
        original = record.get("original")
        # Tables turned into JSON write an absent original as NaN.
        has_original = label == FAKE and isinstance(original, str) and bool(original.strip())
        beside = inside(original, f"{place}, original") if has_original else ""
        yield _entry(file, label, split_in(record.get("split"), place), original=beside)


def _csv(path: Path) -> Iterator[Entry]:
    """The rows of a test set; label -1 where one has none."""
    folder = path.parent.name.casefold()
    split = "val" if "val" in folder else "train" if "train" in folder else "test"
    for row in Table(path, COLUMNS[:1]):
        file = inside(path_in(row.cells["filename"].strip(), path.parent), row.place)
        yield _entry(file, label_in(row.cells.get("label"), row.place), split)


def _entry(file: str, label: int | None, split: str, *, original: str = "") -> Entry:
    return Entry(
        path=file,
        label=-1 if label is None else label,
        group=_group(file),
        linked=(_group(original),) if original else (),
        method="DFDC" if label == FAKE else "real",
        split=split,
        original=original,
        collection="dfdc",
    )


def _key(path: str) -> str:
    """A path below a part for comparison: in lower case, without videos/, frames/ and suffix."""
    *folders, name = path.casefold().split("/")
    name = PurePosixPath(name).stem if is_video(Path(name)) else name
    left = [part for part in folders if part not in ("videos", "test_videos", "frames")]
    return "/".join((*left, name))


def _group(path: str) -> str:
    """The group of a file, by its name, which is unique in the whole data set."""
    return f"dfdc {PurePosixPath(path).stem.casefold()}"
