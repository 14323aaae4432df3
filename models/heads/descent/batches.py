"""The batches of an epoch.

Features are gathered from where they lie, which may be a memory map larger than memory, while the
step before runs, into memory that is used again and that TensorFlow reads without another copy.
`benchmarks/train.py` measures what that costs of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.sequences.padded import Padded
from models.prefetch import prefetch, without_copy
from models.tf_runtime import tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences


class HeadBatch(NamedTuple):
    """The input of one step."""

    rows: NDArray[np.int64]  # (n,) numbers of the videos
    # features (B, T, D), mask (B, T), labels (B,) and weights (B,) float32, as tensors. The last
    # batch of an epoch is filled up to B with zeros: XLA compiles anew for each shape, in a second
    inputs: tuple[Any, Any, Any, Any]


def head_batches(
    train: Sequences, weights: NDArray[np.float32], draw: np.random.Generator, *, batch_size: int
) -> Iterator[HeadBatch]:
    """Every video once, in an order and, where it has several, in a view that are drawn anew.

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,).
        weights: (N,) of each video in the loss.
        draw: of order and views; nothing else may draw from it before the last batch.
        batch_size: videos of a batch; the last is filled up with zeros of weight zero.

    Yields:
        Batches whose features are valid until the next one is asked for.
    """
    batches = _batches(train, weights, draw, batch_size)
    # From memory one copy gathers a batch, in less time than another thread takes to hand it over.
    return batches if isinstance(train.features, np.ndarray) else prefetch(batches)


def _batches(
    train: Sequences, weights: NDArray[np.float32], draw: np.random.Generator, batch_size: int
) -> Iterator[HeadBatch]:
    count = len(train.labels)
    order = draw.permutation(count)
    source, source_rows = train.features, np.arange(count)
    if train.views is not None:
        source = train.views  # view k of video n is row k N + n
        source_rows = source_rows + count * draw.integers(len(source) // count, size=count)
    # One buffer is read by the step while the other is filled. Fresh memory for each batch would
    # double the cost, since the system maps it page by page.
    buffers = np.empty((2, min(batch_size, count), *source.shape[1:]), source.dtype)
    for turn, start in enumerate(range(0, count, batch_size)):
        rows = np.sort(order[start : start + batch_size])
        features = buffers[turn % 2]
        padding = len(features) - len(rows)
        if isinstance(source, Padded):
            source.gather(source_rows[rows], features)
        else:
            held = features[: len(rows)]
            np.take(source, source_rows[rows], axis=0, out=held, mode="clip")
        features[len(rows) :] = 0
        tensors = (
            without_copy(features),
            tf.constant(np.pad(train.mask[rows], ((0, padding), (0, 0)))),
            tf.constant(np.pad(train.labels[rows], (0, padding)), tf.float32),
            tf.constant(np.pad(weights[rows], (0, padding))),
        )
        yield HeadBatch(rows, tensors)
