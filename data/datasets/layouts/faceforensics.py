"""FaceForensics++ as its download script lays it out, DeepFakeDetection (DFD) included.

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/000.mp4, 01__kitchen_pan.mp4
    manipulated_sequences/<method>/{raw,c23,c40}/videos/<target>_<source>.mp4
    manipulated_sequences/DeepFakeDetection/.../<target>_<source>__<scene>__<id>.mp4
    train.json, val.json, test.json, here or in splits/: lists of pairs of ids

Folders are read in any case, and only the method's is needed: copies of the data set drop `videos`,
or the two folders at the top. Masks are videos, too, and are passed over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry, Listing, label_of, walk
from data.datasets.layouts.metadata import find, find_file, folders_of, kind, read_json
from data.errors import DatasetError, InputError
from data.io.reading import shown

DFD = "DeepFakeDetection"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", DFD)
PROPER = {name.casefold(): name for name in METHODS}
TOPS = {"original_sequences": REAL, "manipulated_sequences": FAKE}
COLLECTIONS = ("youtube", "actors")
REALS = {*COLLECTIONS, "original", "originals"}
NO_VIDEOS_OF_FACES = {"masks", "mask", "models", "downloaded_videos"}
COMPRESSION = re.compile(r"raw|c\d{1,2}")

SPLITS = ("train", "val", "test")
LOOKED_AT = 1000
"""Files whose names `detect` looks at."""
VIDEOS = 1000
"""Originals, and fakes of each method but DeepFakeDetection."""

PAIR = re.compile(r"(\d{1,6})_(\d{1,6})(?:[ (.-].*)?")  # a second download has " (1)"
DFD_FAKE = re.compile(r"(\d{1,6})_(\d{1,6})__(.+?)(?:__([A-Za-z0-9]+))?")
DFD_REAL = re.compile(r"(\d{1,6})__(.+)")


@dataclass(frozen=True, kw_only=True)
class People:
    """What a file's name says."""

    target: str  # id of the person seen, as the data set writes it
    source: str  # id of the other person; "" for a real video
    groups: tuple[str, ...]  # the group of each, unique among data sets
    original: str  # name of the original without suffix; "" for a real video


UNKNOWN = People(target="", source="", groups=("",), original="")


def detect(root: Path) -> bool:
    """Whether the root holds the folders at the top, or those of parts with names like theirs.

    With folders real/ and fake/ beside them it is a collection of the user's own.
    """
    names = {path.name.casefold() for path in folders_of(root)}
    if names & TOPS.keys():
        return not any(label_of(name) is not None for name in names - TOPS.keys() - PROPER.keys())
    methods = [path for path in folders_of(root) if path.name.casefold() in PROPER]
    if len(methods) < 2 and not names & REALS:
        return False
    # "Deepfakes" and "original" are common names; pairs of numbers are this data set's.
    files = islice(chain.from_iterable(walk(path) for path in methods), LOOKED_AT)
    return any((people := people_of(file.stem)) and people.source for file in files)


def read(root: Path) -> Listing:
    """Reads labels, people, compression and splits.

    Raises:
        InputError: no video of the data set is there, or a split file is invalid.
        DatasetError: an id is in two splits.
    """
    splits = read_splits(root)
    listing = Listing(root=root, source="FaceForensics++'s folders", official=bool(splits))
    needs = (
        "no video of FaceForensics++; it must have original_sequences/youtube and "
        "manipulated_sequences/<method>"
    )
    listing.fill(lambda path: _entry(path, splits), needs=needs)
    _count_missing(listing, splits)
    return listing


def people_of(stem: str) -> People | None:
    """Reads a name without suffix; None if it has another form.

    Examples: "000" and "000_003" of YouTube's, "01__kitchen_pan" and
    "01_02__kitchen_pan__ABC12345" of the actors'.
    """
    if found := DFD_FAKE.fullmatch(stem):
        target, source, scene, _ = found.groups()
        groups = (f"dfd {_number(target, 2)}", f"dfd {_number(source, 2)}")
        return People(target=target, source=source, groups=groups, original=f"{target}__{scene}")
    if found := DFD_REAL.fullmatch(stem):
        target = found[1]
        return People(target=target, source="", groups=(f"dfd {_number(target, 2)}",), original="")
    if found := PAIR.fullmatch(stem):
        target, source = found.groups()
        groups = (youtube_group(target), youtube_group(source))
        return People(target=target, source=source, groups=groups, original=target)
    if stem.isdecimal() and stem.isascii():
        return People(target=stem, source="", groups=(youtube_group(stem),), original="")
    return None


def youtube_group(number: str) -> str:
    """The group of one of the 1,000 YouTube videos; DeeperForensics forges the same ones."""
    return f"ff++ {_number(number, 3)}"


def read_splits(root: Path) -> dict[str, str]:
    """Split of each YouTube id; empty without split files.

    Raises:
        InputError: a file is invalid.
        DatasetError: an id is in two splits.
    """
    splits: dict[str, str] = {}
    for split in SPLITS:
        name = f"{split}.json"
        path = find_file(root, name) or find_file(find(root, "splits"), name)
        for number in _ids(path) if path else ():
            if splits.setdefault(number, split) != split:
                raise DatasetError(
                    f"{path}: the id {number} is in {splits[number]} as well; "
                    "download the official split files again"
                )
    return splits


def _ids(path: Path) -> list[str]:
    """The ids of a split file, three digits each."""
    pairs = read_json(path)
    if not isinstance(pairs, list):
        raise InputError(
            f"{path} must hold a list of pairs of ids, got {kind(pairs)}; download it again"
        )
    found = []
    for place, pair in enumerate(pairs):
        ids = [str(one) for one in pair] if isinstance(pair, list) else []
        if len(ids) != 2 or not all(re.fullmatch(r"[0-9]{1,6}", one) for one in ids):
            raise InputError(
                f'{path}: entry {place} must be a pair of ids like ["071", "054"], '
                f"got {shown(pair)}; download it again"
            )
        found += [_number(one, 3) for one in ids]
    return found


def _entry(path: str, splits: dict[str, str]) -> Entry | None:
    """One video; None for masks, and outside of the data set's folders."""
    parts = PurePosixPath(path).parts[:-1]
    folders = [part.casefold() for part in parts]
    if NO_VIDEOS_OF_FACES & set(folders):
        return None
    top = next((name for name in folders if name in TOPS), "")
    part = next((name for name in folders if name in PROPER or name in REALS), "")
    if TOPS.get(top) == FAKE and part not in PROPER:
        # A method that is not in METHODS is the folder below the top.
        below = folders.index(top) + 1
        part = parts[below] if below < len(parts) else ""
    elif not top and not part:
        return None
    fake = TOPS.get(top, FAKE if part in PROPER else REAL) == FAKE
    file = PurePosixPath(path)
    people = people_of(file.stem)
    if people is None or fake != bool(people.source):
        people = UNKNOWN  # assign_groups guesses the group
    actors = part in ("actors", DFD.casefold()) or people.groups[0].startswith("dfd")
    collection = COLLECTIONS[actors]
    compression = next((name for name in folders if COMPRESSION.fullmatch(name)), "")
    return Entry(
        path=path,
        label=FAKE if fake else REAL,
        group=people.groups[0],
        linked=people.groups[1:],
        method=(PROPER.get(part, part) or "fake") if fake else "real",
        split="" if actors else _split(people, splits),
        target=people.target,
        source=people.source,
        original=_original(path, collection, people.original) if people.original else "",
        compression="raw" if compression == "c0" else compression,
        collection=collection,
    )


def _split(people: People, splits: dict[str, str]) -> str:
    """The official split of a YouTube video."""
    ids = [_number(name, 3) for name in (people.target, people.source) if name]
    found = [splits[one] for one in ids if one in splits]
    if found or not ids:
        return found[0] if found else ""
    # With only some of the three files, the rest must stay out of the test.
    return NOT_TEST if "test" in splits.values() and len(set(splits.values())) < 3 else ""


def _original(path: str, collection: str, stem: str) -> str:
    """Where a fake's original lies: in the same compression, in the folders of the same shape."""
    file = PurePosixPath(path)
    parts = list(file.parts)
    folders = [part.casefold() for part in parts[:-1]]
    place = next((place for place, name in enumerate(folders) if name in PROPER), None)
    if place is None and "manipulated_sequences" in folders:
        place = folders.index("manipulated_sequences") + 1
    if place is None or place >= len(parts) - 1:
        return ""
    if "manipulated_sequences" in folders[:place]:
        parts[folders.index("manipulated_sequences")] = "original_sequences"
        parts[place] = collection
    else:
        parts[place] = "original"
    return PurePosixPath(*parts[:-1], f"{stem}{file.suffix}").as_posix()


def _count_missing(listing: Listing, splits: dict[str, str]) -> None:
    """What the full data set has in the same compressions, and this folder has not.

    Originals are named by what is there in any case and any shape of folders.
    """
    there: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    paths = {entry.path.casefold(): entry.path for entry in listing.entries}
    reals = {
        (entry.collection, entry.compression, PurePosixPath(entry.path).stem.casefold()): entry.path
        for entry in listing.entries
        if entry.label == REAL
    }
    wanted: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for place, entry in enumerate(listing.entries):
        stem = PurePosixPath(entry.path).stem.casefold()
        name = entry.method if entry.label == FAKE else entry.collection
        there[name, entry.compression].add(stem)
        if entry.original:
            original = PurePosixPath(entry.original).stem.casefold()
            found = reals.get((entry.collection, entry.compression, original)) or paths.get(
                entry.original.casefold()
            )
            if found and found != entry.original:
                listing.entries[place] = replace(entry, original=found)
            wanted[entry.collection, entry.compression].add(original)
    for key in [*wanted]:
        there.setdefault(key, set())
    # Each YouTube id is seen in one original and, by each method, in one fake.
    named = set(splits) if len(set(splits.values())) == len(SPLITS) else set()
    for (name, compression), stems in sorted(there.items()):
        if name == "youtube" or (name in METHODS and name != DFD):
            seen = {_number(stem.split("_")[0], 3) for stem in stems}
            lacking = len(named - seen) if named else VIDEOS - len(seen)
        else:
            lacking = len(wanted[name, compression] - stems)
        text = " ".join(filter(None, (name, compression, "videos")))
        method = name if name not in COLLECTIONS else ""
        listing.add_missing(max(0, lacking), text, method=method, compression=compression)


def _number(digits: str, width: int) -> str:
    """Digits in the width that the data set writes them in."""
    return digits.lstrip("0").zfill(width)
