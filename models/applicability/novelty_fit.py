"""Fits what a bundle knows of its training distribution (`models.applicability.novelty`).

There are fewer videos than dimensions, so the covariance of mean embeddings is shrunk, by as much
as Ledoit and Wolf (2004) say. They shrink to a sphere; half of the target is here the covariance of
frames about their own video's mean. Faces of other people, poses and lights vary as frames of one
video do, and that is known from thousands of frames: where training videos happen not to differ, a
video may lie farther out in such a direction than in another.

How far people reach is measured on people who are held out of the fit in turn.

A covariance of 2048 dimensions is 16 MB. Its eigenvectors beyond the first MOST_DIRECTIONS are
replaced by their mean variance, and the others kept as float16: at most 1 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.applicability.novelty import EXPONENT, Novelty, transformed
from models.principal_axes import largest_eigenvectors

MOST_DIRECTIONS = 256
FEWEST_VIDEOS = 10
"""With fewer videos there is no distribution to speak of."""
FOLDS = 20
"""Of people, each held out of a fit once. Of five, each fit lacks a fifth of the people and finds
the others too far away."""
FEWEST_FOLDS = 5
MANY_VIDEOS = 500
"""From here on a fifth of the people is not missed, and FEWEST_FOLDS are taken."""
MOST_CROSS_FITTED = 2000
"""Videos. Of more, validation has people enough, and five more fits would take seconds each."""
WITHIN_SHARE = 0.5
"""Of the target that the covariance is shrunk to; 0.3 to 0.7 do as well."""
WITHIN_VIDEOS = 150
WITHIN_FRAMES = 4
"""Of each of these videos. Two flag 1 % fewer rendered people, and more cost more: time grows with
the square of all rows."""
MANY_PEOPLE = 200
"""From here on their quantile is taken, with fewer that of a log-normal distribution; with fewer
than FEWEST_FOLDS people, of which nothing can be said, the farthest of them."""
NEAREST = 2.0
"""Standard deviations of the upper half below the median."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NoveltyFit:
    """The novelty of videos, and of single frames."""

    novelty: Novelty
    frame_threshold: float  # distance beyond which one frame is novel; it scatters more than a mean


@dataclass(frozen=True, kw_only=True, eq=False)
class SpreadFrames:
    """Embeddings of frames that are spread over a video, of some videos."""

    videos: NDArray[np.int64]  # (M,) which of all videos these are
    frames: NDArray[np.floating[Any]]  # (M, F, D)


def fit_novelty(
    train: NDArray[np.float64],
    val: NDArray[np.float64],
    groups: Sequence[str],
    *,
    share: float,
    frames: NDArray[np.floating[Any]] | None = None,
    spread: SpreadFrames | None = None,
) -> NoveltyFit | None:
    """Fits the distribution to all videos, and thresholds to people who are held out in turn.

    With more than MOST_CROSS_FITTED videos, or fewer than FEWEST_FOLDS people, the distribution is
    that of training and the thresholds those of the validation people.

    Args:
        train: (N, D) mean embeddings.
        val: (M, D) mean embeddings.
        groups: (N + M,) names, those of training first.
        share: of people like these that may lie beyond a threshold.
        frames: (N + M, D) embeddings of one frame of each video, those of training first; None
            takes the means.
        spread: how frames vary about their video's mean; None shrinks to a sphere alone.

    Returns:
        None with fewer than FEWEST_VIDEOS training videos, or where they do not vary.
    """
    if len(train) < FEWEST_VIDEOS:
        return None
    means = np.concatenate([train, val])
    known = _Known.of(means, spread)
    single = known.points if frames is None else transformed(frames, EXPONENT)
    names, rows = np.asarray(groups, str), np.arange(len(known.points))
    people = len(np.unique(names))
    parts = [(rows[: len(train)], rows[len(train) :])]
    everybody: NDArray[np.int64] = parts[0][0]
    if len(rows) <= MOST_CROSS_FITTED and people >= FEWEST_FOLDS:
        from sklearn.model_selection import GroupKFold

        folds = FOLDS if len(rows) <= MANY_VIDEOS else FEWEST_FOLDS
        division = GroupKFold(min(folds, people), shuffle=True, random_state=0)
        parts, everybody = [*division.split(known.points, groups=names)], rows
    distances = np.full((2, len(rows)), np.nan)
    whole = known.covariance(everybody)
    for fitted, held in parts:
        covariance = whole if fitted is everybody else known.covariance(fitted)
        if covariance is None or whole is None:
            return None
        distances[:, held] = covariance.distance(known.points[held], single[held])
    # What a bundle keeps of a covariance measures a little farther: one of them says how much.
    assert covariance is not None  # noqa: S101
    assert whole is not None  # noqa: S101
    last = covariance.novelty(share)
    kept = last.distance(means[held])
    distances *= np.exp(np.mean(np.log(kept / distances[0, held])))
    measured = ~np.isnan(distances[0])
    held_out = names[measured].tolist()
    of_videos, of_frames = (
        _round(reach_of_people(one[measured], held_out, share=share)) for one in distances
    )
    if covariance is not whole:
        last = whole.novelty(share)
    novelty = replace(last, threshold=of_videos, people=len({*held_out}))
    return NoveltyFit(novelty=novelty, frame_threshold=of_frames)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Known:
    """All videos, as `transformed` gives them."""

    points: NDArray[np.float64]  # (N, D)
    videos: NDArray[np.int64]  # (M,) whose frames are known
    deviations: NDArray[np.float64]  # (M, F, D) of frames from their video's point

    @classmethod
    def of(cls, means: NDArray[np.float64], spread: SpreadFrames | None) -> _Known:
        points = transformed(means, EXPONENT)
        videos = np.zeros(0, np.int64) if spread is None else spread.videos
        frames = np.zeros((0, 1, points.shape[1])) if spread is None else spread.frames
        deviations = transformed(frames, EXPONENT) - points[videos][:, None]
        return cls(points=points, videos=videos, deviations=deviations)

    def covariance(self, rows: NDArray[np.int64]) -> _Covariance | None:
        """Of these videos; None where they do not vary."""
        points = self.points[rows]
        mean = points.mean(0).astype(np.float16).astype(np.float64)
        centred = points - points.mean(0)
        count, dim = points.shape
        average = float(np.square(centred).sum()) / count / dim
        if not average > 0:
            return None
        products = centred @ centred.T if count <= dim else centred.T @ centred
        shrinkage = ledoit_wolf_shrinkage(centred, float(np.square(products).sum()))
        parts = [centred * np.sqrt((1 - shrinkage) / count)]
        within = self.deviations[np.isin(self.videos, rows)].reshape(-1, dim)
        sphere, size = shrinkage * average, float(np.square(within).sum())
        if size > 0:
            parts.append(within * np.sqrt(WITHIN_SHARE * sphere * dim / size))
            sphere *= 1 - WITHIN_SHARE
        return _Covariance(
            mean=mean, factor=np.concatenate(parts), sphere=max(sphere, 1e-12 * average * dim)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Covariance:
    """factor.T @ factor, and `sphere` in every direction."""

    mean: NDArray[np.float64]  # (D,)
    factor: NDArray[np.float64]  # (R, D)
    sphere: float

    def distance(self, *points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Mahalanobis's of each (N, D), by the smaller of both matrices: no eigenvectors."""
        centred = [one - self.mean for one in points]
        stacked = np.concatenate(centred).T  # (D, N)
        rows, dim = self.factor.shape
        if rows <= dim:  # the inverse by Woodbury's identity
            inner = self.factor @ self.factor.T
            inner[np.diag_indices(rows)] += self.sphere
            along = self.factor @ stacked
            explained = (along * np.linalg.solve(inner, along)).sum(0)
            squares = (np.square(stacked).sum(0) - explained) / self.sphere
        else:
            whole = self.factor.T @ self.factor
            whole[np.diag_indices(dim)] += self.sphere
            squares = (stacked * np.linalg.solve(whole, stacked)).sum(0)
        ends = np.cumsum([len(one) for one in centred])[:-1]
        return np.split(np.sqrt(np.maximum(squares, 0)), ends)

    def novelty(self, share: float) -> Novelty:
        """What a bundle keeps of it, with a threshold of 1 until people are measured."""
        rows, dim = self.factor.shape
        inside = rows <= dim
        products = self.factor @ self.factor.T if inside else self.factor.T @ self.factor
        total = float(np.trace(products))
        if total > 0:
            found, vectors = largest_eigenvectors(products, MOST_DIRECTIONS)
            kept = found > 1e-9 * total
            variances, vectors = found[kept][::-1], vectors[:, kept][:, ::-1]
            directions = vectors.T
            if inside:
                directions = vectors.T @ self.factor / np.sqrt(variances)[:, None]
        else:  # the shrinkage is whole: every direction is like any other
            variances, directions = np.zeros(1), np.eye(1, dim)
        left = max(total - float(variances.sum()), 0.0) / max(dim - len(variances), 1)
        return Novelty(
            mean=self.mean.astype(np.float32),
            directions=directions.astype(np.float16).astype(np.float32),
            variances=tuple(_round(one + self.sphere) for one in variances.tolist()),
            rest=_round(left + self.sphere),
            threshold=1,
            share=share,
            people=1,
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


def reach_of_people(
    distances: NDArray[np.float64], groups: Sequence[str], *, share: float
) -> float:
    """The distance within which `1 - share` of the videos lie, where each group weighs alike.

    With fewer than MANY_PEOPLE it is where the next one of a log-normal distribution lies so often
    (Student's prediction interval). The quantile itself would be the distance of the second or
    third oddest of some forty people, which is chance. Nor is it that of each group's farthest
    video or the conformal (n + 1)-th: both are next to the largest. Distances far below the others,
    as of near-copies in two groups, count as NEAREST: they would widen the range.
    """
    from scipy.stats import t

    _, member, sizes = np.unique(np.asarray(groups, str), return_inverse=True, return_counts=True)
    weights = 1 / sizes[member]
    if len(sizes) >= MANY_PEOPLE or len(sizes) < FEWEST_FOLDS:
        return float(np.quantile(distances, 1 - share, weights=weights, method="inverted_cdf"))
    logs = np.log(np.maximum(distances, 1e-12))
    median = np.quantile(logs, 0.5, weights=weights, method="inverted_cdf")
    above = logs >= median
    scatter = np.sqrt(np.average(np.square(logs[above] - median), weights=weights[above]))
    logs = np.maximum(logs, median - NEAREST * scatter)
    mean = np.average(logs, weights=weights)
    variance = np.average(np.square(logs - mean), weights=weights)
    others = len(sizes) - 1
    deviations = t.ppf(1 - share, others) * np.sqrt((len(sizes) + 1) / others)
    return float(np.exp(mean + deviations * np.sqrt(variance)))


def spread_frames(parts: Sequence[tuple[Any, NDArray[np.bool_]]]) -> SpreadFrames:
    """Frames spread over each of at most WITHIN_VIDEOS videos, which are spread over all.

    Args:
        parts: features (N, T, D), read row by row, and mask (N, T) of each split.
    """
    rows = [(features, mask, row) for features, mask in parts for row in range(len(mask))]
    chosen = np.linspace(0, len(rows) - 1, min(WITHIN_VIDEOS, len(rows))).astype(np.int64)
    found = []
    for features, mask, row in (rows[one] for one in chosen):
        there = np.flatnonzero(mask[row])
        places = np.linspace(0, len(there) - 1, WITHIN_FRAMES).round().astype(np.int64)
        found.append(np.asarray(features[row])[there[places]])
    return SpreadFrames(videos=chosen, frames=np.stack(found))


def _round(value: float) -> float:
    """Nine digits: sums in another order must not change a bundle's bytes."""
    return float(f"{value:.9g}")
