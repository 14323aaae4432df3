"""What every layout gives: videos with labels, and what was passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "gif", "apng", "mpg", "mpeg", "ts", "mts"),
        *("m2ts", "wmv", "asf", "flv", "3gp", "3g2", "ogv", "ogg", "mxf", "nut", "vob", "ivf"),
        *("h264", "264", "hevc", "265", "y4m", "dv"),
    )
)

REAL, FAKE = 0, 1

SPELLINGS = {
    REAL: "real reals original originals originalsequences pristine authentic genuine bonafide "
    "live true celebreal youtubereal",
    FAKE: "fake fakes forged forgery forgeries manipulated manipulatedsequences deepfake deepfakes "
    "synthesis synthetic celebsynthesis tampered spoof false",
}
LABELS = {word: label for label, words in SPELLINGS.items() for word in words.split()}


def label_of(word: str) -> int | None:
    """Reads a label: 1 = fake, 0 = real, None = neither.

    Case, digits in front or behind, blanks, dashes and underscores do not count: "0_real", "Fakes".
    """
    return LABELS.get(re.sub(r"[^a-z]", "", word.casefold()))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One labelled file, not yet looked into.

    Attributes:
        path: relative to the root, POSIX.
        label: 1 = fake, 0 = real.
        group: where the data set tells it; "" otherwise.
        method: how a fake was made; "real" for a real one.
        split: "train", "val", "test", or "" where the data set does not tell.
    """

    path: str
    label: int
    group: str = ""
    method: str = ""
    split: str = ""


@dataclass(kw_only=True)
class Listing:
    """All labelled videos of a data set.

    Attributes:
        root: what their paths are relative to.
        entries: sorted by path.
        not_videos: number of files that no video suffix marks.
        unlabelled: paths of videos without a label.
    """

    root: Path
    entries: list[Entry] = field(default_factory=list)
    not_videos: int = 0
    unlabelled: list[str] = field(default_factory=list)


def walk(root: Path) -> Iterator[Path]:
    """All files below a folder, sorted; hidden ones and hidden folders left out.

    Linked folders are entered, each real folder once, so that a loop of links ends.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        facts = os.stat(folder)
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder) / name


def is_video(path: Path) -> bool:
    """Whether the suffix is a video's, in any case."""
    return path.suffix.casefold() in VIDEO_SUFFIXES
