"""The layer that turns 0-255 RGB into what Caffe-trained networks expect; part of the model.

A backbone contains its preprocessing, so that it cannot be applied twice or forgotten. Its effect
on pixels is a part of the backbone's digest, `models.backbones.network_digest`.
"""

from __future__ import annotations

from typing import Any

from models.tf_runtime import keras


@keras.saving.register_keras_serializable(package="unmask")
class CaffeInput(keras.layers.Layer):  # type: ignore[misc]
    """RGB to BGR, minus `mean_bgr`, of each channel on the scale 0 to 255; no scaling."""

    def __init__(self, *, mean_bgr: tuple[float, float, float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean_bgr = tuple(mean_bgr)

    def call(self, frames: Any) -> Any:
        """(B, H, W, 3) RGB, any real dtype -> (B, H, W, 3) BGR in the layer's dtype."""
        frames = keras.ops.cast(frames, self.compute_dtype)
        mean = keras.ops.convert_to_tensor(self.mean_bgr, dtype=self.compute_dtype)
        # `flip` gives the same numbers, but OpenVINO has no fast code for it: a twelfth of a
        # ResNet50's time in bfloat16.
        red, green, blue = (frames[..., channel : channel + 1] for channel in range(3))
        return keras.ops.concatenate([blue, green, red], axis=-1) - mean

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "mean_bgr": list(self.mean_bgr)}
