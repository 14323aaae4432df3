"""Groups: videos that share a person or a source, as connected components.

Where a data set has no groups, they are guessed from names, and too large rather than too small:
two strangers in one group cost little, one person on both sides of a split makes a test worthless.
Words like real and fake and leading zeros do not count. Linked are videos
- whose names are equal: real/ann.mp4 and fake/ann_fake.mp4, real/real7.mp4 and fake/fake_007.mp4;
- where a real one's name is part of a fake one's: fake/000_003.mp4 with real/000 and real/003;
- fakes that share one of two numbers, <target>_<source>: 000_003 and 003_010;
- that share a word like id12, person_3 or actor07 in the name or in a folder;
- whose reals lie in FOLDERS or more folders, read as one for each person: real/ann/1.mp4,
  real/ann/2.mp4, fake/ann/1.mp4, fake/bob_ann.mp4; fewer folders are read as mere collections;
- where a fake without any such partner has a number that one single real name has: fake/swap_12
  and real/video_12;
- that are the same file.

Where names are not enough (ann_1 and ann_2 may be one person or two), a CSV's column `group` says
it; `data.datasets.stems` finds such names, to warn of them or to group by them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from data.datasets.layouts.listing import FAKE, Entry, is_container, label_of

FOLDERS = 5
"""Reals in at least this many folders have one for each person; data sets have two or three."""
LONGEST = 8
"""Words of a name whose runs are compared."""
ROLE = "(?:id|person|people|subject|actor|speaker|user|identity)"
PERSON = re.compile(rf"{ROLE}\d+")


class Links:
    """Joins names into components (union-find); a component is called by its smallest name."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The component's name."""
        root = self._parent.setdefault(name, name)
        while root != self._parent[root]:
            root = self._parent[root]
        while name != root:
            self._parent[name], name = root, self._parent[name]
        return root

    def join(self, one: str, other: str) -> None:
        """Puts both names into one component."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low


@lru_cache(maxsize=65536)
def words(name: str) -> tuple[str, ...]:
    """The words of a name but those that only say the label: "Fake07_person 03" is 7, person3."""
    text = unicodedata.normalize("NFC", name).casefold()
    text = re.sub(rf"({ROLE})[_\-. ]+(?=\d)", r"\1", text)
    text = re.sub(r"(?<!\d)0+(?=\d)", "", text)
    found = []
    for word in re.split(r"[_\-. ()]+", text):
        found.append(re.sub(r"\D", "", word) if label_of(word) is not None else word)
    return tuple(word for word in found if word)


def runs(parts: Sequence[str]) -> Iterator[str]:
    """Every run of neighbouring words, joined; of a, b: "a", "a_b", "b"."""
    for start in range(min(len(parts), LONGEST)):
        for end in range(start + 1, min(len(parts), LONGEST) + 1):
            yield "_".join(parts[start:end])


def assign_groups(
    entries: Sequence[Entry], sha256s: Sequence[str], *, same: Sequence[tuple[int, int]] = ()
) -> list[str]:
    """Finds each video's group.

    Args:
        entries: with the group where the data set gives it.
        sha256s: of their files.
        same: pairs of indices of entries that belong together.

    Returns:
        The group of each entry: the data set's own name, or the smallest name among its videos.
    """
    links = Links()
    people = person_folders(entries)
    given = {name for entry in entries for name in (entry.group, *entry.linked) if name}
    nodes, names = [], []
    nameless = []  # entries whose partners are to be found by name, with node and words
    for entry, sha256 in zip(entries, sha256s, strict=True):
        name, node = entry.group, f"given {entry.group}"
        if not entry.group:
            person = person_of(entry, people)
            stem = PurePosixPath(entry.path).stem
            name = person or (stem if words(stem) else entry.path)  # fake.mp4 has no words
            wordless = entry.path if any(map(str.isalnum, stem)) else stem  # "_" is a name
            node = f"name {_plain(person)}/{_plain(stem) or wordless}"
            nameless.append((entry, node, words(stem)))
            if _plain(name) in people:
                links.join(node, f"folder {_plain(name)}")
            if name in given:
                links.join(node, f"given {name}")
        for other in entry.linked:
            links.join(node, f"given {other}")
        # A group keeps its name where only a part of its videos is downloaded.
        name = min(name, *entry.linked) if entry.linked else name
        links.join(node, f"sha256 {sha256}")
        nodes.append(node)
        names.append(name)
    _link_names(nameless, people, links)
    for first, second in same:
        links.join(nodes[first], nodes[second])
    components = [links.find(node) for node in nodes]
    shown: dict[str, str] = {}
    for component, name in zip(components, names, strict=True):
        best = shown.get(component, name)
        shown[component] = min(best, name, key=lambda name: (name not in given, name))
    return [shown[component] for component in components]


def person_folders(entries: Sequence[Entry]) -> set[str]:
    """Folders of reals, one for each person: the first level with FOLDERS names; plain names."""
    levels: defaultdict[int, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.label != FAKE and not entry.group:
            for depth, name in enumerate(filter(None, map(_plain, _folders(entry)))):
                levels[depth].add(name)
    return next((levels[depth] for depth in sorted(levels) if len(levels[depth]) >= FOLDERS), set())


def person_of(entry: Entry, people: set[str]) -> str:
    """The folder of `person_folders` that a video is in; "" for none."""
    return next((folder for folder in _folders(entry) if _plain(folder) in people), "")


def _link_names(
    nameless: Sequence[tuple[Entry, str, tuple[str, ...]]], people: set[str], links: Links
) -> None:
    """Links fakes to reals, and videos that share a person's word, by the words of their names."""
    reals: defaultdict[str, set[str]] = defaultdict(set)
    numbers: defaultdict[str, set[str]] = defaultdict(set)
    for entry, node, stem in nameless:
        if entry.label != FAKE:
            reals["_".join(stem)].add(node)
            for word in filter(str.isdecimal, stem):
                numbers[word].add(node)
    pairs = not reals or any(name.isdecimal() for name in reals)
    for entry, node, stem in nameless:
        folders = [_plain(folder) for folder in _folders(entry)]
        persons = [word for word in (*folders, *stem) if PERSON.fullmatch(word)]
        if entry.label == FAKE and people.isdisjoint(folders):
            if pairs and len(stem) == 2 and "".join(stem).isdecimal():
                persons += stem
            partners = {f"folder {run}" for run in runs(stem) if run in people}
            if not partners:
                partners = {real for run in runs(stem) for real in reals.get(run, ())}
            if not partners and not persons:
                alone = [numbers[word] for word in stem if len(numbers.get(word, ())) == 1]
                partners = set().union(*alone)
            for partner in partners:
                links.join(node, partner)
        for word in persons:
            links.join(node, f"person {word}")


def _plain(name: str) -> str:
    """A name as it is compared: equal for one person under different spellings."""
    return "_".join(words(name))


def _folders(entry: Entry) -> list[str]:
    """Folders above a video that may name a person, from the label's folder downwards."""
    parts = PurePosixPath(entry.path).parts[:-1]
    labelled = [place for place, part in enumerate(parts) if label_of(part) is not None]
    below = parts[labelled[-1] + 1 :] if labelled else parts
    return [part for part in below if not is_container(part)]
