"""The backbone as a fast, fixed function, which stage one runs on every frame.

`features.extraction.engine` asks for a callable with `digest`, `dim` and `batch_size`, and does not
depend on TensorFlow. Weights become constants of the graph, so that the runtime folds and fuses
them once; the batch size is fixed, so that on one machine a frame gives the same bytes whatever
videos share its batch. docs/performance.md has the rates of both runtimes.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, ToolError
from models.backbones.registry import Backbone
from models.tf_runtime import frozen_graph, tf


class BackboneEncoder:
    """Embeds face crops with a backbone; an `Encoder` of `features.extraction.engine`.

    The weights are copied: later changes of the backbone have no effect here.
    """

    def __init__(self, backbone: Backbone, *, batch_size: int = 32) -> None:
        self.digest = backbone.digest
        self.dim = backbone.dim
        self.batch_size = batch_size
        self._shape = (batch_size, backbone.size, backbone.size, 3)
        self._graph = frozen_graph(backbone.model, self._shape)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch: (batch_size, S, S, 3) uint8 RGB -> (batch_size, D) float32."""
        if frames.shape != self._shape or frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8 {self._shape}, got {frames.dtype} {frames.shape}"
            )
        return self._embed(frames)

    def _embed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise NotImplementedError


class TensorFlowEncoder(BackboneEncoder):
    """On TensorFlow."""

    def _embed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        (embeddings,) = self._graph(tf.constant(frames))
        return np.asarray(embeddings.numpy(), dtype=np.float32)


class OpenVinoEncoder(BackboneEncoder):
    """On OpenVINO, which uses a CPU's matrix units best; `threads` None takes all cores.

    It reads the graph that TensorFlow froze, so there is one network and one digest; its embeddings
    differ from TensorFlow's by rounding.

    Raises:
        ToolError: OpenVINO is not installed, or cannot run this network.
    """

    def __init__(
        self, backbone: Backbone, *, batch_size: int = 32, threads: int | None = None
    ) -> None:
        if not has_openvino():
            raise ToolError(
                "OpenVINO is not installed: pip install 'unmask[openvino]', or take "
                "--runtime tensorflow"
            )
        import openvino

        super().__init__(backbone, batch_size=batch_size)
        core = openvino.Core()
        with tempfile.TemporaryDirectory(prefix="unmask-") as folder:
            path = Path(folder) / "backbone.pb"  # the suffix names the format
            path.write_bytes(self._graph.graph.as_graph_def().SerializeToString())
            try:
                network = core.read_model(path)
                network.reshape(list(self._shape))
                compiled = core.compile_model(network, "CPU", _openvino_settings(threads))
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise ToolError(
                    f"OpenVINO cannot run {backbone.name} ({reason}); take --runtime tensorflow"
                ) from error
        del self._graph
        self._request = compiled.create_infer_request()
        self._output = compiled.output(0)

    def _embed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        results = self._request.infer([frames], share_inputs=True)
        return np.array(results[self._output], dtype=np.float32)


def make_encoder(
    backbone: Backbone,
    *,
    batch_size: int = 32,
    runtime: str = "auto",
    threads: int | None = None,
    mixed_precision: bool = False,
) -> BackboneEncoder:
    """The backbone on the chosen runtime; the features' keys are the same for all.

    Args:
        backbone: the network.
        batch_size: rows of every call.
        runtime: "tensorflow", "openvino", or "auto": OpenVINO where it is installed and there is
            no GPU, else TensorFlow.
        threads: of OpenVINO, None takes all cores; for TensorFlow see
            `models.tf_runtime.limit_threads`.
        mixed_precision: on a GPU TensorFlow computes in float16 where it is accurate enough; the
            embeddings then round otherwise, so their recipe says so.

    Raises:
        ConfigError: mixed precision without a GPU, or on OpenVINO.
        ToolError: the runtime is not installed, or cannot run this network.
    """
    if mixed_precision:
        if runtime == "openvino":
            raise ConfigError("extract.mixed_precision is TensorFlow's; leave --runtime out")
        use_float16("extract.mixed_precision")
        runtime = "tensorflow"
    if runtime == "auto":
        on_cpu = not tf.config.list_physical_devices("GPU")
        # A user's own layers may be anything; TensorFlow runs them all.
        known = backbone.architecture != "custom"
        runtime = "openvino" if on_cpu and known and has_openvino() else "tensorflow"
    if runtime == "openvino":
        return OpenVinoEncoder(backbone, batch_size=batch_size, threads=threads)
    return TensorFlowEncoder(backbone, batch_size=batch_size)


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return find_spec("openvino") is not None


def use_float16(option: str) -> None:
    """Makes graphs that are traced from now on compute in float16 where it is accurate enough.

    Raises:
        ConfigError: there is no GPU; the option is named.
    """
    if not tf.config.list_physical_devices("GPU"):
        raise ConfigError(f"{option} needs TensorFlow on a GPU; leave it out on this machine")
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})


def _openvino_settings(threads: int | None) -> dict[str, Any]:
    """One call at a time on all cores, or on `threads`, in full precision.

    By default OpenVINO computes in bfloat16 where a CPU has it: twice as fast, and wrong in the
    third digit. Pinned threads would compete with the decoders for the same core.
    """
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
        "ENABLE_CPU_PINNING": False,
    }
