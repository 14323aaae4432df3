"""What training a head gives. Apart from the training, which imports TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.configs import HeadConfig


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained head and how it got there."""

    # the head with the best epoch's weights: a Keras model, or, out of a bundle, a
    # `models.heads.inference.HeadNetwork`
    model: Any
    config: HeadConfig  # its shape
    # one row per epoch: epoch (from 1), loss, auc, val_loss, val_auc. The first two are those of
    # the training steps themselves, with dropout and class weights
    history: tuple[dict[str, float], ...]
    best_epoch: int  # the epoch whose weights the model has
    stop_reason: str  # one line for the reader
    # of a linear model, (N + M,) logits of training and validation videos by models that saw
    # neither the person nor the method, NaN where there is none; None for other heads
    held_out: NDArray[np.float64] | None = None

    @property
    def best(self) -> dict[str, float]:
        """The best epoch's row."""
        return self.history[self.best_epoch - 1]
