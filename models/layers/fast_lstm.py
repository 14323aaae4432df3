"""An LSTM that trains fast on a CPU: Keras's mathematics and weights, in another order.

`keras.layers.LSTM` on a CPU multiplies each frame's input by the kernel inside its loop and adds up
the kernel's gradient frame by frame. Here the input's product is one matrix product over all frames
before the loop, each kernel's gradient is one product after it, and the loop has only one small
product and the gates, which XLA compiles into a few passes over the state. On a GPU (cuDNN), and
with options not implemented here, Keras's own loop runs.

The three large products may be made in bfloat16 (`products`), which a processor with AMX computes
several times as fast, and one with AVX512-BF16 twice: their sums, the weights and all of the loop
stay float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from models.layers.lstm_loops import backward, forward
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
        if not self.is_plain() or tf.config.list_physical_devices("GPU"):
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

    def is_plain(self) -> bool:
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


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
def _forward(
    projected: Any, recurrent: Any, bias: Any, mask: Any, h: Any, c: Any
) -> tuple[Any, Any, Any]:
    """`lstm_loops.forward` of (B, T, 4 units), the frames' products with the kernel."""
    first = tf.transpose(tf.cast(projected, h.dtype), (1, 0, 2)) + bias
    return forward(first, recurrent, tf.transpose(mask), h, c)


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
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

    Arguments are those of `lstm_loops.backward`, with the mask (B, T), and the states.
    """
    d_gates, d_h, d_c = backward(
        d_states, tf.zeros_like(d_c), d_c, recurrent, tf.transpose(mask), first_c, cells, gates
    )
    d_bias = tf.reduce_sum(d_gates, (0, 1))
    rows = [
        tf.cast(tf.transpose(one, (1, 0, 2)), products)
        for one in (d_gates, tf.concat([first_h[None], states[:-1]], 0))
    ]
    return rows[0], d_bias, d_h, d_c, rows[1]
