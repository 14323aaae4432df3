"""Steps of gradient descent: the written-out one against the network's, Adam against Keras's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.configs import ConditionConfig, HeadConfig
from models.heads.architectures import build_after_conditioning, residual_branch
from models.heads.descent.adam import Adam
from models.heads.descent.lstm_step import can_step, lstm_step
from models.heads.descent.shared import Descent
from models.heads.descent.step import of_logits, of_scores, train_step
from models.tf_runtime import keras, seed_everything, tf

DIM, STEPS = 6, 9
CONDITIONED = ConditionConfig(kind="pca", dimensions=DIM)
HEADS = {
    "residual": HeadConfig(units=4, condition=CONDITIONED),
    "no differences": HeadConfig(units=4, strides=(), condition=CONDITIONED),
    "no noise": HeadConfig(units=4, dropout=0, input_dropout=0, condition=CONDITIONED),
    "alone": HeadConfig(units=4, residual=False, condition=CONDITIONED),
}


def network_of(head: HeadConfig) -> Any:
    """As `descent_of` makes it, of random weights, those that start at zero included."""
    seed_everything(3)
    network = build_after_conditioning(head, DIM)
    network = residual_branch(network) if head.is_residual else network
    draw = np.random.default_rng(4)
    for own in network.trainable_variables:
        own.assign(draw.standard_normal(own.shape) * 0.5)
    for layer in network.layers:
        if layer.name == "input_noise":
            layer.set_weights([draw.random(layer.spread.shape) + 0.5])
    return network


def batch(videos: int, extra: int, seed: int = 0) -> tuple[Any, ...]:
    """Videos of all lengths; the last is padding."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, STEPS + 1, size=videos)
    mask = np.arange(STEPS) < lengths[:, None]
    mask[-1] = False
    features = draw.standard_normal((videos, STEPS, DIM)) * mask[..., None]
    weights = draw.random(videos) + 0.5
    weights[-1] = 0
    more = [draw.standard_normal(videos) for _ in range(extra)]
    numbers = (np.arange(videos) % 2, weights, *more)
    return (
        tf.constant(features, tf.float32),
        tf.constant(mask),
        *(tf.constant(one, tf.float32) for one in numbers),
    )


def trained(head: HeadConfig, make: Any, *, videos: int, **options: Any) -> tuple[Any, ...]:
    """What three steps give, and the weights after them."""
    network, extra = network_of(head), int(head.is_residual)
    optimizer = Adam(network.trainable_variables, weight_decay=0.01)
    optimizer.start(0.01)
    losses_of = of_logits if extra else of_scores
    if make is train_step:
        options = {"dtype": "float32", "extra": extra}
    step = make(network, optimizer, losses_of=losses_of, **options)
    told = [step(*batch(videos, extra, number)) for number in range(3)]
    return [one.numpy() for both in told for one in both], network.get_weights()


@pytest.mark.parametrize("videos", [5, 19, 32])
@pytest.mark.parametrize("head", HEADS)
def test_the_written_out_step_is_that_of_the_network(head: str, videos: int) -> None:
    assert can_step(network_of(HEADS[head]))
    for got, wanted in zip(
        trained(HEADS[head], lstm_step, videos=videos, products="float32"),
        trained(HEADS[head], train_step, videos=videos),
        strict=True,
    ):
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)


def test_products_in_bfloat16_are_near_and_not_the_same() -> None:
    told = [
        trained(HEADS["residual"], lstm_step, videos=32, products=one)
        for one in ("float32", "bfloat16")
    ]
    for got, wanted in zip(*(one[0] for one in told), strict=True):
        np.testing.assert_allclose(got, wanted, atol=0.05)
    assert np.abs(told[0][0][0] - told[1][0][0]).max() > 0


@pytest.mark.parametrize(
    "head",
    [
        HeadConfig(kind="gru", units=4, condition=CONDITIONED),
        HeadConfig(kind="bilstm", units=4, condition=CONDITIONED),
        HeadConfig(kind="attention", units=4, condition=CONDITIONED),
    ],
    ids=lambda head: head.kind,
)
def test_other_heads_take_the_step_of_their_network(head: HeadConfig) -> None:
    assert not can_step(network_of(head))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_that_of_keras(decay: float) -> None:
    draw = np.random.default_rng(0)
    start = [draw.standard_normal((3, 4)), draw.standard_normal(4)]
    ours, theirs = ([keras.Variable(one, dtype="float32") for one in start] for _ in range(2))
    adam = Adam(ours, weight_decay=decay)
    step = tf.function(lambda *gradients: adam.apply(gradients))
    for run in range(2):  # the second one begins anew
        peer = keras.optimizers.AdamW(0.03, weight_decay=decay)
        adam.start(0.03)
        for own, other, value in zip(ours, theirs, start, strict=True):
            own.assign(value)
            other.assign(value)
        for number in range(4 + run):
            gradients = [tf.constant(one * np.sin(number + 1), tf.float32) for one in start]
            step(*gradients)
            peer.apply(gradients, theirs)
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)


def test_the_same_start_gives_the_same_bytes_whatever_was_trained_before() -> None:
    network = network_of(HEADS["residual"])
    descent = Descent(
        network, dtype="float32", weight_decay=0.0, products="bfloat16", losses_of=of_logits,
        extra=1,
    )  # fmt: skip
    start = {layer.name: [one.numpy() for one in layer.variables] for layer in network.layers}
    found = []
    for _ in range(2):
        descent.start(start, learning_rate=0.01)
        for number in range(3):
            descent._step(*batch(32, 1, number))
        found.append(network.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
