"""ResNet50 backbones, which turn a face crop into an embedding: found, loaded and saved.

Every backbone takes RGB from 0 to 255 and contains its preprocessing. What its digest covers:
`models.backbones.network_digest`.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, InputError, StoreError
from data.io.atomic_folders import read_versioned_json, replace_folder, write_json
from data.io.reading import BAD_FACTS, check_readable
from models.backbones.fingerprint import (
    FORMAT,
    RECORD,
    VERSION,
    BackboneFingerprint,
    file_sha256,
)
from models.backbones.network_digest import quantized_digest, weights_digest
from models.backbones.open_nsfw import build_thin, load_thin
from models.backbones.openvino_encoder import Network
from models.backbones.resnet50 import build_resnet50, load_imagenet, load_random
from models.network_weights import WEIGHTS, read_weights, write_weights
from models.records import check_backbone
from models.tf_runtime import keras

NAMES = ("resnet50-imagenet", "resnet50-thin", "resnet50-random")
"""Backbones that need no path."""

OLD_WEIGHTS = "backbone.weights.h5"
"""File of a folder of weights of version 1."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network from face crops to embeddings."""

    name: str  # one of NAMES, "…-finetuned", or a file's name
    architecture: str  # "resnet50", "resnet50-thin" or "custom" (a `.keras` file)
    model: Any  # (B, size, size, 3) RGB 0-255, uint8 or float in; (B, dim) float32 out
    size: int  # side of the input in pixels
    dim: int  # D, length of one embedding
    digest: str  # sha256 over architecture, preprocessing and weights, hex
    # plain JSON; for a fine-tuned one, what it was trained on. Empty otherwise
    provenance: dict[str, Any] = field(default_factory=dict)
    # the `.keras` file of a custom one, which is copied, never rewritten
    source: Path | None = None
    # the same network in int8, where it is quantized (`models.backbones.quantization`): this is
    # what is run then, and the digest covers it
    quantized: Network | None = None

    def fingerprint(self, name_or_path: str | Path) -> BackboneFingerprint:
        """Its fingerprint; `name_or_path` is what `load_backbone` was given."""
        folder = Path(name_or_path)
        return BackboneFingerprint(
            name=self.name,
            digest=self.digest,
            dim=self.dim,
            provenance=self.provenance,
            folder=folder if folder.is_dir() else None,
            architecture=self.architecture,
            quantized=self.quantized is not None,
        )


def load_backbone(name_or_path: str | Path, *, size: int = 224, seed: int = 0) -> Backbone:
    """Finds and loads a backbone.

    Args:
        name_or_path: one of NAMES; or a folder that `save_backbone` wrote; or weights of one of
            our architectures (`.weights.h5`, or Keras's older `.h5`); or a whole model (`.keras`).
        size: side of the face crops in pixels, at least 32.
        seed: for resnet50-random.

    Raises:
        ConfigError: the name is none of NAMES and no path; or the size is too small.
        InputError: the file is not a backbone, or is no file.
        StoreError: the folder is damaged or of a later version.
        ToolError: pretrained weights are not there and cannot be fetched.
    """
    if size < 32:
        raise ConfigError(f"the size of face crops must be at least 32 pixels, got {size}")
    name = str(name_or_path)
    if name == "resnet50-thin":
        return _backbone(name, "resnet50-thin", load_thin(size), size)
    if name == "resnet50-imagenet":
        return _backbone(name, "resnet50", load_imagenet(size), size)
    if name == "resnet50-random":
        return _backbone(name, "resnet50", load_random(size, seed), size)
    path = Path(name_or_path)
    if path.is_dir():
        return _load_folder(path, size)
    if path.is_file():
        return _load_file(path, size)
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"the backbone {path} does not exist; give one of {', '.join(NAMES)}")
    raise ConfigError(f"the backbone must be one of {', '.join(NAMES)} or a path, got {name!r}")


def save_backbone(
    backbone: Backbone,
    folder: Path,
    *,
    base: Backbone | None = None,
    finetuning: dict[str, Any] | None = None,
) -> None:
    """Writes weights and `backbone.json`; whole or not at all, an older folder is replaced.

    Args:
        backbone: what to write; `load_backbone(folder)` gives it back, digest and all.
        folder: where to.
        base: what it was fine-tuned from.
        finetuning: how, as plain JSON: configuration and history.

    Raises:
        OutputError: the folder cannot be written.
    """
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "name": backbone.name,
        "architecture": backbone.architecture,
        "digest": backbone.digest,
        "dim": backbone.dim,
        "size": backbone.size,
        "base": {"name": base.name, "digest": base.digest} if base else None,
        "finetuning": finetuning,
        "provenance": backbone.provenance,
    }
    with replace_folder(folder, marker=RECORD) as new:
        if backbone.source is not None:
            path = new / "backbone.keras"
            shutil.copyfile(backbone.source, path)
        else:
            path = new / WEIGHTS
            write_weights(path, named_weights(backbone.model))
        if backbone.quantized is not None:
            backbone.quantized.save(new)
            facts["quantized"] = backbone.quantized.sha256s
        write_json(new / RECORD, facts | {"file": path.name, "sha256": file_sha256(path)})


BUILDERS: dict[str, Callable[[int], Any]] = {
    "resnet50": build_resnet50,
    "resnet50-thin": build_thin,
}


def _backbone(name: str, architecture: str, model: Any, size: int, **more: Any) -> Backbone:
    """A backbone of a model, frozen, with its dimension and digest."""
    model.trainable = False
    return Backbone(
        name=name,
        architecture=architecture,
        model=model,
        size=size,
        dim=int(model.output_shape[-1]),
        digest=weights_digest(architecture, model),
        **more,
    )


def _load_file(path: Path, size: int) -> Backbone:
    """Weights of one of our architectures, or a whole `.keras` model."""
    check_readable(path)
    if path.suffix == ".keras":
        return _load_custom(path, size)
    if path.suffix != ".h5":
        raise InputError(f"the backbone {path} must be a folder, .weights.h5, .h5 or .keras file")
    for architecture, build in BUILDERS.items():
        model = build(size)
        try:
            _read_weights(model, path)
        except OSError as error:
            raise InputError(
                f"the backbone {path} is not a readable HDF5 file; give another"
            ) from error
        except (RuntimeError, *BAD_FACTS):
            continue  # not this one's shapes
        return _backbone(path.name, architecture, model, size)
    raise InputError(
        f"the weights in {path} fit neither ResNet50 nor resnet50-thin without their top; "
        "save another network whole, as a .keras file"
    )


def _read_weights(model: Any, path: Path) -> None:
    """Fills a model from a file; Keras raises where a weight is missing or of another shape."""
    with warnings.catch_warnings():
        # Keras 3.15 warns of its own bookkeeping, once for each container that has no weights.
        warnings.filterwarnings("ignore", message="Skipping nested container")
        model.load_weights(path)


def named_weights(model: Any) -> dict[str, NDArray[np.float32]]:
    """A network's weights by their names, in the network's order."""
    return {weight.path: weight.value.numpy() for weight in model.weights}


def _fill(model: Any, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Fills a model with weights of these names.

    Raises:
        ValueError: one is missing, of another shape, or there are others.
    """
    if set(arrays) != {weight.path for weight in model.weights}:
        raise ValueError("it has other weights")
    for weight in model.weights:
        weight.assign(arrays[weight.path])


def _load_custom(path: Path, size: int, **more: Any) -> Backbone:
    """A user's whole model, which must map our crops to one vector per frame."""
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises what its parts happen to raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"the backbone {path} is not a Keras model: {reason[:300]}; save it anew"
        ) from error
    try:
        inputs, outputs = tuple(model.input_shape), tuple(model.output_shape)
    except (AttributeError, TypeError, ValueError) as error:  # not built, or of several inputs
        raise InputError(f"the backbone {path} must have one input and one output") from error
    fits = len(inputs) == 4 and inputs[3] == 3 and all(s in (None, size) for s in inputs[1:3])
    if not fits or len(outputs) != 2 or outputs[1] is None:
        raise InputError(
            f"the backbone {path} must take (B, {size}, {size}, 3) and give (B, D), "
            f"got {inputs} and {outputs}"
        )
    return _backbone(more.pop("name", path.name), "custom", model, size, source=path, **more)


def _load_folder(folder: Path, size: int) -> Backbone:
    """A folder that `save_backbone` wrote; the digest in it must fit the weights in it."""
    facts = read_versioned_json(folder / RECORD, FORMAT, VERSION)
    check_backbone(facts, folder / RECORD)
    architecture, digest = facts["architecture"], facts["digest"]
    more = {"name": facts["name"], "provenance": facts["provenance"]}
    if architecture == "custom":
        backbone = _load_custom(folder / "backbone.keras", size, **more)
    elif architecture in BUILDERS:
        model = BUILDERS[architecture](size)
        path = folder / (WEIGHTS if facts.get("file") == WEIGHTS else OLD_WEIGHTS)
        check_readable(path, missing=f"the weights {path} are missing; write them anew")
        # Before HDF5 reads them: damaged bytes can crash it.
        if "sha256" in facts and file_sha256(path) != facts["sha256"]:
            raise StoreError(f"the weights {path} are damaged or changed; write them anew")
        try:
            if path.name == WEIGHTS:
                _fill(model, read_weights(path))
            else:
                _read_weights(model, path)
        except StoreError:
            raise
        except Exception as error:  # Keras and HDF5 raise what their parts happen to raise
            raise StoreError(f"the weights {path} are damaged; write them anew") from error
        backbone = _backbone(architecture=architecture, model=model, size=size, **more)
    else:
        raise StoreError(
            f"{folder} has the architecture {architecture!r}, unknown to this version; use a later "
            "unmask, or write the backbone anew"
        )
    if (quantized := facts.get("quantized")) is not None:
        network = Network.read(folder, quantized)
        whole = quantized_digest(backbone.digest, network.sha256s)
        backbone = replace(backbone, digest=whole, quantized=network)
    if backbone.digest != digest:
        file = folder / str(facts.get("file", ""))
        if file.is_file() and file_sha256(file) == facts.get("sha256"):
            raise StoreError(
                f"the weights in {folder} are whole, but were written for other layers or another "
                f"preprocessing than this unmask's {architecture} (digest {digest[:12]}, here "
                f"{backbone.digest[:12]}); use the unmask that wrote them, or fine-tune anew"
            )
        raise StoreError(
            f"the weights in {folder} have the digest {backbone.digest[:12]}, but backbone.json "
            f"says {digest[:12]}; write them anew"
        )
    return backbone
