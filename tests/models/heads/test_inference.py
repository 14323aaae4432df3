"""The NumPy forward pass of heads: equal to Keras for every kind, and the file it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.conditioning.linear_map import Conditioning
from models.configs import ConditionConfig
from models.heads.architectures import build_head
from models.heads.inference import HeadNetwork, Layer, score
from models.tf_runtime import keras, seed_everything
from tests.models.conftest import SHAPES, MadeUp, shaped

DIM = 24


def head_of(kind: str, **settings: Any) -> Any:
    """A head with weights of a trained one's size, and biases that are not zero."""
    seed_everything(3)
    draw = np.random.default_rng(1)
    model = build_head(
        shaped(kind, units=7, **settings),
        dim=DIM,
        mean=draw.standard_normal(DIM),
        variance=draw.uniform(0.5, 4, DIM),
    )
    for layer in model.layers:
        if layer.name.endswith("statistics"):
            mean, deviation = layer.get_weights()
            layer.set_weights([mean + 2, draw.uniform(1, 4, deviation.shape)])
        elif layer.name != "standardise":
            layer.set_weights(
                [
                    one + draw.normal(0, 0.3, one.shape).astype(np.float32)
                    for one in layer.get_weights()
                ]
            )
    return model


def videos(count: int = 9, steps: int = 13) -> dict[str, NDArray[Any]]:
    """Of 0 to `steps` frames, with gaps, and rubbish where there is no frame."""
    draw = np.random.default_rng(2)
    mask = np.arange(steps) < np.linspace(0, steps, count).round()[:, None]
    mask[-1, 3:5] = False
    features = draw.standard_normal((count, steps, DIM)) * 4
    features[~mask] = np.nan
    return {"features": features.astype(np.float16), "mask": mask}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gives_the_scores_of_keras(kind: str, dtype: str) -> None:
    model, batch = head_of(kind), videos()
    batch["features"] = batch["features"].astype(dtype)
    wanted = np.asarray(model(batch, training=False))
    got = HeadNetwork.of(model)(batch)
    assert got.dtype == np.float32
    assert np.ptp(wanted) > 0.05  # or anything would be equal
    np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", SHAPES)
def test_gives_them_where_gates_saturate(kind: str) -> None:
    """Embeddings far from the training's must not become NaN, nor warn."""
    model, batch = head_of(kind, input_scale=100.0), videos()
    batch["features"] = batch["features"].astype(np.float32) * 50
    with np.errstate(all="raise", under="ignore", invalid="ignore"):  # the gaps are NaN
        got = HeadNetwork.of(model)(batch)
    np.testing.assert_allclose(got, np.asarray(model(batch, training=False)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("condition", ["pca", "layernorm_l2"])
def test_gives_the_scores_of_keras_after_conditioning(kind: str, condition: str) -> None:
    seed_everything(3)
    batch, config = videos(), ConditionConfig(kind=condition, dimensions=10)
    held = np.nan_to_num(batch["features"].astype(np.float32))
    conditioning = Conditioning.fit(held, batch["mask"], config)
    model = build_head(
        shaped(kind, units=7, condition=config, frame_norm="layernorm_l2", strides=[2]),
        dim=DIM,
        conditioning=conditioning,
    )
    last = model.get_layer("classifier")
    last.set_weights([np.linspace(-1, 2, last.kernel.shape[0])[:, None], np.array([0.1])])
    network = HeadNetwork.of(model)
    wanted = np.asarray(model(batch, training=False))
    np.testing.assert_allclose(network(batch), wanted, atol=1e-6, rtol=0)
    again = HeadNetwork.from_tensors(*network.tensors(), dim=DIM)
    np.testing.assert_array_equal(again(batch), network(batch))


def test_a_residual_that_was_left_out_costs_nothing() -> None:
    model = build_head(
        shaped("residual lstm", units=7), dim=DIM, mean=np.zeros(DIM), variance=np.ones(DIM)
    )
    base = model.get_layer("base_classifier")
    base.set_weights([np.linspace(-1, 1, base.kernel.shape[0])[:, None], np.array([0.2])])
    network, batch = HeadNetwork.of(model), videos()
    assert [layer.kind for layer in network.scoring.layers] == ["statistics", "dense"]
    assert len(network.layers) > 2  # the bundle keeps them
    assert network.is_linear_alone
    assert not HeadNetwork.of(head_of("residual lstm")).is_linear_alone
    wanted = np.asarray(model(batch, training=False))
    np.testing.assert_allclose(network(batch), wanted, atol=1e-6, rtol=0)
    assert np.ptp(wanted) > 0.01


def test_reads_the_layers_of_earlier_heads() -> None:
    """They had Keras's own LSTM, and no scaling."""
    features = keras.Input((None, DIM), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    state = keras.layers.LSTM(5, name="lstm")(features, mask=mask)
    output = keras.layers.Dense(1, activation="sigmoid", name="classifier", dtype="float32")(state)
    model = keras.Model(
        {"features": features, "mask": mask}, keras.layers.Reshape((), name="score")(output)
    )
    batch = videos()
    batch["features"] = np.nan_to_num(batch["features"])
    got = HeadNetwork.of(model)(batch)
    np.testing.assert_allclose(got, np.asarray(model(batch, training=False)), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.LSTM(1, activation="relu"),
        lambda: keras.layers.LSTM(1, go_backwards=True),
        lambda: keras.layers.GRU(1, reset_after=False),
        lambda: keras.layers.Bidirectional(keras.layers.LSTM(1), merge_mode="sum"),
        lambda: keras.layers.Bidirectional(keras.layers.GRU(1)),
        lambda: keras.layers.GlobalAveragePooling1D(),
    ],
)
def test_refuses_what_it_would_compute_otherwise(layer: Any) -> None:
    inputs = keras.Input((None, DIM))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(layer()(inputs)))
    with pytest.raises(ValueError, match="is none of a head of unmask"):
        HeadNetwork.of(model)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_score_does_not_depend_on_the_other_videos(kind: str) -> None:
    network, batch = HeadNetwork.of(head_of(kind)), videos(150)
    all_of_them = MadeUp(**batch, labels=np.zeros(150, np.int8))
    scores = score(network, all_of_them)
    for row in (1, 70, 149):
        one = MadeUp(
            features=batch["features"][row : row + 1],
            mask=batch["mask"][row : row + 1],
            labels=np.zeros(1, np.int8),
        )
        assert score(network, one)[0] == scores[row]


@pytest.mark.parametrize("kind", SHAPES)
def test_comes_back_from_its_tensors(kind: str) -> None:
    network, batch = HeadNetwork.of(head_of(kind)), videos()
    again = HeadNetwork.from_tensors(*network.tensors(), dim=DIM)
    np.testing.assert_array_equal(again(batch), network(batch))


def test_refuses_tensors_that_are_no_head() -> None:
    weights, described = HeadNetwork.of(head_of("lstm")).tensors()
    for dim in (DIM - 1, 1000):
        with pytest.raises(ValueError, match=r"."):
            HeadNetwork.from_tensors(weights, described, dim=dim)
    with pytest.raises(KeyError):
        HeadNetwork.from_tensors({}, described, dim=DIM)
    with pytest.raises(ValueError, match="no layer 'eval'"):
        HeadNetwork.from_tensors(weights, described.replace('"lstm"', '"eval"'), dim=DIM)
    with pytest.raises(ValueError, match="version 9"):
        HeadNetwork.from_tensors(
            weights, described.replace('"version": 1', '"version": 9'), dim=DIM
        )
    wide = {key: value.astype(np.float64) for key, value in weights.items()}
    with pytest.raises(ValueError, match="must be float32"):
        HeadNetwork.from_tensors(wide, described, dim=DIM)
    mean = HeadNetwork(layers=(Layer(kind="mean"),))
    with pytest.raises(ValueError, match="shape"):
        HeadNetwork.from_tensors({}, mean.tensors()[1].replace('"mean"', '"scale"'), dim=DIM)


def test_it_only_scores() -> None:
    with pytest.raises(ValueError, match="only scores"):
        HeadNetwork.of(head_of("mean"))(videos(), training=True)
