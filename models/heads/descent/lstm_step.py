"""One step of gradient descent of an LSTM on conditioned frames, written out.

It is what `models.heads.descent.step` makes of the same Keras network, to rounding, with the same
random numbers. There the network's layers are some fifty operations and their gradients; here are
two graphs that XLA compiles, and the three large matrix products between them, in bfloat16 where
the processor has it. Both graphs work on parts of a batch, which are independent of each other, so
that two cores share a step; the sums over parts are in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from models.heads.descent.adam import Adam
from models.heads.descent.step import LossesOf, videos_of
from models.layers import lstm_loops
from models.layers.fast_lstm import FastLSTM
from models.layers.frames import ClipNoise
from models.layers.statistics import FrameDifferences, differences
from models.tf_runtime import keras, tf

PART = 16
"""Videos of one part, at most. The loops take as long for 32 at once as for two parts of 16, and
12.1 ms for 64, twice 5.5."""


def can_step(network: Any) -> bool:
    """Whether a network is one that `lstm_step` trains: on a CPU, frames of an LSTM, conditioned.

    That is, in their order: differences of frames, noise, a scale, an LSTM, dropout, one output.
    """
    own = [type(one) for one in network.layers if not isinstance(one, keras.layers.InputLayer)]
    wanted = [keras.layers.Rescaling, FastLSTM, keras.layers.Dropout, keras.layers.Dense]
    optional = (FrameDifferences, ClipNoise)
    shape = [one for one in own if one not in (*optional, keras.layers.Reshape)]
    if shape != wanted or tf.config.list_physical_devices("GPU"):
        return False
    return bool(network.get_layer("lstm").is_plain())


def lstm_step(network: Any, optimizer: Adam, *, losses_of: LossesOf, products: str) -> Any:
    """One compiled step, as `models.heads.descent.step.train_step` gives; anew for each shape.

    Args:
        network: of which `can_step` is true.
        optimizer: of its trainable variables.
        losses_of: of the output; its gradient by the output is taken by a tape.
        products: type of the large matrix products, "float32" or "bfloat16".
    """
    layers = {type(one): one for one in network.layers}
    strides = layers[FrameDifferences].strides if FrameDifferences in layers else ()
    noise, dropout = layers.get(ClipNoise), layers[keras.layers.Dropout]
    last, cell, units = layers[keras.layers.Dense], layers[FastLSTM].cell, layers[FastLSTM].units
    width = cell.kernel.shape[0]

    prepare, learn = _graphs(
        strides=strides,
        scale=float(layers[keras.layers.Rescaling].scale),
        sigmoid=last.activation is keras.activations.sigmoid,
        losses_of=losses_of,
        products=products,
    )

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(features: Any, mask: Any, labels: Any, weights: Any, *more: Any) -> tuple[Any, Any]:
        videos = features.shape[0]
        added, kept = tf.zeros((videos, width)), tf.ones((videos, units))
        if noise is not None:
            drawn = keras.random.normal((videos, 1, width), seed=noise.seed_generator)
            added = drawn[:, 0] * (noise.factor * noise.spread)
        if dropout.rate:
            kept = keras.random.dropout(kept, dropout.rate, seed=dropout.seed_generator)
        kernel = tf.cast(cell.kernel, products)
        own = [cell.recurrent_kernel, cell.bias, last.kernel, last.bias]
        held = [tf.convert_to_tensor(one) for one in own]

        def of_part(features: Any, mask: Any, added: Any, *others: Any) -> tuple[Any, ...]:
            """Losses and scores of some videos, and the gradients of all variables."""
            size, steps = mask.shape
            rows = tf.reshape(prepare(features, mask, added), (-1, width))
            projected = tf.reshape(tf.matmul(rows, kernel), (-1, size, 4 * units))
            losses, scores, d_gates, before, *gradients = learn(projected, mask, *held, *others)
            d_gates = tf.reshape(d_gates, (-1, 4 * units))
            before = tf.reshape(before, (-1, units))
            d_kernel = tf.matmul(rows, d_gates, transpose_a=True)
            d_recurrent = tf.matmul(before, d_gates[: steps * size], transpose_a=True)
            return losses, scores, d_kernel, d_recurrent, *gradients

        inputs = (features, mask, added, kept, weights / videos_of(mask), labels, *more)
        parts = [of_part(*one) for one in zip(*map(_parts, inputs), strict=True)]
        losses, scores, *gradients = zip(*parts, strict=True)
        optimizer.apply([_sum(each) for each in gradients])
        return weights * tf.concat(losses, 0)[:videos], tf.concat(scores, 0)[:videos]

    return step


def _parts(rows: Any) -> list[Any]:
    """(B, ...) in parts of one size, PART at most; zeros fill the last one up."""
    count = math.ceil(rows.shape[0] / PART)
    missing = count * math.ceil(rows.shape[0] / count) - rows.shape[0]
    if missing:
        rows = tf.pad(rows, [(0, missing)] + [(0, 0)] * (len(rows.shape) - 1))
    return list(tf.split(rows, count))


def _sum(parts: Sequence[Any]) -> Any:
    """In float32, in their order."""
    return tf.add_n([tf.cast(one, tf.float32) for one in parts])


@cache
def _graphs(
    *, strides: tuple[int, ...], scale: float, sigmoid: bool, losses_of: LossesOf, products: str
) -> tuple[Any, Any]:
    """The two graphs of XLA, which heads of other dropout share: compiling takes a second.

    Args:
        strides: of differences of frames; () for none.
        scale: of the frames.
        sigmoid: whether the last layer has one.
        losses_of: of the step.
        products: type of what goes into the large products.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def prepare(features: Any, mask: Any, added: Any) -> Any:
        """(b, T, E) -> (T + 1, b, D) scaled frames, and last the noise of each clip, (b, D)."""
        frames = tf.cast(features, tf.float32)
        frames = differences(frames, mask, strides) if strides else frames
        rows = tf.concat([tf.transpose(frames, (1, 0, 2)), added[None]], axis=0)
        return tf.cast(rows * scale, products)

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def learn(
        projected: Any, mask: Any, recurrent: Any, bias: Any, weight: Any, shift: Any, kept: Any,
        share: Any, labels: Any, *more: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Losses and scores, (b,) each; gradients of the projected rows, (T + 1, b, 4 units), and
        the states before each frame, (T, b, units), both of `products`; gradients of the bias, the
        last layer's weight and its shift.

        `kept` is the dropout's factor of the state, (b, units), `share` (b,) each video's in the
        loss.
        """
        projected = tf.cast(projected, tf.float32)
        mask = tf.transpose(mask)
        zero = tf.zeros_like(kept)
        first = projected[:-1] + (projected[-1] + bias)
        states, cells, gates = lstm_loops.forward(first, recurrent, mask, zero, zero)
        state = states[-1] * kept
        output = tf.matmul(state, weight) + shift
        with tf.GradientTape() as tape:
            tape.watch(output)
            told = tf.sigmoid(output)[:, 0] if sigmoid else output
            losses, scores = losses_of(told, labels, *more)
            loss = tf.reduce_sum(share * losses)
        d_output = tape.gradient(loss, output)
        d_state = tf.matmul(d_output, weight, transpose_b=True) * kept
        d_gates, _, _ = lstm_loops.backward(
            None, d_state, zero, recurrent, mask, zero, cells, gates
        )
        of_clips = tf.reduce_sum(d_gates, 0)
        return (
            losses,
            scores,
            tf.cast(tf.concat([d_gates, of_clips[None]], 0), products),
            tf.cast(tf.concat([zero[None], states[:-1]], 0), products),
            tf.reduce_sum(of_clips, 0),
            tf.matmul(state, d_output, transpose_a=True),
            tf.reduce_sum(d_output, 0),
        )

    return prepare, learn
