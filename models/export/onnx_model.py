"""A bundle as ONNX: faces to verdicts in one file, or a backbone and a head in two.

    frames  (B, T, S, S, 3) uint8 RGB face crops    mask  (B, T) bool, true where there is a frame

    probability_fake (B,)   log10_lr, log10_lr_low, log10_lr_high (B,)   novelty (B,)
    verdict (B,) int64: 1 FAKE, 0 REAL, -1 UNSURE

All float32 but the verdict. B and T are any. A bundle without likelihood ratios gives none, one
without novelty none; of a novel sequence the ratios are NaN, since `predict` tells none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from models.bundle import Bundle
from models.configs import CLASSES
from models.export.backbone_graph import add_backbone
from models.export.graph import BOOL, FLOAT, HALF, INT64, OPSET, Graph, tensor
from models.export.head_graph import add_head
from models.export.verdict_graph import VERDICTS, add_verdict
from models.heads.inference import HeadNetwork
from models.network_weights import MEANS_BGR, NetworkWeights
from models.recipe_check import backbone_words

ExportPrecision = Literal["float32", "float16"]

UINT8 = 2
"""`onnx.TensorProto.UINT8`."""
RATIOS = ("log10_lr", "log10_lr_low", "log10_lr_high")


@dataclass(frozen=True, kw_only=True)
class OnnxModel:
    """One file: its content, and what it takes and gives."""

    content: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def whole_model(
    bundle: Bundle, network: NetworkWeights, *, precision: ExportPrecision, facts: dict[str, str]
) -> OnnxModel:
    """Backbone and head in one; `facts` are added to the file's metadata."""
    graph = Graph()
    size, dim = network.size, network.dim
    flat = graph.add("Reshape", "frames", graph.ints(-1, size, size, 3))
    embeddings = add_backbone(graph, flat, network, half=precision == "float16")
    leading = graph.slice(graph.add("Shape", "frames"), 0, 0, 2)
    shape = graph.add("Concat", leading, graph.ints(dim), axis=0)
    features = graph.add("Reshape", embeddings, shape)
    inputs = [
        tensor("frames", UINT8, ("batch", "time", size, size, 3)),
        tensor("mask", BOOL, ("batch", "time")),
    ]
    return _finished(graph, features, inputs, bundle, network, precision, facts, part="whole")


def backbone_model(
    bundle: Bundle, network: NetworkWeights, *, precision: ExportPrecision, facts: dict[str, str]
) -> OnnxModel:
    """frames (N, S, S, 3) uint8 RGB -> embeddings (N, D) float32."""
    graph = Graph()
    found = add_backbone(graph, "frames", network, half=precision == "float16")
    graph.named(found, "embeddings")
    size = network.size
    return _model(
        graph,
        [tensor("frames", UINT8, ("frames", size, size, 3))],
        [tensor("embeddings", FLOAT, ("frames", network.dim))],
        metadata(bundle, network, precision, facts, part="backbone"),
    )


def head_model(
    bundle: Bundle, network: NetworkWeights, *, precision: ExportPrecision, facts: dict[str, str]
) -> OnnxModel:
    """embeddings (B, T, D) float32 and mask -> what `whole_model` gives."""
    inputs = [
        tensor("embeddings", FLOAT, ("batch", "time", network.dim)),
        tensor("mask", BOOL, ("batch", "time")),
    ]
    return _finished(Graph(), "embeddings", inputs, bundle, network, precision, facts, part="head")


def _finished(
    graph: Graph,
    features: str,
    inputs: list[Any],
    bundle: Bundle,
    network: NetworkWeights,
    precision: ExportPrecision,
    facts: dict[str, str],
    *,
    part: str,
) -> OnnxModel:
    """The head and the verdict after features (B, T, D)."""
    if bundle.recipe["dtype"] == "float16":  # as the store rounds them
        features = graph.cast(graph.cast(features, HALF), FLOAT)
    head = HeadNetwork.of(bundle.head.model)
    raw = add_head(graph, features, "mask", head)
    found = add_verdict(graph, raw, features, "mask", bundle)
    named = {"probability_fake": found.probability}
    if found.log10_lr is not None:
        named |= dict(zip(RATIOS, found.log10_lr, strict=True))
    if found.novelty is not None:
        named["novelty"] = found.novelty
    named["verdict"] = found.verdict
    outputs = [
        tensor(graph.named(one, name), INT64 if name == "verdict" else FLOAT, ("batch",))
        for name, one in named.items()
    ]
    return _model(graph, inputs, outputs, metadata(bundle, network, precision, facts, part=part))


def _model(graph: Graph, inputs: list[Any], outputs: list[Any], facts: dict[str, str]) -> OnnxModel:
    content = graph.model(
        inputs,
        outputs,
        name="unmask",
        version=facts["unmask.version"],
        description=facts["unmask.inputs"],
        metadata=facts,
    )
    names = (tuple(one.name for one in some) for some in (inputs, outputs))
    return OnnxModel(content=content, inputs=next(names), outputs=next(names))


def metadata(
    bundle: Bundle,
    network: NetworkWeights,
    precision: ExportPrecision,
    facts: dict[str, str],
    *,
    part: str,
) -> dict[str, str]:
    """What the file's metadata_props hold: text, or JSON."""
    head, size = bundle.head, network.size
    calibration, ratio, novelty = head.calibration, head.likelihood_ratio, bundle.novelty
    mean = MEANS_BGR[network.architecture]
    told = {
        "part": part,
        "opset": str(OPSET),
        "inputs": {
            "whole": f"frames (B, T, {size}, {size}, 3) uint8 RGB face crops; mask (B, T) bool",
            "backbone": f"frames (N, {size}, {size}, 3) uint8 RGB face crops",
            "head": f"embeddings (B, T, {network.dim}) float32; mask (B, T) bool",
        }[part],
        "labels": json.dumps(dict(enumerate(CLASSES))),
        "verdicts": json.dumps({value: name for name, value in VERDICTS.items()}),
        "threshold": repr(head.threshold),
        "threshold_rule": calibration.rule,
        "unsure": json.dumps([calibration.unsure_low, calibration.unsure_high]),
        "calibration": calibration.method,
        "likelihood_ratio": "none" if ratio is None else f"fitted on {ratio.origin}",
        "novelty": "none" if novelty is None else "above 1 the verdict is UNSURE",
        "size": str(size),
        "dim": str(network.dim),
        "head": head.config.kind,
        "backbone": backbone_words(bundle.recipe),
        "backbone_digest": bundle.recipe["backbone_digest"],
        "preprocessing": f"inside: RGB to BGR, minus {list(mean)} of 0 to 255",
        "precision": precision,
        "features_precision": str(bundle.recipe.get("precision", "float32")),
        "frames": json.dumps(bundle.recipe["frames"], sort_keys=True),
        "face_detector": str(bundle.recipe.get("face_detector")),
        "pixels_version": str(bundle.recipe.get("pixels_version", 1)),
        **facts,
    }
    return {f"unmask.{name}": value for name, value in told.items()}
