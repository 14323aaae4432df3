"""Metrics: scikit-learn's values, intervals that hold groups together, and honest edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from data.errors import DatasetError
from models.evaluation.bootstrap import group_weights, weighted_auc, weighted_metrics
from models.evaluation.evaluate import difference, evaluate
from models.evaluation.metrics import METRICS, eer, point_metrics
from models.evaluation.thresholds import youden_threshold


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
        xtol=1e-14,
    )
    expected = np.interp(meet, length, false_positive)
    assert eer(false_positive, true_positive) == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 10_000), ties=st.booleans(), count=st.integers(4, 300))
@settings(max_examples=40)
def test_false_alarms_and_calibration_by_independent_ways(
    seed: int, ties: bool, count: int
) -> None:
    labels, scores, _ = drawn(count, ties=ties, seed=seed)
    found = point_metrics(labels, scores, threshold=0.5)
    for name, most in (("tpr_at_fpr_1", 0.01), ("tpr_at_fpr_5", 0.05)):
        thresholds = [np.inf, *scores]
        allowed = [t for t in thresholds if np.mean(scores[labels == 0] >= t) <= most]
        best = max(np.mean(scores[labels == 1] >= t) for t in allowed)
        assert found[name] == pytest.approx(best, abs=1e-12)
    true, said = calibration_curve(labels, scores, n_bins=10)
    sizes = np.histogram(np.searchsorted(np.linspace(0, 1, 11)[1:-1], scores), range(11))[0]
    sizes = sizes[sizes > 0]
    expected = np.average(np.abs(true - said), weights=sizes)
    assert found["ece"] == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 10_000), ties=st.booleans())
@settings(max_examples=30)
def test_auc_of_frames_equals_scikit_learn_on_repeated_frames(seed: int, ties: bool) -> None:
    labels, scores, groups = drawn(90, ties=ties, seed=seed)
    videos = np.arange(90) // 3
    labels = (videos % 2).astype(np.int64)
    weights = group_weights(labels[::3], np.asarray(groups[:30]), rounds=4, seed=seed)
    found = weighted_auc(labels, scores, weights, videos)
    for value, weight in zip(found, weights.astype(int), strict=True):
        again = np.repeat(np.arange(90), weight[videos])
        assert value == pytest.approx(roc_auc_score(labels[again], scores[again]), abs=1e-12)


def test_all_metrics_of_frames_equal_scikit_learn_on_repeated_frames() -> None:
    labels, scores, groups = drawn(40, seed=3)
    draw = np.random.default_rng(3)
    videos = draw.integers(0, 40, 150)
    frames = np.clip(scores[videos] + draw.normal(0, 0.1, 150), 0, 1)
    weights = group_weights(labels, np.asarray(groups), rounds=4, seed=3)
    found = weighted_metrics(labels[videos], frames, weights, threshold=0.5, videos=videos)
    for row, weight in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(150), weight[videos])
        expected = point_metrics(labels[videos][again], frames[again], threshold=0.5)
        for name in METRICS:
            assert found[name][row] == pytest.approx(expected[name], abs=1e-12), name


def test_parts_hold_their_own_videos_alone() -> None:
    labels, scores, groups = drawn(80)
    methods = tuple(("real", "swap", "real", "eyes")[n % 4] for n in range(80))
    sets = tuple("one" if n < 40 else "two" if n < 78 else "" for n in range(80))
    frames = np.stack([scores, scores], 1)
    frames[::3, 1] = np.nan
    found = evaluate(
        labels,
        scores,
        groups,
        methods,
        threshold=0.5,
        rounds=50,
        confidence=0.95,
        kinds={"data set": sets},
        frame_scores=frames,
    )
    assert set(found.slices) == {"method", "data set"}
    assert set(found.slices["data set"]) == {"one", "two"}
    keep = np.isin(methods, ["real", "swap"])
    swap = found.slices["method"]["swap"]
    assert swap.auc is not None
    assert swap.auc.value == roc_auc_score(labels[keep], scores[keep])
    assert (swap.reals, swap.fakes) == (40, 20)
    one = found.slices["data set"]["one"]
    assert one.recall_real is not None
    assert one.recall_real.value == np.mean(scores[:40][labels[:40] == 0] < 0.5)
    there = ~np.isnan(frames)
    expected = roc_auc_score(np.repeat(labels, there.sum(1)), frames[there])
    assert found.frames["auc"].value == pytest.approx(expected, abs=1e-12)
    alone = evaluate(
        labels,
        scores,
        groups,
        methods,
        threshold=0.5,
        rounds=20,
        confidence=0.95,
        kinds={"label": methods},
    )
    assert alone.slices["label"]["swap"].auc is None
    assert alone.slices["label"]["swap"].recall_real is None
    assert alone.to_json()["by"]["label"]["swap"]["fakes"] == 20


def test_perfect_reversed_and_constant_scores() -> None:
    labels = np.array([0, 0, 1, 1])
    groups, methods = ("a", "b", "a", "b"), ("", "", "swap", "swap")
    for scores, auc, error_rate in (
        ([0.1, 0.2, 0.8, 0.9], 1.0, 0.0),
        ([0.9, 0.8, 0.2, 0.1], 0.0, 1.0),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
    ):
        found = evaluate(
            labels, np.array(scores), groups, methods, threshold=0.5, rounds=20, confidence=0.95
        )
        assert found.metrics["auc"].value == auc
        assert found.metrics["eer"].value == pytest.approx(error_rate)
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
        found = evaluate(
            labels, scores, groups, ("",) * count, threshold=0.5, rounds=300, confidence=0.95
        )
        for name, estimate in found.metrics.items():
            assert estimate.low <= estimate.value <= estimate.high, name
        widths.append(found.metrics["auc"].high - found.metrics["auc"].low)
    assert widths[1] < widths[0] / 2


def test_a_model_compared_with_itself_differs_by_nothing() -> None:
    labels, scores, groups = drawn(60)
    one = evaluate(labels, scores, groups, ("",) * 60, threshold=0.5, rounds=50, confidence=0.95)
    assert difference(one, one) == difference(one, one, "ap")
    assert difference(one, one).high == 0
    worse = evaluate(
        labels, 1 - scores, groups, ("",) * 60, threshold=0.5, rounds=50, confidence=0.95
    )
    assert difference(one, worse).low > 0


def test_the_threshold_is_the_best_balance_far_from_both_sides() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert youden_threshold(labels, np.array([0.1, 0.2, 0.3, 0.7, 0.8])) == pytest.approx(0.5)
    # One real stands above a fake: better to lose one of three reals than one of two fakes.
    chosen = youden_threshold(labels, np.array([0.1, 0.2, 0.75, 0.7, 0.8]))
    assert 0.2 < chosen <= 0.7


def test_one_class_is_refused_with_what_is_missing() -> None:
    with pytest.raises(DatasetError, match="no fake video"):
        evaluate(
            np.zeros(3, int),
            np.zeros(3),
            ("a",) * 3,
            ("",) * 3,
            threshold=0.5,
            rounds=9,
            confidence=0.95,
        )
    with pytest.raises(DatasetError, match="no real video"):
        youden_threshold(np.ones(3, int), np.zeros(3))
