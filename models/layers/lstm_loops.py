"""An LSTM's loops over frames, forward and back, as graphs for XLA to compile.

Hochreiter and Schmidhuber (1997). The products of the frames with the kernel are made before, those
of the kernels' gradients after: what is left is one small product a frame and the gates, which XLA
compiles into a few passes over the state. All is time-major and float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tf_runtime import tf


def forward(first: Any, recurrent: Any, mask: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """The states of all frames. All gates are one pass over a row: a sigmoid is a tanh of half.

    Args:
        first: (T, B, 4 units), the frames' products with the kernel, and the bias; gates in
            Keras's order: input, forget, cell, output.
        recurrent: (units, 4 units).
        mask: (T, B) bool; where false, the state stays.
        h: (B, units), state before the first frame.
        c: (B, units), cell before the first frame.

    Returns:
        h (T, B, units), c (T, B, units) and the gates (T, B, 4 units) after each frame.
    """
    steps, units = tf.shape(first)[0], recurrent.shape[0]
    mask = mask[..., None]
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

    kept = [_array(steps, width) for width in (units, units, 4 * units)]
    end = tf.while_loop(lambda t, *_: t < steps, step, (0, h, c, *kept), maximum_iterations=steps)
    return end[3].stack(), end[4].stack(), end[5].stack()


def backward(
    d_states: Any, d_h: Any, d_c: Any, recurrent: Any, mask: Any, first_c: Any, cells: Any,
    gates: Any,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Gradients of what stands before the gates, (T, B, 4 units), and of the first h and c.

    What the chain rule multiplies by is computed for all frames at once; the loop has the products
    that depend on the frame after.

    Args:
        d_states: (T, B, units), of h after each frame; None where only the last one counts.
        d_h: (B, units), of the last h, added to that.
        d_c: (B, units), of the last c.
        recurrent: (units, 4 units).
        mask: (T, B) bool.
        first_c: (B, units), c before the first frame.
        cells: (T, B, units), c after each frame.
        gates: (T, B, 4 units), after their activations.
    """
    steps, units = tf.shape(cells)[0], recurrent.shape[0]
    mask = mask[..., None]
    i, f, g, o = tf.split(gates, 4, axis=2)
    before, tanh_c = tf.concat([first_c[None], cells[:-1]], 0), tf.tanh(cells)
    by_c = tf.concat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], axis=2)
    by_h = tanh_c * o * (1 - o)
    by_gate = tf.where(mask, tf.concat([by_c, by_h], axis=2), 0.0)
    of_h = tf.where(mask, o * (1 - tanh_c * tanh_c), 0.0)  # d new_c / d h
    kept_c, kept_h = tf.where(mask, f, 1.0), tf.where(mask, 0.0, 1.0)
    transposed = tf.transpose(recurrent)

    def step(t: Any, d_h: Any, d_c: Any, kept: Any) -> tuple[Any, ...]:
        if d_states is not None:
            d_h += d_states[t]
        d_new = d_c + d_h * of_h[t]
        d_z = tf.concat([d_new, d_new, d_new, d_h], axis=1) * by_gate[t]
        d_h = kept_h[t] * d_h + tf.matmul(d_z, transposed)
        return t - 1, d_h, d_new * kept_c[t], kept.write(t, d_z)

    start = (steps - 1, d_h, d_c, _array(steps, 4 * units))
    _, d_h, d_c, kept = tf.while_loop(lambda t, *_: t >= 0, step, start, maximum_iterations=steps)
    return kept.stack(), d_h, d_c


def _of_gates(sigmoid: float, tanh: float, units: int) -> NDArray[np.float32]:
    """(4 units,) one number for the gates with a sigmoid, another for the cell's."""
    return np.repeat(np.array([sigmoid, sigmoid, tanh, sigmoid], np.float32), units)


def _array(steps: Any, width: int) -> Any:
    """Room for one (B, width) matrix per frame."""
    return tf.TensorArray(tf.float32, steps, element_shape=(None, width))
