"""Batches of an epoch of a head's training: which videos, in which view, as tensors.

Features are gathered from where they lie, which may be a memory map larger than memory. That takes
a few percent of a step (`benchmarks/train.py` measures it), so nothing is made ahead of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.quiet import tf

if TYPE_CHECKING:
    from features.sequences import Sequences


class HeadBatch(NamedTuple):
    """What one step takes, and whose it is.

    Attributes:
        rows: (B,) numbers of the videos.
        inputs: features (B, T, D), mask (B, T), labels (B,) and weights (B,) float32, as tensors.
    """

    rows: NDArray[np.int64]
    inputs: tuple[Any, Any, Any, Any]


def head_batches(
    train: Sequences, weights: NDArray[np.float32], draw: np.random.Generator, *, batch_size: int
) -> Iterator[HeadBatch]:
    """Every video once, in an order and, where it has several, in a view that are drawn anew.

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,).
        weights: (N,) of each video in the loss.
        draw: where chance comes from.
        batch_size: videos of a batch; the last may have fewer.
    """
    count = len(train.labels)
    order = draw.permutation(count)
    source, place = train.features, np.arange(count)
    if train.views is not None:
        source = train.views  # view k of video n is row k N + n
        place = place + count * draw.integers(len(source) // count, size=count)
    for start in range(0, count, batch_size):
        rows = np.sort(order[start : start + batch_size])
        yield HeadBatch(
            rows,
            (
                tf.constant(source[place[rows]]),
                tf.constant(train.mask[rows]),
                tf.constant(train.labels[rows], tf.float32),
                tf.constant(weights[rows]),
            ),
        )
