"""Part of a set of sequences, with its augmented views; nothing is copied from memory maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.sequences.dataset import Sequences
from features.sequences.padded import Padded, Rows


def select(sequences: Sequences, rows: NDArray[Any]) -> Sequences:
    """Some of the videos: (n,) numbers or (N,) bool."""
    numbers = np.arange(len(sequences))[rows]

    def names(column: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(column[number] for number in numbers.tolist()) if column else ()

    views = sequences.views
    if views is not None:  # view k of video n is row k N + n
        count = len(sequences)
        starts = np.arange(0, len(views), count)
        views = _take(views, (starts[:, None] + numbers).reshape(-1))
    return replace(
        sequences,
        features=_take(sequences.features, numbers),
        mask=sequences.mask[numbers],
        labels=sequences.labels[numbers],
        groups=names(sequences.groups),
        methods=names(sequences.methods),
        paths=names(sequences.paths),
        sha256s=names(sequences.sha256s),
        originals=names(sequences.originals),
        missing=(),
        views=views,
        viewless=0,
    )


def _take(rows: Rows, numbers: NDArray[np.int64]) -> Rows:
    """These rows of an array in memory, or of one that is read from memory maps."""
    return rows.take(numbers) if isinstance(rows, Padded) else rows[numbers]
