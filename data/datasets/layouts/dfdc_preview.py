"""The DFDC preview data set.

    dataset.json: {"method_A/12/12_34_a.mp4": {"label": "fake", "set": "train",
        "target_id": "12", "swapped_id": "34"}, ...}
    original_videos/<person>/..., method_A/<person>/..., method_B/<person>/...

Groups join the two people of a fake; a real video's person is the folder it lies in.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, Entry, Listing, is_video
from data.datasets.layouts.metadata import (
    find,
    find_file,
    folders_of,
    label_in,
    normalise_splits,
    read_head,
    read_records,
    split_in,
)
from data.errors import InputError

INDEX = "dataset.json"
REALS = "original_videos"
RECORD = re.compile(r'"[^"]+\.\w+"\s*:\s*\{')


def detect(root: Path) -> bool:
    """Whether dataset.json is there, and lists videos or is beside the data set's folders."""
    path = find_file(root, INDEX)
    if path is None:
        return False
    names = {folder.name.casefold() for folder in folders_of(root)}
    if REALS in names or any(name.startswith("method_") for name in names):
        return True
    try:
        head = read_head(path)
    except InputError:
        return False
    return bool(RECORD.search(head)) and '"set"' in head


def read(root: Path) -> Listing:
    """Reads labels, people and splits out of dataset.json.

    Raises:
        InputError: it is not there, names no video that is there, or a record is invalid.
    """
    path = find(root, INDEX)
    if path is None:
        raise InputError(f"{root} holds no {INDEX}; it comes with the DFDC preview data set")
    listing = Listing(root=root, source=path.name)
    there = {_key(video): video for video in listing.scan()}
    listing.not_videos -= 1  # dataset.json itself
    absent = 0
    for place, name, record in read_records(path, '"label" and "set"'):
        label = label_in(record.get("label"), place)
        video = there.get(_key(name))
        if video is None:
            absent += 1
        elif label is not None:
            listing.entries.append(_entry(video, label, record, place))
            del there[_key(name)]
    listing.unlabelled = sorted(there.values())
    if not listing.entries:
        raise InputError(
            f"{root} holds no video that {path.name} labels; unpack the data set beside it"
        )
    listing.entries = normalise_splits(sorted(listing.entries, key=lambda entry: entry.path))
    listing.official = any(entry.split for entry in listing.entries)
    listing.add_missing(absent, f"videos named in {path.name}")
    return listing


def people_of(path: str) -> list[str]:
    """Ids of people in a path: numbers of four digits and more, the folder's first."""
    file = PurePosixPath(path)
    found = re.findall(r"(?<!\d)\d{4,}(?!\d)", f"{file.parent.name}_{file.stem}")
    if file.parent.name.isdecimal():
        found.insert(0, file.parent.name)
    return list(dict.fromkeys(found))


def _entry(video: str, label: int, record: dict[str, object], place: str) -> Entry:
    """One video; ids that the record leaves out are read from the path."""
    given = [record.get(name) for name in ("target_id", "swapped_id")]
    ids = [str(one).strip() for one in given if isinstance(one, str | int) and str(one).strip()]
    people = ids or people_of(video)
    target = people[0] if people else ""
    source = people[1] if label == FAKE and len(people) > 1 else ""
    names = [f"dfdcp {person}" for person in people] or [f"dfdcp {PurePosixPath(video).stem}"]
    method = next(
        (part for part in PurePosixPath(video).parts if part.casefold().startswith("method_")),
        "fake",
    )
    return Entry(
        path=video,
        label=label,
        group=names[0],
        linked=tuple(names[1:]),
        method=method if label == FAKE else "real",
        split=split_in(record.get("set"), place),
        target=target,
        source=source,
        collection="dfdcp",
    )


def _key(path: str) -> str:
    """A path for comparison: in lower case, without videos/, frames/ and suffix."""
    *folders, name = path.casefold().split("/")
    name = PurePosixPath(name).stem if is_video(Path(name)) else name
    return "/".join((*(part for part in folders if part not in ("videos", "frames")), name))
