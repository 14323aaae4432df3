"""The training log of a sweep's run: it can end a run that falls behind the others.

Apart from `pipeline.search.runs`, which must not load TensorFlow, as `models.heads.log` does.
"""

from __future__ import annotations

from collections.abc import Callable

from models.heads.log import TrainingLog


class Pruned(Exception):
    """A run was ended, since it falls behind."""


class PruningLog(TrainingLog):
    """Keeps the epochs of one run, and may end it.

    Args:
        name: of the head.
        prune: epoch (from 1) and validation AUC -> whether to end the run; None never does.

    Attributes:
        rows: the epochs so far, as `TrainingLog.epoch` takes them.
    """

    def __init__(self, name: str, prune: Callable[[int, float], bool] | None) -> None:
        super().__init__(name, live=False)
        self.rows: list[dict[str, float]] = []
        self._prune = prune

    def epoch(self, row: dict[str, float], *, best: bool) -> None:
        """Takes an epoch's numbers in.

        Raises:
            Pruned: the run falls behind.
        """
        super().epoch(row, best=best)
        self.rows.append(row)
        if self._prune is not None and self._prune(int(row["epoch"]), row["val_auc"]):
            raise Pruned
