"""Likelihood ratios: equal to lir's, right on Gaussians of known ratio, 1 where nothing is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from models.evaluation.bootstrap import group_and_method_weights, group_weights
from models.evaluation.likelihood_ratio import (
    LN10,
    LikelihoodRatio,
    even_odds_llrs,
    in_words,
    posterior,
    ratio_in_words,
)
from models.evaluation.likelihood_ratio_fit import (
    cllr,
    cllr_min,
    empirical_bounds,
    fit_likelihood_ratio,
    fit_line,
)
from tests import requirements


def gaussians(count: int, *, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and log-odds: N(+-apart / 2, 1), whose log LR is `apart` times the value."""
    draw = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int64)
    return labels, draw.standard_normal(count) + (labels - 0.5) * apart


def fitted(labels: np.ndarray, logits: np.ndarray, groups: np.ndarray) -> LikelihoodRatio:
    weights = group_weights(labels, groups, rounds=200, seed=0)
    return fit_likelihood_ratio(
        labels, expit(logits), weights, groups=len(np.unique(groups)), methods=0
    )


@pytest.mark.parametrize("apart", [0.5, 1.5, 3.0])
def test_gaussians_get_their_known_ratio(apart: float) -> None:
    labels, logits = gaussians(20_000, apart=apart, seed=1)
    found = fitted(labels, logits, np.arange(len(labels)).astype(str))
    assert found.slope * LN10 == pytest.approx(apart, rel=0.05)
    assert found.intercept == pytest.approx(0, abs=0.03)
    at = np.linspace(-1.5, 1.5, 7)
    known = np.clip(apart * at / LN10, found.lower, found.upper)
    np.testing.assert_allclose(found.apply(expit(at)), known, atol=0.06)
    low, high = found.interval(expit(at))
    assert np.all((low - 0.02 <= known) & (known <= high + 0.02))


def test_unequal_numbers_of_fakes_do_not_move_the_ratio() -> None:
    labels, logits = gaussians(20_000, apart=2.0, seed=2)
    some = (labels == 0) | (np.arange(len(labels)) % 10 == 1)  # one fake in five
    slope, intercept = fit_line(labels[some], logits[some])
    assert slope * LN10 == pytest.approx(2, rel=0.07)
    assert intercept == pytest.approx(0, abs=0.05)


def test_without_signal_every_ratio_is_next_to_one_and_every_score_unsure() -> None:
    draw = np.random.default_rng(3)
    labels, logits = (np.arange(200) % 2).astype(np.int64), draw.standard_normal(200) * 5
    found = fitted(labels, logits, (np.arange(200) // 2).astype(str))
    scores = expit(np.linspace(-15, 15, 50))
    assert np.abs(found.apply(scores)).max() < 0.3
    assert all(found.includes_one(score) for score in scores.tolist())
    assert found.unsure == (0, np.nextafter(1, 2))
    assert cllr(labels, found.apply(expit(logits))) == pytest.approx(1, abs=0.02)


def test_a_score_that_points_the_wrong_way_says_nothing() -> None:
    labels, logits = gaussians(200, apart=-2.0, seed=4)
    found = fitted(labels, logits, np.arange(200).astype(str))
    assert (found.slope, found.intercept) == (0, 0)
    assert not found.apply(expit(logits)).any()


def test_the_unsure_band_is_where_the_interval_includes_one() -> None:
    labels, logits = gaussians(120, apart=2.0, seed=5)
    found = fitted(labels, logits, (np.arange(120) // 4).astype(str))
    low, high = found.unsure
    assert 0 < low < 0.5 < high < 1
    for score in np.linspace(0.001, 0.999, 301).tolist():
        assert found.includes_one(score) == (low <= score <= high), score


def test_what_is_told_is_the_end_nearest_to_one() -> None:
    labels, logits = gaussians(120, apart=2.0, seed=5)
    found = fitted(labels, logits, (np.arange(120) // 4).astype(str))
    scores = np.linspace(0.001, 0.999, 301).reshape(7, 43)
    told, (low, high) = found.told(scores), found.interval(scores)
    assert np.all(np.abs(told) <= np.abs(found.apply(scores)))
    assert np.all(told[(low <= 0) & (high >= 0)] == 0)
    np.testing.assert_array_equal(told[low > 0], low[low > 0])
    np.testing.assert_array_equal(told[high < 0], high[high < 0])
    assert {-1.0, 0.0, 1.0} == {*np.sign(told).ravel().tolist()}
    assert np.isnan(found.told(np.asarray([np.nan]))).all()
    flat, shape = found.told(scores.ravel()), scores.shape
    np.testing.assert_array_equal(flat.reshape(shape), told)


def test_ratios_of_methods_that_disagree_are_known_badly() -> None:
    """Of three forgery methods one scores as real videos do: the next may do so, too."""
    labels, logits = gaussians(600, apart=4.0, seed=9)
    methods = np.where(labels == 1, (np.arange(600) // 2 % 3).astype(str), "real")
    logits[methods == "2"] -= 4
    groups = (np.arange(600) // 2).astype(str)
    by_group = fitted(labels, logits, groups)
    weights = group_and_method_weights(labels, groups, methods, rounds=200, seed=0)
    both = fit_likelihood_ratio(labels, expit(logits), weights, groups=300, methods=3)
    at = expit(np.asarray([3.0]))
    assert both.apply(at) == by_group.apply(at)
    widths = [float(np.diff(one.interval(at), axis=0)[0, 0]) for one in (by_group, both)]
    assert widths[1] > 2 * widths[0]
    assert weights.shape == (200, 600)
    assert np.all(weights[:, labels == 1].sum(1) > 0)
    real = group_weights(labels, groups, rounds=200, seed=0)[:, labels == 0]
    np.testing.assert_array_equal(weights[:, labels == 0], real)


def test_few_videos_bound_the_ratio_and_groups_widen_its_interval() -> None:
    labels, logits = gaussians(40, apart=12.0, seed=6)  # every video is told apart
    found = fitted(labels, logits, np.arange(40).astype(str))
    assert -np.log10(21) - 0.01 <= found.lower < 0 < found.upper <= np.log10(21) + 0.01
    draw = np.random.default_rng(7)
    labels = np.repeat(np.arange(20) % 2, 10).astype(np.int64)
    shared = np.repeat(draw.standard_normal(20), 10) * 2
    logits = shared + labels * 2 + draw.standard_normal(200) * 0.3
    by_group = fitted(labels, logits, np.repeat(np.arange(20), 10).astype(str))
    by_video = fitted(labels, logits, np.arange(200).astype(str))
    at = expit(np.asarray([4.0]))
    widths = [float(np.diff(one.interval(at), axis=0)[0, 0]) for one in (by_group, by_video)]
    assert widths[0] > 1.5 * widths[1]


def test_cllr_of_draws_is_that_of_repeated_videos() -> None:
    draw = np.random.default_rng(8)
    labels = (np.arange(30) % 2).astype(np.int64)
    llrs = np.round(draw.standard_normal(30) + labels, 1)  # with ties
    weights = draw.integers(0, 4, (5, 30)).astype(float)
    for row, (one, least) in enumerate(
        zip(cllr(labels, llrs, weights), cllr_min(labels, llrs, weights), strict=True)
    ):
        times = weights[row].astype(int)
        repeated, values = np.repeat(labels, times), np.repeat(llrs, times)
        assert one == pytest.approx(cllr(repeated, values), abs=1e-12)
        assert least == pytest.approx(cllr_min(repeated, values), abs=1e-12)


def test_cllr_of_saying_nothing_is_one_and_perfect_order_costs_nothing() -> None:
    labels = np.asarray([0, 0, 1, 1])
    assert cllr(labels, np.zeros(4)) == pytest.approx(1)
    assert cllr_min(labels, np.asarray([0.1, 0.2, 0.3, 0.4])) == pytest.approx(0, abs=1e-12)
    assert cllr(labels, np.asarray([2.0, 2, -2, -2])) > 6  # sure and wrong
    assert cllr_min(labels, np.full(4, 0.5)) == pytest.approx(1)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-40, 40)), min_size=4, max_size=60).filter(
        lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
    )
)
def test_equal_to_lir(rows: list[tuple[bool, int]]) -> None:
    requirements.module("lir")
    from lir.algorithms.bayeserror import elub
    from lir.data.models import LLRData
    from lir.metrics import cllr as lir_cllr
    from lir.metrics import cllr_min as lir_cllr_min

    labels = np.asarray([label for label, _ in rows], np.int64)
    llrs = np.asarray([value / 7 for _, value in rows])
    theirs = LLRData(features=llrs.copy(), labels=labels)
    assert cllr(labels, llrs) == pytest.approx(lir_cllr(theirs), abs=1e-12)
    assert cllr_min(labels, llrs) == pytest.approx(lir_cllr_min(theirs), abs=1e-9)
    np.testing.assert_allclose(empirical_bounds(labels, llrs), elub(llrs.copy(), labels), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_line_is_lirs(seed: int) -> None:
    requirements.module("lir")
    from lir.algorithms.logistic_regression import LogitCalibrator

    labels, logits = gaussians(101, apart=1.0, seed=seed)
    slope, intercept = fit_line(labels, logits)
    theirs = LogitCalibrator(tol=1e-8).fit(logits[:, None], labels).transform(logits[:, None])
    np.testing.assert_allclose(slope * logits + intercept, theirs[:, 0], atol=1e-6)


def test_posterior_is_bayes_rule() -> None:
    assert posterior(1.0, 0.5) == pytest.approx(10 / 11)
    assert posterior(2.0, 0.01) == pytest.approx(100 / 199)
    assert posterior(0.0, 0.3) == pytest.approx(0.3)
    assert (posterior(3.0, 0.0), posterior(-3.0, 1.0)) == (0, 1)


def test_words_name_the_likelier_side() -> None:
    assert in_words(0.9).endswith(
        "at least 7.9 times as likely if the video is fake than if it is real"
    )
    assert in_words(-2).endswith(
        "at least 100 times as likely if the video is real than if it is fake"
    )
    assert in_words(0.01).endswith("about as likely if the video is fake as if it is real")
    assert [ratio_in_words(one) for one in (-1.0, 0.0, 1.1, 3.2)] == ["1/10", "1", "13", "1,600"]


def test_read_back_from_json_and_refused_where_it_contradicts_itself() -> None:
    labels, logits = gaussians(60, apart=2.0, seed=9)
    found = fitted(labels, logits, np.arange(60).astype(str))
    assert LikelihoodRatio.from_json(found.to_json()) == found
    with pytest.raises(ValueError, match="do not fit"):
        LikelihoodRatio.from_json(replace(found, lower=0.5).to_json())


def test_scores_of_zero_and_one_have_finite_ratios() -> None:
    assert np.isfinite(even_odds_llrs(np.asarray([0.0, 1.0]))).all()
