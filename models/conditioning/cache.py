"""Conditioned training and validation sequences, kept on disk for the next training.

The map of `models.conditioning.linear_map` depends on the features and the training split alone, so
it is fitted once for all heads, seeds and runs of a sweep that share them, and the small sequences
are kept with it: D = 2048 in float16 becomes 128 in float32, 1/8 of the size. An entry is a folder
named by a digest of all that decides its numbers:

    <cache>/<digest>/conditioned.json   format, sizes, sha256 of the other files
    <cache>/<digest>/map.npz            mean, matrix and spread
    <cache>/<digest>/train.npy, ...     (F, E) float32, frames of all videos one after the other

An entry that is damaged, or of another version, is made anew; the cache may be removed at any time.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from data.errors import UnmaskError
from data.io.atomic_folders import read_versioned_json, replace_folder, write_json
from data.io.progress import log
from data.io.reading import BAD_FACTS, file_sha256
from features.sequences.padded import Padded
from features.store.key import canonical
from models.conditioning.linear_map import Conditioning
from models.configs import ConditionConfig

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

CACHE = Path(".unmask") / "conditioned"
"""Where commands keep it, below the current folder, beside the feature store."""
FORMAT, VERSION = "unmask-conditioned", 1
"""VERSION is part of an entry's key: raised where the same settings would give other numbers."""
RECORD, MAP = "conditioned.json", "map.npz"
KEPT = 8
"""Entries that stay; the one that was used longest ago goes first."""
MOST_BYTES = 512 << 20
"""Of conditioned features in memory: 25,000 videos of 32 x 128 numbers with one view."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioned:
    """A fitted map and what it makes of both splits."""

    conditioning: Conditioning
    train: Sequences  # features (N, T, E) float32
    val: Sequences


def condition(
    train: Sequences,
    val: Sequences,
    config: ConditionConfig,
    *,
    features_sha256: str = "",
    cache: Path | None = None,
) -> Conditioned:
    """Fits the map on the training frames and applies it, or takes both from the cache.

    Args:
        train: training split; views are transformed, too, but not fitted on.
        val: validation split.
        config: the kind, which is not "none", and the dimensions.
        features_sha256: digest of the feature set's index, which decides the cache's entry.
        cache: its folder; None keeps nothing.
    """
    if cache is None:
        return _fit(train, val, config)
    facts = {
        "version": VERSION,
        "features": features_sha256,
        "train": train.sha256s,
        "val": val.sha256s,
        "views": 0 if train.views is None else len(train.views),
        "condition": config.model_dump(),
    }
    entry = cache / hashlib.sha256(canonical(facts).encode()).hexdigest()[:16]
    with _held(cache / f"{entry.name}.lock"):  # of several processes one fits, and the others read
        found = _read(entry, train, val, config)
        if found is not None:
            return found
        found = _fit(train, val, config)
        try:
            _write(entry, found)
        except (UnmaskError, OSError) as error:  # a full or read-only disk costs time alone
            log.debug(f"conditioned features are not kept: {error}")
        else:
            _remove_oldest(cache, entry)
        return found


def in_memory(sequences: Sequences) -> Sequences:
    """The same with features and views as arrays, where they take MOST_BYTES at most.

    Gathering a batch from memory maps takes a third of a conditioned step.
    """
    rows, views = sequences.features, sequences.views
    held = [one for one in (rows, views) if one is not None]
    if sum(math.prod(one.shape) * one.dtype.itemsize for one in held) > MOST_BYTES:
        return sequences
    return replace(sequences, features=rows[:], views=None if views is None else views[:])


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Holds a lock; without one where the folder cannot be written."""
    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path))
        yield


def _fit(train: Sequences, val: Sequences, config: ConditionConfig) -> Conditioned:
    fitted = Conditioning.fit(train.features, train.mask, config)
    return Conditioned(
        conditioning=fitted,
        train=fitted.transform_sequences(train),
        val=fitted.transform_sequences(val),
    )


def _rows(found: Conditioned) -> dict[str, Padded]:
    """The arrays of an entry by the name of their file."""
    rows = {"train": found.train.features, "val": found.val.features, "views": found.train.views}
    return {name: one for name, one in rows.items() if isinstance(one, Padded)}


def _write(entry: Path, found: Conditioned) -> None:
    with replace_folder(entry, marker=RECORD) as new:
        fitted, lengths = found.conditioning, {}
        with (new / MAP).open("wb") as file:
            np.savez(file, mean=fitted.mean, matrix=fitted.matrix, spread=fitted.spread)
        for name, rows in _rows(found).items():
            lengths[name] = [len(one) for one in rows.sequences]
            np.save(new / f"{name}.npy", np.concatenate(rows.sequences))
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "explained": fitted.explained,
            "lengths": lengths,
            "sha256": {one.name: file_sha256(one) for one in sorted(new.iterdir())},
        }
        write_json(new / RECORD, facts)


def _read(
    entry: Path, train: Sequences, val: Sequences, config: ConditionConfig
) -> Conditioned | None:
    """An entry of the cache, its sequences memory maps; None where there is none that is intact."""
    if not (entry / RECORD).is_file():
        return None
    try:
        facts = read_versioned_json(entry / RECORD, FORMAT, VERSION)
        for name, sha256 in dict(facts["sha256"]).items():
            if file_sha256(entry / Path(name).name) != sha256:
                raise ValueError(f"{name} does not fit its sha256")
        with np.load(entry / MAP, allow_pickle=False) as kept:
            fitted = Conditioning(
                kind=config.kind,
                mean=kept["mean"],
                matrix=kept["matrix"],
                spread=kept["spread"],
                explained=float(facts["explained"]),
            )
        lengths = dict(facts["lengths"])
        rows = {}
        for name in lengths:
            steps = int((val if name == "val" else train).mask.shape[1])
            rows[name] = _open(entry / f"{name}.npy", lengths[name], steps)
        parts = [
            replace(train, features=rows["train"], views=rows.get("views")),
            replace(val, features=rows["val"], views=None),
        ]
        for part in parts:
            if part.features.shape != (*part.mask.shape, fitted.dimensions):
                raise ValueError("the sequences are not those of the splits")
        with suppress(OSError):
            entry.touch()  # used now
        return Conditioned(conditioning=fitted, train=parts[0], val=parts[1])
    except (UnmaskError, OSError, *BAD_FACTS) as error:
        log.debug(f"{entry} is made anew: {error}")
        return None


def _open(path: Path, lengths: Sequence[int], steps: int) -> Padded:
    """(F, E) in a file as one sequence for each video, (N, `steps`, E)."""
    frames: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    ends = np.cumsum(lengths)
    if (
        frames.ndim != 2
        or frames.dtype != np.float32
        or len(frames) != (ends[-1] if lengths else 0)
    ):
        raise ValueError(f"{path.name} has other frames than {RECORD} says")
    found = Padded(np.split(frames, ends[:-1]), dim=frames.shape[1], dtype="float32")
    found.shape = (len(lengths), steps, frames.shape[1])
    return found


def _remove_oldest(cache: Path, entry: Path) -> None:
    """Leaves KEPT entries; other files in the folder are not touched."""
    with suppress(OSError):
        entries = [one.parent for one in cache.glob(f"*/{RECORD}") if one.parent != entry]
        entries.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        for old in entries[KEPT - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
            old.with_name(f"{old.name}.lock").unlink(missing_ok=True)
