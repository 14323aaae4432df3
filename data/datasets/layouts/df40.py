"""DF40 (Yan et al., 2024) as downloaded: frames of face crops, by method.

    DF40_train/<method>/frames/<target>_<source>/000.png     fakes of FaceForensics++, training
    DF40/<method>/{ff,cdf}/frames/<names>/000.png            fakes of FaceForensics++ and Celeb-DF
    DF40{,_train}/<method>/.../<id>/*.png                    whole faces made anew, of one person
    DF40/<method>/{fake,real}/...                            nine methods with reals of their own
    FaceForensics++/original_sequences/...   Celeb-DF-v2/Celeb-real/...   the reals of the others

The root is any one of these folders, or what holds them; `landmarks` are passed over. What is made
of FaceForensics++, and its reals, is split as its split files say, which lie in its folder:
DF40_train holds fakes of its test videos, too. Without these files the people of DF40's fakes are
for the test, with all that shows them, and the others for training. Celeb-DF is for the test.
Images that are not below `frames` were made one by one; they are single images, but for HeyGen's
real videos.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from data.datasets.layouts import celebdf, faceforensics
from data.datasets.layouts.listing import FAKE, REAL, Entry, Found, Listing, label_of
from data.datasets.layouts.metadata import find, folders_of, normalise_splits
from data.errors import InputError
from data.images.formats import has_image_suffix

SWAPPING = "fsgan faceswap simswap inswap blendface uniface mobileswap e4s facedancer deepfacelab"
REENACTMENT = (
    "fomm facevid2vid wav2lip mraa one_shot_free pirender tpsm lia danet sadtalker mcnet "
    "hyperreenact heygen"
)
SYNTHESIS = (
    "vqgan stylegan2 stylegan3 styleganxl sd1.5 sd2.1 ddim ddpm rddm pixart dit sit midjourney "
    "whichisreal dalle2_face"
)
EDITING = "collabdiff collaborative_diffusion e4e stargan starganv2 stargan2 styleclip"
METHODS = frozenset(" ".join((SWAPPING, REENACTMENT, SYNTHESIS, EDITING)).split())
"""Names of the methods' folders, in lower case; they differ by case between copies."""

SETS = ("fsall", "frall", "efsall", "df40_train")
"""Labels of JSONs that join several methods."""

DOMAINS = {"ff": "ff", "ffpp": "ff", "cdf": "cdf", "cdfv2": "cdf"}
INSIDE = {*DOMAINS, "frames", "fake", "real", "landmarks"}
"""Folders below a method's."""
FF, CDF = "df40 ff", "df40 cdf"
"""Collections: FaceForensics++ and what is made of it, Celeb-DF likewise."""
COMMON = frozenset({"faceswap", "stargan"})
"""Methods whose names other collections have, too: alone they do not make a folder DF40's."""
PASSED_OVER = {"landmarks", "masks"}
TRAINING = re.compile(r"train", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where in the data set a path lies."""

    method: str  # its folder's name
    below: tuple[str, ...]  # folders and name below it
    training: bool  # below DF40_train


def detect(root: Path) -> bool:
    """Whether the root, or a folder in it called like DF40, holds folders of its methods."""
    homes = [root, *(one for one in folders_of(root) if one.name.casefold().startswith("df40"))]
    return any(_methods_in(home) for home in homes)


def _methods_in(folder: Path) -> bool:
    """Whether a folder holds folders of the methods, laid out as theirs are."""
    found = [one for one in folders_of(folder) if one.name.casefold() in METHODS]
    if not {one.name.casefold() for one in found} - COMMON and "df40" not in folder.name.casefold():
        return False
    return any(
        inner.name.casefold() in INSIDE or inner.name.isdecimal()
        for one in found
        for inner in folders_of(one)
    )


def read(root: Path) -> Listing:
    """Reads labels, methods, people and splits.

    Raises:
        InputError: no video or image of it is there, or a split file is invalid.
        DatasetError: a split file puts an id on two sides.
    """
    listing = Listing(root=root, source="DF40's folders", official=True)
    found = _apart(root, listing.find())
    home = find(root, "FaceForensics++") or root
    splits = faceforensics.read_splits(home)
    training = TRAINING.search(root.name) is not None
    for path in found.videos:
        if entry := _entry(path, training=training):
            listing.entries.append(entry)
        else:
            listing.unlabelled.append(path)
    listing.images = [one for path in found.images if (one := _entry(path, training=training))]
    if not listing.entries and not listing.images:
        raise InputError(
            f"{root} holds no video of DF40; it must have folders like simswap/ff/frames/<video>"
        )
    both = [*listing.entries, *listing.images]
    tested = {one.target for one in both if one.split == "test"}
    originals = {
        (one.collection, PurePosixPath(one.path).stem.casefold()): one.path
        for one in listing.entries
        if one.label == REAL
    }

    def settled(entry: Entry) -> Entry:
        """With its split by the person, and its original's path."""
        entry = replace(entry, original=originals.get((entry.collection, entry.original), ""))
        if entry.collection != FF or not entry.target:
            return entry
        by_person = "test" if entry.target in tested else entry.split
        return replace(entry, split=splits.get(entry.target.zfill(3), by_person))

    both = _as_splits([settled(one) for one in both])
    listing.entries, listing.images = (
        sorted(part, key=lambda one: one.path)
        for part in (both[: len(listing.entries)], both[len(listing.entries) :])
    )
    lacking = {one.collection for one in both if one.label == FAKE} - {
        one.collection for one in both if one.label == REAL
    }
    for collection, name in ((FF, "FaceForensics++"), (CDF, "Celeb-DF-v2")):
        fakes = {one.target for one in both if one.collection == collection and one.target}
        if collection in lacking:
            listing.add_missing(len(fakes), f"reals of {name}")
    return listing


def method_in(path: str, label: str) -> str:
    """The method of a video that a JSON of DF40 lists under a label; "" where it is none of these.

    Args:
        path: of the video.
        label: such as "simswap_fake", "fsall_real".
    """
    place = _place(path, training=False)
    if place is not None:
        return place.method
    name = re.sub(r"_(fake|real)$", "", label)
    return name if name in METHODS or name in SETS else ""


def people_in(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Target, source and groups of a video of FaceForensics++ or Celeb-DF; "" if unknown."""
    target, source, _ = celebdf.people_of(name)
    if target:
        return target, source, tuple(f"celeb-df {one}" for one in (target, source) if one)
    if people := faceforensics.people_of(name):
        return people.target, people.source, people.groups
    return "", "", ()


def _apart(root: Path, found: Found) -> Found:
    """Takes folders apart whose images were made one by one, though they are numbered."""
    videos, images = [], [*found.images]
    for path in found.videos:
        place = _place(path, training=False)
        if path in found.frames and place is not None and not _is_sequence(place):
            files = sorted(one.name for one in (root / path).iterdir() if one.is_file())
            images += [f"{path}/{name}" for name in files if has_image_suffix(name)]
        else:
            videos.append(path)
    return replace(found, videos=videos, images=sorted(images))


def _is_sequence(place: _Place) -> bool:
    """Whether a folder at this place holds the frames of one video."""
    folders = {part.casefold() for part in place.below}
    return "frames" in folders or (place.method.casefold() == "heygen" and len(place.below) > 1)


def _place(path: str, *, training: bool) -> _Place | None:
    """The method of a path and what lies below it; None where it is below none."""
    parts = PurePosixPath(path).parts
    for number, part in enumerate(parts[:-1]):
        if part.casefold() in METHODS:
            train = training or any(TRAINING.search(one) for one in parts[:number])
            return _Place(method=part, below=parts[number + 1 :], training=train)
    return None


def _entry(path: str, *, training: bool) -> Entry | None:
    """One video or image; None outside of the data set, and for what is passed over."""
    parts = [part.casefold() for part in PurePosixPath(path).parts]
    if PASSED_OVER & {*parts}:
        return None
    place = _place(path, training=training)
    if place is None:
        return _real(path, parts)
    below = [part.casefold() for part in place.below]
    labels = [label for part in below[:-1] if (label := label_of(part)) is not None]
    domain = next((DOMAINS[part] for part in below[:-1] if part in DOMAINS), "")
    if domain or not labels or below[0] not in ("fake", "real"):
        return _fake(path, place, domain or "ff")
    name = PurePosixPath(path)
    # Real and forged videos of these methods have their own names: "0003" and "0003_fake".
    stem = name.stem if has_image_suffix(name.name) else name.name
    stem = re.sub(r"[_-]?(fake|real)\d*$", "", stem.casefold()) or stem.casefold()
    return Entry(
        path=path,
        label=labels[0],
        group=f"df40 {place.method.casefold()} {stem}",
        method=place.method if labels[0] == FAKE else "real",
        split="train" if place.training else "test",
        collection=f"df40 {place.method.casefold()}",
    )


def _fake(path: str, place: _Place, domain: str) -> Entry:
    """A fake of FaceForensics++ ("ff") or Celeb-DF ("cdf"), by the names in its path."""
    folders, name = [*reversed(place.below[:-1])], PurePosixPath(path).name
    is_image = has_image_suffix(name)
    # An image's folder names the person; its own name may be a seed.
    stems = [*folders, PurePosixPath(name).stem] if is_image else [name, *folders]
    target = source = original = ""
    groups: tuple[str, ...] = ("",)
    for stem in stems:
        if domain == "cdf":
            target, source, original = celebdf.people_of(stem)
            groups = tuple(f"celeb-df {one}" for one in (target, source) if one) or ("",)
            original = original or (stem.casefold() if target else "")
        elif people := faceforensics.people_of(stem):
            target, source, groups = people.target, people.source, people.groups
            original = people.original or people.target
        if target:
            break
    alone = f"df40 {domain} {place.below[-2] if len(place.below) > 1 else stems[0]}".casefold()
    return Entry(
        path=path,
        label=FAKE,
        group=groups[0] or alone,
        linked=groups[1:],
        method=place.method,
        split="train" if place.training else "test",
        target=target,
        source=source,
        original=original.casefold(),
        collection=FF if domain == "ff" else CDF,
    )


def _real(path: str, parts: list[str]) -> Entry | None:
    """A real video of FaceForensics++ or Celeb-DF; None for anything else."""
    name = PurePosixPath(path).name
    stem = PurePosixPath(name).stem if "." in name else name
    if "original_sequences" in parts:
        people = faceforensics.people_of(stem)
        if people is None or people.source or "actors" in parts:
            return None
        return Entry(
            path=path,
            label=REAL,
            group=people.groups[0],
            method="real",
            target=people.target,
            collection=FF,
        )
    folder = next((one for one in parts if one in ("celeb-real", "youtube-real")), None)
    if folder is None:
        return None
    target = celebdf.people_of(stem)[0]
    youtube = folder == "youtube-real"
    alone = f"celeb-df {'youtube ' * youtube}{stem.casefold()}"
    return Entry(
        path=path,
        label=REAL,
        group=f"celeb-df {target}" if target and not youtube else alone,
        method="real",
        split="test",
        target="" if youtube else target,
        collection=CDF,
    )


def _as_splits(entries: list[Entry]) -> list[Entry]:
    """Splits as unmask uses them: validation from training; none where only one part is there."""
    fakes = {entry.split for entry in entries if entry.label == FAKE and entry.split}
    if len(fakes) < 2:
        return [replace(entry, split="") for entry in entries]
    return normalise_splits(entries)
