"""What every layout returns: videos with labels, and what was passed over.

A video is a file with a video's suffix, or a folder of numbered images, its frames.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path, PurePosixPath

from data.errors import InputError
from data.images.formats import has_image_suffix
from data.images.frame_folders import FEWEST, RATE_FILE, frames_among
from data.io.system_errors import GONE, cannot_read

VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "gif", "apng", "mpg", "mpeg", "ts", "mts"),
        *("m2ts", "wmv", "asf", "flv", "3gp", "3g2", "ogv", "ogg", "mxf", "nut", "vob", "ivf"),
        *("h264", "264", "hevc", "265", "y4m", "dv"),
    )
)

REAL, FAKE = 0, 1

NOT_TEST = "train/val"
"""The split of a video that is not in a published test list: unmask draws train and val."""

SPELLINGS = {
    REAL: "real reals original originals pristine authentic genuine bonafide live "
    "celebreal youtubereal",
    FAKE: "fake fakes forged forgery forgeries manipulated manipulation manipulations deepfake "
    "deepfakes synthesis synthetic synthesized celebsynthesis tampered spoof",
}
LABELS = {word: label for label, words in SPELLINGS.items() for word in words.split()}

PLAIN = (
    "video videos clip clips face faces sequence sequences frame frames data dataset image images "
    "file files train training val valid validation dev test testing raw c lq hq"
)
CONTAINERS = frozenset(PLAIN.split())
"""Folder names that are no label, method or person; without digits, so that "c23" is "c"."""
ENDINGS = "|".join(sorted((word for word in CONTAINERS if len(word) > 3), key=len, reverse=True))


@lru_cache(maxsize=65536)  # the same few folders stand in a hundred thousand paths
def label_of(word: str) -> int | None:
    """Reads a label: 1 = fake, 0 = real, None = neither.

    Case, digits, blanks, dashes, underscores and words like videos or train do not count:
    "0_real", "Fakes", "original_sequences", "train-real" and "FakeVideos" are labels.
    """
    words = re.findall(r"[a-z]+", word.casefold())
    joined = "".join(word for word in words if word not in CONTAINERS)
    return LABELS.get(joined, LABELS.get(re.sub(f"({ENDINGS})$", "", joined)))


@lru_cache(maxsize=65536)
def is_container(folder: str) -> bool:
    """Whether a folder's name, like videos, train or c23, does not describe what is in it."""
    return "".join(re.findall(r"[a-z]+", folder.casefold())) in CONTAINERS


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One labelled file, not yet read."""

    path: str  # relative to the root, POSIX
    label: int  # 1 = fake, 0 = real
    group: str = ""  # "" if the data set gives none
    method: str = ""  # how a fake was made; "real" for a real one
    # "train", "val", "test"; NOT_TEST where the data set lists the test videos only; "" if it gives
    # none.
    split: str = ""
    # Further groups that this video joins to its own: of the source, of the original.
    linked: tuple[str, ...] = ()
    target: str = ""  # the person who is seen, as the data set writes it; "" if unknown
    source: str = ""  # whose face or expression a fake took over; "" if unknown
    # Path of the real video that a fake was made from, whether it is there or not.
    original: str = ""
    compression: str = ""  # "raw", "c23" ... where the data set comes in several
    collection: str = ""  # the part of the data set that a real video and its fakes share
    origin: str = ""  # as in `data.datasets.manifest.Video`


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Videos that belong to the data set and are not there."""

    count: int  # how many
    what: str  # which, for the user: "Deepfakes c23 videos"
    method: str = ""  # where they are all of one
    compression: str = ""  # likewise


@dataclass(kw_only=True)
class Listing:
    """All labelled videos of a data set."""

    root: Path  # what their paths are relative to
    source: str  # where the labels come from, in words for the user
    entries: list[Entry] = field(default_factory=list)  # sorted by path
    # single images with labels, which are taken only where they are asked for; sorted by path
    images: list[Entry] = field(default_factory=list)
    not_videos: int = 0  # number of files that are neither videos nor images
    copies: int = 0  # folders of frames whose video is there itself, and is taken instead
    unlabelled: list[str] = field(default_factory=list)  # paths of videos without a label
    missing: list[Missing] = field(default_factory=list)  # what a partial download lacks
    # The splits are published with the data set; they are kept even where a person is on two sides,
    # with a warning. In a user's own table that is an error.
    official: bool = False

    def add_missing(
        self, count: int, what: str, *, method: str = "", compression: str = ""
    ) -> None:
        """Records that `count` videos are missing; nothing for 0."""
        if count:
            self.missing.append(
                Missing(count=count, what=what, method=method, compression=compression)
            )

    def fill(self, entry_of: Callable[[str], Entry | None], *, needs: str = "") -> Listing:
        """Adds all videos and single images below the root.

        Args:
            entry_of: the entry of a path, None where it has no label.
            needs: "no video of X; it must have ...", the message where none has a label.

        Raises:
            InputError: a folder cannot be read, or no video and no image has a label.
        """
        found = self.find()
        for path in found.videos:
            if entry := entry_of(path):
                self.entries.append(entry)
            else:
                self.unlabelled.append(path)
        self.images += [entry for path in found.images if (entry := entry_of(path))]
        if needs and not self.entries and not self.images:
            raise InputError(f"{self.root} holds {needs} with videos in them")
        return self

    def scan(self) -> list[str]:
        """Paths of all videos below the root, relative, sorted; other files are counted.

        Raises:
            InputError: a folder cannot be read.
        """
        found = self.find()
        self.not_videos += len(found.images)
        return found.videos

    def find(self) -> Found:
        """As `find_videos` below the root; files that are neither are counted.

        Raises:
            InputError: a folder cannot be read.
        """
        found = find_videos(self.root)
        self.not_videos += found.others
        self.copies += found.copies
        return found


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies below a folder; paths are relative to it, POSIX, sorted."""

    videos: list[str]  # video files and folders of frames
    frames: frozenset[str]  # which of the videos are folders of frames
    images: list[str]  # single images
    others: int  # number of further files
    copies: int  # folders of frames that are left out, since their video is there itself


def find_videos(root: Path) -> Found:
    """Finds the videos and single images below a folder.

    A folder with at least FEWEST numbered images of one prefix, and no others, is a video, unless
    its name says that it is a collection (`real`, `images`, `train`). `frames` may be one, and
    whatever lies in it. The root itself is none.

    Raises:
        InputError: a folder cannot be read.
    """
    videos: list[str] = []
    frames: list[str] = []
    images: list[str] = []
    others = 0
    for folder, paths in groupby(walk(root), key=lambda path: path.parent):
        place = folder.relative_to(root).as_posix()
        names = [path.name for path in paths]
        films = [name for name in names if is_video(Path(name))]
        stills = [name for name in names if has_image_suffix(name)]
        prefix = "" if place == "." else f"{place}/"
        videos += [f"{prefix}{name}" for name in films]
        numbered = frames_among(stills)
        if prefix and len(numbered) >= FEWEST and may_be_video(folder):
            frames.append(place)
            others += len(names) - len(films) - len(numbered) - (RATE_FILE in names)
        else:
            images += [f"{prefix}{name}" for name in stills]
            others += len(names) - len(films) - len(stills)
    own = {_place_of(path) for path in videos}
    kept = [path for path in frames if _place_of(path) not in own]
    return Found(
        videos=sorted(videos + kept),
        frames=frozenset(kept),
        images=sorted(images),
        others=others,
        copies=len(frames) - len(kept),
    )


def may_be_video(folder: Path) -> bool:
    """Whether a folder of this name, in that folder, may hold the frames of one video."""
    if "frames" in (folder.name.casefold(), folder.parent.name.casefold()):
        return True
    return label_of(folder.name) is None and not is_container(folder.name)


def _place_of(path: str) -> tuple[str, ...]:
    """Where a video would lie, whatever its form: without suffix, `videos` and `frames`."""
    file = PurePosixPath(path.casefold())
    stem = file.stem if is_video(Path(file.name)) else file.name
    return tuple(part for part in (*file.parts[:-1], stem) if part not in ("videos", "frames"))


def walk(root: Path) -> Iterator[Path]:
    """All files below a folder; hidden ones and hidden folders left out.

    Linked folders are entered after all others and each real folder once, so that a loop of links
    ends and a folder keeps its own name where it has one. A link to a folder that contains the root
    is left out.

    Raises:
        InputError: a folder cannot be read.
    """
    home = Path(os.path.realpath(root))
    seen: set[str] = set()
    links = [root]
    while links:
        start = links.pop(0)
        for folder, names, files in os.walk(start, onerror=_refuse):
            real = os.path.realpath(folder)
            if real in seen:
                names.clear()
                continue
            seen.add(real)
            names[:] = sorted(name for name in names if not name.startswith("."))
            for name in names:
                target = Path(folder, name)
                if os.path.islink(target) and not home.is_relative_to(os.path.realpath(target)):
                    links.append(target)
            for name in sorted(files):
                if not name.startswith("."):
                    yield Path(folder, name)


def _refuse(error: OSError) -> None:
    """Raises an error for a folder that cannot be listed, unless it was removed meanwhile."""
    if error.errno not in GONE:
        raise cannot_read(f"the folder {error.filename}", error) from error


def is_video(path: Path) -> bool:
    """Whether the suffix is a video's, in any case."""
    return path.suffix.casefold() in VIDEO_SUFFIXES
