"""Calibration: probabilities that hold, thresholds as asked for, a band without verdict."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from data.errors import ConfigError
from models.configs import CalibrationConfig
from models.evaluation.baselines import Linear, fit_linear, metadata, shuffled
from models.evaluation.calibration import Calibration, calibrate, fit_temperature
from models.evaluation.thresholds import (
    RIDGE,
    pick_threshold,
    platt_threshold,
    youden_threshold,
)


def sure_of_itself(count: int = 400) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """Labels, scores of a head that is three times too sure, groups of two."""
    draw = np.random.default_rng(0)
    logits = draw.standard_normal(count)
    labels = (draw.random(count) < expit(logits)).astype(np.int64)
    return labels, expit(3 * logits), [f"g{n // 2}" for n in range(count)]


def test_temperature_is_the_least_log_loss() -> None:
    labels, scores, _ = sure_of_itself()
    fakes, reals = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    logits = np.log(scores / (1 - scores))

    def loss(slope: float) -> float:
        p = expit(slope * logits)
        return float(-(targets * np.log(p) + (1 - targets) * np.log1p(-p)).sum())

    best = minimize_scalar(loss, bounds=(0.05, 4), method="bounded", options={"xatol": 1e-10}).x
    assert fit_temperature(labels, scores) == pytest.approx(1 / best, rel=1e-5)
    assert fit_temperature(labels, scores) == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("method", ["temperature", "isotonic", "none"])
def test_calibrated_scores_keep_their_order_and_lose_less(method: str) -> None:
    labels, scores, groups = sure_of_itself()
    calibration, _ = calibrate(labels, scores, groups, CalibrationConfig(method=method))
    after = calibration.apply(scores)
    assert np.all(np.diff(after[np.argsort(scores)]) >= 0)
    if method == "temperature":
        assert roc_auc_score(labels, after) == roc_auc_score(labels, scores)
    if method == "none":
        np.testing.assert_array_equal(after, scores)
    else:
        assert log_loss(labels, after) < log_loss(labels, scores)
    assert Calibration.from_json(json.loads(json.dumps(asdict(calibration)))) == calibration


def test_few_videos_told_apart_do_not_make_every_score_sure() -> None:
    labels = np.array([0] * 6 + [1] * 6)
    scores = np.array([0.2] * 6 + [0.8] * 6)
    found = Calibration(method="temperature", temperature=fit_temperature(labels, scores))
    assert found.apply(np.array([0.8]))[0] == pytest.approx(7 / 8, abs=1e-9)  # Platt's target
    # And the extremes of float32 stay apart.
    edge = np.array([1e-20, 1e-19, 1 - 2.0**-24, 1.0])
    assert np.all(np.diff(found.apply(edge)) > 0)


def test_thresholds_keep_what_they_promise() -> None:
    labels, scores, groups = sure_of_itself()
    config = CalibrationConfig(threshold="fpr", target_fpr=0.05)
    calibration, threshold = calibrate(labels, scores, groups, config)
    after = calibration.apply(scores)
    accused = np.mean(after[labels == 0] >= threshold)
    assert 0.03 <= accused <= 0.05
    assert calibration.threshold_low is not None
    assert calibration.threshold_high is not None
    assert calibration.threshold_low <= threshold <= calibration.threshold_high
    nobody = CalibrationConfig(threshold="fpr", target_fpr=0)
    calibration, threshold = calibrate(labels, scores, groups, nobody)
    assert not np.any(calibration.apply(scores)[labels == 0] >= threshold)
    dear = CalibrationConfig(threshold="cost", false_alarm_cost=20)
    cheap = CalibrationConfig(threshold="cost", miss_cost=20)
    assert calibrate(labels, scores, groups, dear)[1] > calibrate(labels, scores, groups, cheap)[1]


def test_platt_threshold_move_less_than_the_best_balanced_accuracy() -> None:
    draw = np.random.default_rng(0)
    errors: dict[str, list[float]] = {"platt": [], "balanced": []}
    for _ in range(60):  # validation splits of 40 videos; P(fake) is even at a logit of 1
        labels = np.repeat([0, 1], [25, 15])
        logits = 1 + np.where(labels == 1, 2.0, -2.0) + 1.5 * draw.standard_normal(40)
        for rule, found in errors.items():
            config = CalibrationConfig(threshold=rule)
            threshold, _ = pick_threshold(labels, expit(logits), config)
            found.append(np.log(threshold / (1 - threshold)) - 1)
    spread = {rule: np.sqrt(np.mean(np.square(found))) for rule, found in errors.items()}
    assert spread["platt"] < 0.6 * spread["balanced"]
    assert abs(np.mean(errors["platt"])) < 0.15


def test_platt_threshold_are_those_of_a_logistic_regression() -> None:
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1], [30, 12])
    logits = np.where(labels == 1, 1.5, -1.0) + draw.exponential(1.5, 42)
    counted = draw.integers(0, 4, 42)
    at = (logits - logits.mean()) / logits.std()
    share = counted / np.where(labels == 1, counted[labels == 1].sum(), counted[labels == 0].sum())
    model = LogisticRegression(solver="newton-cholesky", tol=1e-12)  # its C = 1 is a ridge of 1
    model.fit(at[:, None], labels, share / 2 / RIDGE)
    expected = logits.mean() - logits.std() * model.intercept_[0] / model.coef_[0, 0]
    found = platt_threshold(labels, expit(logits), counted)
    assert found == pytest.approx(expit(np.asarray(expected)), abs=1e-6)
    assert abs(found - youden_threshold(labels, expit(logits))) > 0.01


@pytest.mark.parametrize("scale", [1.0, 0.01, 0.001])
def test_platt_threshold_know_no_scale(scale: float) -> None:
    labels, at = np.repeat([0, 1], [4, 3]), np.array([-3, -2, -2, -1, 0.5, 1, 6])
    found = platt_threshold(labels, expit(3 + scale * at))
    assert found is not None
    reference = platt_threshold(labels, expit(at))
    assert reference is not None
    assert (np.log(found / (1 - found)) - 3) / scale == pytest.approx(
        np.log(reference / (1 - reference)), abs=1e-3
    )


def test_without_platt_threshold_another_rule_is_taken_and_told() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.9, 0.7, 0.3, 0.1])
    for hopeless in (scores, np.full(4, 0.5)):
        assert platt_threshold(labels, hopeless) is None
        calibration, threshold = calibrate(labels, hopeless, list("abcd"), CalibrationConfig())
        assert "balanced accuracy, since" in calibration.rule
        assert threshold == youden_threshold(labels, calibration.apply(hopeless))
    calibration, _ = calibrate(labels, 1 - scores, list("abcd"), CalibrationConfig())
    assert calibration.rule == "even odds of Platt's sigmoid"


def test_the_band_holds_the_share_asked_for() -> None:
    labels, scores, groups = sure_of_itself()
    calibration, threshold = calibrate(labels, scores, groups, CalibrationConfig(unsure=0.2))
    after = calibration.apply(scores)
    assert calibration.unsure(after).mean() == pytest.approx(0.2, abs=0.01)
    assert calibration.verdict(threshold, threshold) == "UNSURE"
    assert calibration.verdict(1.0, threshold) == "FAKE"
    assert calibration.verdict(0.0, threshold) == "REAL"
    assert Calibration().verdict(0.5, 0.5) == "FAKE"  # an older bundle judges everything


def test_impossible_settings_are_named() -> None:
    for key, value in (("method", "magic"), ("threshold", "x"), ("unsure", 1.0), ("miss_cost", 0)):
        with pytest.raises(ConfigError, match=f"calibration.{key}"):
            CalibrationConfig(**{key: value})


class File:
    """What metadata are read from."""

    size_bytes, bit_rate, duration_seconds, width, height, fps, codec = (
        9,
        9,
        1.0,
        4,
        4,
        25.0,
        "h264",
    )


def test_a_linear_control_learns_and_comes_back() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(200) % 2
    inputs = np.stack([draw.standard_normal(200) + 2 * labels, np.full(200, 7.0)], 1)
    found = fit_linear(inputs[:100], labels[:100], inputs[100:150], labels[100:150])
    assert roc_auc_score(labels[150:], found.score(inputs[150:])) > 0.8
    assert found.weight[1] == 0  # what never varies says nothing
    assert Linear.from_json(json.loads(json.dumps(asdict(found)))) == found
    assert metadata([File()], ("hevc", "h264")).tolist()[0][-2:] == [0, 1]


def test_a_shuffle_keeps_frames_and_padding() -> None:
    features = np.arange(24.0).reshape(2, 6, 2)
    mask = np.arange(6) < np.array([[6], [3]])
    found = shuffled(features, mask, np.random.default_rng(1))
    assert np.any(found[0] != features[0])
    np.testing.assert_array_equal(np.sort(found[:, :, 0], axis=1), features[:, :, 0])
    np.testing.assert_array_equal(found[1, 3:], features[1, 3:])
