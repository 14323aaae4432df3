"""Training: it learns, it repeats itself, it stops for a reason, and it refuses hopeless data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data.errors import ConfigError, DatasetError
from models.early_stopping import AUC_TOLERANCE, EarlyStopping, best_of
from models.heads.architectures import HeadConfig
from models.heads.descent.batches import head_batches
from models.heads.descent.shared import precision_of
from models.heads.inference import validated_at_once
from models.heads.split_checks import video_weights
from models.heads.training import (
    TrainConfig,
    score,
    train_head,
)
from models.linear.statistics import frame_statistics
from tests.models.conftest import SHAPES, made_up, shaped

SMALL = HeadConfig(units=8, residual=False)


@pytest.mark.parametrize("kind", SHAPES)
def test_learns_and_keeps_the_best_epoch(kind: str) -> None:
    train, val = made_up(40), made_up(20, seed=1)
    trained = train_head(
        train,
        val,
        head=shaped(kind, units=8),
        config=TrainConfig(epochs=30, batch_size=8, learning_rate=0.01, patience=8),
    )
    # All of this data's difference is in the mean, which a linear model halves; of 20 videos.
    least = 0.7 if trained.config.has_linear_model else 0.8
    best = trained.history[trained.best_epoch - 1]
    highest = max(row["val_auc"] for row in trained.history)
    if trained.best_epoch > 1 or not trained.config.is_residual:
        assert best["val_auc"] > max(least, highest - AUC_TOLERANCE)
        alike = [
            row["val_loss"]
            for row in trained.history
            if row["val_auc"] > highest - AUC_TOLERANCE + 1e-9
        ]
        assert best["val_loss"] == min(alike)
    assert best["val_auc"] > least
    assert roc_auc_score(val.labels, score(trained.model, val)) == pytest.approx(best["val_auc"])
    assert [row["epoch"] for row in trained.history] == list(range(1, len(trained.history) + 1))
    ended = f"restored epoch {trained.best_epoch}"
    if kind in ("mean", "statistics"):
        ended = "fitted to convergence"
    elif trained.best_epoch == 1 and trained.config.is_residual:
        ended = "is left out"
    assert ended in trained.stop_reason


def test_repeats_itself() -> None:
    def run(seed: int) -> Any:
        config = TrainConfig(epochs=3, batch_size=8)
        return train_head(made_up(20), made_up(10, seed=1), head=SMALL, config=config, seed=seed)

    first, second, other = run(1), run(1), run(2)
    assert first.history == second.history != other.history
    for one, two in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_precision_is_of_the_products_alone_and_repeats_itself() -> None:
    """bfloat16 trains another head, nearly as good, with float32 weights: the same each time."""
    train, val = made_up(40), made_up(20, seed=1)

    def run(precision: Any) -> Any:
        config = TrainConfig(epochs=10, batch_size=8, learning_rate=0.01, precision=precision)
        return train_head(train, val, head=SMALL, config=config)

    exact, first, second = run("float32"), run("bfloat16"), run("bfloat16")
    assert first.history == second.history != exact.history
    for one, two in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, two)
    losses = [one.history[0]["loss"] for one in (exact, first)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert first.best["val_auc"] > exact.best["val_auc"] - 0.05


def test_wide_clips_are_validated_in_smaller_batches() -> None:
    """A head's layers make some ten times as much of them, and each is in memory at once."""
    few, conditioned, wide = made_up(20), made_up(300, steps=32, dim=128), made_up(300, steps=32)
    wide = replace(wide, features=np.broadcast_to(np.float16(0), (300, 32, 2048)))
    assert [validated_at_once(one) for one in (few, conditioned, wide)] == [20, 256, 64]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [({"amx_bf16"}, "bfloat16"), ({"avx512_bf16"}, "bfloat16"), ({"avx512f"}, "float32")],
)
def test_auto_is_bfloat16_where_the_processor_is_fast_at_it(
    flags: set[str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.matrix_units.cpu_flags", lambda: frozenset(flags))
    assert precision_of(TrainConfig()) == wanted
    assert precision_of(TrainConfig(precision="float32")) == "float32"
    assert precision_of(TrainConfig(precision="bfloat16")) == "bfloat16"


def test_the_mean_head_is_at_the_optimum() -> None:
    """No direction lowers the penalised loss, so an epoch more or another seed changes nothing."""
    train, val = made_up(40), made_up(20, seed=1)
    config = TrainConfig(class_weight={"real": 1, "fake": 3})
    heads = [
        train_head(train, val, head=HeadConfig(kind="mean"), config=config, seed=seed)
        for seed in (0, 1)
    ]
    one, other = (trained.model.get_weights() for trained in heads)
    np.testing.assert_allclose(one[2], other[2], atol=1e-6)
    mean, deviation, weight, bias = one
    inputs = np.stack([row[exists].mean(0) for row, exists in zip(
        train.features.astype(np.float64), train.mask, strict=True
    )])  # fmt: skip
    standard = (inputs - mean) / deviation
    share = 1 / (1 + np.exp(-(standard @ weight[:, 0] + bias[0]))) - train.labels
    penalty = float(heads[0].stop_reason.split("C = ")[1].split(",")[0])
    gradient = penalty * (np.where(train.labels == 1, 3, 1) * share) @ standard + weight[:, 0]
    np.testing.assert_allclose(gradient, 0, atol=1e-3 * max(penalty, 1))


def test_the_last_batch_is_padded_and_padding_teaches_nothing() -> None:
    train, val = made_up(20), made_up(10, seed=1)
    weights = np.ones(20, np.float32)
    drawn = [*head_batches(train, weights, np.random.default_rng(0), batch_size=8)]
    assert [len(batch.rows) for batch in drawn] == [8, 8, 4]
    assert {tuple(batch.inputs[0].shape) for batch in drawn} == {(8, 6, 8)}
    mask, labels, weight = (one.numpy() for one in drawn[-1].inputs[1:])
    assert not mask[4:].any()
    assert not labels[4:].any()
    assert not weight[4:].any()
    plain = HeadConfig(
        units=4, dropout=0.0, input_dropout=0.0, residual=False
    )  # nothing drawn for each video
    whole, padded = (
        train_head(train, val, head=plain, config=TrainConfig(epochs=1, batch_size=size)).model
        for size in (20, 64)
    )
    np.testing.assert_array_equal(score(whole, val), score(padded, val))


def test_a_score_does_not_depend_on_company() -> None:
    """Equal bytes in batches of one size; in those of another, kernels may round otherwise."""
    train, val = made_up(20), made_up(12, seed=1)
    model = train_head(train, val, head=SMALL, config=TrainConfig(epochs=1)).model
    together = score(model, val)
    for row in range(len(together)):
        one = replace(val, features=val.features[[row]], mask=val.mask[[row]])
        assert score(model, one)[0] == together[row]
    np.testing.assert_array_equal(score(model, val), together)
    np.testing.assert_allclose(score(model, val, batch_size=5), together, rtol=0, atol=1e-6)


def test_stops_when_validation_stalls() -> None:
    noise = made_up(20, signal=0), made_up(10, signal=0, seed=1)
    trained = train_head(*noise, head=SMALL, config=TrainConfig(epochs=200, patience=3))
    aucs = [row["val_auc"] for row in trained.history]
    assert len(aucs) == aucs.index(max(aucs)) + 1 + 3 < 200
    assert trained.stop_reason.startswith("no higher validation AUC for 3 epochs")


def test_equal_auc_is_decided_by_loss() -> None:
    best = EarlyStopping(patience=2)
    assert not best.update(1, 0.9, 0.5, lambda: ["one"])
    assert not best.update(2, 0.9, 0.4, lambda: ["two"])
    assert best.update(3, 0.9, 0.4, lambda: ["three"])
    assert (best.best.epoch, best.best.weights) == (2, ["two"])


def test_a_hundredth_of_auc_is_decided_by_loss_but_not_more() -> None:
    best = EarlyStopping(patience=9)
    for epoch, (auc, loss) in enumerate([(1.0, 0.39), (0.998, 0.08), (0.98, 0.01)], start=1):
        best.update(epoch, auc, loss, lambda epoch=epoch: [epoch])
    assert best.best.weights == [2]
    assert "restored epoch 2 (validation AUC 0.998)" in best.reason(3)


def taken(epochs: Sequence[tuple[float, float]]) -> Any:
    """The weights that `EarlyStopping` restores after these (AUC, loss): (AUC, loss) themselves."""
    best = EarlyStopping(patience=99)
    for epoch, (auc, loss) in enumerate(epochs, start=1):
        best.update(epoch, auc, loss, lambda one=(auc, loss): one)
        assert best.best.weights == epochs[best.best.epoch - 1]
    return best.best.weights


@pytest.mark.parametrize(
    ("epochs", "wanted"),
    [
        ([(0.9451, 9.9), (0.9449, 0.1)], (0.9449, 0.1)),  # on two sides of a rounded bin
        ([(0.945, 0.1), (0.95, 9.9)], (0.95, 9.9)),  # a whole AUC_TOLERANCE is a difference
        ([(0.56, 0.1), (0.565, 9.9)], (0.565, 9.9)),  # even where float64 says 0.004999...
        ([(0.945, 0.1), (0.9499, 9.9)], (0.945, 0.1)),
        ([(0.944, 0.1), (0.9475, 0.3), (0.952, 9.9)], (0.9475, 0.3)),  # the best falls behind
        ([(0.9, 0.5), (0.5, 0.1)], (0.9, 0.5)),
    ],
)
def test_aucs_are_compared_by_difference_in_any_order(
    epochs: list[tuple[float, float]], wanted: tuple[float, float]
) -> None:
    for order in permutations(epochs):
        assert taken(order) == order[best_of(order)] == wanted


def test_many_small_steps_do_not_drift_down() -> None:
    epochs = [(0.99 - 0.003 * step, 1 / (1 + step)) for step in range(10)]
    assert all(one - other < AUC_TOLERANCE for (one, _), (other, _) in pairwise(epochs))
    assert taken(epochs) == taken(epochs[::-1]) == epochs[1]


def test_the_best_epoch_is_that_of_the_whole_history() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        aucs = draw.choice([0.9, 0.905, 0.9051, 0.9085, 0.912], 8)
        epochs = [(float(auc), float(loss)) for auc, loss in zip(aucs, draw.random(8), strict=True)]
        highest = max(aucs)
        near = [(loss, auc) for auc, loss in epochs if highest - auc < AUC_TOLERANCE]
        assert taken(epochs)[::-1] == min(near)


def test_only_weights_that_may_be_restored_are_kept() -> None:
    best = EarlyStopping(patience=99)
    for epoch in range(1, 40):
        best.update(epoch, 0.9 + 0.002 * (epoch % 7), 1 / epoch, lambda epoch=epoch: epoch)
        assert len(best.candidates) <= 7
    assert [one.epoch for one in best.candidates] == sorted(one.epoch for one in best.candidates)


def test_statistics_are_of_existing_frames_only() -> None:
    videos = made_up(9)
    frames = videos.features[videos.mask].astype(np.float64)  # (sum of lengths, D)
    mean, variance = frame_statistics(videos.features, videos.mask)
    np.testing.assert_allclose(mean, frames.mean(axis=0))
    np.testing.assert_allclose(variance, frames.var(axis=0))


def test_class_weights() -> None:
    labels = np.array([0, 0, 0, 1], np.int8)
    np.testing.assert_allclose(video_weights(labels, None), [1, 1, 1, 1])
    np.testing.assert_allclose(
        video_weights(labels, {"real": 1.15, "fake": 1.05}), [1.15, 1.15, 1.15, 1.05]
    )
    np.testing.assert_allclose(video_weights(labels, "balanced"), [2 / 3, 2 / 3, 2 / 3, 2])


def test_class_weights_move_the_scores() -> None:
    def mean_score(weight: dict[str, float]) -> float:
        config = TrainConfig(epochs=20, learning_rate=0.02, class_weight=weight)
        val = made_up(20, signal=0, seed=1)
        head = HeadConfig(kind="mean")
        trained = train_head(made_up(40, signal=0), val, head=head, config=config)
        return float(score(trained.model, val).mean())

    assert mean_score({"real": 1, "fake": 9}) > mean_score({"real": 9, "fake": 1}) + 0.05


def labelled(*labels: int) -> Any:
    videos = made_up(len(labels))
    return replace(videos, labels=np.array(labels, np.int8))


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (labelled(*[0] * 10), made_up(4), "training split has no fake video among 10"),
        (made_up(10), labelled(1, 1, 1, 1), "validation split has no real video among 4"),
        (made_up(10), made_up(0), "validation split has no videos"),
        (made_up(2), made_up(1), "at least 10 videos with features, got 3"),
    ],
)
def test_hopeless_data_is_refused(train: Any, val: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        train_head(train, val, head=SMALL, config=TrainConfig())


def test_nan_stops_with_advice() -> None:
    train = made_up(12)
    train.features[0, 0, 0] = np.nan
    with pytest.raises(DatasetError, match="lower the learning rate"):
        train_head(train, made_up(10, seed=1), head=SMALL, config=TrainConfig(epochs=2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "train.epochs must be at least 1, got 0"),
        ({"learning_rate": 0}, "train.learning_rate must be above 0"),
        ({"class_weight": {"real": 1}}, "train.class_weight must be"),
        ({"class_weight": {"real": 1, "fake": -1}}, "class_weight.fake must be above 0"),
        ({"class_weight": "even"}, "balanced or none, got 'even'"),
    ],
)
def test_a_bad_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)
