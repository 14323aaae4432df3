"""How training went, as files for plots and for choosing: no reader of a bundle needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import write_json

COLUMNS = ("epoch", "loss", "auc", "val_loss", "val_auc")


class Learnt(Protocol):
    """What is read of `models.bundle.BundledHead`."""

    @property
    def history(self) -> Sequence[dict[str, float]]: ...
    @property
    def best_epoch(self) -> int: ...


def write_history(folder: Path, heads: Mapping[str, Learnt]) -> None:
    """Writes history.csv, each epoch of the first head, and validation.json, every head's best.

    Args:
        folder: to write to.
        heads: by kind; the first one is the one that gives verdicts.
    """
    first = next(iter(heads.values()))
    rows = ([row[key] for key in COLUMNS] for row in first.history)
    write_plain(folder / "history.csv", as_csv(COLUMNS, rows))
    facts = {}
    for kind, head in heads.items():
        if head.history:
            best = head.history[head.best_epoch - 1]
            facts[kind] = {key: best[key] for key in ("epoch", "val_auc", "val_loss")}
    write_json(folder / "validation.json", facts)
