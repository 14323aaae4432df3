"""Checks of a data set before training; without TensorFlow."""

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
