"""Several recurrent heads as one: the mean of their logits is the logit of one wide head.

Their units stand side by side, and no state meets another's: the recurrent weights are blocks on
the diagonal. So an average is stored, scored and exported as any head is, without a word of its
own. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.layers.forward import Array, Layer

GATES = {"lstm": 4, "gru": 3}
"""Kind -> how many blocks of `units` columns its weights have, in Keras's order."""


def average_chains(chains: Sequence[tuple[Layer, ...]]) -> tuple[Layer, ...]:
    """One chain whose logit is the mean of those of N chains of one shape.

    Args:
        chains: N of them, each ending in a recurrent layer and the classifier; their other layers
            are alike, of equal weights.
    """
    first = chains[0]
    recurrent, last = ([one[at] for one in chains] for at in (-2, -1))
    return (*first[:-2], _side_by_side(recurrent), _classifier(last, first[-2].kind))


def _side_by_side(layers: Sequence[Layer]) -> Layer:
    """N recurrent layers of U units as one of N U."""
    kind = layers[0].kind
    weights = [one.weights for one in layers]
    if kind == "bilstm":  # two LSTMs
        sides = ([one[:3] for one in weights], [one[3:] for one in weights])
        found = tuple(array for side in sides for array in _joined(side, GATES["lstm"]))
    else:
        found = _joined(weights, GATES[kind])
    return Layer(kind=kind, weights=found)


def _joined(weights: Sequence[tuple[Array, ...]], gates: int) -> tuple[Array, ...]:
    """Kernel (D, G U), recurrent (U, G U) and bias (..., G U) of each, as of one layer."""
    kernels, loops, biases = zip(*weights, strict=True)
    count, units = len(loops), loops[0].shape[0]
    recurrent = np.zeros((count, units, gates, count, units), np.float32)
    for number, loop in enumerate(loops):
        recurrent[number, :, :, number] = loop.reshape(units, gates, units)
    width = count * units
    return (
        _columns(kernels, gates),
        recurrent.reshape(width, gates * width),
        _columns(biases, gates),
    )


def _columns(arrays: Sequence[Array], gates: int) -> Array:
    """(..., G U) of each -> (..., G N U): gate by gate."""
    split = [one.reshape(*one.shape[:-1], gates, -1) for one in arrays]
    joined = np.concatenate(split, axis=-1)
    return np.ascontiguousarray(joined.reshape(*joined.shape[:-2], -1))


def _classifier(layers: Sequence[Layer], kind: str) -> Layer:
    """The mean of N dense layers to one output, of states that stand side by side."""
    count = np.float32(len(layers))
    # Those of a bilstm read all forward states first, then all backward ones.
    sides = 2 if kind == "bilstm" else 1
    parts = [np.split(one.weights[0], sides) for one in layers]
    kernel = np.concatenate([part for side in zip(*parts, strict=True) for part in side])
    bias = np.sum([one.weights[1] for one in layers], axis=0)
    weights = (np.asarray(kernel / count, np.float32), np.asarray(bias / count, np.float32))
    return Layer(kind="dense", weights=weights, setting=layers[0].setting)
