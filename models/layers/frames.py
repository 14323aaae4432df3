"""Layers for single frames: standardised, conditioned, with noise in training. In Keras.

Frames past a video's end are zeros with a false mask and must never change its score.
"""

from __future__ import annotations

from typing import Any

from models.tf_runtime import keras


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
