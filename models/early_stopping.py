"""Early stopping: which epoch is the best, and when to stop. Of heads and of fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

AUC_TOLERANCE = 0.005
"""Validation AUCs that differ by less count as equal, and loss decides: half a hundredth, as far as
rounding to hundredths moves one. At a whole hundredth the demo's fine-tuning ends where it began:
its frozen phase has AUC 0.982 and loss 0.211, its best epoch 0.990 and 0.215."""
ROUNDING = 1e-9
"""So that 0.95 and 0.945 differ by 0.005 in spite of float64's rounding."""


def is_near(highest: float, auc: float) -> bool:
    """Whether an AUC is less than AUC_TOLERANCE below the highest one."""
    return highest - auc < AUC_TOLERANCE - ROUNDING


def best_of(measured: Sequence[tuple[float, float]]) -> int:
    """The index of the best of (validation AUC, validation loss) pairs of epochs, or of probes.

    It does not depend on their order: the lowest loss among those whose AUC is less than
    AUC_TOLERANCE below the highest of all; of equal losses the higher AUC, then the first.
    Differences to the highest are compared, not rounded AUCs: 0.9451 and 0.9449 are near.
    """
    highest = max(auc for auc, _ in measured)
    near = [index for index, (auc, _) in enumerate(measured) if is_near(highest, auc)]
    return min(near, key=lambda index: (measured[index][1], -measured[index][0]))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An epoch that is the best one, or may become it when AUC rises further."""

    epoch: int
    auc: float
    loss: float
    weights: Any


class EarlyStopping:
    """Keeps the best epoch's weights and says when to stop.

    The best epoch is that of `best_of`: with tens of validation videos a difference in the third
    digit of the AUC is chance. Patience counts epochs without a higher AUC; by loss, which may fall
    slowly for ever, training would not end.

    Where AUC and loss rise together, the best epoch so far may fall behind the highest AUC later,
    and another one take its place: the weights of those that can are kept, too, mostly of one or
    two epochs.

    Attributes:
        candidates: epochs whose weights are kept, in order.
    """

    def __init__(self, *, patience: int) -> None:
        self.patience = patience
        self.candidates: list[Candidate] = []
        self._highest = -np.inf
        self._last_rise = 0  # the epoch of the highest AUC
        self._stopped = False

    @property
    def best(self) -> Candidate:
        """The best epoch so far."""
        return self.candidates[best_of([(one.auc, one.loss) for one in self.candidates])]

    def update(self, epoch: int, auc: float, loss: float, weights: Callable[[], Any]) -> bool:
        """Adds an epoch; `weights` is called if it may become the best. True means stop."""
        if auc > self._highest:
            self._highest, self._last_rise = auc, epoch
        kept = [one for one in self.candidates if is_near(self._highest, one.auc)]
        if is_near(self._highest, auc) and not any(
            one.auc >= auc and one.loss <= loss for one in kept
        ):
            kept = [one for one in kept if one.auc > auc or one.loss < loss]
            kept.append(Candidate(epoch=epoch, auc=auc, loss=loss, weights=weights()))
        self.candidates = kept
        self._stopped = epoch - self._last_rise >= self.patience
        return self._stopped

    def reason(self, epochs: int) -> str:
        """Why training ended and what was restored, in one line."""
        restored = f"restored epoch {self.best.epoch} (validation AUC {self.best.auc:.3f})"
        if self._stopped:
            return f"no higher validation AUC for {self.patience} epochs; {restored}"
        return f"reached the limit of {epochs} epochs; {restored}"
