"""ResNet50 backbones, which turn a face crop into an embedding: found, loaded and saved.

Every backbone takes RGB from 0 to 255 and contains its preprocessing. What its digest covers:
`models.backbones.network_digest`.
"""

from __future__ import annotations

import re
import shutil
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import ConfigError, InputError, StoreError, ToolError
from data.io.atomic_folders import read_json, replace_folder, write_json
from data.io.reading import BAD_FACTS, check_readable
from models.backbones.fingerprint import (
    FORMAT,
    RECORD,
    VERSION,
    BackboneFingerprint,
    file_sha256,
    imagenet_path,
)
from models.backbones.network_digest import weights_digest
from models.backbones.open_nsfw import build_thin, load_thin
from models.backbones.preprocessing import CaffeInput
from models.records import check_backbone
from models.tf_runtime import keras

NAMES = ("resnet50-imagenet", "resnet50-thin", "resnet50-random")
"""Backbones that need no path."""

MEAN_BGR = (103.939, 116.779, 123.68)
"""ImageNet's mean in `keras.applications.resnet50.preprocess_input` (mode "caffe")."""


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

    def fingerprint(self, name_or_path: str | Path) -> BackboneFingerprint:
        """Its fingerprint; `name_or_path` is what `load_backbone` was given."""
        folder = Path(name_or_path)
        return BackboneFingerprint(
            name=self.name,
            digest=self.digest,
            dim=self.dim,
            provenance=self.provenance,
            folder=folder if folder.is_dir() else None,
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
        return _backbone(name, "resnet50", _load_imagenet(size), size)
    if name == "resnet50-random":
        model = build_resnet50(size)
        _fill_random(model, seed)
        return _backbone(name, "resnet50", model, size)
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
            path = new / "backbone.weights.h5"
            backbone.model.save_weights(path)
        write_json(new / RECORD, facts | {"file": path.name, "sha256": file_sha256(path)})


def residual_blocks(model: Any) -> list[list[Any]]:
    """The 16 residual blocks of a ResNet50, each a list of layers, first to last."""
    blocks: dict[str, list[Any]] = {}
    for layer in model.layers:
        match = re.match(r"conv[2-5]_block\d+_", layer.name)
        if match:
            blocks.setdefault(match.group(), []).append(layer)
    return [blocks[name] for name in sorted(blocks)]


def build_resnet50(size: int, weights: str | None = None) -> Any:
    """`keras.applications.ResNet50` with its preprocessing inside: (B, size, size, 3) -> (B, 2048).

    Args:
        size: side of the input in pixels.
        weights: as in keras.applications; None leaves Keras's own random ones.
    """
    inputs = keras.Input((size, size, 3), name="frames")
    prepared = CaffeInput(mean_bgr=MEAN_BGR, name="preprocess")(inputs)
    plain = keras.applications.ResNet50(
        include_top=False, pooling="avg", weights=weights, input_tensor=prepared
    )
    return keras.Model(inputs, plain.output, name="resnet50")


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


def _load_imagenet(size: int) -> Any:
    """ResNet50 with ImageNet weights, which Keras fetches once and keeps."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # Keras sets none, and would hang behind a silent firewall
    try:
        return build_resnet50(size, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        wanted = imagenet_path()
        raise ToolError(
            f"cannot fetch the ImageNet weights ({' '.join(str(error).split())}); put the file "
            f"{wanted.name} from "
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/ into the folder "
            f"{wanted.parent}, or give its path as the backbone, or take resnet50-thin, which "
            "needs no download"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _fill_random(model: Any, seed: int) -> None:
    """Fills a ResNet50 with seeded weights whose embeddings stay of order one.

    NumPy draws them, so that they outlive a change of Keras's initialisers. He normal (He et al.,
    2015); the last normalisation of each block is damped, or the variance would double 16 times.
    """
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        kind = weight.path.rsplit("/", 1)[-1]
        shape = tuple(weight.shape)
        if kind == "kernel":
            value = draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        elif kind == "gamma":
            value = np.full(shape, 0.25 if weight.path.endswith("_3_bn/gamma") else 1.0)
        elif kind == "moving_variance":
            # Pixels vary by some 60 grey levels around the mean.
            value = np.full(shape, 2 * 60.0**2 if weight.path.startswith("conv1") else 1.0)
        else:
            value = np.zeros(shape)
        weight.assign(value.astype(np.float32))


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
    facts = read_json(folder / RECORD, FORMAT, VERSION)
    check_backbone(facts, folder / RECORD)
    architecture, digest = facts["architecture"], facts["digest"]
    more = {"name": facts["name"], "provenance": facts["provenance"]}
    if architecture == "custom":
        backbone = _load_custom(folder / "backbone.keras", size, **more)
    elif architecture in BUILDERS:
        model = BUILDERS[architecture](size)
        path = folder / "backbone.weights.h5"
        check_readable(path, missing=f"the weights {path} are missing; write them anew")
        # Before HDF5 reads them: damaged bytes can crash it.
        if "sha256" in facts and file_sha256(path) != facts["sha256"]:
            raise StoreError(f"the weights {path} are damaged or changed; write them anew")
        try:
            _read_weights(model, path)
        except Exception as error:  # Keras and HDF5 raise what their parts happen to raise
            raise StoreError(f"the weights {path} are damaged; write them anew") from error
        backbone = _backbone(architecture=architecture, model=model, size=size, **more)
    else:
        raise StoreError(
            f"{folder} has the architecture {architecture!r}, unknown to this version; use a later "
            "unmask, or write the backbone anew"
        )
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
