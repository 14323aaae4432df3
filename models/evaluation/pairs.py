"""Pairs of a fake and the real video of the same scene: does the fake score higher?

Camera, place and person are alike in a pair, so its ranking cannot come from what scenes differ in,
which an AUC over all videos mixes with the forgery.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pair_rows(
    paths: Sequence[str], labels: Sequence[int] | NDArray[np.integer], originals: Sequence[str]
) -> NDArray[np.int64]:
    """Rows of each fake and of its original, (K, 2) int64; K can be 0.

    Args:
        paths: (N,) of the videos.
        labels: (N,) 1 = fake.
        originals: (N,) path of the real video that a fake was made from; "" where unknown. Fakes
            whose original is not among the videos, or is not real, are in no pair.
    """
    real = {path: row for row, path in enumerate(paths) if labels[row] == 0}
    found = [
        (row, real[original])
        for row, original in enumerate(originals)
        if labels[row] == 1 and original in real
    ]
    return np.asarray(found, np.int64).reshape(-1, 2)


def wins(fakes: NDArray[np.float64], reals: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where a fake scores higher than a real video, 0.5 where they are equal, else 0.

    The two broadcast; NaN, a video that was not scored, gives 0.
    """
    return np.asarray((fakes > reals) + 0.5 * (fakes == reals))
