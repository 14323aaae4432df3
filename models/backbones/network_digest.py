"""A backbone's digest: over its weights, its layers, and the preprocessing inside it.

It is a part of the key of every stored feature. So it must change with everything but the pixels
that changes an embedding, and with nothing else: not with the file that weights came from, the size
of the crops, or the version of TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from models.backbones.preprocessing import CaffeInput

SETTINGS = (
    "activation", "dilation_rate", "epsilon", "filters", "groups", "kernel_size",
    "max_value", "mean_bgr", "negative_slope", "padding", "pool_size", "strides", "threshold",
    "use_bias",
)  # fmt: skip
"""Keys of a layer's configuration that decide its output, beside its weights."""

ORIGINAL = {
    "resnet50": "1ba8d1c02e275075dc96e61ef76b5fb9c1f6d46c0c56a0cb46b9b82e1370b263",
    "resnet50-thin": "93cd05dbac33f7bd8afcfffd7f3c96053de1961c7763e5dca973690a597e5cff",
    "preprocessing": "f167722e6778151f3768d99bb4b3cd784a2f716ea209353edffad8344c395191",
}
"""Digests of networks and preprocessing as they were when a backbone's digest was over its weights
alone. These are left out of it, so that earlier digests stay valid; any other is a part of it.
Do not replace these values: a changed network must have another digest."""

PROBE = np.arange(256 * 3).reshape(1, 16, 16, 3).astype(np.uint8)
"""Pixels whose preprocessing is compared: every value, other ones in each channel."""


def weights_digest(architecture: str, model: Any) -> str:
    """sha256 over the architecture, the preprocessing, and each weight, hex.

    Of a weight: name, dtype, shape and bytes. Of a custom model: all of its configuration, since
    its name does not determine its layers.
    """
    digest = hashlib.sha256(architecture.encode())
    if architecture == "custom":
        digest.update(json.dumps(model.get_config(), sort_keys=True, default=str).encode())
    elif (layers := layers_digest(model)) != ORIGINAL[architecture]:
        digest.update(f"\nlayers {layers}\n".encode())
    if any(isinstance(layer, CaffeInput) for layer in model.layers):
        preprocessing = preprocessing_digest()
        if preprocessing != ORIGINAL["preprocessing"]:
            digest.update(f"\npreprocessing {preprocessing}\n".encode())
    for weight in model.weights:
        value = np.ascontiguousarray(weight.value.numpy())
        shape = ",".join(map(str, value.shape))
        digest.update(f"\n{weight.path} {value.dtype.str} {shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def quantized_digest(digest: str, sha256s: Mapping[str, str]) -> str:
    """sha256 over the floating-point backbone's digest and the quantized network's files, hex."""
    facts = json.dumps(["int8", digest, dict(sha256s)], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


def layers_digest(model: Any) -> str:
    """sha256 over each layer's kind, name, settings, and the layers that feed it."""
    facts = [
        [
            layer["class_name"],
            layer["name"],
            {key: layer["config"][key] for key in SETTINGS if key in layer["config"]},
            list(_feeding(layer["inbound_nodes"])),
        ]
        for layer in model.get_config()["layers"]
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _feeding(node: Any) -> Iterator[str]:
    """Names of the layers that a serialised node refers to, in its order."""
    if isinstance(node, dict):
        if "keras_history" in node:
            yield str(node["keras_history"][0])
        for value in node.values():
            yield from _feeding(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _feeding(value)


def preprocessing_digest() -> str:
    """sha256 over the preprocessing's output for PROBE.

    Subtraction of float32 numbers is exact to the bit on every processor.
    """
    prepared = np.asarray(CaffeInput(mean_bgr=(1.0, 2.0, 3.0), dtype="float32")(PROBE), np.float32)
    return hashlib.sha256(prepared.tobytes()).hexdigest()
