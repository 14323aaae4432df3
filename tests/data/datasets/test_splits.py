"""Splits: whole groups, both labels on each side, and hardly a move when videos are added."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets.splits import Kind, SplitConfig, split_groups
from data.errors import ConfigError

PAIR: Kind = ((0, "real"), (1, "swap"))
REAL: Kind = ((0, "real"),)
FAKE: Kind = ((1, "swap"),)
OTHER_FAKE: Kind = ((1, "reenactment"),)
KINDS = st.dictionaries(
    st.text(max_size=6), st.sampled_from([PAIR, REAL, FAKE, OTHER_FAKE]), max_size=60
)


def pairs(count: int, start: int = 0) -> dict[str, Kind]:
    return {f"person {number}": PAIR for number in range(start, start + count)}


def labels_of(kinds: dict[str, Kind], splits: dict[str, str], split: str) -> set[int]:
    return {label for group in kinds if splits[group] == split for label, _ in kinds[group]}


@pytest.mark.parametrize("count", [5, 10, 60, 1003])
def test_shares_are_kept(count: int) -> None:
    sizes = Counter(split_groups(pairs(count), SplitConfig()).values())
    assert abs(sizes["test"] - 0.2 * count) <= 0.5
    assert abs(sizes["val"] - 0.2 * count) <= 0.5


def test_each_method_is_dealt_out_in_the_same_shares() -> None:
    kinds = {f"{kind} {number}": kind for kind in (REAL, FAKE, OTHER_FAKE) for number in range(40)}
    splits = split_groups(kinds, SplitConfig(validation=0.1, test=0.3))
    counts = Counter((kinds[group], split) for group, split in splits.items())
    for kind in (REAL, FAKE, OTHER_FAKE):
        assert (counts[kind, "val"], counts[kind, "test"]) == (4, 12)


@given(kinds=KINDS, seed=st.integers(0, 3))
def test_each_split_has_both_labels_where_there_are_enough(
    kinds: dict[str, Kind], seed: int
) -> None:
    splits = split_groups(kinds, SplitConfig(seed=seed))
    assert set(splits) == set(kinds)
    singles = Counter(kind[0][0] for kind in kinds.values() if len(kind) == 1)
    both = sum(len(kind) == 2 for kind in kinds.values())
    for label in (0, 1):
        # Three groups that hold this label alone can serve three splits, whatever else there is.
        if singles[label] >= 3 or (both >= 3 and not singles):
            for split in ("train", "val", "test"):
                assert label in labels_of(kinds, splits, split), (label, split)
        elif singles[label] or both:
            assert label in labels_of(kinds, splits, "train")


def test_two_groups_serve_training_and_validation_first() -> None:
    assert sorted(split_groups(pairs(2), SplitConfig()).values()) == ["train", "val"]
    assert sorted(split_groups(pairs(1), SplitConfig()).values()) == ["train"]
    assert sorted(split_groups(pairs(3), SplitConfig()).values()) == ["test", "train", "val"]
    assert split_groups({}, SplitConfig()) == {}


def test_a_share_of_zero_gets_nothing() -> None:
    splits = split_groups(pairs(10), SplitConfig(validation=0, test=0.5))
    assert Counter(splits.values()) == {"train": 5, "test": 5}
    assert set(split_groups(pairs(9), SplitConfig(validation=0, test=0)).values()) == {"train"}


def test_the_order_of_the_videos_does_not_matter_and_the_seed_does() -> None:
    kinds = pairs(50)
    splits = split_groups(kinds, SplitConfig())
    assert split_groups(dict(reversed(kinds.items())), SplitConfig()) == splits
    assert split_groups(kinds, SplitConfig(seed=1)) != splits


@pytest.mark.parametrize("added", [1, 10, 60])
def test_adding_videos_hardly_moves_the_others(added: int) -> None:
    before = split_groups(pairs(300), SplitConfig())
    after = split_groups(pairs(300 + added), SplitConfig())
    moved = Counter((before[group], after[group]) for group in before)
    assert moved["test", "val"] == moved["val", "test"] == 0
    # A new group pushes out of the test split or validation at most one that was there.
    assert sum(count for (old, new), count in moved.items() if old != new) <= max(2, 0.6 * added)


def test_adding_fakes_of_one_kind_leaves_the_other_kinds_almost_alone() -> None:
    kinds = pairs(200)
    before = split_groups(kinds, SplitConfig())
    after = split_groups(kinds | {f"new {n}": OTHER_FAKE for n in range(33)}, SplitConfig())
    assert sum(before[group] != after[group] for group in kinds) <= 2


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"validation": -0.1}, "index.validation must be at least 0 and below 1, got -0.1"),
        ({"test": 1.0}, "index.test must be at least 0 and below 1, got 1.0"),
        ({"test": float("nan")}, "index.test must be a number"),
        ({"validation": 0.5, "test": 0.5}, "must leave something to train on"),
    ],
)
def test_impossible_shares_are_refused(shares: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        SplitConfig(**shares)  # type: ignore[arg-type]
