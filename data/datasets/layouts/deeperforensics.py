"""DeeperForensics-1.0.

    manipulated_videos/<variant>/<target>_<source>.mp4, such as end_to_end/000_M101.mp4
    source_videos/<source>/<light>/<emotion>/<camera>/<source>_....mp4
    lists/splits/{train,val,test}.txt: names of fakes, one a line

The targets are the YouTube videos of FaceForensics++, which come with that data set alone; fakes of
one target have its group's name there. The source videos, studio takes of real people, are labelled
real; the authors of the data set use the targets as the real side instead.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from data.datasets.layouts.faceforensics import youtube_group
from data.datasets.layouts.listing import FAKE, REAL, Entry, Listing
from data.datasets.layouts.metadata import find, folders_of, inside, read_lines
from data.errors import DatasetError

FOLDERS = {"manipulated_videos": FAKE, "source_videos": REAL}
FAKE_NAME = re.compile(r"(\d{1,6})_([MW]\d{1,6})", re.IGNORECASE)
PERSON = re.compile(r"([MW]\d{1,6})(?:_.*)?", re.IGNORECASE)
SPLITS = ("train", "val", "test")


def detect(root: Path) -> bool:
    """Whether the folders of manipulated or source videos are there, with names like theirs."""
    for path in folders_of(root):
        label = FOLDERS.get(path.name.casefold())
        if label == REAL and any(PERSON.fullmatch(one.name) for one in folders_of(path)):
            return True
        if label == FAKE:
            variants = folders_of(path)
            inside = [variant / name for variant in variants for name in ("videos", "frames")]
            for folder in (path, *variants, *inside):
                files = folder.iterdir() if folder.is_dir() else ()
                if any(FAKE_NAME.fullmatch(one.stem) for one in files):
                    return True
    return False


def read(root: Path) -> Listing:
    """Reads labels, people and splits; reals follow the split of the fakes with their face.

    Raises:
        InputError: no video is there, or a list is invalid.
        DatasetError: a fake is in two lists.
    """
    splits = read_splits(root)
    listing = Listing(root=root, source="DeeperForensics' folders", official=bool(splits))
    needs = "no video of DeeperForensics-1.0; it must have manipulated_videos or source_videos"
    listing.fill(lambda path: _entry(path, splits), needs=needs)
    stems: dict[str, set[str]] = {}
    for entry in listing.entries:
        if entry.label == FAKE:
            stems.setdefault(entry.method, set()).add(_stem(entry.path))
    for method, there in sorted(stems.items()):
        lacking = len(splits.keys() - there)
        listing.add_missing(lacking, f"{method} videos", method=method)
    if any(entry.label == FAKE for entry in listing.entries):
        faces = {entry.target for entry in listing.entries if entry.label == REAL}
        sources = {entry.source for entry in listing.entries if entry.source}
        listing.add_missing(len(sources - faces), "people in source_videos")
    return listing


def read_splits(root: Path) -> dict[str, str]:
    """Split of each fake by its name without suffix; empty without lists.

    Raises:
        InputError: a line is invalid.
        DatasetError: a fake is in two lists.
    """
    folder = find(find(root, "lists"), "splits")
    splits: dict[str, str] = {}
    for split in SPLITS:
        path = find(folder, f"{split}.txt")
        for place, text in read_lines(path) if path else ():
            stem = _stem(inside(text, place))
            if splits.setdefault(stem, split) != split:
                raise DatasetError(
                    f"{place}: {text[:60]} is in the {splits[stem]} list as well; "
                    "download the official lists again"
                )
    return splits


def people_of(stem: str) -> tuple[str, str]:
    """Target and source of `000_M101`; the person alone of `M101_light_...`; "" if unknown."""
    if found := FAKE_NAME.fullmatch(stem):
        return found[1], found[2].upper()
    found = PERSON.fullmatch(stem)
    return (found[1].upper(), "") if found else ("", "")


def groups_of(target: str, source: str) -> tuple[str, ...]:
    """The group of the target, and of the source."""
    if source:
        return youtube_group(target), f"deeperforensics {source}"
    return (f"deeperforensics {target}",)


def _entry(path: str, splits: dict[str, str]) -> Entry | None:
    """One video; None outside of the data set's folders."""
    file = PurePosixPath(path)
    folders = [part.casefold() for part in file.parts[:-1]]
    top = next((name for name in folders if name in FOLDERS), "")
    if not top:
        return None
    label = FOLDERS[top]
    below = file.parts[folders.index(top) + 1 : -1]
    target, source = people_of(file.stem)
    if label == REAL and below and PERSON.fullmatch(below[0]):
        target, source = people_of(below[0])  # the folder's name goes before the file's
    if (label == FAKE) != bool(source):
        target = source = ""
    names = groups_of(target, source) if target else ("",)
    variant = below[0] if below and below[0].casefold() != "videos" else "DeeperForensics"
    return Entry(
        path=path,
        label=label,
        group=names[0],
        linked=names[1:],
        method=variant if label == FAKE else "real",
        split=splits.get(_stem(path), "") if label == FAKE else "",
        target=target,
        source=source,
        collection="deeperforensics",
    )


def _stem(path: str) -> str:
    """A name as it is compared."""
    return PurePosixPath(path).stem.casefold()
