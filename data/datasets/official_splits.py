"""Splits that come with a data set, and the splits of the videos that they leave out.

A published split is kept as it is, video by video, because results are compared on it. Some, such
as Celeb-DF's, have people on both sides; that gives a warning. In a user's own table, which can be
corrected, a group on two sides is an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from data.datasets.layouts.listing import NOT_TEST, Entry
from data.datasets.splits import SplitConfig, split_groups
from data.errors import DatasetError

GUARDED = ("test", "val", "train")
"""Where a video without a split goes whose group is on several sides: training comes last."""


def assign_splits(
    entries: Sequence[Entry], groups: Sequence[str], config: SplitConfig, *, official: bool
) -> list[str]:
    """The split of each entry: the data set's own where it has one, else drawn by group.

    Args:
        entries: with the splits that the data set gives.
        groups: of each entry.
        config: shares and seed.
        official: the splits were published with the data set.

    Returns:
        "train", "val" or "test" for each entry. Entries of NOT_TEST are divided among train and
        val; where their group has published test videos, by the person seen.

    Raises:
        DatasetError: a group is in two splits that are not official.
    """
    given: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for entry, group in zip(entries, groups, strict=True):
        if entry.split not in ("", NOT_TEST):
            given[group].setdefault(entry.split, entry)
    for group, sides in given.items():
        if len(sides) > 1 and not official:
            one, other = list(sides.values())[:2]
            raise DatasetError(
                f"the group {group} is in two splits: {one.path} in {one.split}, "
                f"{other.path} in {other.split}; a person must be on one side only"
            )
    kept = {group for entry, group in zip(entries, groups, strict=True) if entry.split == NOT_TEST}
    free: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    held: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    decided: list[tuple[str, str]] = []  # "given" and the split, or a key of `drawn` and a unit
    for entry, group in zip(entries, groups, strict=True):
        kind = (entry.label, entry.method)
        sides = given.get(group, {})
        if entry.split not in ("", NOT_TEST):
            decided.append(("given", entry.split))
        elif entry.split == "" and sides:
            decided.append(("given", next(split for split in GUARDED if split in sides)))
        elif group in kept:
            unit = entry.group if sides and entry.group else group
            held[unit].add(kind)
            decided.append(("held", unit))
        else:
            free[group].add(kind)
            decided.append(("free", group))
    drawn = {
        "free": split_groups({name: tuple(sorted(free[name])) for name in free}, config),
        "held": split_groups(
            {name: tuple(sorted(held[name])) for name in held}, config.replace(test=0.0)
        ),
    }
    return [name if how == "given" else drawn[how][name] for how, name in decided]


def straddling_warning(entries: Sequence[Entry], splits: Sequence[str]) -> list[str]:
    """A line of warning where a person is on both sides of the splits."""
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for entry, split in zip(entries, splits, strict=True):
        for name in filter(None, (entry.group, *entry.linked)):
            sides[name].add("test" if split == "test" else "training")
    both = sorted(name for name, where in sides.items() if len(where) > 1)
    if not both:
        return []
    people = f"{len(both)} people or originals" if len(both) > 1 else "a person or original"
    return [
        f"the published split has {people} in training and test alike, {both[0]} for one; "
        "`unmask evaluate` will refuse that test split without --allow-seen"
    ]
