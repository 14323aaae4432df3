"""The weights of a bundle's backbone as names and arrays; without TensorFlow where that can be.

It can for resnet50-thin and for folders with a safetensors file. ImageNet's weights, and folders of
earlier versions, are in HDF5, which Keras reads.
"""

from __future__ import annotations

from pathlib import Path

from data.errors import ConfigError
from data.io.atomic_folders import read_versioned_json
from models.backbones.fingerprint import FORMAT, RECORD, VERSION, file_sha256
from models.bundle import Bundle
from models.network_weights import (
    MEANS_BGR,
    THIN_DIGEST,
    WEIGHTS,
    NetworkWeights,
    read_weights,
    thin_weights,
)
from models.records import check_backbone


def network_of(bundle: Bundle) -> NetworkWeights:
    """The network that makes the bundle's embeddings.

    Raises:
        ConfigError: it is quantized, or a Keras model of its own layers.
        MismatchError, StoreError, ToolError: as `Bundle.load_backbone`.
    """
    digest, size = bundle.recipe["backbone_digest"], bundle.recipe["frames"]["size"]
    if str(bundle.backbone) == "resnet50-thin" and digest == THIN_DIGEST:
        return NetworkWeights(architecture="resnet50-thin", arrays=thin_weights(), size=size)
    if (folder := Path(bundle.backbone)).is_dir():
        found = _of_folder(folder, digest, size)
        if found is not None:
            return found
    backbone = bundle.load_backbone()
    if backbone.quantized is not None:
        raise ConfigError(
            f"the backbone {backbone.name} is quantized to int8 for OpenVINO, and ONNX has no such "
            "arithmetic; train a bundle on features of the backbone that it was made of"
        )
    if backbone.architecture not in MEANS_BGR:
        raise ConfigError(
            f"the backbone {backbone.name} is a Keras model of its own layers, of which unmask "
            "cannot write the graph; export a bundle of a ResNet50 or of resnet50-thin"
        )
    from models.backbones.registry import named_weights

    arrays = named_weights(backbone.model)
    return NetworkWeights(architecture=backbone.architecture, arrays=arrays, size=size)


def _of_folder(folder: Path, digest: str, size: int) -> NetworkWeights | None:
    """Weights of a safetensors file that its record names; None where Keras must load them."""
    facts = read_versioned_json(folder / RECORD, FORMAT, VERSION)
    check_backbone(facts, folder / RECORD)
    known = facts["architecture"] in MEANS_BGR and facts.get("quantized") is None
    same = facts["digest"] == digest and facts.get("file") == WEIGHTS
    path = folder / WEIGHTS
    if not (known and same and path.is_file() and file_sha256(path) == facts.get("sha256")):
        return None  # loading says what is wrong
    return NetworkWeights(architecture=facts["architecture"], arrays=read_weights(path), size=size)
