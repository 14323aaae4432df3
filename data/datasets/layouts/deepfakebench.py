"""DeepfakeBench's JSON over the videos of the data sets that it rearranges.

    {"FaceForensics++": {"FF-DF": {"train": {"c23": {"071_054": {"label": "FF-DF",
        "frames": [".../manipulated_sequences/Deepfakes/c23/frames/071_054/000.png", ...]}}}}}}

Frames are images; where the video that they were taken from is in the same place, with or without
`videos` instead of `frames`, unmask reads it, else the frames themselves. Paths in the JSON are of
another machine: they are never opened, only compared with what is below the root, from the end.
DF40's JSONs have the same shape, with labels like `simswap_Fake`; a set of its single images,
"frames" of one folder, is passed over (`data.datasets.layouts.df40` reads them).

Some of its sets overlap: "val" is often a copy of "test" or "train", "train" may contain the test
videos, and data sets without splits are in all three. So a video of "test" is a test video, a
copied "val" is left out, and three equal sets are no split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from data.datasets.layouts import celebdf, deeperforensics, df40, dfdc_preview, faceforensics
from data.datasets.layouts.listing import FAKE, REAL, Entry, Listing, is_video
from data.datasets.layouts.metadata import kind, normalise_splits, read_head, read_object
from data.errors import DatasetError, InputError

SHAPE = re.compile(
    r'\s*\{\s*"[^"]+"\s*:\s*\{\s*"[^"]+"\s*:\s*\{\s*"(train|val|test)"\s*:\s*\{', re.IGNORECASE
)
SETS = ("train", "val", "test")
METHODS = {
    "ff-df": "Deepfakes",
    "ff-f2f": "Face2Face",
    "ff-fs": "FaceSwap",
    "ff-nt": "NeuralTextures",
    "ff-fh": "FaceShifter",
    "ff-sh": "FaceShifter",
    "dfd_fake": "DeepFakeDetection",
}
COMPRESSION = re.compile(r"raw|c\d{1,2}", re.IGNORECASE)
SKIPPED = {"frames", "videos"}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One video of a JSON."""

    name: str  # as the JSON calls it
    label: str  # its label's name, such as "FF-DF"
    # Folder of its frames, its parts in lower case; () where no frame is listed.
    where: tuple[str, ...]
    compression: str  # "c23" ...; "" if unknown
    sets: set[str] = field(default_factory=set)  # those that contain it


def detect(root: Path) -> bool:
    """Whether the root is a JSON, or holds one of this shape."""
    if root.is_file():
        return root.suffix.casefold() == ".json"
    return bool(_files(root))


def read(root: Path) -> Listing:
    """Reads labels, sets and people; videos are looked for below the JSON's folder.

    Raises:
        InputError: no such JSON, no video of it is there, or a label is invalid.
        DatasetError: a video has both labels.
    """
    files = [root] if root.is_file() else _files(root)
    if not files:
        raise InputError(f"{root} holds no JSON of DeepfakeBench's; give the JSON itself")
    listing = Listing(root=files[0].parent, source=files[0].name, official=True)
    videos = _by_ending(paths := listing.scan())
    entries: dict[str, Entry] = {}
    absent = set()
    for file in files:
        for dataset, records in _datasets(file):
            splits = _splits(records)
            for record in records:
                path = _find(record, videos)
                if path is None:
                    absent.add((record.label, record.compression, record.name))
                    continue
                entry = _entry(path, dataset, record, splits.get(id(record), ""), file)
                other = entries.setdefault(path, entry)
                if other.label != entry.label:
                    raise DatasetError(
                        f"{file}: {record.name[:60]!r} is listed as real and as fake; correct it"
                    )
    if not entries:
        raise InputError(
            f"none of the {len(absent)} videos that {files[0]} lists is below {listing.root}, nor "
            "its frames; put the JSON beside the data set's folders"
        )
    reals = {_take(entry): entry.path for entry in entries.values() if entry.label == REAL}
    listing.entries = normalise_splits(
        [
            replace(entry, original=reals.get(_take(entry), "")) if entry.label == FAKE else entry
            for _, entry in sorted(entries.items())
        ]
    )
    listing.unlabelled = [path for path in paths if path not in entries]
    listing.add_missing(len(absent), f"videos named in {files[0].name}")
    return listing


def _files(root: Path) -> list[Path]:
    """The JSONs of this shape in a folder."""
    found = []
    for path in sorted(root.glob("*.json")) if root.is_dir() else ():
        with suppress(InputError):
            if SHAPE.match(read_head(path)):
                found.append(path)
    return found


def _datasets(path: Path) -> Iterator[tuple[str, list[Record]]]:
    """The data sets of a JSON, each with its videos."""
    for dataset, labels in read_object(path).items():
        records: dict[tuple[str, str, str], Record] = {}
        for label, sets in _members(labels, f"{path}, {dataset[:40]!r}"):
            for name, videos in _members(sets, f"{path}, {label[:40]!r}"):
                if name.casefold() not in SETS or not isinstance(videos, dict):
                    raise InputError(
                        f"{path}: below {label[:40]!r} there must be train, val and test, "
                        f"got {name[:40]!r}; write it again with DeepfakeBench"
                    )
                for compression, video, fields in _videos(videos):
                    key = (label, compression, video)
                    record = records.get(key)
                    if record is None or not record.where:
                        earlier = record.sets if record else set()
                        record = _record(video, label, compression, fields, earlier)
                        records[key] = record
                    record.sets.add(name.casefold())
        yield dataset, list(records.values())


def _members(value: object, place: str) -> Iterator[tuple[str, object]]:
    """What an object holds."""
    if not isinstance(value, dict):
        raise InputError(
            f"{place}: it must be an object, got {kind(value)}; write it again with DeepfakeBench"
        )
    yield from value.items()


def _videos(
    members: dict[str, object], compression: str = ""
) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Compression, name and fields of the videos of a set; entries of another form are left out."""
    for name, value in members.items():
        if not isinstance(value, dict):
            continue
        if "frames" in value or "label" in value:
            yield compression, name, value
        elif not compression and COMPRESSION.fullmatch(name):
            yield from _videos(value, name.casefold())


def _record(
    name: str, label: str, compression: str, fields: dict[str, object], sets: set[str]
) -> Record:
    own_label = fields.get("label")
    frames = fields.get("frames")
    first = frames[0] if isinstance(frames, list) and frames else ""
    # Windows' rules split at both kinds of slash.
    parts = PureWindowsPath(first).parts[:-1] if isinstance(first, str) else ()
    return Record(
        name=name,
        label=own_label if isinstance(own_label, str) and own_label else label,
        where=tuple(part.casefold() for part in parts if part.casefold() not in SKIPPED),
        compression=compression,
        sets=sets,
    )


def _splits(records: list[Record]) -> dict[int, str]:
    """The split of each record, by its id(); left out where there is none."""
    sets = {name: {id(one) for one in records if name in one.sets} for name in SETS}
    train, val, test = (sets[name] for name in SETS)
    if train and train == test:
        return {}
    if val <= test or val <= train:
        val = set()
    return dict.fromkeys(train, "train") | dict.fromkeys(val, "val") | dict.fromkeys(test, "test")


def _by_ending(paths: list[str]) -> dict[tuple[str, ...], str]:
    """Paths by every ending of two parts and more that only one of them has."""
    found: dict[tuple[str, ...], str] = {}
    for path in paths:
        file = PurePosixPath(path.casefold())
        stem = file.stem if is_video(Path(file.name)) else file.name
        parts = tuple(part for part in (*file.parts[:-1], stem) if part not in SKIPPED)
        for start in range(max(1, len(parts) - 1)):
            ending = parts[start:]
            found[ending] = path if found.get(ending, path) == path else ""
    return found


def _find(record: Record, videos: dict[tuple[str, ...], str]) -> str | None:
    """The video of a record: the longest ending of its path that a single video has."""
    parts = record.where or (record.name.casefold(),)
    for start in range(len(parts)):
        if path := videos.get(parts[start:]):
            return path
    return None


def _entry(path: str, dataset: str, record: Record, split: str, file: Path) -> Entry:
    """One video that is there."""
    name = record.label.casefold()
    if name in METHODS or "fake" in name:
        label = FAKE
    elif name.endswith("real"):
        label = REAL
    else:
        raise InputError(
            f"{file}: the label {record.label[:40]!r} says neither real nor fake; "
            "name it like FF-DF, CelebDFv2_real or DFDC_Fake"
        )
    stem = PurePosixPath(path).stem
    target = source = method = ""
    groups: tuple[str, ...] = ()
    if name.startswith(("ff-", "dfd_")):
        if people := faceforensics.people_of(stem):
            target, source, groups = people.target, people.source, people.groups
    elif name.startswith("celebdf"):
        youtube = "youtube" in path.casefold()
        target, source, _ = ("", "", "") if youtube else celebdf.people_of(stem)
        groups = tuple(f"celeb-df {person}" for person in (target, source) if person)
        groups = groups or (f"celeb-df {'youtube ' * youtube}{stem.casefold()}",)
    elif name.startswith("df_"):
        target, source = deeperforensics.people_of(stem)
        groups = deeperforensics.groups_of(target, source) if target else ()
    elif name.startswith("dfdcp"):
        ids = dfdc_preview.people_of(path)
        target, source = (*ids, "", "")[:2]
        groups = tuple(f"dfdcp {person}" for person in ids)
    elif name.startswith("dfdc"):
        groups = (f"dfdc {stem.casefold()}",)
    elif method := df40.method_in(path, name):
        target, source, groups = df40.people_in(stem)
    return Entry(
        path=path,
        label=label,
        group=groups[0] if groups else "",
        linked=groups[1:],
        method=(METHODS.get(name) or method or record.label) if label == FAKE else "real",
        split=split,
        target=target,
        source=source if label == FAKE else "",
        compression=record.compression,
        collection=dataset,
    )


def _take(entry: Entry) -> tuple[str, ...]:
    """What a fake and its original have in common; the path itself if unknown."""
    stem = PurePosixPath(entry.path).stem
    if entry.label == REAL:
        return (entry.collection, entry.compression, stem.casefold())
    people = faceforensics.people_of(stem)
    original = people.original if people and people.source else celebdf.people_of(stem)[2]
    return (entry.collection, entry.compression, original.casefold() or entry.path)
