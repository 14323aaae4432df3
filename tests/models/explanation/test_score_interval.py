"""What stands behind one video's score: windows, halves, and an interval that is one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from models.bundle import BundledHead
from models.evaluation.calibration import Calibration, bounded_logit
from models.explanation.score_interval import (
    DRAWS,
    INTERVAL_LEVEL,
    centred,
    half_samples,
    interval,
    score_interval,
    score_parts,
    score_sequences,
    window_frames,
)
from models.heads import inference
from models.heads.architectures import KINDS, HeadConfig, build_head
from models.tf_runtime import seed_everything, tf

DIM = 6


def head_of(kind: str, **more) -> BundledHead:
    seed_everything(1)
    config = HeadConfig(kind=kind, units=4, residual=False)
    model = build_head(config, dim=DIM, mean=np.zeros(DIM), variance=np.ones(DIM))
    return BundledHead(
        model=model, config=config, threshold=0.5, history=(), best_epoch=1, stop_reason="made",
        **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((12, DIM)).astype(np.float16)


@pytest.mark.parametrize("kind", KINDS)
def test_each_window_has_the_score_of_its_own_frames(kind, features):
    calibration = Calibration(method="temperature", temperature=2.0)
    head = head_of(kind, calibration=calibration)
    found = score_interval(head, features, np.arange(12) / 4)
    alone = head.model({"features": features[None, 3:7], "mask": np.ones((1, 4), bool)})
    window = found.windows[3]
    assert (window.start_seconds, window.end_seconds) == (0.75, 1.5)
    wanted = calibration.apply(np.asarray(alone, np.float64))
    assert window.probability_fake == pytest.approx(float(wanted[0]), abs=1e-6)
    assert found.low <= found.probability_fake <= found.high
    assert found.low < found.high
    assert 0 <= found.agreement <= 1


def test_a_video_that_never_changes_has_a_narrow_interval(features):
    still = np.repeat(features[:1], 12, axis=0)
    found = score_interval(head_of("mean"), still, np.arange(12.0))
    assert found.high - found.low < 1e-5
    assert found.agreement == 1


def test_few_frames_give_no_interval(features):
    found = score_interval(head_of("mean"), features[:6], np.arange(6.0))
    assert found.low is found.high is found.agreement is None
    assert found.windows


def test_halves_are_halves_in_order_and_differ():
    halves = half_samples(32, block=2, seed=0)
    assert len(halves) == DRAWS == len({tuple(one) for one in halves})
    for one in halves:
        assert len(one) == 16
        assert (np.diff(one) > 0).all()
        assert (one.reshape(-1, 2) % 2 == [0, 1]).all()  # neighbours stay together
    shares = np.bincount(np.concatenate(halves), minlength=32) / DRAWS
    assert shares.min() > 0.35  # no frame is left out
    assert shares.max() < 0.65
    assert len(half_samples(8, block=2, seed=0)) == 6  # all there are


def test_windows_hold_every_frame_and_runs_stay_whole():
    for count in (1, 3, 8, 16, 32, 61):
        assert set(np.concatenate(window_frames(count))) == set(range(count))
    assert [one.tolist() for one in window_frames(10, clip_length=4)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
    ]  # fmt: skip


def test_the_interval_covers_what_all_frames_would_give():
    """Frames of one video around a true value: the score is their mean, on log-odds."""
    draw = np.random.default_rng(0)
    covered = 0
    halves = half_samples(32, block=2, seed=0)
    for _ in range(400):
        frames = 0.7 + draw.standard_normal(32)
        low, high = interval(
            float(expit(frames.mean())), expit(np.stack([frames[one].mean() for one in halves]))
        )
        covered += low <= expit(np.asarray(0.7)) <= high
    assert 0.88 <= covered / 400 <= 0.98, covered / 400


def test_sure_scores_keep_finite_log_odds():
    assert np.isfinite(bounded_logit(np.asarray([0.0, 1.0, 0.5]))).all()
    assert interval(1.0, np.asarray([1.0, 1.0, 0.9]))[1] <= 1.0


def test_parts_of_other_lengths_score_as_alone(features):
    head = head_of("lstm")
    both = score_parts(head, features, [np.arange(12), np.asarray([2, 5, 9])])
    alone = head.model({"features": features[None, [2, 5, 9]], "mask": np.ones((1, 3), bool)})
    assert both[1] == pytest.approx(float(np.asarray(alone)[0]), abs=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "statistics"])
def test_each_frame_meets_the_large_matrices_once(kind, features, monkeypatch):
    """And parts score as they do alone, whatever their lengths."""
    head, seen = head_of(kind), []
    parts = [np.arange(12), np.asarray([2, 5, 9]), np.arange(4, 11)]
    frames = np.stack([features] * 3)
    mask = np.zeros((3, 12), bool)
    for row, part in enumerate(parts):
        frames[row, : len(part)], mask[row, : len(part)] = features[part], True
    alone = score_sequences(head, frames, mask)
    whole = inference.LAYERS["standardise"]
    monkeypatch.setitem(
        inference.LAYERS, "standardise", lambda *one: seen.append(one[1].shape) or whole(*one)
    )
    np.testing.assert_allclose(score_parts(head, features, parts), alone, atol=1e-6)
    assert seen == [(1, 12, DIM)]


class SurerByEachFrame:
    """A head whose log-odds grow with every frame, as an LSTM's do: halves are half as sure."""

    def __init__(self, each_frame: float) -> None:
        self.each_frame = each_frame

    def __call__(self, inputs, training=False):
        there = tf.cast(inputs["mask"], tf.float32)
        noise = 0.1 * tf.cast(inputs["features"][..., 0], tf.float32)
        return tf.sigmoid(tf.reduce_sum((self.each_frame + noise) * there, axis=1))


def surer(each_frame: float, threshold: float, **band) -> BundledHead:
    return BundledHead(
        model=SurerByEachFrame(each_frame), config=HeadConfig(kind="mean"),
        threshold=float(expit(np.asarray(threshold))), history=(), best_epoch=1,
        stop_reason="made",
        calibration=Calibration(**{k: float(expit(np.asarray(v))) for k, v in band.items()}),
    )  # fmt: skip


@pytest.mark.parametrize("count", [8, 12, 32])  # 6, 20 and 200 halves
@pytest.mark.parametrize(
    ("verdict", "side", "threshold", "band"),
    [
        ("REAL", -1, -2.0, {}),  # log-odds -3, of halves -1.5: above the threshold
        ("FAKE", 1, 2.0, {}),
        ("UNSURE", 1, 3.0, {"unsure_low": 2.0, "unsure_high": 4.0}),
        ("REAL", -1, -1.0, {"unsure_low": -2.0, "unsure_high": 0.0}),
        ("FAKE", 1, 1.0, {"unsure_low": 0.0, "unsure_high": 2.0}),
    ],
)
def test_interval_and_agreement_follow_one_rule(verdict, side, threshold, band, count):
    features = np.zeros((count, DIM), np.float16)
    features[:, 0] = np.resize([0.5, 0.5, -0.5, -0.5], count)
    head = surer(side * 3 / count, threshold, **band)
    found = score_interval(head, features, np.arange(float(count)))
    judge = head.calibration.verdict
    ends = {judge(one, head.threshold) for one in (found.low, found.high)}
    assert judge(found.probability_fake, head.threshold) == verdict
    assert ends == {verdict}
    assert found.agreement >= INTERVAL_LEVEL


def test_agreement_is_the_share_of_halves_on_the_verdicts_side():
    """Near the threshold some halves fall on the other side, and the interval says so."""
    features = np.zeros((12, DIM), np.float16)
    features[:, 0] = np.linspace(-2, 2, 12)
    head = surer(3 / 12, 2.99)
    found = score_interval(head, features, np.arange(12.0))
    assert found.low < head.threshold < found.probability_fake < found.high
    assert 0.3 < found.agreement < 0.7  # laid around a score just above the threshold


def test_at_least_the_level_lies_inside_however_few_halves():
    draw = np.random.default_rng(1)
    for count in (6, 20, 70, DRAWS):
        halves = expit(draw.standard_normal(count) - 1.5)
        low, high = interval(0.95, halves)
        around = centred(0.95, halves)
        assert np.mean((around >= low) & (around <= high)) >= INTERVAL_LEVEL
        assert low <= 0.95 <= high
