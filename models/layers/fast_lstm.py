"""An LSTM that trains fast on a CPU: Keras's mathematics and weights, in another order.

`keras.layers.LSTM` on a CPU multiplies each frame's input by the kernel inside its loop and adds up
the kernel's gradient frame by frame. Here the input's product is one matrix product over all frames
before the loop, each kernel's gradient is one product after it, and the loop has only one small
product and the gates, which XLA compiles into a few passes over the state. On a GPU (cuDNN), and
with options not implemented here, Keras's own loop runs.

The three large products may be made in bfloat16 (`products`), which a processor with AMX computes
several times as fast: their sums, the weights and all of the loop stay float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tf_runtime import keras, tf


@keras.saving.register_keras_serializable(package="unmask")
class FastLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """`keras.layers.LSTM`: the same arguments, weights (names, order, shapes), masks and results.

    A masked frame leaves the state as it was, wherever it stands. Gradients of gradients are not
    defined on a CPU.

    Attributes:
        products: "float32" or "bfloat16", of the large matrix products. It is for training, and
            not saved.
    """

    products = "float32"

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> Any:
        """The recurrence, as Keras's RNN asks for it.

        Args:
            sequences: (B, T, D).
            initial_state: h and c, each (B, units).
            mask: (B, T) bool, or None.
            training: for Keras's own dropout.

        Returns:
            The last output (B, units), all outputs (B, T, units), and [h, c] after the last frame.
        """
        if not self._is_plain() or tf.config.list_physical_devices("GPU"):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        mask = tf.ones(tf.shape(sequences)[:2], tf.bool) if mask is None else mask
        if self.go_backwards:
            sequences, mask = tf.reverse(sequences, [1]), tf.reverse(mask, [1])
        weights = (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        outputs, last_c = recurrence(self.products)(
            sequences, *map(tf.convert_to_tensor, weights), mask, *initial_state
        )
        last = outputs[-1]
        return last, tf.transpose(outputs, (1, 0, 2)), [last, last_c]

    def _is_plain(self) -> bool:
        """Whether all options are implemented here."""
        cell = self.cell
        return (
            cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and cell.use_bias
            and not (cell.dropout or cell.recurrent_dropout or self.unroll or self.stateful)
            and not self.zero_output_for_mask
        )


@cache
def recurrence(products: str) -> Any:
    """An LSTM (Hochreiter and Schmidhuber, 1997) whose large products are of this type.

    Returns:
        A function of

        - sequences: (B, T, D);
        - kernel: (D, 4 units), gates in Keras's order: input, forget, cell, output;
        - recurrent: (units, 4 units);
        - bias: (4 units,);
        - mask: (B, T) bool; where false, the state stays;
        - h: (B, units), state before the first frame;
        - c: (B, units), cell before the first frame;

        that gives h after each frame, (T, B, units), and the last c, (B, units).
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(
        sequences: Any, kernel: Any, recurrent: Any, bias: Any, mask: Any, h: Any, c: Any
    ) -> Any:
        dim, units = kernel.shape[0], recurrent.shape[0]
        x = tf.reshape(tf.cast(sequences, products), (-1, dim))  # (B T, D)
        factor = tf.cast(kernel, products)
        shape = (*tf.unstack(tf.shape(sequences)[:2]), 4 * units)
        projected = tf.reshape(tf.matmul(x, factor), shape)
        # Under a tape the loop would record its intermediate values, which XLA cannot return.
        inputs = [tf.stop_gradient(one) for one in (projected, recurrent, bias, mask, h, c)]
        states, cells, gates = _forward(*inputs)

        def gradient(d_states: Any, d_cell: Any) -> Any:
            d_gates, d_bias, d_h, d_c, before = _backward(
                d_states, d_cell, recurrent, mask, h, c, states, cells, gates, products=products
            )
            d_gates, before = (tf.reshape(one, (-1, one.shape[-1])) for one in (d_gates, before))
            d_kernel = tf.matmul(x, d_gates, transpose_a=True)
            d_recurrent = tf.matmul(before, d_gates, transpose_a=True)
            d_sequences = tf.matmul(d_gates, factor, transpose_b=True)
            return (
                tf.cast(tf.reshape(d_sequences, tf.shape(sequences)), sequences.dtype),
                tf.cast(d_kernel, kernel.dtype),
                tf.cast(d_recurrent, recurrent.dtype),
                d_bias,
                None,
                d_h,
                d_c,
            )

        return (states, cells[-1]), gradient

    return run


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _forward(
    projected: Any, recurrent: Any, bias: Any, mask: Any, h: Any, c: Any
) -> tuple[Any, Any, Any]:
    """h (T, B, units), c (T, B, units) and the gates (T, B, 4 units) of each frame.

    `projected` is (B, T, 4 units), the frames' products with the kernel; `mask` (B, T). All gates
    are one pass over a row: a sigmoid is a tanh of half the argument.
    """
    steps, units = tf.shape(projected)[1], recurrent.shape[0]
    first = tf.transpose(tf.cast(projected, h.dtype), (1, 0, 2)) + bias
    mask = tf.transpose(mask)[..., None]
    scale, shift = _of_gates(0.5, 1, units), _of_gates(0.5, 0, units)

    def step(t: Any, h: Any, c: Any, *kept: Any) -> tuple[Any, ...]:
        z = first[t] + tf.matmul(h, recurrent)
        gates = scale * tf.tanh(scale * z) + shift
        i, f, g, o = tf.split(gates, 4, axis=1)
        new_c = f * c + i * g
        c = tf.where(mask[t], new_c, c)
        h = tf.where(mask[t], o * tf.tanh(new_c), h)
        now = (h, c, gates)
        return t + 1, h, c, *(array.write(t, one) for array, one in zip(kept, now, strict=True))

    kept = [_array(h.dtype, steps, width) for width in (units, units, 4 * units)]
    end = tf.while_loop(lambda t, *_: t < steps, step, (0, h, c, *kept), maximum_iterations=steps)
    return end[3].stack(), end[4].stack(), end[5].stack()


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _backward(
    d_states: Any,
    d_c: Any,
    recurrent: Any,
    mask: Any,
    first_h: Any,
    first_c: Any,
    states: Any,
    cells: Any,
    gates: Any,
    *,
    products: str,
) -> tuple[Any, Any, Any, Any, Any]:
    """Gradients of what stands before the gates, (B, T, 4 units), the bias, and the first h and c;
    and the state before each frame, (B, T, units). The first and the last are of `products`.

    What the chain rule multiplies by is computed for all frames at once; the loop has the products
    that depend on the frame after.

    Args:
        d_states: (T, B, units), of h after each frame.
        d_c: (B, units), of the last c.
        recurrent: (units, 4 units).
        mask: (B, T) bool.
        first_h: (B, units), h before the first frame.
        first_c: (B, units), c before the first frame.
        states: (T, B, units), h after each frame.
        cells: (T, B, units), c after each frame.
        gates: (T, B, 4 units), after their activations.
        products: type of the products.
    """
    steps, units = tf.shape(cells)[0], recurrent.shape[0]
    mask = tf.transpose(mask)[..., None]
    i, f, g, o = tf.split(gates, 4, axis=2)
    before, tanh_c = tf.concat([first_c[None], cells[:-1]], 0), tf.tanh(cells)
    by_c = tf.concat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], axis=2)
    by_h = tanh_c * o * (1 - o)
    by_gate = tf.where(mask, tf.concat([by_c, by_h], axis=2), 0.0)
    of_h = tf.where(mask, o * (1 - tanh_c * tanh_c), 0.0)  # d new_c / d h
    kept_c, kept_h = tf.where(mask, f, 1.0), tf.where(mask, 0.0, 1.0)
    transposed = tf.transpose(recurrent)

    def step(t: Any, d_h: Any, d_c: Any, kept: Any) -> tuple[Any, ...]:
        d_h += d_states[t]
        d_new = d_c + d_h * of_h[t]
        d_z = tf.concat([d_new, d_new, d_new, d_h], axis=1) * by_gate[t]
        d_h = kept_h[t] * d_h + tf.matmul(d_z, transposed)
        return t - 1, d_h, d_new * kept_c[t], kept.write(t, d_z)

    start = (steps - 1, tf.zeros_like(d_c), d_c, _array(cells.dtype, steps, 4 * units))
    _, d_h, d_c, kept = tf.while_loop(lambda t, *_: t >= 0, step, start, maximum_iterations=steps)
    d_gates = kept.stack()
    d_bias = tf.reduce_sum(d_gates, (0, 1))
    rows = [
        tf.cast(tf.transpose(one, (1, 0, 2)), products)
        for one in (d_gates, tf.concat([first_h[None], states[:-1]], 0))
    ]
    return rows[0], d_bias, d_h, d_c, rows[1]


def _of_gates(sigmoid: float, tanh: float, units: int) -> NDArray[np.float32]:
    """(4 units,) one number for the gates with a sigmoid, another for the cell's."""
    return np.repeat(np.array([sigmoid, sigmoid, tanh, sigmoid], np.float32), units)


def _array(dtype: Any, steps: Any, width: int) -> Any:
    """Room for one (B, width) matrix per frame."""
    return tf.TensorArray(dtype, steps, element_shape=(None, width))
