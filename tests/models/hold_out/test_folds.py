"""Folds hold out people and forgery methods together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.hold_out.folds import make_folds


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 12), st.sampled_from("abcdefg")),
        min_size=1,
        max_size=80,
    ),
    st.integers(2, 6),
)
def test_no_head_sees_the_person_or_the_method_that_it_is_tested_on(
    rows: list[tuple[int, int, str]], count: int
) -> None:
    labels = np.asarray([label for label, _, _ in rows])
    groups = [f"p{group}" for _, group, _ in rows]
    methods = [method if label else "real" for label, _, method in rows]
    tested = np.zeros(len(rows), int)
    for fold in make_folds(labels, groups, methods, count=count):
        tested += fold.test
        seen = {group for group, one in zip(groups, fold.train, strict=True) if one}
        known = {
            method
            for method, label, one in zip(methods, labels, fold.train, strict=True)
            if one and label
        }
        for row in np.flatnonzero(fold.test).tolist():
            assert groups[row] not in seen
            if len(set(np.asarray(methods)[labels == 1])) > 1 and labels[row]:
                assert methods[row] not in known
        assert set(labels[fold.train].tolist()) == {0, 1}
    assert tested.max(initial=0) <= 1


def test_one_fake_a_person_is_all_tested() -> None:
    labels = np.asarray([0, 1] * 30)
    groups = [f"p{number // 2}" for number in range(60)]
    methods = ["real" if number % 2 == 0 else "abc"[number // 2 % 3] for number in range(60)]
    folds = make_folds(labels, groups, methods, count=5)
    assert [fold.methods for fold in folds] == [("a",), ("b",), ("c",)]
    assert sum(fold.test for fold in folds).tolist() == [1] * 60


def test_every_person_by_every_method_tests_all_reals_and_a_share_of_the_fakes() -> None:
    methods = ["real", "a", "b", "c", "d"] * 20
    groups = [f"p{number // 5}" for number in range(100)]
    labels = np.asarray([int(method != "real") for method in methods])
    tested = sum(fold.test for fold in make_folds(labels, groups, methods, count=5))
    assert tested[labels == 0].sum() == 20
    assert tested[labels == 1].sum() == 20


def test_one_method_holds_out_people_alone() -> None:
    labels = np.asarray([0, 1] * 20)
    groups = [f"p{number // 2}" for number in range(40)]
    folds = make_folds(labels, groups, ["real", "swap"] * 20, count=5)
    assert len(folds) == 5
    assert all(fold.methods == () for fold in folds)
    assert sum(fold.test for fold in folds).tolist() == [1] * 40


def test_too_few_people_make_no_folds() -> None:
    assert make_folds(np.asarray([0, 1, 0, 1]), ["a", "a", "b", "b"], ["", "x"] * 2, count=5) == []
