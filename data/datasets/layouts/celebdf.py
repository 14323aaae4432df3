"""Celeb-DF, versions 1 and 2.

    Celeb-real/id<person>_<n>.mp4, YouTube-real/<n>.mp4
    Celeb-synthesis/id<target>_id<source>_<n>.mp4, made from Celeb-real/id<target>_<n>.mp4
    List_of_testing_videos.txt: lines like "1 YouTube-real/00170.mp4", where 1 means REAL

Each folder may have `videos` in it. People of the published test list are in other videos, too; the
split is kept as published, and `index` warns.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry, Listing, label_of
from data.datasets.layouts.metadata import find_file, folders_of, inside, read_lines
from data.errors import DatasetError, InputError

FOLDERS = {"celebreal": REAL, "youtubereal": REAL, "celebsynthesis": FAKE}
METHOD = "Celeb-synthesis"
TEST_LIST = "List_of_testing_videos.txt"
LISTED = {"1": REAL, "0": FAKE}
"""The numbers of the test list: the other way round than anywhere else in the field."""

FAKE_NAME = re.compile(r"id(\d{1,6})_id(\d{1,6})_(\d{1,6})", re.IGNORECASE)
REAL_NAME = re.compile(r"id(\d{1,6})_(\d{1,6})", re.IGNORECASE)


def detect(root: Path) -> bool:
    """Whether one of the folders is there, and none of the user's own with real and fake."""
    names = [path.name for path in folders_of(root)]
    others = [name for name in names if _plain(name) not in FOLDERS]
    return len(others) < len(names) and not any(label_of(name) is not None for name in others)


def read(root: Path) -> Listing:
    """Reads labels, people and, with the list of test videos, splits.

    Raises:
        InputError: no video is there, or the list is invalid.
        DatasetError: the list gives a video the other label than its folder.
    """
    needs = "no video of Celeb-DF; it must have Celeb-real, YouTube-real and Celeb-synthesis"
    listing = Listing(root=root, source="Celeb-DF's folders").fill(_entry, needs=needs)
    by_key = {_key(entry.path): entry for entry in listing.entries}
    absent = set()
    for place, entry in enumerate(listing.entries):
        if entry.original:
            if real := by_key.get(_key(entry.original)):
                listing.entries[place] = replace(entry, original=real.path)
            else:
                absent.add(_key(entry.original))
    if table := find_file(root, TEST_LIST):
        listed = read_test_list(table)
        listing.official = True
        listing.source += f" and {TEST_LIST}"
        for key, (label, line) in listed.items():
            video = by_key.get(key)
            if video and video.label != label:
                raise DatasetError(
                    f"{line}: {video.path} is listed as {('real', 'fake')[label]} "
                    "(1 means real there), but its folder says otherwise; "
                    "download the official list again"
                )
        listing.entries = [
            replace(entry, split="test" if _key(entry.path) in listed else NOT_TEST)
            for entry in listing.entries
        ]
        unseen = listed.keys() - by_key.keys()
        listing.add_missing(len(unseen), f"test videos of {TEST_LIST}")
        absent -= unseen
    listing.add_missing(len(absent), "originals of the fakes")
    return listing


def read_test_list(path: Path) -> dict[tuple[str, str], tuple[int, str]]:
    """The test videos: (folder, stem) in lower case -> label, and the line for messages.

    Raises:
        InputError: a line is invalid.
    """
    listed = {}
    for place, text in read_lines(path):
        number, name = (*text.split(maxsplit=1), "")[:2]
        if number not in LISTED or not name:
            raise InputError(
                f"{place}: it must be 1 (real) or 0 (fake) and a path, got {text[:60]!r}; "
                "download the official list again"
            )
        listed[_key(inside(name.replace("\\", "/"), place))] = (LISTED[number], place)
    return listed


def people_of(stem: str) -> tuple[str, str, str]:
    """Target, source and the original's name of `id0_id16_0003` or `id0_0003`; "" if unknown."""
    if found := FAKE_NAME.fullmatch(stem):
        target, source, take = found.groups()
        return f"id{int(target)}", f"id{int(source)}", f"id{target}_{take}"
    if found := REAL_NAME.fullmatch(stem):
        return f"id{int(found[1])}", "", ""
    return "", "", ""


def _entry(path: str) -> Entry | None:
    """One video; None outside of the data set's folders."""
    file = PurePosixPath(path)
    parts = list(file.parts)
    place = next((n for n, part in enumerate(parts[:-1]) if _plain(part) in FOLDERS), None)
    if place is None:
        return None
    folder = _plain(parts[place])
    label = FOLDERS[folder]
    target, source, original = people_of(file.stem)
    if folder == "youtubereal" or (label == FAKE) != bool(source):
        target = source = original = ""
    if original:
        parts[place] = "Celeb-real"
        original = PurePosixPath(*parts[:-1], f"{original}{file.suffix}").as_posix()
    # A name of another form has no group here: assign_groups finds one.
    alone = f"celeb-df youtube {file.stem.casefold()}" if folder == "youtubereal" else ""
    return Entry(
        path=path,
        label=label,
        group=f"celeb-df {target}" if target else alone,
        linked=(f"celeb-df {source}",) if source else (),
        method=METHOD if label == FAKE else "real",
        target=target,
        source=source,
        original=original,
        collection="celeb" if folder != "youtubereal" else "youtube",
    )


def _key(path: str) -> tuple[str, str]:
    """The data set's folder and the file's stem, in lower case, for comparison."""
    file = PurePosixPath(path)
    folder = next((_plain(part) for part in file.parts[:-1] if _plain(part) in FOLDERS), "")
    return folder, file.stem.casefold()


def _plain(folder: str) -> str:
    """A folder's name without case, dashes and underscores."""
    return re.sub(r"[-_ ]", "", folder).casefold()
