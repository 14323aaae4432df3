"""Heads: from a sequence of embeddings to the probability that the video is a fake.

All heads share their ends: they take `{"features": (B, T, D), "mask": (B, T)}`, standardise the
features by the training split's statistics inside the model, and give (B,) P(fake). Between the
ends sits one function per kind, listed in `KINDS`; a new kind is a new function there. Frames past
a video's end are zeros with a false mask and must never change its score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.quiet import keras
from models.settings import HeadConfig


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
class MaskedMean(keras.layers.Layer):  # type: ignore[misc]
    """The mean over the frames that a video has."""

    def call(self, features: Any, mask: Any) -> Any:
        """(B, T, D), (B, T) bool -> (B, D)."""
        weight = keras.ops.cast(mask, self.compute_dtype)[..., None]  # (B, T, 1)
        count = keras.ops.maximum(keras.ops.sum(weight, axis=1), 1.0)
        return keras.ops.sum(features * weight, axis=1) / count


def _lstm(config: HeadConfig, features: Any, mask: Any) -> Any:
    """The state after a video's last frame. (B, T, D), (B, T) -> (B, units)."""
    x = keras.layers.Rescaling(config.input_scale, name="input_scale")(features)
    if config.input_dropout:
        # The same dimensions for all frames of a clip: noise over time would be a false flicker.
        x = keras.layers.SpatialDropout1D(config.input_dropout, name="input_dropout")(x)
    x = keras.layers.LSTM(config.units, name="lstm")(x, mask=mask)
    return keras.layers.Dropout(config.dropout, name="dropout")(x)


def _mean(config: HeadConfig, features: Any, mask: Any) -> Any:
    """Logistic regression on the mean embedding: no state, no dropout. (B, T, D) -> (B, D)."""
    return MaskedMean(name="mean")(features, mask)


KINDS: dict[str, Callable[[HeadConfig, Any, Any], Any]] = {"lstm": _lstm, "mean": _mean}
"""What may stand between standardised frames and the classifier: (B, T, D), (B, T) -> (B, E)."""


def build_head(
    config: HeadConfig,
    *,
    dim: int,
    mean: NDArray[np.floating[Any]],
    variance: NDArray[np.floating[Any]],
) -> Any:
    """Builds an untrained head.

    Args:
        config: its shape.
        dim: D, length of one embedding.
        mean: (D,) of the training split's frames.
        variance: (D,) of the training split's frames; a dimension that never varies stays zero.

    Returns:
        A Keras model: {"features": (B, T, D) float, "mask": (B, T) bool} -> (B,) float32 P(fake).
    """
    features = keras.Input((None, dim), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    standardise = Standardise(name="standardise")
    x = KINDS[config.kind](config, standardise(features, mask), mask)
    x = keras.layers.Dense(1, activation="sigmoid", name="classifier", dtype="float32")(x)
    scores = keras.layers.Reshape((), name="score")(x)
    # float16 features carry about three digits; a spread below that is rounding, not signal.
    deviation = np.where(variance > 1e-8, np.sqrt(np.maximum(variance, 1e-8)), 1.0)
    standardise.set_weights([mean.astype(np.float32), deviation.astype(np.float32)])
    return keras.Model({"features": features, "mask": mask}, scores, name=config.kind)
