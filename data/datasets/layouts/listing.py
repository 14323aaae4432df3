"""What every layout returns: videos with labels, and what was passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from data.errors import InputError
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
    not_videos: int = 0  # number of files that no video suffix marks
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
        """Adds all videos below the root.

        Args:
            entry_of: the entry of a path, None where it has no label.
            needs: "no video of X; it must have ...", the message where no video has a label.

        Raises:
            InputError: a folder cannot be read, or no video has a label.
        """
        for path in self.scan():
            if entry := entry_of(path):
                self.entries.append(entry)
            else:
                self.unlabelled.append(path)
        if needs and not self.entries:
            raise InputError(f"{self.root} holds {needs} with videos in them")
        return self

    def scan(self) -> list[str]:
        """Paths of all videos below the root, relative, sorted; other files are counted.

        Raises:
            InputError: a folder cannot be read.
        """
        paths = []
        for path in walk(self.root):
            if is_video(path):
                paths.append(path.relative_to(self.root).as_posix())
            else:
                self.not_videos += 1
        return sorted(paths)


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
