"""The backbone on TensorFlow: weights become constants of a graph of one batch size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError
from features.store.key import Precision
from models.backbones.registry import Backbone
from models.tf_runtime import frozen_graph, tf


class TensorFlowEncoder:
    """Embeds face crops on TensorFlow; an `Encoder` of `features.extraction.engine`.

    The weights are copied: later changes of the backbone have no effect here.

    Args:
        backbone: the network.
        batch_size: rows of every call.
        precision: float32, or float16 on a GPU where it is accurate enough.

    Raises:
        ConfigError: float16 without a GPU, or a precision of OpenVINO.
    """

    def __init__(
        self, backbone: Backbone, *, batch_size: int = 32, precision: Precision = "float32"
    ) -> None:
        if precision == "float16":
            use_float16("extract.precision float16")
        elif precision != "float32":
            raise ConfigError(f"TensorFlow does not compute {precision}; leave --runtime out")
        self.digest = backbone.digest
        self.dim = backbone.dim
        self.batch_size = batch_size
        self.precision = precision
        self._shape = (batch_size, backbone.size, backbone.size, 3)
        self._graph = frozen_graph(backbone.model, self._shape)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch: (batch_size, S, S, 3) uint8 RGB -> (batch_size, D) float32."""
        if frames.shape != self._shape or frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8 {self._shape}, got {frames.dtype} {frames.shape}"
            )
        (embeddings,) = self._graph(tf.constant(frames))
        return np.asarray(embeddings.numpy(), dtype=np.float32)


def has_gpu() -> bool:
    """Whether TensorFlow has a GPU to compute on."""
    return bool(tf.config.list_physical_devices("GPU"))


def use_float16(option: str) -> None:
    """Makes graphs that are traced from now on compute in float16 where it is accurate enough.

    Raises:
        ConfigError: there is no GPU; the option is named.
    """
    if not has_gpu():
        raise ConfigError(f"{option} needs TensorFlow on a GPU; leave it out on this machine")
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})
