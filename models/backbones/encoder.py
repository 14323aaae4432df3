"""The backbone as a fast, fixed function, which stage one runs on every frame.

`features.extraction.engine` asks for a callable with `digest`, `dim` and `batch_size`, and does not
depend on TensorFlow. Weights become constants of the graph, so that the runtime folds and fuses
them once; the batch size is fixed, so that on one machine a frame gives the same bytes whatever
videos share its batch. docs/performance.md has the rates of both runtimes.
"""

from __future__ import annotations

from collections.abc import Callable

from data.errors import ConfigError
from data.io.progress import log
from features.extraction.batches import Encoder
from features.store.key import Precision
from models.backbones.openvino_encoder import (
    Network,
    OpenVinoEncoder,
    convert,
    has_bfloat16,
    has_openvino,
)
from models.backbones.precision import slow_note
from models.backbones.registry import Backbone
from models.backbones.tensorflow_encoder import TensorFlowEncoder, has_gpu
from models.tf_runtime import frozen_graph


def make_encoder(
    backbone: Backbone,
    *,
    batch_size: int = 32,
    runtime: str = "auto",
    threads: int | None = None,
    precision: Precision = "float32",
    keep: Callable[[Network], None] | None = None,
) -> Encoder:
    """The backbone on the chosen runtime; the features' keys are the same for both.

    Args:
        backbone: the network.
        batch_size: rows of every call.
        runtime: "tensorflow", "openvino", or "auto": OpenVINO where it is installed and there is
            no GPU, else TensorFlow.
        threads: of OpenVINO, None takes all cores; for TensorFlow see
            `models.tf_runtime.limit_threads`.
        precision: of the arithmetic, as the features' recipe has it. Where this processor lacks a
            unit for it, the same is computed more slowly, and a warning says so.
        keep: called with the network where OpenVINO runs it (`models.backbones.network_cache`).

    Raises:
        ConfigError: the runtime does not compute in the precision, or not on this machine; or the
            backbone is quantized and the precision another than int8, or the other way round.
        ToolError: the runtime is not installed, or cannot run this network.
    """
    if (backbone.quantized is not None) != (precision == "int8"):
        raise ConfigError(
            f"{backbone.name} is {'' if backbone.quantized else 'not '}quantized to int8, the "
            f"features' precision is {precision}; take the backbone that they were made with"
        )
    if precision == "int8" and runtime == "tensorflow":
        raise ConfigError("extract.precision int8 is OpenVINO's; leave --runtime out")
    if precision == "float16" and runtime == "openvino":
        raise ConfigError("extract.precision float16 is TensorFlow's; leave --runtime out")
    if note := slow_note(precision):
        log.warning(note)
    if runtime == "auto":
        runtime = _runtime(backbone, precision)
    if runtime == "tensorflow":
        if precision == "bfloat16" and backbone.architecture == "custom":
            raise ConfigError(
                f"{backbone.name} is a custom model, which TensorFlow computes in float32 alone; "
                "set extract.precision to float32, or take --runtime openvino"
            )
        return TensorFlowEncoder(backbone, batch_size=batch_size, precision=precision)
    return openvino_encoder(
        backbone, batch_size=batch_size, threads=threads, precision=precision, keep=keep
    )


def _runtime(backbone: Backbone, precision: Precision) -> str:
    """The runtime that "auto" means."""
    if precision == "int8":
        return "openvino"
    if precision == "bfloat16":
        return "openvino" if has_openvino() and has_bfloat16() else "tensorflow"
    # A user's own layers may be anything; TensorFlow runs them all.
    known = backbone.architecture != "custom"
    fits = precision == "float32" and not has_gpu() and known and has_openvino()
    return "openvino" if fits else "tensorflow"


def openvino_encoder(
    backbone: Backbone,
    *,
    batch_size: int = 32,
    threads: int | None = None,
    precision: Precision = "float32",
    keep: Callable[[Network], None] | None = None,
) -> OpenVinoEncoder:
    """A loaded backbone on OpenVINO, which reads the graph that TensorFlow froze.

    Raises:
        ToolError: OpenVINO is not installed, or cannot run this network.
    """
    network = backbone.quantized or openvino_network(backbone)
    encoder = OpenVinoEncoder(
        network,
        digest=backbone.digest,
        name=backbone.name,
        size=backbone.size,
        batch_size=batch_size,
        precision=precision,
        threads=threads,
    )
    if keep is not None:  # once it is known to run
        keep(network)
    return encoder


def openvino_network(backbone: Backbone) -> Network:
    """A backbone's floating-point network in OpenVINO's form, by way of TensorFlow's frozen graph.

    Raises:
        ToolError: OpenVINO is not installed, or cannot read this network.
    """
    graph = frozen_graph(backbone.model, (None, backbone.size, backbone.size, 3))
    content = graph.graph.as_graph_def().SerializeToString()
    return convert(content, name=backbone.name, size=backbone.size)
