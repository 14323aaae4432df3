"""The backbone on OpenVINO: the runtime that gets most out of a CPU's matrix units.

It reads the graph that TensorFlow froze, so there is one network and one digest; its embeddings
differ from TensorFlow's by rounding. docs/performance.md has the rates of both.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import ToolError
from models.backbones.encoder import check_frames, frozen_graph
from models.backbones.registry import Backbone


def is_installed() -> bool:
    """Whether OpenVINO can be imported; it is not imported for that."""
    return find_spec("openvino") is not None


class OpenVinoEncoder:
    """Embeds face crops with a backbone; an `Encoder` of `features.extraction.engine`.

    Args:
        backbone: the network; its weights are copied, later changes have no effect here.
        batch_size: rows of every call.
        threads: that compute; None takes all cores.

    Attributes:
        digest: the backbone's digest.
        dim: D, length of one embedding.
        batch_size: rows that every call must have.

    Raises:
        ToolError: OpenVINO is not installed, or cannot run this network.
    """

    def __init__(
        self, backbone: Backbone, *, batch_size: int = 32, threads: int | None = None
    ) -> None:
        if not is_installed():
            raise ToolError(
                "OpenVINO is not installed: pip install 'unmask[openvino]', or take "
                "--runtime tensorflow"
            )
        import openvino

        self.digest = backbone.digest
        self.dim = backbone.dim
        self.batch_size = batch_size
        self._shape = (batch_size, backbone.size, backbone.size, 3)
        core = openvino.Core()
        graph = frozen_graph(backbone.model, self._shape).graph.as_graph_def().SerializeToString()
        with tempfile.TemporaryDirectory(prefix="unmask-") as folder:
            path = Path(folder) / "backbone.pb"  # the format is told by the name
            path.write_bytes(graph)
            try:
                network = core.read_model(path)
                network.reshape(list(self._shape))
                compiled = core.compile_model(network, "CPU", _settings(threads))
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise ToolError(
                    f"OpenVINO cannot run {backbone.name} ({reason}); take --runtime tensorflow"
                ) from error
        self._request = compiled.create_infer_request()
        self._output = compiled.output(0)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch.

        Args:
            frames: (batch_size, S, S, 3) uint8 RGB.

        Returns:
            (batch_size, D) float32.
        """
        check_frames(frames, self._shape)
        results = self._request.infer([frames], share_inputs=True)
        return np.array(results[self._output], dtype=np.float32)


def _settings(threads: int | None) -> dict[str, object]:
    """One call at a time on all cores, or on so many, in full precision.

    Left alone, OpenVINO computes in bfloat16 where a CPU has it: twice as fast, and wrong in the
    third digit. Pinned threads would fight with the decoders for the same core.
    """
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
        "ENABLE_CPU_PINNING": False,
    }
