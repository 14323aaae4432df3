"""Who is compared with whom: a fake with its original, or with the real videos of its group.

People, cameras and places differ more than a forgery changes, so a linear model that tells classes
learns them and fails on others. Learnt from differences within a scene or a group, what the two
sides share cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.configs import TrainConfig
from models.evaluation.pairs import pair_rows

FEWEST = 4
"""Below this many differences the classes teach more."""


def contrasts(
    loss: str,
    labels: NDArray[np.integer],
    groups: Sequence[str],
    paths: Sequence[str],
    originals: Sequence[str],
) -> csr_matrix:
    """The differences that a loss learns from.

    Args:
        loss: "class", "pairs" or "people" of `train.loss`.
        labels: (N,) 1 = fake.
        groups: (N,) names.
        paths: (N,) of the videos.
        originals: (N,) path of a fake's original, "" where unknown; or none at all.

    Returns:
        (M, N): times columns (N, E) it gives (M, E), fakes minus reals. M = 0 for "class".
    """
    fakes: list[int] = []
    reals: list[NDArray[np.int64]] = []
    truth = np.asarray(labels)
    if loss == "pairs" and len(originals):
        for fake, real in pair_rows(paths, truth, originals).tolist():
            fakes.append(fake)
            reals.append(np.array([real]))
    elif loss == "people":
        group = np.asarray(groups)
        for name in np.unique(group):
            inside = group == name
            of_group = np.flatnonzero(inside & (truth == 0))
            if len(of_group):
                own = np.flatnonzero(inside & (truth == 1)).tolist()
                fakes += own
                reals += [of_group] * len(own)
    lengths = np.asarray([len(one) for one in reals], np.int64)
    rows = np.concatenate([np.arange(len(fakes)), np.repeat(np.arange(len(fakes)), lengths)])
    columns = np.concatenate([np.asarray(fakes, np.int64), *reals])
    values = np.concatenate([np.ones(len(fakes)), -1 / np.repeat(lengths, lengths)])
    return csr_matrix((values, (rows, columns)), shape=(len(fakes), len(truth)))


def inside(differences: csr_matrix, rows: NDArray[np.bool_]) -> csr_matrix:
    """Those between the videos of (N,) `rows` alone, (m, N).

    The real videos of one group are on one side of a fold together, so none is halved.
    """
    outside = (abs(differences) @ (~rows).astype(np.float64)) > 0
    return differences[~outside]


def is_enough(differences: csr_matrix) -> bool:
    """Whether there is something to learn from."""
    return bool(differences.shape[0] >= FEWEST)


def in_words(config: TrainConfig, differences: csr_matrix) -> str:
    """What the linear model learns from, for the reader."""
    count = differences.shape[0]
    if config.loss == "class":
        return "classes"
    if not is_enough(differences):
        return f"classes, since there are {count} differences within {config.loss}"
    return f"{count} differences within {config.loss}"
