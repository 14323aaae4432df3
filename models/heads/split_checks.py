"""Checks of a data set and of a loss, and weights of videos; without TensorFlow.

Apart from `models.heads.training`, of which fine-tuning needs nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import DatasetError
from models.configs import CLASSES

FEWEST_VIDEOS = 10
"""Below this no metric means anything."""


def check_splits(train: NDArray[Any], val: NDArray[Any]) -> None:
    """Refuses labels that nothing can be learnt from.

    Raises:
        DatasetError: a split is empty or lacks a class, or both have too few videos together.
    """
    if len(train) + len(val) < FEWEST_VIDEOS:
        raise DatasetError(
            f"training and validation need at least {FEWEST_VIDEOS} videos with features, "
            f"got {len(train) + len(val)}; add videos and index them anew"
        )
    for name, labels in (("training", train), ("validation", val)):
        if len(labels) == 0:
            raise DatasetError(
                f"the {name} split has no videos; index anew with a larger share or other groups"
            )
        for label, word in enumerate(CLASSES):
            if not np.any(np.asarray(labels) == label):
                raise DatasetError(
                    f"the {name} split has no {word} video among {len(labels)}; "
                    f"add {word} videos, or index anew with another split"
                )


def video_weights(
    labels: NDArray[Any], class_weight: dict[str, float] | str | None
) -> NDArray[np.float32]:
    """The weight of each video in the loss, (N,) float32."""
    if class_weight is None:
        return np.ones(len(labels), np.float32)
    if isinstance(class_weight, str):  # "balanced", as scikit-learn has it
        each = len(labels) / (2 * np.bincount(labels, minlength=2))
    else:
        each = np.array([class_weight[name] for name in CLASSES])
    return np.asarray(each[labels], np.float32)


def check_loss(loss: float, epoch: int, learning_rate: float) -> float:
    """The loss, if it is a number.

    Raises:
        DatasetError: it is not; training has diverged.
    """
    if not np.isfinite(loss):
        raise DatasetError(
            f"the loss is {loss} in epoch {epoch}: training diverged; lower the learning rate "
            f"(now {learning_rate:g}) and check the features with `unmask store verify`"
        )
    return float(loss)
