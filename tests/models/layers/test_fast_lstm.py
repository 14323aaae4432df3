"""FastLSTM against Keras's LSTM: outputs, states, gradients, masks and weights, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.layers.fast_lstm import FastLSTM
from models.tf_runtime import keras, seed_everything, tf

UNITS, DIM = 5, 7
MASKS = {
    "none": None,
    "full": np.ones((3, 6), bool),
    "right-padded": np.arange(6) < np.array([6, 3, 1])[:, None],
    "anywhere": np.array([[0, 1, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]], bool),
}


def pair(**options: Any) -> tuple[Any, Any]:
    """A FastLSTM and a Keras LSTM of the same weights."""
    seed_everything(1)
    fast, plain = FastLSTM(UNITS, **options), keras.layers.LSTM(UNITS, **options)
    fast.build((None, None, DIM))
    plain.build((None, None, DIM))
    draw = np.random.default_rng(2)
    weights = [draw.standard_normal(one.shape) * 0.5 for one in plain.get_weights()]
    plain.set_weights(weights)
    fast.set_weights(plain.get_weights())
    return fast, plain


def frames(batch: int = 3, steps: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((batch, steps, DIM)).astype(np.float32)


def run(layer: Any, x: Any, mask: Any) -> tuple[list[Any], list[Any]]:
    """Everything a layer gives, and the gradients of a sum over it that no symmetry hides."""
    x = tf.constant(x)
    mask = None if mask is None else tf.constant(mask)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, mask=mask)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        loss = sum(tf.reduce_sum(tf.sin(one + n)) for n, one in enumerate(outputs))
    gradients = tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])
    return list(outputs), gradients


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True, "return_sequences": True},
    ],
    ids=str,
)
def test_gives_what_keras_gives(options: dict[str, Any], mask: str) -> None:
    fast, plain = pair(**options)
    for got, wanted in zip(
        run(fast, frames(), MASKS[mask]), run(plain, frames(), MASKS[mask]), strict=True
    ):
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_long_wide_sequence_agrees_to_five_digits() -> None:
    seed_everything(0)
    x = np.random.default_rng(0).standard_normal((4, 64, 256)).astype(np.float32)
    fast, plain = FastLSTM(128), keras.layers.LSTM(128)
    fast.build(x.shape)
    plain.build(x.shape)
    fast.set_weights(plain.get_weights())
    (one,), gradients = run(fast, x, None)
    (other,), wanted = run(plain, x, None)
    np.testing.assert_allclose(one, other, atol=1e-5)
    for got, want in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * max(1, np.abs(want).max()))


@pytest.mark.parametrize("mask", MASKS)
def test_products_in_bfloat16_are_near(mask: str) -> None:
    """Within what rounding of the products makes of it: three digits; and not the same."""
    fast, plain = pair(return_sequences=True)
    fast.products = "bfloat16"
    for got, wanted in zip(
        run(fast, frames(), MASKS[mask]), run(plain, frames(), MASKS[mask]), strict=True
    ):
        for one, other in zip(got, wanted, strict=True):
            assert one.dtype == tf.float32
            np.testing.assert_allclose(one, other, atol=0.02 * max(1, np.abs(other).max()))
    assert np.abs(got[1] - wanted[1]).max() > 0


def test_weights_go_both_ways() -> None:
    fast, plain = pair()
    assert [(w.name, w.shape) for w in fast.weights] == [(w.name, w.shape) for w in plain.weights]
    fast.set_weights([one + 1 for one in fast.get_weights()])
    plain.set_weights(fast.get_weights())
    np.testing.assert_allclose(fast(frames()), plain(frames()), atol=1e-5)
    again = keras.layers.LSTM.from_config(fast.get_config())
    assert again.get_config() == fast.get_config()


def test_takes_an_initial_state_and_its_gradient() -> None:
    fast, plain = pair()
    state = [tf.constant(frames(2, 3)[:, n, :UNITS]) for n in (0, 1)]

    def gradients(layer: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(state)
            total = tf.reduce_sum(layer(frames(2), initial_state=state) ** 2)
        return tape.gradient(total, state)

    for got, wanted in zip(gradients(fast), gradients(plain), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_rubbish_under_the_mask_reaches_no_gradient() -> None:
    fast, _ = pair()
    x, mask = frames(), MASKS["right-padded"]
    wanted = run(fast, x, mask)[1][2]  # of the recurrent kernel
    x[~mask] = 1e6
    np.testing.assert_allclose(run(fast, x, mask)[1][2], wanted, atol=1e-6)


def test_an_option_that_it_does_not_know_takes_keras_own_way() -> None:
    fast, plain = pair(activation="relu")
    np.testing.assert_array_equal(fast(frames()), plain(frames()))
