"""The largest eigenvalues of a symmetric matrix, without holding other threads up.

SciPy's `eigh` finds only those that are wanted, but keeps Python's lock meanwhile; NumPy's finds
all of them without it. Of a side of 680, float64, the one took 0.44 s and stopped a thread that
imported TensorFlow as long, the other 0.26 s; of 2048, float32, 1.6 s and 5.5 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

MOST_SIDE = 1024
"""From here on SciPy is faster."""


def largest_eigenvectors(
    matrix: NDArray[np.floating[Any]], count: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The `count` largest eigenvalues of (S, S), smallest of them first, and vectors, (S, count).

    Args:
        matrix: symmetric, all numbers finite; it may be overwritten.
        count: all of them where there are fewer.
    """
    side = len(matrix)
    first = max(side - count, 0)
    if side <= MOST_SIDE:
        values, vectors = np.linalg.eigh(matrix)
        return values[first:], vectors[:, first:]
    found: tuple[NDArray[Any], NDArray[Any]] = scipy.linalg.eigh(
        matrix, subset_by_index=(first, side - 1), overwrite_a=True, check_finite=False
    )
    return found
