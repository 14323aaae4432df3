"""Novelty: whether a face's embeddings are like those that a bundle was trained on.

A head gives a sure score to anything, a rendered face or a cartoon, since it has no word for "none
of what I know". The Mahalanobis distance of a video's mean embedding from those of the training and
validation videos says so. Beyond the range that holds all but a `share` of people who are held out
of the fit (`models.applicability.novelty_fit`), a video is unlike anything in training, and its
score means nothing. To apply it, NumPy alone is needed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError
from data.io.reading import file_sha256, unreadable

FILE = "novelty.npy"
REASON = "unlike anything this detector was trained on"
EXPONENT = 0.4
"""Of the power that embeddings are raised to, before they are scaled to length 1. They are means of
rectified values, most of them small: powers are nearer to normal. 1/3 to 1/2 do as well."""
TINY = 1e-9
"""Length that is not divided by less."""
FLOOR = 0.01
"""Bundles of earlier versions know the distribution of logarithms, of the value plus this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """The distribution of mean embeddings, and how far from it held-out people reach.

    Of them as `transformed` gives them; so are mean, directions and variances.
    """

    mean: NDArray[np.float32]  # (D,)
    directions: NDArray[np.float32]  # (K, D) eigenvectors of the covariance
    variances: tuple[float, ...]  # K, along them
    rest: float  # variance in every other direction
    threshold: float  # distance beyond which a video is novel
    share: float  # of held-out people that were to lie beyond it
    people: int  # number of groups behind the threshold
    exponent: float = EXPONENT  # of `transformed`; 0 in bundles of earlier versions

    def distance(self, means: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Of mean embeddings, (N, D) -> (N,), in units of the threshold: above 1 is novel."""
        return np.asarray(self._mahalanobis(means) / self.threshold)

    def _mahalanobis(self, means: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        centred = transformed(means, self.exponent) - self.mean
        along = centred @ self.directions.T.astype(np.float64)  # (N, K)
        inside = np.square(along)
        outside = np.maximum(np.square(centred).sum(1) - inside.sum(1), 0)
        return np.asarray(np.sqrt((inside / self.variances).sum(1) + outside / self.rest))

    def content(self) -> bytes:
        """What the bundle's FILE holds: mean and directions, (1 + K, D) float16."""
        held = io.BytesIO()
        rows = np.concatenate([self.mean[None], self.directions]).astype(np.float16)
        np.save(held, rows, allow_pickle=False)
        return held.getvalue()

    def to_json(self) -> dict[str, Any]:
        """The rest, for bundle.json."""
        return {
            "variances": list(self.variances),
            "rest": self.rest,
            "threshold": self.threshold,
            "share": self.share,
            "people": self.people,
            "exponent": self.exponent,
        }

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any], dim: int) -> Novelty:
        """Reads a bundle's.

        Args:
            folder: of the bundle.
            facts: of bundle.json.
            dim: D, of the bundle.

        Raises:
            InputError: the file may not be read.
            StoreError: it is missing or damaged.
            ValueError, TypeError, KeyError: the facts are damaged.
        """
        path = folder / FILE
        if not path.is_file():
            raise StoreError(f"the bundle lacks {path}; train it anew")
        try:
            sound = file_sha256(path) == facts["sha256"]
            # A memory map is refused if the file is shorter than its header says.
            rows = np.load(path, mmap_mode="r", allow_pickle=False) if sound else None
        except ValueError:
            rows = None
        except OSError as error:
            raise unreadable(path, error) from error
        variances = tuple(float(one) for one in facts["variances"])
        if rows is None or rows.dtype != np.float16 or rows.shape != (1 + len(variances), dim):
            raise StoreError(f"{path} is damaged; train the bundle anew")
        read = cls(
            mean=np.asarray(rows[0], np.float32),
            directions=np.asarray(rows[1:], np.float32),
            variances=variances,
            **{name: float(facts[name]) for name in ("rest", "threshold", "share")},
            people=int(facts["people"]),
            exponent=float(facts.get("exponent", 0)),
        )
        if min((*variances, read.rest, read.threshold)) <= 0:
            raise ValueError("the variances of the novelty are not positive")
        if not 0 <= read.exponent <= 1:
            raise ValueError("the exponent of the novelty is not between 0 and 1")
        return read


def transformed(means: NDArray[np.floating[Any]], exponent: float) -> NDArray[np.float64]:
    """Powers of embeddings, (..., D), each scaled to length 1; with the exponent 0 logarithms.

    So the strength of all features together, which follows contrast and exposure, is left out. What
    is negative keeps its sign; in logarithms it counts as 0.
    """
    given = np.asarray(means, np.float64)
    if not exponent:
        return np.log(np.maximum(given, 0) + FLOOR)
    powers = np.sign(given) * np.abs(given) ** exponent
    return np.asarray(powers / np.maximum(np.linalg.norm(powers, axis=-1, keepdims=True), TINY))
