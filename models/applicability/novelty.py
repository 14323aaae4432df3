"""Novelty: whether a face's embeddings are like those that a bundle was trained on.

A head gives a sure score to anything, a rendered face or a cartoon, since it has no word for "none
of what I know". The distance of a video's mean embedding, in logarithms, from those of the training
and validation videos says so: Mahalanobis's, with the covariance of Ledoit and Wolf (2004), which
is invertible with fewer videos than dimensions. Beyond the range that holds all but a `share` of
people who are held out of the fit, a video is unlike anything in training, and its score means
nothing.

A covariance of 2048 dimensions is 16 MB. Its eigenvectors beyond the first MOST_DIRECTIONS are
replaced by their mean variance, and the others kept as float16: at most 1 MB. To apply it, NumPy
alone is needed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError
from data.io.reading import file_sha256, unreadable
from models.principal_axes import largest_eigenvectors

FILE = "novelty.npy"
REASON = "unlike anything this detector was trained on"
MOST_DIRECTIONS = 256
FLOOR = 0.01
"""Embeddings are means of rectified values, many of them next to 0: their logarithms, of the value
plus this, are nearer to normal. Without, bundles of some 50 real clips flag 0 to 28 % of rendered
ones in four random splits, with it 0 to 83 %."""
FEWEST_VIDEOS = 10
"""With fewer videos there is no distribution to speak of."""
FOLDS = 5
"""Of people, each held out of a fit once. With a dozen validation people the range ended at the
oddest of them: bundles of filmed people flagged 57 % of rendered videos, and 85 % so."""
MOST_CROSS_FITTED = 2000
"""Videos. Of more, validation has people enough, and five more fits would take seconds each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """The distribution of mean embeddings, and how far from it held-out people reach.

    Of their logarithms (`as_logarithms`); so are mean, directions and variances.
    """

    mean: NDArray[np.float32]  # (D,)
    directions: NDArray[np.float32]  # (K, D) eigenvectors of the covariance
    variances: tuple[float, ...]  # K, along them
    rest: float  # variance in every other direction
    threshold: float  # distance beyond which a video is novel
    share: float  # of held-out people that were to lie beyond it
    people: int  # number of groups behind the threshold

    def distance(self, means: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Of mean embeddings, (N, D) -> (N,), in units of the threshold: above 1 is novel."""
        return np.asarray(self._mahalanobis(means) / self.threshold)

    def _mahalanobis(self, means: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        centred = as_logarithms(means) - self.mean
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
        )
        if min((*variances, read.rest, read.threshold)) <= 0:
            raise ValueError("the variances of the novelty are not positive")
        return read


@dataclass(frozen=True, kw_only=True, eq=False)
class NoveltyFit:
    """The novelty of videos, and of single frames."""

    novelty: Novelty
    frame_threshold: float  # distance beyond which one frame is novel; it scatters more than a mean


def fit_novelty(
    train: NDArray[np.float64],
    val: NDArray[np.float64],
    groups: Sequence[str],
    *,
    share: float,
    frames: NDArray[np.floating[Any]] | None = None,
) -> NoveltyFit | None:
    """Fits the distribution to all videos, and thresholds to people who are held out in turn.

    With more than MOST_CROSS_FITTED videos, or fewer than FOLDS people, the distribution is that of
    training and the thresholds those of the validation people.

    Args:
        train: (N, D) mean embeddings.
        val: (M, D) mean embeddings.
        groups: (N + M,) names, those of training first.
        share: of people like these that may lie beyond a threshold.
        frames: (N + M, D) embeddings of one frame of each video, those of training first; None
            takes the means.

    Returns:
        None with fewer than FEWEST_VIDEOS training videos, or where they do not vary.
    """
    if len(train) < FEWEST_VIDEOS:
        return None
    both = np.concatenate([train, val])
    held = _held_out(len(train), both, groups, both if frames is None else frames)
    if held is None:
        return None
    fitted = held.fitted or _fit_distribution(both)
    if fitted is None:
        return None
    of_videos, of_frames = (
        _round(quantile_of_people(one, held.groups, share=share))
        for one in (held.distances, held.of_frames)
    )
    people = len({*held.groups})
    novelty = replace(fitted, threshold=of_videos, share=share, people=people)
    return NoveltyFit(novelty=novelty, frame_threshold=of_frames)


@dataclass(frozen=True, kw_only=True, eq=False)
class _HeldOut:
    """How far people lie from others' embeddings."""

    distances: NDArray[np.float64]  # of their videos
    of_frames: NDArray[np.float64]  # of one frame of each
    groups: list[str]  # of these
    fitted: Novelty | None  # what all of them were held out of, where there is only one


def _held_out(
    training: int,
    means: NDArray[np.float64],
    groups: Sequence[str],
    frames: NDArray[np.floating[Any]],
) -> _HeldOut | None:
    """The distance of people from the distribution of others; None where these do not vary.

    Args:
        training: number of the videos of training, which are the first.
        means: (N, D) mean embeddings, which distributions are fitted to.
        groups: (N,) names.
        frames: (N, D) embeddings of one frame of each video.
    """
    from sklearn.model_selection import GroupKFold

    names, rows = np.asarray(groups, str), np.arange(len(means))
    parts = [(rows[:training], rows[training:])]
    if len(means) <= MOST_CROSS_FITTED and len(np.unique(names)) >= FOLDS:
        division = GroupKFold(FOLDS, shuffle=True, random_state=0)
        parts = [*division.split(means, groups=names)]
    distances = np.full((2, len(means)), np.nan)
    fitted = None
    for known, held in parts:
        fitted = _fit_distribution(means[known])
        if fitted is None:
            return None
        distances[:, held] = fitted.distance(means[held]), fitted.distance(frames[held])
    measured = ~np.isnan(distances[0])
    return _HeldOut(
        distances=distances[0, measured],
        of_frames=distances[1, measured],
        groups=names[measured].tolist(),
        fitted=fitted if len(parts) == 1 else None,
    )


def _fit_distribution(means: NDArray[np.float64]) -> Novelty | None:
    """The distribution of (N, D), with a threshold of 1; None where they do not vary."""
    known = as_logarithms(means)
    mean = known.mean(0).astype(np.float16).astype(np.float64)
    centred = known - known.mean(0)
    count, dim = centred.shape
    # The smaller of both products of the matrix with itself.
    products = centred @ centred.T if count <= dim else centred.T @ centred
    squares = float(np.square(products).sum())
    variances, directions = _principal(centred, products, MOST_DIRECTIONS)
    total = float(np.square(centred).sum()) / len(known)
    kept = int(np.sum(variances > 1e-9 * total))
    if not total > 0 or not kept:
        return None
    shrinkage = ledoit_wolf_shrinkage(centred, squares)
    floor = shrinkage * total / dim
    left = (total - float(variances[:kept].sum())) / max(dim - kept, 1)
    return Novelty(
        mean=mean.astype(np.float32),
        directions=directions[:kept].astype(np.float16).astype(np.float32),
        variances=tuple(_round((1 - shrinkage) * one + floor) for one in variances[:kept].tolist()),
        rest=_round(max((1 - shrinkage) * max(left, 0.0) + floor, 1e-12 * total)),
        threshold=1.0,
        share=0.0,
        people=0,
    )


def ledoit_wolf_shrinkage(centred: NDArray[np.float64], squares: float) -> float:
    """The share of a multiple of the identity that covariances are mixed with, 0 to 1.

    scikit-learn's function of this name, from a product that is there already: that one makes two
    of the larger kind, which took two thirds of a fit.

    Args:
        centred: (N, D), of mean 0.
        squares: sum of the squares of `centred.T @ centred`, or of `centred @ centred.T`, which is
            the same.
    """
    count, dim = centred.shape
    lengths = np.square(centred).sum(1)  # (N,)
    mean_variance = float(lengths.sum()) / count / dim
    of_covariance = squares / count**2
    distance = of_covariance / dim - mean_variance**2
    error = (float(np.square(lengths).sum()) / count - of_covariance) / (count * dim)
    error = min(error, distance)
    return error / distance if dim > 1 and distance > 0 else 0.0


def _principal(
    centred: NDArray[np.float64], products: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances, (K,), largest first, along the directions of most variance, (K, D), of (N, D).

    From the smaller of both products of the matrix with itself, which may be overwritten: a sixth
    of the time that its singular values take, and exact to 1e-14 of the total variance.
    """
    count, dim = centred.shape
    sizes, vectors = largest_eigenvectors(products, most)
    sizes, vectors = np.maximum(sizes[::-1], 0), vectors[:, ::-1]
    if count > dim:
        return sizes / count, vectors.T
    directions = vectors.T @ centred / np.sqrt(np.maximum(sizes, 1e-300))[:, None]
    return sizes / count, directions


def as_logarithms(means: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Logarithms of mean embeddings, of the same shape; what is negative counts as 0."""
    return np.log(np.maximum(np.asarray(means, np.float64), 0) + FLOOR)


def quantile_of_people(
    distances: NDArray[np.float64], groups: Sequence[str], *, share: float
) -> float:
    """The distance within which `1 - share` of the videos lie, where each group weighs alike.

    Not that of each group's farthest video, nor the conformal (n + 1)-th: both are next to the
    largest of some thirty people's, so that one odd clip decides.
    """
    _, member, sizes = np.unique(np.asarray(groups, str), return_inverse=True, return_counts=True)
    weights = 1 / sizes[member]
    return float(np.quantile(distances, 1 - share, weights=weights, method="inverted_cdf"))


def _round(value: float) -> float:
    """Nine digits: sums in another order must not change a bundle's bytes."""
    return float(f"{value:.9g}")
