"""Where a fine-tuning run stands after an epoch, so that a killed one goes on to the same result.

One file beside the folder that is written: what learns, both Adams' moments, the best weights and
the history. It is of use to the very same run only, so it carries a key of all that decides the
result, and one with another key, or a damaged one, is passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import OutputError
from data.reading import BAD_FACTS, open_file

if TYPE_CHECKING:
    from models.clips import Clips
    from models.settings import FinetuneConfig

VERSION = 1
BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What `zipfile` raises over a damaged file; the last over a kind of compression unknown to it."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run after an epoch.

    Attributes:
        history: a row per epoch, the frozen phase first.
        state: of `FinetuneNet.get_state`.
        best: of `FinetuneNet.get_weights`, at the best epoch so far.
    """

    history: list[dict[str, float]]
    state: list[NDArray[Any]]
    best: list[NDArray[Any]]


def checkpoint_path(out: Path) -> Path:
    """Where the checkpoint of a run that writes `out` lies."""
    return out.parent / f".{out.name}.epoch.npz"


def run_key(
    config: FinetuneConfig, *, seed: int, backbone: str, size: int, clips: tuple[Clips, Clips]
) -> str:
    """A digest of all that a run's result depends on; `backbone` is its digest."""
    facts = {
        "version": VERSION,
        "config": asdict(config),
        "seed": seed,
        "backbone": backbone,
        "size": size,
        "clips": [[some.sha256s, some.groups, some.labels.tolist()] for some in clips],
        # The same videos may have been cropped otherwise.
        "pixels": [_sampled(some.pixels) for some in clips],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _sampled(pixels: NDArray[np.uint8]) -> str:
    """A digest of some bytes of every clip."""
    few = np.ascontiguousarray(pixels[:, :, ::16, ::16])
    return hashlib.sha256(few.tobytes()).hexdigest()


def save_checkpoint(path: Path, key: str, checkpoint: Checkpoint) -> None:
    """Writes it whole or not at all.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    new = path.with_suffix(".tmp")
    arrays = {f"state_{row}": value for row, value in enumerate(checkpoint.state)}
    arrays |= {f"best_{row}": value for row, value in enumerate(checkpoint.best)}
    text = json.dumps({"key": key, "history": checkpoint.history})
    try:
        with new.open("wb") as file:
            np.savez(file, facts=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write the checkpoint {path}: {error.strerror}; free some space"
        ) from error


def load_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """The checkpoint of this very run; None if there is none."""
    try:
        # Opened here: of a damaged file, NumPy would leave its own handle open.
        with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            if facts["key"] != key:
                return None
            return Checkpoint(
                history=facts["history"], state=_all(stored, "state"), best=_all(stored, "best")
            )
    except (OSError, EOFError, *BAD_FACTS, *BAD_ZIP):
        return None


def remove_checkpoint(path: Path) -> None:
    """Removes it, and what a kill while writing left."""
    for left in (path, path.with_suffix(".tmp")):
        left.unlink(missing_ok=True)


def _all(stored: Any, kind: str) -> list[NDArray[Any]]:
    """The arrays of one kind, in order."""
    count = sum(name.startswith(f"{kind}_") for name in stored.files)
    return [stored[f"{kind}_{row}"] for row in range(count)]
