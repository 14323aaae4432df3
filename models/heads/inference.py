"""A trained head without TensorFlow: its layers in NumPy, which give the scores.

`predict`, `scan` and `evaluate` score by this alone, so they need not import TensorFlow, which
takes 3 to 4 seconds; `train` scores its validation videos by it, too, so that a threshold and the
scores that meet it later come from the same arithmetic. It agrees with Keras to 1e-6 and is as
fast (`tests/models/heads/test_inference.py`, `benchmarks/predict.py`).

A head is a chain of layers, each a function of LAYERS; one that corrects a linear model
(`head.residual`) has a second chain, whose logit is added. `HeadNetwork.of` reads them off a Keras
model; `tensors` and `HeadNetwork.from_tensors` are for its file (`models.heads.files`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.layers.forward import (
    ACTIVATIONS,
    BY_FRAME,
    LAYERS,
    NORMALISED,
    Array,
    Layer,
    Mask,
    split_recurrent,
)

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

VERSION, WITH_BASE = 1, 2
"""Of the list of layers in a file: 2 where there is a second chain."""
BASE = "base_"
"""How the names of the second chain's layers in a Keras model begin."""
VALIDATED = 256
"""Videos of one batch of validation: `score` fills its last one up, of a hundred videos or two in
vain, which took as long as a third of the epoch's steps."""
VALIDATED_BYTES = 16 << 20
"""Of their frames in float32, at most: a head's layers make some ten times as much of them."""
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


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadNetwork:
    """A head: called as the Keras model is, with `{"features": (B, T, D), "mask": (B, T)}`."""

    layers: tuple[Layer, ...]  # from frames to P(fake); to a logit (B, 1) where there is a base
    base: tuple[Layer, ...] = ()  # to the logit (B, 1) that the other chain corrects
    shared: int = 0  # how many of `layers`, from the first, come before `base`, too

    def __call__(self, inputs: Mapping[str, NDArray[Any]], training: bool = False) -> Array:
        """(B,) float32 P(fake) of features (B, T, D) of any real dtype and mask (B, T) bool."""
        if training:
            raise ValueError("a HeadNetwork only scores; train the Keras model")
        network = self.scoring
        x, base = network._run(inputs)
        return expit(x + base)[:, 0] if network.base else x[:, 0]

    @property
    def is_linear_alone(self) -> bool:
        """Whether a residual was left out, so that the linear model alone gives the scores."""
        return self.scoring is not self

    @cached_property
    def scoring(self) -> HeadNetwork:
        """A network of the same scores without a residual that adds nothing.

        One that was left out (`models.heads.residual`) ends in zeros.
        """
        if not self.base or any(weight.any() for weight in self.layers[-1].weights):
            return self
        linear = (*self.base[:-1], replace(self.base[-1], setting="sigmoid"))
        return HeadNetwork(layers=(*self.layers[: self.shared], *linear))

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Array, Array]:
        """What both chains end in; zero for a base that is not there."""
        x, mask = np.asarray(inputs["features"], np.float32), np.asarray(inputs["mask"], bool)
        base = np.zeros((len(x), 1), np.float32)
        for number, layer in enumerate(self.layers):
            if self.base and number == self.shared:
                base = chain(self.base, x, mask)
            x = LAYERS[layer.kind](layer, x, mask)
        return x, base

    def by_frame(self) -> tuple[tuple[Layer, ...], HeadNetwork]:
        """Layers that look at one frame at a time, and a network that goes on from what they give.

        So that a frame that is in many sequences goes through the first, the larger matrices, once
        (`map_frames`).
        """
        whole = self.scoring
        count = next(at for at, one in enumerate(whole.layers) if one.kind not in BY_FRAME)
        if whole.base:  # its first frames are those that `shared` layers give
            count = min(count, whole.shared)
        first, rest = whole.layers[:count], whole.layers[count:]
        if not whole.base and f"{rest[0].kind} loop" in LAYERS:
            own, loop = split_recurrent(rest[0])
            first, rest = (*first, own), (loop, *rest[1:])
        shared = max(0, whole.shared - count)
        return first, HeadNetwork(layers=rest, base=whole.base, shared=shared)

    def after_conditioning(self) -> HeadNetwork:
        """The network for frames that are conditioned already."""
        if self.layers[0].kind != "condition":
            raise ValueError("the head does not condition its input")
        return replace(self, layers=self.layers[1:], shared=max(0, self.shared - 1))

    @classmethod
    def of(cls, model: Any) -> HeadNetwork:
        """The layers of a Keras model that `models.heads.architectures` built, or of a network.

        Raises:
            ValueError: it has a layer that is not known here.
        """
        if isinstance(model, HeadNetwork):
            return model
        known = [(one.name, _from_keras(one)) for one in model.layers]
        found = [(name, layer) for name, layer in known if layer is not None]
        base = tuple(layer for name, layer in found if name.startswith(BASE))
        layers = tuple(layer for name, layer in found if not name.startswith(BASE))
        shared = int(bool(base) and layers[0].kind == "condition")
        return cls(layers=layers, base=base, shared=shared)

    def tensors(self) -> tuple[dict[str, Array], str]:
        """Its weights by name, and the list of its layers as JSON."""
        weights = {
            f"{number}.{layer.kind}.{at}": np.ascontiguousarray(weight)
            for number, layer in enumerate((*self.layers, *self.base))
            for at, weight in enumerate(layer.weights)
        }
        facts: dict[str, Any] = {"version": VERSION, "layers": _listed(self.layers)}
        if self.base:
            facts |= {"version": WITH_BASE, "base": _listed(self.base), "shared": self.shared}
        return weights, json.dumps(facts)

    @classmethod
    def from_tensors(cls, weights: Mapping[str, Array], described: str, *, dim: int) -> HeadNetwork:
        """Reads back what `tensors` gave; `dim` is D.

        Raises:
            ValueError: it is something else, or the weights do not fit each other.
            KeyError: a weight is missing.
            TypeError: the list of layers is none.
        """
        facts = json.loads(described)
        if facts["version"] not in (VERSION, WITH_BASE):
            raise ValueError(f"its layers are of version {facts['version']}, not {WITH_BASE}")
        base, shared = facts.get("base", []), int(facts.get("shared", 0))
        layers = []
        for number, (kind, setting, count) in enumerate([*facts["layers"], *base]):
            if kind not in LAYERS:
                raise ValueError(f"there is no layer {kind!r}")
            own = tuple(weights[f"{number}.{kind}.{at}"] for at in range(count))
            if any(one.dtype != np.float32 for one in own):
                raise ValueError(f"the weights of layer {number} must be float32")
            layers.append(Layer(kind=kind, weights=own, setting=setting))
        split = len(facts["layers"])
        if not 0 <= shared < split:
            raise ValueError(f"it shares {shared} of {split} layers")
        network = cls(layers=tuple(layers[:split]), base=tuple(layers[split:]), shared=shared)
        probe = {"features": np.zeros((2, 3, dim), np.float32), "mask": np.ones((2, 3), bool)}
        if (shape := network(probe).shape) != (2,):
            raise ValueError(f"its scores have the shape {shape}")
        return network


def chain(layers: Sequence[Layer], x: Array, mask: Mask) -> Array:
    """What a chain of layers makes of (B, T, D)."""
    for layer in layers:
        x = LAYERS[layer.kind](layer, x, mask)
    return x


def _listed(layers: Sequence[Layer]) -> list[list[Any]]:
    """Kind, setting and number of weights of each layer."""
    return [[one.kind, one.setting, len(one.weights)] for one in layers]


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
    if kind in ("InputLayer", "Dropout", "SpatialDropout1D", "ClipNoise", "Reshape", "Add"):
        return None
    if kind == "Activation" and config["activation"] == "sigmoid":  # of the sum of both chains
        return None
    weights = tuple(np.asarray(weight, np.float32) for weight in layer.get_weights())
    if kind == "Condition":
        setting = NORMALISED if config["normalise_frames"] else None
        return Layer(kind="condition", weights=weights, setting=setting)
    if kind == "FrameDifferences":
        return Layer(kind="differences", setting=",".join(map(str, config["strides"])))
    if kind == "ClipStatistics":
        setting = f"{config['frame_norm']}:{','.join(config['statistics'])}"
        return Layer(kind="statistics", weights=weights, setting=setting)
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


def validated_at_once(val: Sequences) -> int:
    """Videos of one batch of validation."""
    _, steps, dim = val.features.shape
    return int(max(1, min(len(val.labels), VALIDATED, VALIDATED_BYTES // (4 * steps * dim))))
