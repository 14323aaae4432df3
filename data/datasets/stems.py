"""Names that differ by a number alone: ann_0, ann_1, "ann (2)", ann.part3. One person, or many?

Only the user knows, so groups join such names only with `--group-by stem`; otherwise `index` warns,
since one person on both sides of a split makes a test worthless. Names that cameras and programs
give (IMG_0001, VID_20200101_120000, "video 3") and bare numbers do not count.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from data.datasets.groups import PERSON, ROLE, person_folders, person_of, words
from data.datasets.layouts.listing import CONTAINERS, REAL, Entry

COUNTS = (
    "part parts pt take takes clip cut seg segment scene shot v ver version copy kopie copia no nr "
    "num number vol ep episode session trial run chunk rec recording at am pm p fps hz"
)
COUNTED = CONTAINERS | frozenset(COUNTS.split())
"""Words beside a counter: "take 2", "part_3", "1080p", "at 10.30"."""

PROGRAMS = (
    "img image imag cimg pic photo vid mov mvi mvc movie film footage dsc dscf dscn sam sdc "
    "gopr gp gh gx gopro dji fly pxl vn lv wa whatsapp telegram signal snapchat facetime zoom "
    "teams skype messenger instagram tiktok youtube yt reel story screen screenrecording "
    "screencast screenshot capture cam camera webcam record untitled download videoplayback "
    "output out render export sample item example demo trim edited final default new project"
)
CAMERAS = frozenset(PROGRAMS.split())
"""Words in the names that cameras, programs and data sets give."""

NOT_A_NAME = COUNTED | CAMERAS
FEWEST_CHARACTERS = 2
"""Of a stem; s1, s2, s3 are codes of three people rather than one person's name."""
EXAMPLES = 3
"""Stems, and names of each, that a warning shows."""


def stem_of(name: str) -> tuple[str, bool]:
    """A video's name without its counter, and whether it has one.

    "Ann_01" and "ann (2)" are ("ann", True), "ann" is ("ann", False). The stem is "" for bare
    numbers, a camera's name, and names with a person's id such as id07.
    """
    parts = [part for word in words(name) for part in re.findall(r"[^\W_]+", word)]
    if any(PERSON.fullmatch(part) for part in parts):
        return "", False
    kept = list(parts)
    while kept and _is_counter(kept[-1], first=len(kept) == 1):
        kept.pop()
    numbered = any(map(_has_number, parts[len(kept) :]))
    if not numbered:  # "a good take" ends in no counter; "ann07" may
        kept = list(parts)
        ending = re.fullmatch(r"([^\W\d_]+)\d+", kept[-1]) if kept else None
        if ending is not None:
            kept[-1], numbered = ending.group(1), True
    telling = [part for part in kept if _tells(re.sub(r"\d", "", part))]
    if len("".join(telling)) < FEWEST_CHARACTERS:
        return "", False
    return "_".join(kept), numbered


def shared_stems(entries: Sequence[Entry]) -> dict[str, list[int]]:
    """Stem -> indices of the videos that share it, where their people are unknown.

    A stem must be that of a real video: forgeries share their method's name. Videos in folders of
    one person each, and those whose group the data set gives, are left out.
    """
    people = person_folders(entries)
    found: defaultdict[str, list[int]] = defaultdict(list)
    numbered, real = set(), set()
    for place, entry in enumerate(entries):
        if entry.group or person_of(entry, people):
            continue
        stem, has_number = stem_of(PurePosixPath(entry.path).stem)
        if stem:
            found[stem].append(place)
            numbered |= {stem} if has_number else set()
            real |= {stem} if entry.label == REAL else set()
    return {
        stem: places
        for stem, places in sorted(found.items())
        if len(places) > 1 and stem in numbered and stem in real
    }


def same_stem(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Pairs of indices that `--group-by stem` puts into one group."""
    return [(places[0], other) for places in shared_stems(entries).values() for other in places[1:]]


def stem_warning(entries: Sequence[Entry], groups: Sequence[str]) -> list[str]:
    """A line of warning where videos that share a stem are in several groups."""
    apart = {
        stem: places
        for stem, places in shared_stems(entries).items()
        if len({groups[place] for place in places}) > 1
    }
    if not apart:
        return []
    places = [place for held in apart.values() for place in held]
    people = len({groups[place] for place in places})
    shown = []
    for held in list(apart.values())[:EXAMPLES]:
        names = sorted({PurePosixPath(entries[place].path).name for place in held}, key=_in_order)
        more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
        shown.append(", ".join(names[:EXAMPLES]) + more)
    if len(apart) > EXAMPLES:
        shown.append(f"and {len(apart) - EXAMPLES} more such names")
    return [
        f"{len(places)} videos whose names differ by a number alone count as {people} people: "
        f"{'; '.join(shown)}. If such videos show one person, index again with --group-by stem, or "
        "with a CSV that has a column group"
    ]


def _is_counter(part: str, *, first: bool) -> bool:
    """Whether a part of a name is a counter, or a word beside one; a first word is none."""
    if part.isdecimal() or part in COUNTED:
        return not (first and part in COUNTED)
    counted = re.fullmatch(r"([^\W\d_]*)\d+([^\W\d_]*)", part)
    return (
        counted is not None
        and not first
        and all(not word or word in COUNTED for word in counted.groups())
    )


def _tells(letters: str) -> bool:
    """Whether a part of a name, without its digits, may be a person's name."""
    return bool(letters) and letters not in NOT_A_NAME and not re.fullmatch(ROLE, letters)


def _has_number(part: str) -> bool:
    """Whether it has a number, or says copy."""
    return any(map(str.isdecimal, part)) or part in ("copy", "kopie", "copia")


def _in_order(name: str) -> tuple[int, str]:
    """Sorts ann_2 before ann_10."""
    return len(name), name
