"""The backbone on OpenVINO, which uses a CPU's matrix units best.

TensorFlow is not imported: an encoder is made of a network in OpenVINO's own form (IR), which
`convert` makes of the graph that TensorFlow froze, and which can be kept as bytes. So there is one
network and one digest; embeddings of the two runtimes differ by rounding.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError, ToolError
from data.io.reading import check_readable
from data.operating_system.machine import cores
from features.store.key import Precision

HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""What OpenVINO computes in where a layer has no precision of its own; those of an int8 network
have one."""

PART = 4
"""Frames that a thread embeds at a time in bfloat16 and int8; see `part_rows`."""

FILES = ("network.xml", "network.bin")
"""Of a network in a folder: its layers, its constants."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in OpenVINO's form (IR): (B, S, S, 3) uint8 -> (B, D) float32."""

    xml: bytes  # layers
    weights: bytes  # constants

    def save(self, folder: Path) -> None:
        """Writes it to a folder as `FILES`."""
        for name, content in zip(FILES, (self.xml, self.weights), strict=True):
            (folder / name).write_bytes(content)

    @classmethod
    def read(cls, folder: Path, sha256s: Mapping[str, str]) -> Network:
        """Reads what `save` wrote, with these digests by name.

        Raises:
            InputError: a file is missing, or not readable.
            StoreError: a file has another digest.
        """
        contents = []
        for name in FILES:
            path = folder / name
            check_readable(path, missing=f"the weights {path} are missing; write them anew")
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != sha256s[name]:
                raise StoreError(f"the weights {path} are damaged or changed; write them anew")
            contents.append(content)
        return cls(xml=contents[0], weights=contents[1])

    @property
    def sha256s(self) -> dict[str, str]:
        """File name -> digest, hex."""
        contents = zip(FILES, (self.xml, self.weights), strict=True)
        return {name: hashlib.sha256(content).hexdigest() for name, content in contents}


class OpenVinoEncoder:
    """Embeds face crops on OpenVINO; an `Encoder` of `features.extraction.engine`.

    Args:
        network: in OpenVINO's form, with any batch size.
        digest: of the backbone.
        name: of the backbone, for messages.
        size: S, side of the crops in pixels.
        batch_size: rows of every call.
        precision: of the arithmetic.
        threads: None takes all cores.

    Raises:
        ToolError: OpenVINO is not installed, or cannot run this network.
    """

    def __init__(
        self,
        network: Network,
        *,
        digest: str,
        name: str,
        size: int,
        batch_size: int = 32,
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> None:
        runtime = core()
        self.digest = digest
        self.batch_size = batch_size
        self.precision = precision
        self._shape = (batch_size, size, size, 3)
        self._rows = part_rows(batch_size, precision)
        try:
            model = runtime.read_model(network.xml, network.weights)
            model.reshape([self._rows, size, size, 3])
            compiled = runtime.compile_model(model, "CPU", settings(precision, threads))
        except RuntimeError as error:
            raise _cannot_run(name, error) from error
        if precision == "bfloat16" and not _is_bfloat16(compiled):
            raise ToolError(
                "OpenVINO does not compute in bfloat16 on this processor; take --runtime tensorflow"
            )
        self._requests = [compiled.create_infer_request() for _ in range(batch_size // self._rows)]
        self.dim = int(compiled.output(0).shape[1])

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch: (batch_size, S, S, 3) uint8 RGB -> (batch_size, D) float32."""
        if frames.shape != self._shape or frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8 {self._shape}, got {frames.dtype} {frames.shape}"
            )
        embeddings = np.empty((self.batch_size, self.dim), np.float32)
        starts = range(0, self.batch_size, self._rows)
        for start, request in zip(starts, self._requests, strict=True):
            request.start_async([frames[start : start + self._rows]], share_inputs=True)
        for start, request in zip(starts, self._requests, strict=True):
            request.wait()
            embeddings[start : start + self._rows] = request.get_output_tensor().data
        return embeddings


def convert(graph_def: bytes, *, name: str, size: int) -> Network:
    """OpenVINO's form of a graph that TensorFlow froze; its input takes any batch size.

    Args:
        graph_def: serialised.
        name: of the backbone, for messages.
        size: S, side of the crops in pixels.

    Raises:
        ToolError: OpenVINO is not installed, or cannot read this graph.
    """
    with tempfile.TemporaryDirectory(prefix="unmask-") as folder:
        path = Path(folder) / "backbone.pb"  # the suffix names the format
        path.write_bytes(graph_def)
        try:
            model = core().read_model(path)
            model.reshape([-1, size, size, 3])
            return serialized(model)
        except RuntimeError as error:
            raise _cannot_run(name, error) from error


def serialized(model: Any) -> Network:
    """A model of OpenVINO as bytes: the same for the same layers and constants.

    OpenVINO numbers layers over the whole process, so they are named anew, by their order.
    """
    import openvino

    for number, layer in enumerate(model.get_ordered_ops()):
        layer.set_friendly_name(f"{layer.get_type_name()}_{number}")
        facts = layer.get_rt_info()
        for name in [name for name in facts if name.startswith("fused_names")]:  # of origin
            del facts[name]
    with tempfile.TemporaryDirectory(prefix="unmask-") as folder:
        xml, weights = Path(folder) / "network.xml", Path(folder) / "network.bin"
        openvino.serialize(model, xml, weights)
        return Network(xml=xml.read_bytes(), weights=weights.read_bytes())


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return find_spec("openvino") is not None


def has_bfloat16() -> bool:
    """Whether OpenVINO rounds to bfloat16 on this processor: by its unit, or by AVX-512.

    Elsewhere it would compute in float32 and not say so.
    """
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def part_rows(batch_size: int, precision: Precision) -> int:
    """Rows that one thread embeds at a time: all in float32, where threads share each layer.

    In bfloat16 and int8 a layer takes so little that threads mostly wait for each other at its end,
    above all when a decoder has one's core. So each embeds frames of its own: on two cores with AMX
    four at a time gave 77.7 frames/s, sixteen 68.7, sharing layers 63.9 (ResNet50, the same bytes).
    """
    return batch_size if precision == "float32" else math.gcd(batch_size, PART)


def settings(precision: Precision, threads: int | None) -> dict[str, Any]:
    """One call at a time on all cores, or on `threads`, in the precision that was asked for.

    Left to itself OpenVINO computes in bfloat16 wherever a CPU has it. Pinned threads would compete
    with the decoders for the same core.
    """
    threads = threads or cores()
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY" if precision == "float32" else "THROUGHPUT",
        "NUM_STREAMS": 1 if precision == "float32" else threads,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


def _is_bfloat16(compiled: Any) -> bool:
    return str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string()) == "bf16"


def core() -> Any:
    """OpenVINO's entry.

    Raises:
        ToolError: it is not installed.
    """
    if not has_openvino():
        raise ToolError(
            "OpenVINO is not installed: pip install 'unmask[openvino]', or take "
            "--runtime tensorflow"
        )
    import openvino

    return openvino.Core()


def _cannot_run(name: str, error: RuntimeError) -> ToolError:
    reason = " ".join(str(error).split())[:200]
    return ToolError(f"OpenVINO cannot run {name} ({reason}); take --runtime tensorflow")
