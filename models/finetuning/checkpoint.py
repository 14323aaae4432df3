"""The checkpoint of a fine-tuning run after an epoch: a killed run resumes to the same result.

One file beside the output folder: the weights that learn, both Adams' moments, the history and the
weights of the epochs that may be the best. It has a key of all that decides the result; one with
another key, or a damaged one, is ignored.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.io.atomic_files import atomic_file
from data.io.reading import BAD_FACTS, open_file

if TYPE_CHECKING:
    from models.configs import FinetuneConfig
    from models.finetuning.clips import Clips

VERSION = 2
"""2 has every epoch that may be the best; to be raised when the choice of the best changes."""
BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What `zipfile` raises over a damaged file; the last over a kind of compression unknown to it."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run after an epoch."""

    history: list[dict[str, float]]  # a row per epoch, the frozen phase first
    state: list[NDArray[Any]]  # of `FinetuneNet.get_state`
    # epoch -> `FinetuneNet.get_weights`, of the epochs that may be the best at the end
    # (`models.early_stopping.EarlyStopping.candidates`)
    best: dict[int, list[NDArray[Any]]]


def checkpoint_path(out: Path) -> Path:
    """Where the checkpoint of a run that writes `out` lies."""
    return out.parent / f".{out.name}.epoch.npz"


def run_key(
    config: FinetuneConfig, *, seed: int, backbone: str, size: int, clips: tuple[Clips, Clips]
) -> str:
    """A digest of all that a run's result depends on; `backbone` is the backbone's digest."""
    facts = {
        "version": VERSION,
        "config": config.model_dump(),
        "seed": seed,
        "backbone": backbone,
        "size": size,
        "clips": [
            [some.sha256s, some.groups, some.labels.tolist(), some.originals.tolist()]
            for some in clips
        ],
        # The same videos may have been cropped in another way.
        "pixels": [_sampled(some.pixels) for some in clips],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _sampled(pixels: NDArray[np.uint8]) -> str:
    """A digest of every 16th row and column of every frame."""
    few = np.ascontiguousarray(pixels[:, :, ::16, ::16])
    return hashlib.sha256(few.tobytes()).hexdigest()


def save_checkpoint(path: Path, key: str, checkpoint: Checkpoint) -> None:
    """Writes it whole or not at all.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    arrays = {f"state_{row}": value for row, value in enumerate(checkpoint.state)}
    arrays |= {
        f"best_{epoch}_{row}": value
        for epoch, weights in checkpoint.best.items()
        for row, value in enumerate(weights)
    }
    facts = {"key": key, "history": checkpoint.history, "best": list(checkpoint.best)}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    kept = ", the run goes on from its last epoch"
    with atomic_file(path, also=kept) as new, new.open("wb") as file:
        np.savez(file, facts=text, **arrays)  # type: ignore[arg-type]


def load_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """The checkpoint with this key; None if there is none that can be read."""
    try:
        # Opened here: of a damaged file, NumPy would leave its own handle open.
        with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            if facts["key"] != key:
                return None
            return Checkpoint(
                history=facts["history"],
                state=_all(stored, "state"),
                best={epoch: _all(stored, f"best_{epoch}") for epoch in facts["best"]},
            )
    except (OSError, EOFError, *BAD_FACTS, *BAD_ZIP):
        return None


def remove_checkpoint(path: Path) -> None:
    """Removes it, and temporary files of a killed write."""
    for left in (path, *path.parent.glob(f".{escape(path.name)}.????????")):
        left.unlink(missing_ok=True)


def _all(stored: Any, kind: str) -> list[NDArray[Any]]:
    """The arrays of one kind, in order."""
    count = sum(name.startswith(f"{kind}_") for name in stored.files)
    return [stored[f"{kind}_{row}"] for row in range(count)]
