"""Statistics of each dimension of the embeddings, in one pass and little memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 16 << 20
"""Of rows as float64 at a time: what a pass costs in memory, however large the store."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """Of each dimension, over all frames.

    Attributes:
        frames: number of rows.
        mean: (D,) float64.
        std: (D,) float64, of the population.
        smallest: (D,) float64.
        largest: (D,) float64.
    """

    frames: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    smallest: NDArray[np.float64]
    largest: NDArray[np.float64]

    @property
    def dead(self) -> int:
        """Number of dimensions with one value in all frames, which a head cannot learn from."""
        return int((self.smallest == self.largest).sum())

    def to_json(self) -> dict[str, Any]:
        """The spread over dimensions, as plain values."""
        spread = {
            name: {
                "min": float(values.min()),
                "mean": float(values.mean()),
                "max": float(values.max()),
            }
            for name, values in (("mean", self.mean), ("std", self.std))
        }
        return spread | {
            "smallest": float(self.smallest.min()),
            "largest": float(self.largest.max()),
            "dead_dimensions": self.dead,
        }

    def each(self) -> dict[str, list[float]]:
        """Every dimension's own, as plain values: D of each."""
        names = ("mean", "std", "smallest", "largest")
        return {name: getattr(self, name).tolist() for name in names}


def statistics(
    rows: Iterable[NDArray[np.floating[Any]]], *, chunk_bytes: int = CHUNK_BYTES
) -> Statistics | None:
    """Statistics of all rows of some arrays; None where there is no row.

    Chan's update of mean and squared deviations (1979): exact where a sum of squares would not be.

    Args:
        rows: arrays (R, D) of one D; they may be memory maps.
        chunk_bytes: of rows as float64 that are read at a time.
    """
    total: Statistics | None = None
    for array in rows:
        step = max(1, chunk_bytes // (8 * array.shape[1]))
        for start in range(0, len(array), step):
            chunk = array[start : start + step].astype(np.float64)
            part = Statistics(
                frames=len(chunk),
                mean=chunk.mean(axis=0),
                std=chunk.std(axis=0),
                smallest=chunk.min(axis=0),
                largest=chunk.max(axis=0),
            )
            total = part if total is None else _joined(total, part)
    return total


def _joined(one: Statistics, other: Statistics) -> Statistics:
    frames = one.frames + other.frames
    share = other.frames / frames
    apart = other.mean - one.mean
    variance = (1 - share) * one.std**2 + share * other.std**2 + share * (1 - share) * apart**2
    return Statistics(
        frames=frames,
        mean=one.mean + share * apart,
        std=np.sqrt(variance),
        smallest=np.minimum(one.smallest, other.smallest),
        largest=np.maximum(one.largest, other.largest),
    )
