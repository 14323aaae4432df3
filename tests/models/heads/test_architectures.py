"""One harness for every kind of head: shapes, masks, save and load, determinism, gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError
from models.configs import HEADS, STATEFUL
from models.heads.architectures import KINDS, HeadConfig, build_head, residual_branch
from models.layers.statistics import ClipStatistics, FrameDifferences
from models.tf_runtime import keras, seed_everything, tf
from tests.models.conftest import SHAPES, shaped

DIM = 8
MEAN = np.linspace(-3, 3, DIM)
VARIANCE = np.linspace(0.5, 4, DIM)


def build(kind: str, **settings: Any) -> Any:
    seed_everything(3)
    config = shaped(kind, units=4, **settings)
    model = build_head(config, dim=DIM, mean=MEAN, variance=VARIANCE)
    if config.is_residual:  # its last layer starts at zero, and would hide all before it
        last = model.get_layer("classifier")
        last.set_weights([np.linspace(-1, 2, last.kernel.shape[0])[:, None], np.array([0.1])])
    return model


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


@pytest.mark.parametrize("kind", SHAPES)
def test_gives_probabilities(kind: str) -> None:
    got = scores(build(kind), videos())
    assert got.shape == (3,)
    assert got.dtype == np.float32
    assert np.all((got > 0) & (got < 1))
    assert len(np.unique(got)) == 3


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(("count", "steps"), [(1, 1), (1, 9), (3, 5)])
def test_takes_any_number_of_videos_and_frames(kind: str, count: int, steps: int) -> None:
    model, batch = build(kind), videos(count, steps)
    got = scores(model, batch)
    assert got.shape == (count,)
    stored = {**batch, "features": batch["features"].astype(np.float16)}
    np.testing.assert_allclose(scores(model, stored), got, atol=2e-3)


@pytest.mark.parametrize("kind", SHAPES)
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


@pytest.mark.parametrize("kind", SHAPES)
def test_every_frame_counts(kind: str) -> None:
    model, batch = build(kind), videos()
    before = scores(model, batch)[0]
    for step in range(5):
        changed = {**batch, "features": batch["features"].copy()}
        changed["features"][0, step] += np.linspace(-3, 3, DIM)  # a constant would be normalised
        assert scores(model, changed)[0] != before


@pytest.mark.parametrize("kind", SHAPES)
def test_gradients_reach_every_weight(kind: str) -> None:
    model, batch = build(kind, dropout=0.0, input_dropout=0.0), videos()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch, training=True))
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert np.any(np.asarray(gradient) != 0), weight.path


@pytest.mark.parametrize("kind", SHAPES)
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


@pytest.mark.parametrize("kind", SHAPES)
def test_same_seed_same_step(kind: str) -> None:
    """Dropout included."""

    def step() -> list[NDArray[Any]]:
        model = build(kind)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(videos(), training=True) ** 2)
        return [np.asarray(one) for one in tape.gradient(loss, model.trainable_variables)]

    for one, other in zip(step(), step(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", SHAPES)
def test_survives_a_file(kind: str, tmp_path: Path) -> None:
    model, batch = build(kind), videos()
    model.save(tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras", safe_mode=True)
    np.testing.assert_array_equal(scores(again, batch), scores(model, batch))


@pytest.mark.parametrize("kind", SHAPES)
def test_same_seed_same_head(kind: str) -> None:
    batch = videos()
    np.testing.assert_array_equal(scores(build(kind), batch), scores(build(kind), batch))


@pytest.mark.parametrize("kind", STATEFUL)
def test_a_residual_starts_as_its_linear_model_which_it_does_not_change(kind: str) -> None:
    config, batch = HeadConfig(kind=kind, units=4), videos()
    model = build_head(config, dim=DIM, mean=MEAN, variance=VARIANCE)
    linear = build_head(config.replace(kind="statistics"), dim=DIM)
    for name in ("statistics", "classifier"):
        weights = [one + 0.1 for one in model.get_layer(f"base_{name}").get_weights()]
        model.get_layer(f"base_{name}").set_weights(weights)
        linear.get_layer(name).set_weights(weights)
    np.testing.assert_allclose(scores(model, batch), scores(linear, batch), atol=1e-6)
    learning = {weight.path for weight in model.trainable_variables}
    assert learning == {weight.path for weight in residual_branch(model).trainable_variables}
    assert not any("base_" in path for path in learning)


def test_statistics_are_of_the_frames_that_exist() -> None:
    """Against NumPy's, at a clip of all frames, of two, of one."""
    batch = videos()
    layer = ClipStatistics(("mean", "deviation", "steps"))
    found = np.asarray(layer(batch["features"], batch["mask"])).reshape(3, 3, DIM)
    for row, count in enumerate((5, 2)):
        frames = batch["features"][row, :count].astype(np.float64)
        np.testing.assert_allclose(found[row, 0], frames.mean(0), atol=1e-5)
        np.testing.assert_allclose(found[row, 1], frames.std(0, ddof=1), atol=1e-5)
        np.testing.assert_allclose(
            found[row, 2], np.abs(np.diff(frames, axis=0)).mean(0), atol=1e-5
        )
    np.testing.assert_allclose(found[2, 0], batch["features"][2, 0], atol=1e-6)
    assert not found[2, 1:].any()  # a single frame does not vary: the average of training
    layer.set_weights([np.ones(3 * DIM), np.full(3 * DIM, 2.0)])
    again = np.asarray(layer(batch["features"], batch["mask"])).reshape(3, 3, DIM)
    np.testing.assert_allclose(again[:2], (found[:2] - 1) / 2, atol=1e-6)
    assert not again[2, 1:].any()


def test_differences_are_to_earlier_frames_that_exist() -> None:
    batch = videos()
    features, mask = batch["features"], batch["mask"]
    found = np.asarray(FrameDifferences((1, 4, 9))(features, mask)).reshape(3, 5, 4, DIM)
    np.testing.assert_array_equal(found[:, :, 0], features)
    np.testing.assert_allclose(
        found[0, 1:, 1], np.abs(features[0, 1:] - features[0, :-1]), atol=1e-6
    )
    assert not found[:, 0, 1:].any()
    assert not found[1, 2:].any()  # no frame
    np.testing.assert_allclose(found[0, 4, 2], np.abs(features[0, 4] - features[0, 0]), atol=1e-6)
    assert not found[:, :, 3].any()


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
            "or attention or mean or logistic or statistics, got 'transformer'",
        ),
        ({"units": 0}, "head.units must be from 1 to 8192, got 0"),
        ({"dropout": 1.0}, "head.dropout must be at least 0 and below 1, got 1.0"),
        ({"statistics": ["median"]}, "head.statistics must be a list of some of mean, deviation"),
        ({"statistics": []}, "head.statistics must be a list of some of mean, deviation"),
        ({"statistics": "mean"}, "head.statistics must be a list of some of mean, deviation"),
        ({"strides": [0]}, "head.strides must be a list of different whole numbers"),
        ({"strides": [1, 1]}, "head.strides must be a list of different whole numbers"),
        ({"frame_norm": "l1"}, "head.frame_norm must be none or layernorm_l2, got 'l1'"),
    ],
)
def test_a_bad_shape_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HeadConfig(**settings)
