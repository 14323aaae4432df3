"""Heads: from a sequence of embeddings to the probability that the video is a fake.

All heads share their ends: they take `{"features": (B, T, D), "mask": (B, T)}`, standardise the
features by the training split's statistics inside the model, and give (B,) P(fake). Between the
ends is one function per kind, listed in `KINDS`; a new kind is a new function there, and its name
in `models.configs.HeadKind`. Frames past a video's end are zeros with a false mask and must never
change its score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.conditioning.linear_map import Conditioning
from models.configs import HeadConfig
from models.heads.fast_lstm import FastLSTM
from models.tf_runtime import keras

STANDARDISE = "standardise"
"""Name of the first layer, `Standardise` or `Condition`."""
NOISE = "input_noise"
"""Name of the layer `ClipNoise`."""


@keras.saving.register_keras_serializable(package="unmask")
class Standardise(keras.layers.Layer):  # type: ignore[misc]
    """(x - mean) / deviation for each dimension; zero where the mask is false.

    Keras's own Normalization would write 2 D numbers into the model's JSON; here they are weights.
    """

    def build(self, features_shape: Any, mask_shape: Any = None) -> None:
        """Makes the two statistics, filled by `build_head` or from a file."""
        dim = features_shape[-1]
        self.mean = self.add_weight(shape=(dim,), name="mean", trainable=False)
        self.deviation = self.add_weight(
            shape=(dim,), name="deviation", initializer="ones", trainable=False
        )

    def call(self, features: Any, mask: Any) -> Any:
        """(B, T, D) of any real dtype, (B, T) bool -> (B, T, D) float32."""
        features = keras.ops.cast(features, self.compute_dtype)
        standard = (features - self.mean) / self.deviation
        return keras.ops.where(mask[..., None], standard, 0.0)


@keras.saving.register_keras_serializable(package="unmask")
class Condition(keras.layers.Layer):  # type: ignore[misc]
    """(x - mean) @ matrix, as `models.conditioning` fitted it; zero where the mask is false.

    Args:
        dimensions: E, length of a frame after it.
        normalise_frames: whether each frame's own mean is subtracted and its length made 1, first.
    """

    def __init__(self, dimensions: int, normalise_frames: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.dimensions, self.normalise_frames = dimensions, normalise_frames

    def get_config(self) -> dict[str, Any]:
        """For the model's file."""
        own = {"dimensions": self.dimensions, "normalise_frames": self.normalise_frames}
        return {**super().get_config(), **own}

    def build(self, features_shape: Any, mask_shape: Any = None) -> None:
        """Makes mean (D,) and matrix (D, E), filled by `build_head` or from a file."""
        dim = features_shape[-1]
        self.mean = self.add_weight(shape=(dim,), name="mean", trainable=False)
        self.matrix = self.add_weight(
            shape=(dim, self.dimensions), name="matrix", trainable=False, initializer="zeros"
        )

    def call(self, features: Any, mask: Any) -> Any:
        """(B, T, D) of any real dtype, (B, T) bool -> (B, T, E) float32."""
        ops = keras.ops
        features = ops.cast(features, self.compute_dtype)
        if self.normalise_frames:
            features = features - ops.mean(features, axis=-1, keepdims=True)
            length = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
            features = features / ops.maximum(length, 1e-6)
        conditioned = ops.matmul(features - self.mean, self.matrix)
        return ops.where(mask[..., None], conditioned, 0.0)


@keras.saving.register_keras_serializable(package="unmask")
class ClipNoise(keras.layers.Layer):  # type: ignore[misc]
    """In training adds Gaussian noise, the same to all frames of a clip; nothing otherwise.

    Takes the place of dropping dimensions of the embedding where these are conditioned. Dropping a
    share p adds noise of sqrt(p / (1 - p)) times their size, alike in all directions, so it hides
    directions of little variance. Dropping main directions instead would hide the largest as often:
    on the demo that costs 0.04 of AUC (docs/experiments.md).

    Args:
        factor: sqrt(p / (1 - p)).
    """

    def __init__(self, factor: float, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor
        self.seed_generator = keras.random.SeedGenerator()

    def get_config(self) -> dict[str, Any]:
        """For the model's file."""
        return {**super().get_config(), "factor": self.factor}

    def build(self, features_shape: Any) -> None:
        """Makes the size of an embedding's dimension in each direction, filled by `build_head`."""
        self.spread = self.add_weight(shape=(features_shape[-1],), name="spread", trainable=False)

    def call(self, features: Any, training: bool = False) -> Any:
        """(B, T, E) -> (B, T, E)."""
        if not training:
            return features
        shape = (keras.ops.shape(features)[0], 1, features.shape[-1])
        noise = keras.random.normal(shape, seed=self.seed_generator)
        return features + self.factor * self.spread * noise


@keras.saving.register_keras_serializable(package="unmask")
class MaskedMean(keras.layers.Layer):  # type: ignore[misc]
    """The mean over the frames that a video has."""

    def call(self, features: Any, mask: Any) -> Any:
        """(B, T, D), (B, T) bool -> (B, D)."""
        weight = keras.ops.cast(mask, self.compute_dtype)[..., None]  # (B, T, 1)
        count = keras.ops.maximum(keras.ops.sum(weight, axis=1), 1.0)
        return keras.ops.sum(features * weight, axis=1) / count


@keras.saving.register_keras_serializable(package="unmask")
class AttentionPool(keras.layers.Layer):  # type: ignore[misc]
    """A weighted mean over the frames that a video has; the weights are learnt.

    One linear score per frame, softmax over frames: the attention of Ilse et al. (2018).
    """

    def build(self, hidden_shape: Any, mask_shape: Any = None) -> None:
        """Makes the vector that scores a frame; a bias would cancel in the softmax."""
        self.score = self.add_weight(shape=(hidden_shape[-1],), name="score")

    def call(self, hidden: Any, mask: Any) -> Any:
        """(B, T, E), (B, T) bool -> (B, E)."""
        logits = keras.ops.where(mask, keras.ops.sum(hidden * self.score, axis=-1), -1e9)
        share = keras.ops.softmax(logits, axis=1)[..., None]  # (B, T, 1)
        return keras.ops.sum(keras.ops.where(mask[..., None], hidden, 0.0) * share, axis=1)


def _small(config: HeadConfig, features: Any) -> Any:
    """The input of heads with hidden units: scaled down, some dimensions dropped."""
    dropped = config.input_dropout
    if dropped and config.condition.kind != "none":
        features = ClipNoise(math.sqrt(dropped / (1 - dropped)), name=NOISE)(features)
    x = keras.layers.Rescaling(config.input_scale, name="input_scale")(features)
    if dropped and config.condition.kind == "none":
        # The same dimensions for all frames of a clip: noise over time would be a false flicker.
        x = keras.layers.SpatialDropout1D(config.input_dropout, name="input_dropout")(x)
    return x


def _classify(config: HeadConfig, state: Any, *, dropout: bool = True) -> Any:
    """The last layer of every head: (..., E) -> (..., 1) P(fake)."""
    if dropout:
        state = keras.layers.Dropout(config.dropout, name="dropout")(state)
    return keras.layers.Dense(1, activation="sigmoid", name="classifier", dtype="float32")(state)


def _lstm(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The state after a video's last frame."""
    x = FastLSTM(config.units, name="lstm")(_small(config, features), mask=mask)
    return _classify(config, x)


def _bilstm(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The states of two LSTMs, one of which reads from the end."""
    both = keras.layers.Bidirectional(FastLSTM(config.units, name="lstm"), name="bilstm")
    return _classify(config, both(_small(config, features), mask=mask))


def _gru(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The state of a gated recurrent unit after a video's last frame."""
    x = keras.layers.GRU(config.units, name="gru")(_small(config, features), mask=mask)
    return _classify(config, x)


def _attention(config: HeadConfig, features: Any, mask: Any) -> Any:
    """Frames through one hidden layer, then their learnt weighted mean; order does not matter."""
    hidden = keras.layers.Dense(config.units, activation="tanh", name="hidden")
    x = AttentionPool(name="attention")(hidden(_small(config, features)), mask)
    return _classify(config, x)


def _mean(config: HeadConfig, features: Any, mask: Any) -> Any:
    """Logistic regression on the mean embedding: no state, no dropout."""
    return _classify(config, MaskedMean(name="mean")(features, mask), dropout=False)


def _logistic(config: HeadConfig, features: Any, mask: Any) -> Any:
    """Logistic regression on each frame; the video gets the mean of its frames' P(fake)."""
    frames = _classify(config, features, dropout=False)  # (B, T, 1)
    return MaskedMean(name="mean")(frames, mask)


KINDS: dict[str, Callable[[HeadConfig, Any, Any], Any]] = {
    "lstm": _lstm,
    "bilstm": _bilstm,
    "gru": _gru,
    "attention": _attention,
    "mean": _mean,
    "logistic": _logistic,
}
"""From standardised frames to the score: (B, T, D), (B, T) -> (B, 1) P(fake)."""


def build_head(
    config: HeadConfig,
    *,
    dim: int,
    mean: NDArray[np.floating[Any]] | None = None,
    variance: NDArray[np.floating[Any]] | None = None,
    conditioning: Conditioning | None = None,
) -> Any:
    """Builds an untrained head.

    Args:
        config: its shape.
        dim: D, length of one embedding.
        mean: (D,) of the training split's frames.
        variance: (D,) of the training split's frames; a dimension that never varies stays zero.
        conditioning: takes the place of standardising; `mean` and `variance` are not needed.

    Returns:
        A Keras model: {"features": (B, T, D) float, "mask": (B, T) bool} -> (B,) float32 P(fake).
    """
    if conditioning is None:
        if mean is None or variance is None:
            raise TypeError("build_head needs mean and variance, or a conditioning")
        first, weights = Standardise(name=STANDARDISE), _standardising(mean, variance)
    else:
        first = Condition(conditioning.dimensions, conditioning.normalises_frames, name=STANDARDISE)
        weights = [conditioning.mean, conditioning.matrix]
    model = _assemble(config, dim, first, conditioning)
    first.set_weights(weights)
    return model


def build_after_conditioning(config: HeadConfig, dimensions: int) -> Any:
    """Builds an untrained head without its first layer, to be trained on conditioned sequences.

    Args:
        config: its shape.
        dimensions: E, length of a conditioned frame.

    Returns:
        A Keras model: {"features": (B, T, E) conditioned, "mask": (B, T)} -> (B,) P(fake). Its
        layers have the names that they have in `build_head`'s.
    """
    return _assemble(config, dimensions, None, None)


def _assemble(
    config: HeadConfig, dim: int, first: Any | None, conditioning: Conditioning | None
) -> Any:
    """The Keras model of a head whose frames go through `first`, where there is one."""
    features = keras.Input((None, dim), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    x = features if first is None else first(features, mask)
    output = KINDS[config.kind](config, x, mask)  # (B, 1)
    scores = keras.layers.Reshape((), name="score")(output)
    model = keras.Model({"features": features, "mask": mask}, scores, name=config.kind)
    if conditioning is not None and any(layer.name == NOISE for layer in model.layers):
        model.get_layer(NOISE).set_weights([conditioning.spread])
    return model


def _standardising(
    mean: NDArray[np.floating[Any]], variance: NDArray[np.floating[Any]]
) -> list[NDArray[np.float32]]:
    """Weights of `Standardise`."""
    # float16 features carry about three digits; a spread below that is rounding, not signal.
    deviation = np.where(variance > 1e-8, np.sqrt(np.maximum(variance, 1e-8)), 1.0)
    return [mean.astype(np.float32), deviation.astype(np.float32)]
