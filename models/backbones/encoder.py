"""The backbone as a fast, fixed function: what stage one runs on every frame.

`features.extraction.engine` asks for a callable with `digest`, `dim` and `batch_size`, and knows no
TensorFlow. Weights become constants of the graph, so that TensorFlow folds and fuses them once; the
batch size is fixed, so that on one machine a frame gives the same bytes whatever videos share its
batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError
from models.backbones.registry import Backbone
from models.tf_runtime import tf

if TYPE_CHECKING:
    from models.backbones.openvino_encoder import OpenVinoEncoder


def make_encoder(
    backbone: Backbone,
    *,
    batch_size: int = 32,
    runtime: str = "auto",
    threads: int | None = None,
    mixed_precision: bool = False,
) -> TensorFlowEncoder | OpenVinoEncoder:
    """The backbone on the runtime of choice; the features' keys are the same for all.

    Args:
        backbone: the network.
        batch_size: rows of every call.
        runtime: "tensorflow", "openvino", or "auto": OpenVINO where it is installed and there is
            no GPU, else TensorFlow.
        threads: that OpenVINO computes with, None takes all cores; for TensorFlow see
            `models.tf_runtime.limit_threads`.
        mixed_precision: on a GPU TensorFlow computes in float16 what bears it; the embeddings
            then round otherwise, so their recipe says so.

    Raises:
        ConfigError: mixed precision without a GPU, or on OpenVINO.
        ToolError: the runtime is not installed, or cannot run this network.
    """
    from models.backbones.openvino_encoder import OpenVinoEncoder, is_installed

    if mixed_precision:
        if runtime == "openvino":
            raise ConfigError("extract.mixed_precision is TensorFlow's; leave --runtime out")
        use_float16("extract.mixed_precision")
        runtime = "tensorflow"
    if runtime == "auto":
        on_cpu = not tf.config.list_physical_devices("GPU")
        # A user's own layers may be anything; TensorFlow runs them all.
        known = backbone.architecture != "custom"
        runtime = "openvino" if on_cpu and known and is_installed() else "tensorflow"
    if runtime == "openvino":
        return OpenVinoEncoder(backbone, batch_size=batch_size, threads=threads)
    return TensorFlowEncoder(backbone, batch_size=batch_size)


def use_float16(option: str) -> None:
    """Lets every graph that is traced from now on compute in float16 what bears it.

    Raises:
        ConfigError: there is no GPU; the option is named.
    """
    if not tf.config.list_physical_devices("GPU"):
        raise ConfigError(f"{option} needs TensorFlow on a GPU; leave it out on this machine")
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})


def frozen_graph(model: Any, shape: tuple[int, int, int, int]) -> Any:
    """The model as one graph function of (B, S, S, 3) uint8, its weights constants."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    traced = tf.function(lambda frames: model(frames, training=False))
    frames = tf.TensorSpec(shape, tf.uint8)
    return convert_variables_to_constants_v2(traced.get_concrete_function(frames))


def check_frames(frames: NDArray[np.uint8], shape: tuple[int, int, int, int]) -> None:
    """Refuses what is no full batch; our bug, hence a ValueError."""
    if frames.shape != shape or frames.dtype != np.uint8:
        raise ValueError(f"frames must be uint8 {shape}, got {frames.dtype} {frames.shape}")


class TensorFlowEncoder:
    """Embeds face crops with a backbone; an `Encoder` of `features.extraction.engine`.

    Args:
        backbone: the network; its weights are copied, later changes have no effect here.
        batch_size: rows of every call.

    Attributes:
        digest: the backbone's digest.
        dim: D, length of one embedding.
        batch_size: rows that every call must have.
    """

    def __init__(self, backbone: Backbone, *, batch_size: int = 32) -> None:
        self.digest = backbone.digest
        self.dim = backbone.dim
        self.batch_size = batch_size
        self._shape = (batch_size, backbone.size, backbone.size, 3)
        self._graph = frozen_graph(backbone.model, self._shape)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch.

        Args:
            frames: (batch_size, S, S, 3) uint8 RGB.

        Returns:
            (batch_size, D) float32.
        """
        check_frames(frames, self._shape)
        (embeddings,) = self._graph(tf.constant(frames))
        return np.asarray(embeddings.numpy(), dtype=np.float32)
