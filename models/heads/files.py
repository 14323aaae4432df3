"""Files of heads, written so that DVC sees no change where there is none.

A head is in two files. `<name>.safetensors` has the layers that `models.heads.inference` scores by,
and is read without TensorFlow. `<name>.keras` is the same head for Keras; bundles of earlier
versions have it alone.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import StoreError
from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import write_json
from data.io.reading import BAD_FACTS, file_sha256, unreadable
from models.conditioning.linear_map import Conditioning
from models.heads.inference import BASE, HeadNetwork
from models.heads.trained import Trained

COLUMNS = ("epoch", "loss", "auc", "val_loss", "val_auc")
DESCRIPTION = "unmask_head"
"""Key of a safetensors file's metadata. There is one: the order of several would be random."""


def save_head(head: Trained, folder: Path, name: str, *, dim: int) -> dict[str, str]:
    """Writes both files of a head into a folder that is still hidden; `dim` is D.

    Returns:
        "sha256" of the `.keras` file and "weights_sha256" of the other.
    """
    from safetensors.numpy import save

    network = HeadNetwork.of(head.model)
    weights, described = network.tensors()
    path = folder / f"{name}.safetensors"
    write_plain(path, save(weights, {DESCRIPTION: described}))
    model = _as_keras(network, head, dim) if head.model is network else head.model
    return {
        "sha256": save_model(model, folder / f"{name}.keras"),
        "weights_sha256": file_sha256(path),
    }


def load_head(folder: Path, name: str, facts: Mapping[str, Any], *, dim: int) -> HeadNetwork:
    """Reads a head back; `facts` are those of bundle.json, with what `save_head` returned.

    Raises:
        InputError: a file may not be read.
        StoreError: one is missing or has another sha256, or is not a head of D = `dim`.
    """
    keras_path, path = folder / f"{name}.keras", folder / f"{name}.safetensors"
    _check_sha256(keras_path, facts["sha256"])
    if "weights_sha256" not in facts:
        model = load_model(keras_path)
        try:
            return HeadNetwork.of(model)
        except ValueError as error:
            raise StoreError(f"{keras_path}: {error}; train the bundle anew") from error
    _check_sha256(path, facts["weights_sha256"])
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            described = (opened.metadata() or {})[DESCRIPTION]
        return HeadNetwork.from_tensors(weights, described, dim=dim)
    except (SafetensorError, *BAD_FACTS) as error:
        raise StoreError(f"{path} holds no head ({error}); train the bundle anew") from error


def save_model(model: Any, path: Path) -> str:
    """Saves a Keras model so that the same weights give the same bytes; returns their sha256.

    Keras writes the time of day into a `.keras` file, and memory addresses as identities.
    """
    unstable = path.with_suffix(".unstable.keras")
    model.save(unstable)
    with zipfile.ZipFile(unstable) as source, zipfile.ZipFile(path, "w") as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                metadata = json.loads(content)
                metadata.pop("date_saved", None)
                content = json.dumps(metadata, sort_keys=True).encode()
            elif name == "config.json":
                content = _renumber(content.decode()).encode()
            target.writestr(zipfile.ZipInfo(name), content)  # dated 1980
    unstable.unlink()
    return file_sha256(path)


def load_model(path: Path) -> Any:
    """Reads a Keras model back.

    Raises:
        StoreError: this version of Keras cannot read it.
    """
    from models.heads import architectures  # noqa: F401 - it registers the layers
    from models.tf_runtime import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises what its parts happen to raise
        reason = " ".join(str(error).split())[:200]
        raise StoreError(
            f"this version of Keras cannot read {path} ({reason}); train the bundle anew"
        ) from error


def write_history(folder: Path, heads: Mapping[str, Trained]) -> None:
    """Writes history.csv, each epoch of the first head, and validation.json, every head's best.

    `heads` are by kind; the first one gives the verdicts.
    """
    first = next(iter(heads.values()))
    rows = ([row[key] for key in COLUMNS] for row in first.history)
    write_plain(folder / "history.csv", as_csv(COLUMNS, rows))
    facts = {}
    for kind, head in heads.items():
        if head.history:
            facts[kind] = {key: head.best[key] for key in ("epoch", "val_auc", "val_loss")}
    write_json(folder / "validation.json", facts)


def _check_sha256(path: Path, sha256: str) -> None:
    """Refuses a file that is missing or not the one in bundle.json."""
    if not path.is_file():
        raise StoreError(f"the bundle lacks {path}; train it anew")
    try:
        found = file_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if found != sha256:
        raise StoreError(f"{path} is damaged: its sha256 is not the one in bundle.json; train anew")


def _as_keras(network: HeadNetwork, head: Trained, dim: int) -> Any:
    """The Keras model of a network that was read from a bundle.

    Raises:
        StoreError: this version builds another one by the head's configuration.
    """
    from models.heads.architectures import NOISE, build_head

    if head.config.condition.kind == "none":
        model = build_head(head.config, dim=dim, mean=np.zeros(dim), variance=np.ones(dim))
    else:
        mean, matrix = network.layers[0].weights
        conditioning = Conditioning(
            kind=head.config.condition.kind,
            mean=mean,
            matrix=matrix,
            spread=np.zeros(matrix.shape[1], np.float32),  # of training alone
            explained=1.0,
        )
        model = build_head(head.config, dim=dim, conditioning=conditioning)
    weighted = [one for one in (*network.layers, *network.base) if one.weights]
    targets = [one for one in model.layers if one.get_weights() and one.name != NOISE]
    targets.sort(key=lambda one: one.name.startswith(BASE))  # stable: the base comes last
    try:
        for layer, target in zip(weighted, targets, strict=True):
            target.set_weights(layer.weights)
    except ValueError as error:
        raise StoreError(
            f"the head was trained by an earlier version, whose {head.config.kind} had other "
            "layers; train the bundle anew"
        ) from error
    return model


def _renumber(config: str) -> str:
    """Numbers Keras's shared objects by their first mention: 1, 2, 3."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<="shared_object_id": )\d+',
        lambda match: str(numbers.setdefault(match.group(), len(numbers) + 1)),
        config,
    )
