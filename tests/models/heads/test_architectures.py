"""One harness for every kind of head: shapes, masks, save and load, determinism, gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError
from models.configs import HEADS
from models.heads.architectures import KINDS, HeadConfig, build_head
from models.tf_runtime import keras, seed_everything, tf

DIM = 8
MEAN = np.linspace(-3, 3, DIM)
VARIANCE = np.linspace(0.5, 4, DIM)


def build(kind: str, **settings: Any) -> Any:
    seed_everything(3)
    config = HeadConfig(kind=kind, units=4, **settings)
    return build_head(config, dim=DIM, mean=MEAN, variance=VARIANCE)


def videos(count: int = 3, steps: int = 5) -> dict[str, NDArray[Any]]:
    draw = np.random.default_rng(0)
    mask = np.arange(steps) < np.array([steps, 2, 1])[:count, None]
    features = draw.standard_normal((count, steps, DIM)).astype(np.float32) * 4
    features[~mask] = 0
    return {"features": features, "mask": mask}


def scores(model: Any, batch: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(model(batch, training=False))


def test_every_kind_can_be_asked_for() -> None:
    assert tuple(KINDS) == HEADS


@pytest.mark.parametrize("kind", KINDS)
def test_gives_probabilities(kind: str) -> None:
    got = scores(build(kind), videos())
    assert got.shape == (3,)
    assert got.dtype == np.float32
    assert np.all((got > 0) & (got < 1))
    assert len(np.unique(got)) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "steps"), [(1, 1), (1, 9), (3, 5)])
def test_takes_any_number_of_videos_and_frames(kind: str, count: int, steps: int) -> None:
    model, batch = build(kind), videos(count, steps)
    got = scores(model, batch)
    assert got.shape == (count,)
    stored = {**batch, "features": batch["features"].astype(np.float16)}
    np.testing.assert_allclose(scores(model, stored), got, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_never_changes_a_score(kind: str) -> None:
    model, batch = build(kind), videos()
    wanted = scores(model, batch)
    longer = {
        name: np.pad(array, [(0, 0), (0, 7)] + [(0, 0)] * (array.ndim - 2))
        for name, array in batch.items()
    }
    np.testing.assert_allclose(scores(model, longer), wanted, atol=1e-6)
    longer["features"][~longer["mask"]] = np.nan  # not even by rubbish in it
    np.testing.assert_allclose(scores(model, longer), wanted, atol=1e-6)
    alone = {name: array[1:2, :2] for name, array in batch.items()}
    np.testing.assert_allclose(scores(model, alone), wanted[1:2], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_counts(kind: str) -> None:
    model, batch = build(kind), videos()
    before = scores(model, batch)[0]
    for step in range(5):
        changed = {**batch, "features": batch["features"].copy()}
        changed["features"][0, step] += 3
        assert scores(model, changed)[0] != before


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_weight(kind: str) -> None:
    model, batch = build(kind, dropout=0.0, input_dropout=0.0), videos()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch, training=True))
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert np.any(np.asarray(gradient) != 0), weight.path


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_gradient(kind: str) -> None:
    model, batch = build(kind), videos()
    features = tf.constant(batch["features"])
    with tf.GradientTape() as tape:
        tape.watch(features)
        inputs = {"features": features, "mask": tf.constant(batch["mask"])}
        loss = tf.reduce_sum(model(inputs, training=False))
    gradient = np.asarray(tape.gradient(loss, features))
    assert not gradient[~batch["mask"]].any()
    assert gradient[batch["mask"]].any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_step(kind: str) -> None:
    """Dropout included."""

    def step() -> list[NDArray[Any]]:
        model = build(kind)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(videos(), training=True) ** 2)
        return [np.asarray(one) for one in tape.gradient(loss, model.trainable_variables)]

    for one, other in zip(step(), step(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_survives_a_file(kind: str, tmp_path: Path) -> None:
    model, batch = build(kind), videos()
    model.save(tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras", safe_mode=True)
    np.testing.assert_array_equal(scores(again, batch), scores(model, batch))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_head(kind: str) -> None:
    batch = videos()
    np.testing.assert_array_equal(scores(build(kind), batch), scores(build(kind), batch))


def test_the_normaliser_is_inside() -> None:
    batch = videos()
    standard = {**batch, "features": (batch["features"] - MEAN) / np.sqrt(VARIANCE)}
    inside = build("mean")
    outside = build_head(
        HeadConfig(kind="mean"), dim=DIM, mean=np.zeros(DIM), variance=np.ones(DIM)
    )
    outside.layers[-2].set_weights(inside.layers[-2].get_weights())
    np.testing.assert_allclose(scores(inside, batch), scores(outside, standard), atol=1e-6)


def test_a_dimension_that_never_varies_does_no_harm() -> None:
    model = build_head(HeadConfig(kind="mean"), dim=DIM, mean=np.zeros(DIM), variance=np.zeros(DIM))
    assert np.all(np.isfinite(scores(model, videos())))


def test_dropout_is_off_when_scoring_and_on_when_training() -> None:
    model, batch = build("lstm"), videos()
    np.testing.assert_array_equal(scores(model, batch), scores(model, batch))
    assert np.any(np.asarray(model(batch, training=True)) != scores(model, batch))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kind": "transformer"},
            "lstm or bilstm or gru or attention or mean or logistic, got 'transformer'",
        ),
        ({"units": 0}, "head.units must be from 1 to 8192, got 0"),
        ({"dropout": 1.0}, "head.dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_bad_shape_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HeadConfig(**settings)
