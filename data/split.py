"""Splits by group, so that no person is on two sides: stratified, seeded, and steady.

Each group has a fixed place, the hash of its name and the seed; a split takes groups in the order
of their places. So adding videos moves only the few groups near a border.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from data.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How videos are split.

    Attributes:
        validation: share of groups for validation.
        test: share of groups for the test.
        seed: of the places of groups.
    """

    validation: float = 0.2
    test: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ConfigError(f"index.{name} must be from 0 to below 1, got {share}")
        if self.validation + self.test >= 1:
            raise ConfigError(
                "index.validation and index.test must leave something to train on, "
                f"got {self.validation} and {self.test}"
            )


def split_groups(strata: Mapping[str, Hashable], config: SplitConfig) -> dict[str, str]:
    """Deals groups out to train, val and test.

    Args:
        strata: group -> what kind of group it is (which labels and methods it holds); each kind is
            dealt out in the same shares, what rounding leaves goes on to the next kind.
        config: shares and seed.

    Returns:
        group -> split.
    """
    kinds: defaultdict[Hashable, list[str]] = defaultdict(list)
    for group in sorted(strata, key=lambda group: place(group, config.seed)):
        kinds[strata[group]].append(group)
    splits: dict[str, str] = {}
    owed_test = owed_validation = 0.0
    for kind in sorted(kinds, key=repr):
        groups = kinds[kind]
        owed_test += config.test * len(groups)
        owed_validation += config.validation * len(groups)
        test = min(len(groups), max(0, round(owed_test)))
        validation = min(len(groups) - test, max(0, round(owed_validation)))
        owed_test -= test
        owed_validation -= validation
        for number, group in enumerate(groups):
            splits[group] = (
                "test" if number < test else "val" if number < test + validation else "train"
            )
    return splits


def place(group: str, seed: int) -> str:
    """A group's fixed place in the order."""
    return hashlib.sha256(f"{seed} {group}".encode("utf-8", "surrogateescape")).hexdigest()
