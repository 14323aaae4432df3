"""Sequences of different lengths as one padded array that is read batch by batch.

A batch is copied from the shards' memory maps when it is indexed, which takes a fiftieth of a
training step. So features may be larger than memory, many processes share one copy of them, and
nothing is loaded before the first step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Padded:
    """(N, T, D), read-only; indexing returns a new array with zeros after a video's end.

    Args:
        sequences: N arrays (T of each, D); they may be memory maps.
        dim: D.
        dtype: of the numbers, float16 or float32.

    Attributes:
        sequences: the N arrays.
        shape: (N, T, D), T of the longest; N and T can be 0.
        dtype: of the numbers.
    """

    def __init__(
        self, sequences: Sequence[NDArray[np.floating[Any]]], *, dim: int, dtype: str
    ) -> None:
        self.sequences = list(sequences)
        longest = max(map(len, self.sequences), default=0)
        self.shape = (len(self.sequences), longest, dim)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    def take(self, numbers: NDArray[np.int64]) -> Padded:
        """These videos, (n,), of the same shape otherwise; nothing is read."""
        chosen = [self.sequences[number] for number in numbers.tolist()]
        found = Padded(chosen, dim=self.shape[2], dtype=self.dtype.name)
        found.shape = (len(chosen), *self.shape[1:])
        return found

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[NDArray[np.floating[Any]]]:
        for number in range(len(self)):
            yield self[number]

    def __getitem__(self, rows: Any) -> NDArray[np.floating[Any]]:
        """Some videos: one number gives (T, D); a slice, numbers or a mask give (n, T, D)."""
        numbers = np.atleast_1d(np.arange(len(self))[rows])
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        self.gather(numbers, found)
        return found[0] if np.ndim(rows) == 0 and not isinstance(rows, slice) else found

    def gather(self, numbers: NDArray[np.int64], into: NDArray[np.floating[Any]]) -> None:
        """Copies these videos, (n,), into an array (n, T, D) of the same type."""
        for row, number in enumerate(numbers):
            one = self.sequences[number]
            into[row, : len(one)] = one
            into[row, len(one) :] = 0


Rows = NDArray[np.floating[Any]] | Padded
"""(N, T, D) in memory, or read from memory maps."""
