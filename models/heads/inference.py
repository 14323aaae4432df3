"""A trained head without TensorFlow: its layers in NumPy, which give the scores.

`predict`, `scan` and `evaluate` score by this alone, so they need not import TensorFlow, which
takes 3 to 4 seconds; `train` scores its validation videos by it, too, so that a threshold and the
scores that meet it later come from the same arithmetic. It agrees with Keras to 1e-6 and is as
fast (`tests/models/heads/test_inference.py`, `benchmarks/predict.py`).

A head is a chain of layers, each a function of LAYERS. `HeadNetwork.of` reads them off a Keras
model; `tensors` and `HeadNetwork.from_tensors` are for its file (`models.heads.files`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.conditioning.linear_map import normalised

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

VERSION = 1
"""Of the list of layers in a file."""
NORMALISED = "normalise frames"
"""Setting of a layer "condition" that makes each frame's own mean 0 and its length 1, first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One layer with its weights."""

    kind: str  # a key of LAYERS
    weights: tuple[Array, ...] = ()  # in Keras's order
    # the factor of "scale", the activation of "dense", NORMALISED or None of "condition"
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
    own, loop = _split(layer)
    return LAYERS[loop.kind](loop, _dense(own, x, mask), mask)


def _split(layer: Layer) -> tuple[Layer, Layer]:
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

FROM_KERAS = {
    "Standardise": "standardise",
    "AttentionPool": "attention",
    "MaskedMean": "mean",
    "LSTM": "lstm",
    "FastLSTM": "lstm",
    "GRU": "gru",
    "two LSTM": "bilstm",
    "two FastLSTM": "bilstm",
}
"""Class of a Keras layer -> key of LAYERS; "two" is in `Bidirectional`."""


def _times(x: Array, kernel: Array) -> Array:
    """(..., E) @ (E, U) as one matrix product; NumPy would make one for each video."""
    product = x.reshape(-1, x.shape[-1]) @ kernel
    return product.reshape(*x.shape[:-1], kernel.shape[-1])


def _sigmoid(x: Array) -> Array:
    """Of a recurrent layer's gates: SciPy's `expit` makes a whole head an eighth slower."""
    with np.errstate(over="ignore"):  # exp(89) is infinite, and 1 / infinity is right
        return np.asarray(1 / (1 + np.exp(-x)))


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadNetwork:
    """A head: called as the Keras model is, with `{"features": (B, T, D), "mask": (B, T)}`."""

    layers: tuple[Layer, ...]

    def __call__(self, inputs: Mapping[str, NDArray[Any]], training: bool = False) -> Array:
        """(B,) float32 P(fake) of features (B, T, D) of any real dtype and mask (B, T) bool."""
        if training:
            raise ValueError("a HeadNetwork only scores; train the Keras model")
        x, mask = np.asarray(inputs["features"], np.float32), np.asarray(inputs["mask"], bool)
        for layer in self.layers:
            x = LAYERS[layer.kind](layer, x, mask)
        return x[:, 0]

    def by_frame(self) -> tuple[tuple[Layer, ...], HeadNetwork]:
        """Layers that look at one frame at a time, and a network that goes on from what they give.

        So that a frame that is in many sequences goes through the first, the larger matrices, once
        (`map_frames`).
        """
        count = next(at for at, one in enumerate(self.layers) if one.kind not in BY_FRAME)
        first, rest = self.layers[:count], self.layers[count:]
        if f"{rest[0].kind} loop" in LAYERS:
            own, loop = _split(rest[0])
            first, rest = (*first, own), (loop, *rest[1:])
        return first, HeadNetwork(layers=rest)

    @classmethod
    def of(cls, model: Any) -> HeadNetwork:
        """The layers of a Keras model that `models.heads.architectures` built, or of a network.

        Raises:
            ValueError: it has a layer that is not known here.
        """
        if isinstance(model, HeadNetwork):
            return model
        found = (_from_keras(layer) for layer in model.layers)
        return cls(layers=tuple(layer for layer in found if layer is not None))

    def tensors(self) -> tuple[dict[str, Array], str]:
        """Its weights by name, and the list of its layers as JSON."""
        weights = {
            f"{number}.{layer.kind}.{at}": np.ascontiguousarray(weight)
            for number, layer in enumerate(self.layers)
            for at, weight in enumerate(layer.weights)
        }
        layers = [[one.kind, one.setting, len(one.weights)] for one in self.layers]
        return weights, json.dumps({"version": VERSION, "layers": layers})

    @classmethod
    def from_tensors(cls, weights: Mapping[str, Array], described: str, *, dim: int) -> HeadNetwork:
        """Reads back what `tensors` gave; `dim` is D.

        Raises:
            ValueError: it is something else, or the weights do not fit each other.
            KeyError: a weight is missing.
            TypeError: the list of layers is none.
        """
        facts = json.loads(described)
        if facts["version"] != VERSION:
            raise ValueError(f"its layers are of version {facts['version']}, not {VERSION}")
        layers = []
        for number, (kind, setting, count) in enumerate(facts["layers"]):
            if kind not in LAYERS:
                raise ValueError(f"there is no layer {kind!r}")
            own = tuple(weights[f"{number}.{kind}.{at}"] for at in range(count))
            if any(one.dtype != np.float32 for one in own):
                raise ValueError(f"the weights of layer {number} must be float32")
            layers.append(Layer(kind=kind, weights=own, setting=setting))
        network = cls(layers=tuple(layers))
        probe = {"features": np.zeros((2, 3, dim), np.float32), "mask": np.ones((2, 3), bool)}
        if (shape := network(probe).shape) != (2,):
            raise ValueError(f"its scores have the shape {shape}")
        return network


def map_frames(layers: Sequence[Layer], frames: NDArray[np.floating[Any]]) -> Array:
    """(T, D) through layers of BY_FRAME -> (T, E)."""
    x, exist = np.asarray(frames, np.float32)[None], np.ones((1, len(frames)), bool)
    for layer in layers:
        x = LAYERS[layer.kind](layer, x, exist)
    return np.asarray(x[0])


def _from_keras(layer: Any) -> Layer | None:
    """One layer of a Keras model; None for one that does nothing but in training.

    Raises:
        ValueError: it is not known, or has a setting that is not.
    """
    kind, config = type(layer).__name__, layer.get_config()
    if kind in ("InputLayer", "Dropout", "SpatialDropout1D", "ClipNoise", "Reshape"):
        return None
    weights = tuple(np.asarray(weight, np.float32) for weight in layer.get_weights())
    if kind == "Condition":
        setting = NORMALISED if config["normalise_frames"] else None
        return Layer(kind="condition", weights=weights, setting=setting)
    if kind == "Rescaling" and config["offset"] == 0:
        return Layer(kind="scale", setting=float(config["scale"]))
    if kind == "Dense" and config["activation"] in ACTIVATIONS and len(weights) == 2:
        return Layer(kind="dense", weights=weights, setting=str(config["activation"]))
    own = kind
    if kind == "Bidirectional":
        own, merged = f"two {config['layer']['class_name']}", config["merge_mode"] == "concat"
        config = config["layer"]["config"] if merged else {"activation": "another"}
    usual = (
        config.get("activation", "tanh") == "tanh"
        and config.get("recurrent_activation", "sigmoid") == "sigmoid"
        and config.get("reset_after", True)
        and not any(config.get(name) for name in ("return_sequences", "go_backwards"))
    )
    if own not in FROM_KERAS or not usual:
        raise ValueError(f"the layer {layer.name} ({kind}) is none of a head of unmask")
    return Layer(kind=FROM_KERAS[own], weights=weights)


def score(model: Any, sequences: Sequences, *, batch_size: int = 128) -> NDArray[np.float64]:
    """P(fake) of each video, (N,) float64.

    `model` is a `HeadNetwork`, a Keras head, or another function of the same inputs.

    The last batch is filled up with empty videos: one shape, the same sums. So on one machine, with
    one number of threads, a video's score has the same bytes whatever videos are scored with it.
    Another `batch_size` may add up in another order: there it is the same to 1e-6.
    """
    network = HeadNetwork.of(model) if hasattr(model, "layers") else model
    count, steps, dim = sequences.features.shape
    scores = np.zeros(count, np.float64)
    for start in range(0, count, batch_size):
        rows = slice(start, min(start + batch_size, count))
        held = rows.stop - rows.start
        features = np.zeros((batch_size, steps, dim), np.float32)
        mask = np.zeros((batch_size, steps), bool)
        features[:held], mask[:held] = sequences.features[rows], sequences.mask[rows]
        scores[rows] = network({"features": features, "mask": mask}, training=False)[:held]
    return scores
