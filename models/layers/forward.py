"""Layers of a trained head in NumPy, float32: the same numbers as Keras's, to 1e-6.

`models.heads.inference` puts them together. Each is a function from padded clips and their mask to
the next layer's input, listed in LAYERS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.conditioning.linear_map import normalised
from models.linear.statistics import clip_statistics

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

NORMALISED = "normalise frames"
"""Setting of a layer "condition" that makes each frame's own mean 0 and its length 1, first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One layer with its weights."""

    kind: str  # a key of LAYERS
    weights: tuple[Array, ...] = ()  # in Keras's order
    # the factor of "scale", the activation of "dense", NORMALISED or None of "condition", strides
    # of "differences" ("1,2,4"), frame norm and names of "statistics" ("none:mean,deviation")
    setting: float | str | None = None


def _standardise(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, D) -> (B, T, D); zero where the mask is false."""
    mean, deviation = layer.weights
    standard = x - mean
    standard /= deviation
    standard[~mask] = 0
    return standard


def _condition(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, D) -> (B, T, E) by a map of `models.conditioning`; zero where the mask is false."""
    mean, matrix = layer.weights
    if layer.setting == NORMALISED:
        x = normalised(x.reshape(-1, x.shape[-1])).reshape(x.shape)
    found = _times(x - mean, matrix)
    found[~mask] = 0
    return found


def _scale(layer: Layer, x: Array, mask: Mask) -> Array:
    """Times a number."""
    return x * np.float32(layer.setting)


def _dense(layer: Layer, x: Array, mask: Mask) -> Array:
    """(..., E) -> (..., units)."""
    kernel, bias = layer.weights
    return ACTIVATIONS[str(layer.setting)](_times(x, kernel) + bias)


def _recurrent(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, D) -> (B, E): the state after the last frame; a masked frame leaves it alone."""
    own, loop = split_recurrent(layer)
    return LAYERS[loop.kind](loop, _dense(own, x, mask), mask)


def split_recurrent(layer: Layer) -> tuple[Layer, Layer]:
    """A recurrent layer as what it does to each frame by itself, a dense layer, and its loop."""
    if layer.kind == "gru":  # with Keras's `reset_after`
        kernel, recurrent, (bias, recurrent_bias) = layer.weights
        loop: tuple[Array, ...] = (recurrent, recurrent_bias)
    elif layer.kind == "lstm":
        kernel, recurrent, bias = layer.weights
        loop = (recurrent,)
    else:  # two LSTMs
        kernel, bias = (np.concatenate(layer.weights[at::3], axis=-1) for at in (0, 2))
        loop = layer.weights[1::3]
    own = Layer(kind="dense", weights=(kernel, bias), setting="linear")
    return own, Layer(kind=f"{layer.kind} loop", weights=loop)


def _lstm_loop(layer: Layer, gates: Array, mask: Mask) -> Array:
    """(B, T, 4 units), each frame's part of the gates, -> (B, units)."""
    (recurrent,) = layer.weights
    units = recurrent.shape[0]
    h = c = np.zeros((len(gates), units), np.float32)
    for step in range(gates.shape[1]):
        z = gates[:, step] + h @ recurrent  # input, forget, cell, output
        i, f, o = (_sigmoid(z[:, at : at + units]) for at in (0, units, 3 * units))
        new = f * c + i * np.tanh(z[:, 2 * units : 3 * units])
        exists = mask[:, step, None]
        c = np.where(exists, new, c)
        h = np.where(exists, o * np.tanh(new), h)
    return h


def _bilstm_loop(layer: Layer, gates: Array, mask: Mask) -> Array:
    """(B, T, 8 units) -> (B, 2 units): one LSTM reads forwards, one backwards."""
    one, other = (Layer(kind="lstm loop", weights=(recurrent,)) for recurrent in layer.weights)
    forwards, backwards = np.split(gates, 2, axis=-1)
    both = (_lstm_loop(one, forwards, mask), _lstm_loop(other, backwards[:, ::-1], mask[:, ::-1]))
    return np.concatenate(both, axis=-1)


def _gru_loop(layer: Layer, gates: Array, mask: Mask) -> Array:
    """(B, T, 3 units) -> (B, units), as `_lstm_loop`."""
    recurrent, bias = layer.weights
    units = recurrent.shape[0]
    h = np.zeros((len(gates), units), np.float32)
    for step in range(gates.shape[1]):
        z, own = gates[:, step], h @ recurrent + bias  # update, reset, candidate
        update, reset = (
            _sigmoid(z[:, at : at + units] + own[:, at : at + units]) for at in (0, units)
        )
        candidate = np.tanh(z[:, 2 * units :] + reset * own[:, 2 * units :])
        h = np.where(mask[:, step, None], update * h + (1 - update) * candidate, h)
    return h


def _attention(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, E) -> (B, E): the mean of the frames, weighted by the softmax of a linear score."""
    (score,) = layer.weights
    logits = np.where(mask, x @ score, np.float32(-1e9))  # (B, T)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return np.asarray((np.where(mask[..., None], x, 0) * share[..., None]).sum(axis=1))


def _mean(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, E) -> (B, E): the mean over the frames that exist."""
    count = np.maximum(mask.sum(axis=1, keepdims=True), 1).astype(np.float32)
    return np.asarray((x * mask[..., None]).sum(axis=1) / count)


def _differences(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, E) -> (B, T, E (1 + S)): beside each frame its absolute differences to earlier ones.

    Zero where the earlier frame, `stride` before, does not exist.
    """
    found = [x]
    for stride in map(int, str(layer.setting).split(",")):
        moved = np.zeros_like(x)
        both = mask[:, stride:] & mask[:, :-stride]
        moved[:, stride:] = np.abs(x[:, stride:] - x[:, :-stride]) * both[..., None]
        found.append(moved)
    return np.concatenate(found, axis=-1)


def _statistics(layer: Layer, x: Array, mask: Mask) -> Array:
    """(B, T, D) -> (B, K D): standardised statistics of the clip; 0 for those it has none of."""
    mean, deviation = layer.weights
    frame_norm, names = str(layer.setting).split(":")
    found, exist = clip_statistics(x, mask, statistics=names.split(","), frame_norm=frame_norm)
    exists = np.repeat(exist, x.shape[-1], axis=1)
    return np.asarray(np.where(exists, (found - mean) / deviation, np.float32(0)))


LAYERS: dict[str, Callable[[Layer, Array, Mask], Array]] = {
    "standardise": _standardise,
    "condition": _condition,
    "scale": _scale,
    "dense": _dense,
    "lstm": _recurrent,
    "bilstm": _recurrent,
    "gru": _recurrent,
    "lstm loop": _lstm_loop,
    "bilstm loop": _bilstm_loop,
    "gru loop": _gru_loop,
    "attention": _attention,
    "mean": _mean,
    "differences": _differences,
    "statistics": _statistics,
}
"""Each maps (B, T, D) or (B, E) float32 and the mask (B, T) to the next layer's input. The loops
are parts of others, and are in no file."""
BY_FRAME = ("standardise", "condition", "scale", "dense")
"""Of these, those that look at one frame at a time, where they come first."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": expit,
}


def _times(x: Array, kernel: Array) -> Array:
    """(..., E) @ (E, U) as one matrix product; NumPy would make one for each video."""
    product = x.reshape(-1, x.shape[-1]) @ kernel
    return product.reshape(*x.shape[:-1], kernel.shape[-1])


def _sigmoid(x: Array) -> Array:
    """Of a recurrent layer's gates: SciPy's `expit` makes a whole head an eighth slower."""
    with np.errstate(over="ignore"):  # exp(89) is infinite, and 1 / infinity is right
        return np.asarray(1 / (1 + np.exp(-x)))
