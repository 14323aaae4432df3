"""A trained head as files of a bundle: the Keras model, its history, its best epoch's metrics."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import StoreError
from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import write_json
from data.io.reading import file_sha256, unreadable
from models.heads.training import Trained
from models.tf_runtime import keras

COLUMNS = ("epoch", "loss", "auc", "val_loss", "val_auc")


def save_model(model: Any, path: Path) -> str:
    """Saves a model so that the same weights give the same bytes; returns their sha256.

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


def load_model(path: Path, sha256: str) -> Any:
    """Reads a model back.

    Raises:
        InputError: it may not be read.
        StoreError: it is missing, has another sha256, or this version of Keras cannot read it.
    """
    if not path.is_file():
        raise StoreError(f"the bundle lacks {path}; train it anew")
    try:
        found = file_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if found != sha256:
        raise StoreError(f"{path} is damaged: its sha256 is not the one in bundle.json; train anew")
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


def _renumber(config: str) -> str:
    """Numbers Keras's shared objects by their first mention: 1, 2, 3."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<="shared_object_id": )\d+',
        lambda match: str(numbers.setdefault(match.group(), len(numbers) + 1)),
        config,
    )
