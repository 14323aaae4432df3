"""Folders of numbered images that are the frames of one video: `000.png`, `frame_0012.jpg`, ...

Names are one prefix and a number; the number is the frame's place in time, so that gaps in the
numbering are gaps in time (DeepfakeBench and DF40 keep some frames of a video under their own
numbers). Such a folder does not say how fast its frames follow each other: 25 a second are assumed,
unless a file `fps.txt` in it has another rate, as `30` or `30000/1001`. The rate decides how far a
face's place is smoothed over time, so it is part of the folder's digest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError, plain
from data.images.formats import has_image_suffix
from data.io.reading import file_sha256, open_file

RATE_FILE = "fps.txt"
ASSUMED_RATE = Fraction(25)
LEAST_RATE, MOST_RATE = Fraction(1, 100), Fraction(1000)
FEWEST = 2
"""Numbered images that make a folder a video's."""
MOST_FRAMES = 500_000
"""Five hours at 25 frames a second."""
NUMBERED = re.compile(r"(.*?)(\d{1,15})")
BESIDE = re.compile(r"mask|landmark|depth|thumb|segmentation|_seg|label|crop_box", re.IGNORECASE)
"""In the names of images that lie beside frames and are none."""


@dataclass(frozen=True, kw_only=True)
class FrameFolder:
    """The frames of one folder."""

    path: Path
    names: tuple[str, ...]  # of the files, in order
    numbers: tuple[int, ...]  # of each, ascending
    rate: Fraction  # frames per second
    rate_given: bool  # by RATE_FILE; else it is assumed
    others: int  # files beside that are no frames

    @property
    def timestamps_seconds(self) -> NDArray[np.float64]:
        """(N,) times of all frames, the first at 0."""
        over, under = self.rate.denominator, self.rate.numerator
        return np.asarray([(number - self.numbers[0]) * over / under for number in self.numbers])

    @property
    def duration_seconds(self) -> float:
        """From the first frame to the end of the last."""
        return float((self.numbers[-1] - self.numbers[0] + 1) / self.rate)

    def files(self) -> list[Path]:
        """Paths of the frames, in order."""
        return [self.path / name for name in self.names]

    def note(self) -> str:
        """How the folder was understood, in one sentence."""
        first, last = self.numbers[0], self.numbers[-1]
        gaps = last - first + 1 - len(self.numbers)
        rate = f"{float(self.rate):g} frames a second"
        return (
            f"a folder of {len(self.names)} frames, numbered {first} to {last}"
            f"{f' with {gaps} numbers missing' if gaps else ''}; "
            f"{f'{rate}, by its {RATE_FILE}' if self.rate_given else f'{rate} are assumed'}"
        )


def frames_among(names: Iterable[str]) -> dict[str, int]:
    """The frames among the names of a folder's files: name -> number; empty where there are none.

    Images with one prefix before their number. Names of masks and landmarks do not count; with two
    other prefixes, or images without a number, the folder is a collection of single images.
    """
    images = [name for name in names if has_image_suffix(name) and not BESIDE.search(name)]
    found: dict[str, int] = {}
    prefixes = set()
    for name in images:
        numbered = NUMBERED.fullmatch(os.path.splitext(name)[0])
        if numbered is None:
            return {}
        prefixes.add(numbered[1].casefold())
        if len(prefixes) > 1:
            return {}
        found[name] = int(numbered[2])
    return found


def is_frame_folder(path: Path) -> bool:
    """Whether a folder holds at least FEWEST frames, and no other images but those beside them."""
    try:
        with os.scandir(path) as entries:
            names = [one.name for one in entries if not one.name.startswith(".")]
    except OSError:
        return False
    return len(frames_among(names)) >= FEWEST


def open_frames(path: Path) -> FrameFolder:
    """Lists the frames of a folder.

    Raises:
        VideoError: unreadable: it holds none, two of one number, too many, or a bad rate.
    """
    try:
        with os.scandir(path) as entries:
            names = [one.name for one in entries if not one.name.startswith(".") and one.is_file()]
    except OSError as error:
        raise VideoError("unreadable", f"cannot read the folder: {error.strerror}") from error
    numbers = frames_among(names)
    if not numbers:
        raise VideoError(
            "unreadable",
            "the folder holds no frames of one video: images named by one prefix and a number, as "
            "000.png, 001.png",
        )
    if len(numbers) > MOST_FRAMES:
        raise VideoError("unreadable", f"the folder holds more than {MOST_FRAMES} frames")
    counts = Counter(numbers.values())
    if len(counts) < len(numbers):
        twice = next(number for number, count in counts.items() if count > 1)
        same = sorted(name for name, number in numbers.items() if number == twice)[:2]
        raise VideoError(
            "unreadable",
            f"two frames have the number {twice}, {plain(same[0])} and {plain(same[1])}; "
            "remove one of them",
        )
    ordered = sorted(numbers, key=numbers.__getitem__)
    given = _rate_in(path / RATE_FILE)
    return FrameFolder(
        path=path,
        names=tuple(ordered),
        numbers=tuple(numbers[name] for name in ordered),
        rate=given or ASSUMED_RATE,
        rate_given=given is not None,
        others=len(names) - len(ordered) - (given is not None),
    )


def _rate_in(path: Path) -> Fraction | None:
    """The rate that a file says; None where there is no such file.

    Raises:
        VideoError: unreadable: it is no rate.
    """
    try:
        with open_file(path) as file:
            text = file.read(100).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VideoError("unreadable", f"cannot read {RATE_FILE}: {error.strerror}") from error
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise VideoError(
            "unreadable",
            f"{RATE_FILE} must hold the frames per second, as 25 or 30000/1001, "
            f"got {plain(text[:40])!r}",
        )
    return rate


def frames_sha256(folder: FrameFolder, *, digest: Callable[[Path], str] = file_sha256) -> str:
    """The digest of a folder of frames: over its rate, and the number and bytes of each frame.

    Numbers count from the first one, so that `000.png` may become `frame_1.png`. Files beside the
    frames do not count.

    Args:
        folder: of the frames.
        digest: of a file.

    Raises:
        OSError: a frame cannot be read.
    """
    made = hashlib.sha256(b"unmask frames 1\n")
    made.update(f"rate {folder.rate.numerator}/{folder.rate.denominator}\n".encode())
    for number, path in zip(folder.numbers, folder.files(), strict=True):
        made.update(f"{number - folder.numbers[0]} {digest(path)}\n".encode())
    return made.hexdigest()
