"""The backbone on TensorFlow: weights become constants of a graph of one batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError
from features.store.key import Precision
from models.backbones.registry import Backbone
from models.tf_runtime import frozen_graph, keras, tf


class TensorFlowEncoder:
    """Embeds face crops on TensorFlow; an `Encoder` of `features.extraction.engine`.

    The weights are copied: later changes of the backbone have no effect here.

    Args:
        backbone: the network.
        batch_size: rows of every call.
        precision: float32; float16 on a GPU where it is accurate enough; or bfloat16, which is
            simulated (`rounded_to_bfloat16`).

    Raises:
        ConfigError: float16 without a GPU, or int8.
    """

    def __init__(
        self, backbone: Backbone, *, batch_size: int = 32, precision: Precision = "float32"
    ) -> None:
        if precision == "float16":
            use_float16()
        elif precision == "int8":
            raise ConfigError("TensorFlow does not compute in int8; leave --runtime out")
        model = backbone.model
        if precision == "bfloat16":
            model = rounded_to_bfloat16(model)
        self.digest = backbone.digest
        self.dim = backbone.dim
        self.batch_size = batch_size
        self.precision = precision
        self._shape = (batch_size, backbone.size, backbone.size, 3)
        self._graph = frozen_graph(model, self._shape)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch: (batch_size, S, S, 3) uint8 RGB -> (batch_size, D) float32."""
        if frames.shape != self._shape or frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8 {self._shape}, got {frames.dtype} {frames.shape}"
            )
        (embeddings,) = self._graph(tf.constant(frames))
        return np.asarray(embeddings.numpy(), dtype=np.float32)


def rounded_to_bfloat16(model: Any) -> Any:
    """A copy of a functional model that rounds as OpenVINO does in bfloat16, computing in float32.

    What a layer gives the next is rounded, and so are the kernels of convolutions; sums and the
    last layer's output are not. It runs on every processor, at less than float32's speed.
    """
    last = model.layers[-1]

    def call(layer: Any, *inputs: Any, **more: Any) -> Any:
        outputs = layer(*inputs, **more)
        if layer.name == last.name:
            return outputs
        return keras.ops.cast(keras.ops.cast(outputs, "bfloat16"), "float32")

    copy = keras.models.clone_model(model, call_function=call)
    for weight, value in zip(copy.weights, model.weights, strict=True):
        kernel = len(value.shape) == 4
        rounded = tf.cast(tf.cast(value.value, tf.bfloat16), tf.float32) if kernel else value.value
        weight.assign(rounded)
    copy.trainable = False
    return copy


def has_gpu() -> bool:
    """Whether TensorFlow has a GPU to compute on."""
    return bool(tf.config.list_physical_devices("GPU"))


def use_float16() -> None:
    """Makes graphs that are traced from now on compute in float16 where it is accurate enough.

    Raises:
        ConfigError: there is no GPU.
    """
    if not has_gpu():
        raise ConfigError(
            "extract.precision float16 needs TensorFlow on a GPU; leave it out on this machine"
        )
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})
