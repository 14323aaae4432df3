"""Heads: from a sequence of embeddings to the probability that the video is a fake.

All heads share their ends: they take `{"features": (B, T, D), "mask": (B, T)}`, standardise the
features by the training split's statistics inside the model, and give (B,) P(fake). Between the
ends is one function per kind, listed in `KINDS`; a new kind is a new function there, and its name
in `models.configs.HeadKind`. Frames past a video's end are zeros with a false mask and must never
change its score.

A residual head (`head.residual`) has two branches whose logits are added: a linear model of the
clip's statistics, fitted before, and one of the kinds with units, whose last layer starts at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.conditioning.linear_map import Conditioning
from models.configs import HeadConfig
from models.heads.inference import BASE
from models.layers.fast_lstm import FastLSTM
from models.layers.frames import ClipNoise, Condition, Standardise
from models.layers.pooling import AttentionPool, MaskedMean
from models.layers.statistics import ClipStatistics, FrameDifferences
from models.tf_runtime import keras

STANDARDISE = "standardise"
"""Name of the first layer, `Standardise` or `Condition`."""
NOISE = "input_noise"
"""Name of the layer `ClipNoise`."""
STATISTICS, CLASSIFIER = "statistics", "classifier"
"""Names of the layer `ClipStatistics`, and of the last layer, which has one output."""


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
    """The last layer of every head: (..., E) -> (..., 1) P(fake); of a residual, zero logits."""
    if dropout:
        state = keras.layers.Dropout(config.dropout, name="dropout")(state)
    activation, kernel = "sigmoid", "glorot_uniform"
    if config.is_residual:
        activation, kernel = "linear", "zeros"
    last = keras.layers.Dense(
        1, activation=activation, kernel_initializer=kernel, name=CLASSIFIER, dtype="float32"
    )
    return last(state)


def _lstm(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The state after a video's last frame."""
    x = FastLSTM(config.width, name="lstm")(_small(config, features), mask=mask)
    return _classify(config, x)


def _bilstm(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The states of two LSTMs, one of which reads from the end."""
    both = keras.layers.Bidirectional(FastLSTM(config.width, name="lstm"), name="bilstm")
    return _classify(config, both(_small(config, features), mask=mask))


def _gru(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The state of a gated recurrent unit after a video's last frame."""
    x = keras.layers.GRU(config.width, name="gru")(_small(config, features), mask=mask)
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


def _statistics(config: HeadConfig, features: Any, mask: Any) -> Any:
    """Logistic regression on statistics of the clip; `features` are not standardised."""
    found = _clip_statistics(config, STATISTICS)(features, mask)
    return _classify(config, found, dropout=False)


def _clip_statistics(config: HeadConfig, name: str) -> Any:
    return ClipStatistics(config.statistics, config.frame_norm, name=name)


KINDS: dict[str, Callable[[HeadConfig, Any, Any], Any]] = {
    "lstm": _lstm,
    "bilstm": _bilstm,
    "gru": _gru,
    "attention": _attention,
    "mean": _mean,
    "logistic": _logistic,
    "statistics": _statistics,
}
"""From standardised frames to the score: (B, T, D), (B, T) -> (B, 1) P(fake).

Those of "statistics" are not standardised, since it standardises what it makes of them."""


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
    first: Any = None
    if conditioning is not None:
        first = Condition(conditioning.dimensions, conditioning.normalises_frames, name=STANDARDISE)
        weights = [conditioning.mean, conditioning.matrix]
    elif config.kind != "statistics":
        if mean is None or variance is None:
            raise TypeError("build_head needs mean and variance, or a conditioning")
        first, weights = Standardise(name=STANDARDISE), _standardising(mean, variance)
    model = _assemble(config, dim, first, conditioning)
    if first is not None:
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


def residual_branch(model: Any) -> Any:
    """The part of a residual head that learns: the same inputs -> (B, 1) logits."""
    return keras.Model(model.input, model.get_layer(CLASSIFIER).output)


def _assemble(
    config: HeadConfig, dim: int, first: Any | None, conditioning: Conditioning | None
) -> Any:
    """The Keras model of a head whose frames go through `first`, where there is one."""
    features = keras.Input((None, dim), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    x = features if first is None else first(features, mask)
    if config.is_residual:
        raw = features if isinstance(first, Standardise) else x
        base = _clip_statistics(config, f"{BASE}{STATISTICS}")(raw, mask)
        linear = keras.layers.Dense(1, name=f"{BASE}{CLASSIFIER}", dtype="float32", trainable=False)
        logit = linear(base)
        if config.strides:
            x = FrameDifferences(config.strides, name="differences")(x, mask)
        logit = keras.layers.Add(name="sum")([logit, KINDS[config.kind](config, x, mask)])
        output = keras.layers.Activation("sigmoid", name="probability", dtype="float32")(logit)
    else:
        output = KINDS[config.kind](config, x, mask)  # (B, 1)
    scores = keras.layers.Reshape((), name="score")(output)
    model = keras.Model({"features": features, "mask": mask}, scores, name=config.kind)
    if conditioning is not None and any(layer.name == NOISE for layer in model.layers):
        spread = np.tile(conditioning.spread, 1 + len(config.strides) * config.is_residual)
        model.get_layer(NOISE).set_weights([spread])
    return model


def _standardising(
    mean: NDArray[np.floating[Any]], variance: NDArray[np.floating[Any]]
) -> list[NDArray[np.float32]]:
    """Weights of `Standardise`."""
    # float16 features carry about three digits; a spread below that is rounding, not signal.
    deviation = np.where(variance > 1e-8, np.sqrt(np.maximum(variance, 1e-8)), 1.0)
    return [mean.astype(np.float32), deviation.astype(np.float32)]
