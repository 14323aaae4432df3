"""Metrics: scikit-learn's values, intervals that hold groups together, and honest edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from data.errors import DatasetError
from models.bootstrap import group_weights, weighted_metrics
from models.evaluate import (
    METRICS,
    choose_threshold,
    difference,
    equal_error_rate,
    evaluate,
    point_metrics,
)


def drawn(
    count: int, *, shift: float = 1.0, ties: bool = False, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[str, ...]]:
    """Labels, scores and groups of two videos each; `shift` parts the classes."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    scores = 1 / (1 + np.exp(-(draw.standard_normal(count) + shift * (labels - 0.5))))
    if ties:
        scores = np.round(scores, 1)
    return labels, scores, tuple(f"person {number // 2}" for number in range(count))


@given(seed=st.integers(0, 10_000), ties=st.booleans(), count=st.integers(6, 60))
@settings(max_examples=40)
def test_draws_by_weights_equal_scikit_learn_on_repeated_videos(
    seed: int, ties: bool, count: int
) -> None:
    labels, scores, groups = drawn(count, ties=ties, seed=seed)
    weights = group_weights(labels, np.asarray(groups), rounds=5, seed=seed)
    found = weighted_metrics(labels, scores, weights, threshold=0.5)
    assert set(found) == set(METRICS)
    for row, weight in enumerate(weights.astype(int)):
        repeated = np.repeat(np.arange(count), weight)
        expected = point_metrics(labels[repeated], scores[repeated], threshold=0.5)
        for name in METRICS:
            assert found[name][row] == pytest.approx(expected[name], abs=1e-12), name


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=40)
def test_eer_is_where_the_curve_meets_the_diagonal(seed: int, ties: bool) -> None:
    labels, scores, _ = drawn(50, ties=ties, seed=seed)
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    # An independent way: the curve by its length, and a root by bisection.
    length = np.arange(len(false_positive))
    meet = brentq(
        lambda at: np.interp(at, length, false_positive) + np.interp(at, length, true_positive) - 1,
        0,
        length[-1],
    )
    expected = np.interp(meet, length, false_positive)
    assert equal_error_rate(labels, scores) == pytest.approx(expected, abs=1e-9)


def test_perfect_reversed_and_constant_scores() -> None:
    labels = np.array([0, 0, 1, 1])
    groups, methods = ("a", "b", "a", "b"), ("", "", "swap", "swap")
    for scores, auc, eer in (
        ([0.1, 0.2, 0.8, 0.9], 1.0, 0.0),
        ([0.9, 0.8, 0.2, 0.1], 0.0, 1.0),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
    ):
        found = evaluate(labels, np.array(scores), groups, methods, threshold=0.5, rounds=20)
        assert found.metrics["auc"].value == auc
        assert found.metrics["eer"].value == pytest.approx(eer)
    assert found.confusion == ((0, 2), (0, 2))
    assert found.methods["swap"].value == 1.0


def test_a_draw_takes_whole_groups() -> None:
    labels, _, groups = drawn(40)
    weights = group_weights(labels, np.asarray(groups), rounds=50, seed=1)
    np.testing.assert_array_equal(weights[:, ::2], weights[:, 1::2])
    np.testing.assert_array_equal(weights.sum(1), 40)
    np.testing.assert_array_equal(
        weights, group_weights(labels, np.asarray(groups), rounds=50, seed=1)
    )
    assert (weights != group_weights(labels, np.asarray(groups), rounds=50, seed=2)).any()


def test_a_draw_without_a_class_is_drawn_again() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1])
    weights = group_weights(labels, np.array(list("abcdef")), rounds=200, seed=0)
    assert (weights[:, 5] > 0).all()
    assert (weights[:, :5].sum(1) > 0).all()


def test_intervals_hold_the_value_and_shrink_with_videos() -> None:
    widths = []
    for count in (40, 4000):
        labels, scores, groups = drawn(count)
        found = evaluate(labels, scores, groups, ("",) * count, threshold=0.5, rounds=300)
        for name, estimate in found.metrics.items():
            assert estimate.low <= estimate.value <= estimate.high, name
        widths.append(found.metrics["auc"].high - found.metrics["auc"].low)
    assert widths[1] < widths[0] / 2


def test_a_model_compared_with_itself_differs_by_nothing() -> None:
    labels, scores, groups = drawn(60)
    one = evaluate(labels, scores, groups, ("",) * 60, threshold=0.5, rounds=50)
    assert difference(one, one) == difference(one, one, "ap")
    assert difference(one, one).high == 0
    worse = evaluate(labels, 1 - scores, groups, ("",) * 60, threshold=0.5, rounds=50)
    assert difference(one, worse).low > 0


def test_the_threshold_is_the_best_balance_far_from_both_sides() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert choose_threshold(labels, np.array([0.1, 0.2, 0.3, 0.7, 0.8])) == pytest.approx(0.5)
    # One real stands above a fake: better to lose one of three reals than one of two fakes.
    chosen = choose_threshold(labels, np.array([0.1, 0.2, 0.75, 0.7, 0.8]))
    assert 0.2 < chosen <= 0.7


def test_one_class_is_refused_with_what_is_missing() -> None:
    with pytest.raises(DatasetError, match="no fake video"):
        evaluate(np.zeros(3, int), np.zeros(3), ("a",) * 3, ("",) * 3, threshold=0.5)
    with pytest.raises(DatasetError, match="no real video"):
        choose_threshold(np.ones(3, int), np.zeros(3))
