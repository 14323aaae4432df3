"""An LSTM that trains fast on a CPU: Keras's mathematics and weights, in another order.

`keras.layers.LSTM` on a CPU multiplies each frame's input by the kernel inside its loop and adds up
the kernel's gradient frame by frame. Here the input's product is one matrix product over all frames
before the loop, each kernel's gradient is one product after it, and the loop has only one small
product and the gates, which XLA compiles into a few passes over the state. On a GPU (cuDNN), and
with options not implemented here, Keras's own loop runs.
"""

from __future__ import annotations

from typing import Any

from models.tf_runtime import keras, tf


@keras.saving.register_keras_serializable(package="unmask")
class FastLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """`keras.layers.LSTM`: the same arguments, weights (names, order, shapes), masks and results.

    A masked frame leaves the state as it was, wherever it stands. Gradients of gradients are not
    defined on a CPU.
    """

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
        cell = self.cell
        kernel = tf.convert_to_tensor(cell.kernel)  # (D, 4 units): input, forget, cell, output
        batch, steps = tf.shape(sequences)[0], tf.shape(sequences)[1]
        mask = tf.ones((steps, batch), tf.bool) if mask is None else tf.transpose(mask)
        # The loop wants frames first: what is narrower is transposed, the input or the gates.
        first = kernel.shape[0] <= kernel.shape[1]
        if first:
            sequences = tf.transpose(sequences, (1, 0, 2))
        projected = tf.matmul(tf.reshape(sequences, (-1, kernel.shape[0])), kernel)
        shape = (steps, batch) if first else (batch, steps)
        projected = tf.reshape(projected, (*shape, 4 * self.units))
        if not first:
            projected = tf.transpose(projected, (1, 0, 2))
        if self.go_backwards:
            projected, mask = tf.reverse(projected, [0]), tf.reverse(mask, [0])
        outputs, last_c = recurrence(
            projected,
            tf.convert_to_tensor(cell.recurrent_kernel),
            tf.convert_to_tensor(cell.bias),
            mask[..., None],
            *initial_state,
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


@tf.custom_gradient  # type: ignore[untyped-decorator]
def recurrence(projected: Any, recurrent: Any, bias: Any, mask: Any, h: Any, c: Any) -> Any:
    """An LSTM's loop over inputs that have met their kernel (Hochreiter and Schmidhuber, 1997).

    Args:
        projected: (T, B, 4 units), gates in Keras's order: input, forget, cell, output.
        recurrent: (units, 4 units).
        bias: (4 units,).
        mask: (T, B, 1) bool; where false, the state stays.
        h: (B, units), state before the first frame.
        c: (B, units), cell before the first frame.

    Returns:
        h after each frame, (T, B, units), and the last c, (B, units).
    """
    # Under a tape the loop would record its intermediate values, which XLA cannot return.
    inputs = [tf.stop_gradient(one) for one in (projected, recurrent, bias, mask, h, c)]
    states, cells, gates = _forward(*inputs)

    def gradient(d_states: Any, d_cell: Any) -> Any:
        d_gates, d_bias, d_h, d_c = _backward(d_states, d_cell, recurrent, mask, c, cells, gates)
        units = recurrent.shape[0]
        d_recurrent = tf.matmul(  # over all frames at once
            tf.reshape(tf.concat([h[None], states[:-1]], 0), (-1, units)),
            tf.reshape(d_gates, (-1, 4 * units)),
            transpose_a=True,
        )
        return d_gates, d_recurrent, d_bias, None, d_h, d_c

    return (states, cells[-1]), gradient


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _forward(
    projected: Any, recurrent: Any, bias: Any, mask: Any, h: Any, c: Any
) -> tuple[Any, Any, Any]:
    """h (T, B, units), c (T, B, units) and the gates (T, B, 4 units) of each frame."""
    steps, units = tf.shape(projected)[0], recurrent.shape[0]

    def step(t: Any, h: Any, c: Any, *kept: Any) -> tuple[Any, ...]:
        z = projected[t] + tf.matmul(h, recurrent) + bias
        z_i, z_f, z_g, z_o = tf.split(z, 4, axis=1)
        i, f, g, o = tf.sigmoid(z_i), tf.sigmoid(z_f), tf.tanh(z_g), tf.sigmoid(z_o)
        new_c = f * c + i * g
        c = tf.where(mask[t], new_c, c)
        h = tf.where(mask[t], o * tf.tanh(new_c), h)
        now = (h, c, tf.concat([i, f, g, o], axis=1))
        return t + 1, h, c, *(array.write(t, one) for array, one in zip(kept, now, strict=True))

    kept = [_array(projected.dtype, steps, width) for width in (units, units, 4 * units)]
    end = tf.while_loop(lambda t, *_: t < steps, step, (0, h, c, *kept), maximum_iterations=steps)
    return end[3].stack(), end[4].stack(), end[5].stack()


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _backward(
    d_states: Any, d_c: Any, recurrent: Any, mask: Any, first_c: Any, cells: Any, gates: Any
) -> tuple[Any, Any, Any, Any]:
    """Gradients of what stands before the gates, (T, B, 4 units), the bias, and the first h and c.

    What the chain rule multiplies by is computed for all frames at once; the loop has the products
    that depend on the frame after.

    Args:
        d_states: (T, B, units), of h after each frame.
        d_c: (B, units), of the last c.
        recurrent: (units, 4 units).
        mask: (T, B, 1) bool.
        first_c: (B, units), c before the first frame.
        cells: (T, B, units), c after each frame.
        gates: (T, B, 4 units), after their activations.
    """
    steps, units = tf.shape(cells)[0], recurrent.shape[0]
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
    return d_gates, tf.reduce_sum(d_gates, (0, 1)), d_h, d_c


def _array(dtype: Any, steps: Any, width: int) -> Any:
    """Room for one (B, width) matrix per frame."""
    return tf.TensorArray(dtype, steps, element_shape=(None, width))
