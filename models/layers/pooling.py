"""Layers that make one vector of a clip's frames: their mean, plain or weighted. In Keras."""

from __future__ import annotations

from typing import Any

from models.tf_runtime import keras


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
