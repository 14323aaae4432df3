"""Groups: videos that share a person or a source, as connected components.

Where a data set names no groups, file names are read with suspicion: better two strangers in one
group than one person on both sides of a split. Linked are videos
- whose stems are equal when words like real and fake are left out: real/ann.mp4, fake/ann_fake.mp4;
- where a real one's stem stands inside a fake one's: fake/000_003.mp4 with real/000 and real/003;
- that share a word like id12, person_3 or actor07;
- that are the same file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from data.layouts.listing import FAKE, Entry, label_of

LONGEST = 8
"""Words of a stem that are looked at; more are no name."""
PERSON = re.compile(r"(?:id|person|people|subject|actor|speaker|user|identity)0*\d+")
SPLIT_PERSON = re.compile(r"(id|person|people|subject|actor|speaker|user|identity)[_\-. ]+(?=\d)")


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


def words(path: str) -> list[str]:
    """The words of a file's stem, without those that only say the label."""
    stem = SPLIT_PERSON.sub(r"\1", PurePosixPath(path).stem.casefold())
    found = [word for word in re.split(r"[_\-. ()]+", stem) if word and label_of(word) is None]
    return found[:LONGEST]


def assign_groups(entries: Sequence[Entry], sha256s: Sequence[str]) -> list[str]:
    """Finds each video's group.

    Args:
        entries: with the group where the data set tells it.
        sha256s: of their files.

    Returns:
        The group of each entry; the data set's own name where there is one.
    """
    links = Links()
    reals = {
        "_".join(words(entry.path)) for entry in entries if entry.label != FAKE and not entry.group
    }
    nodes = []
    for entry, sha256 in zip(entries, sha256s, strict=True):
        if entry.group:
            node = f"1 {entry.group}"
        else:
            stem = words(entry.path)
            node = f"2 {'_'.join(stem) or entry.path}"
            for word in stem:
                if PERSON.fullmatch(word):
                    links.join(node, f"3 {word}")
            if entry.label == FAKE:
                for start in range(len(stem)):
                    for end in range(start + 1, len(stem) + 1):
                        part = "_".join(stem[start:end])
                        if part in reals:
                            links.join(node, f"2 {part}")
        links.join(node, f"4 {sha256}")
        nodes.append(node)
    return [links.find(node)[2:] for node in nodes]
