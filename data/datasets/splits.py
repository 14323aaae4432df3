"""Splits by group, so that no person is on two sides: stratified, seeded and stable.

Groups are ordered by the hash of their name and the seed. The test split takes the first groups in
that order, validation the last ones. So adding videos moves only the few groups near a border, and
none from the test split to validation or back.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from data.io.settings import Settings

Kind = tuple[tuple[int, str], ...]
"""What a group holds: the labels and methods of its videos, sorted, each once."""

FIRST = ("train", "val", "test")
"""The order in which splits get both labels: without training there is nothing to test."""


class SplitConfig(Settings):
    """How videos are split."""

    section: ClassVar[str] = "index"

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of groups for validation
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of groups for the test
    seed: int = 0  # of the order of groups

    @model_validator(mode="after")
    def _some_are_left(self) -> SplitConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                "index.validation and index.test must leave something to train on, "
                f"got {self.validation} and {self.test}"
            )
        return self


def split_groups(kinds: Mapping[str, Kind], config: SplitConfig) -> dict[str, str]:
    """Divides groups among train, val and test.

    Args:
        kinds: group -> its kind; each kind is divided in the same shares, and the rest of the
            rounding goes to the next kind.
        config: shares and seed.

    Returns:
        group -> split. Each split of a share above 0 has both labels, where there are enough
        groups for that; training comes first, then validation, then the test.
    """
    order = sorted(kinds, key=lambda group: place(group, config.seed))
    alike: defaultdict[Kind, list[str]] = defaultdict(list)
    for group in order:
        alike[kinds[group]].append(group)
    splits: dict[str, str] = {}
    owed_test = owed_validation = 0.0
    for kind in sorted(alike):
        groups = alike[kind]
        owed_test += config.test * len(groups)
        owed_validation += config.validation * len(groups)
        test = min(len(groups), max(0, math.floor(owed_test + 0.5)))
        validation = min(len(groups) - test, max(0, math.floor(owed_validation + 0.5)))
        owed_test -= test
        owed_validation -= validation
        splits |= dict.fromkeys(groups, "train")
        splits |= dict.fromkeys(groups[:test], "test")
        splits |= dict.fromkeys(groups[len(groups) - validation :], "val")
    labels = {group: {label for label, _ in kinds[group]} for group in order}
    shares = {"train": 1.0, "val": config.validation, "test": config.test}
    for split in FIRST:
        for label in (0, 1):
            if shares[split]:
                _provide(split, label, splits, labels)
    return splits


def place(group: str, seed: int) -> str:
    """What a group is ordered by."""
    return hashlib.sha256(f"{seed} {group}".encode("utf-8", "surrogateescape")).hexdigest()


def _provide(
    split: str, label: int, splits: dict[str, str], labels: Mapping[str, set[int]]
) -> None:
    """Gives a split that has no group of a label one, from where there are most of them.

    A split gives a group only if others of the same labels are left in it, or if the receiving
    split comes before it in FIRST. `labels` is in the order of `place`.
    """
    held = Counter((splits[group], one) for group in labels for one in labels[group])
    if held[split, label]:
        return
    offers = {}
    for group in labels:
        giver = splits[group]
        spare = all(held[giver, one] > 1 for one in labels[group])
        if label in labels[group] and (spare or FIRST.index(giver) > FIRST.index(split)):
            offers[group] = (spare, held[giver, label])
    if offers:
        splits[max(offers, key=lambda group: offers[group])] = split
