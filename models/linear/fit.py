"""The linear model of a clip's statistics, fitted to convergence (the head `statistics`).

Its loss is convex: one optimum for each strength of regularisation, found by scikit-learn. The
strength comes from cross-validation that holds out people, and methods where there are several,
since a strength that serves known people serves no others. Of those that are not clearly worse than
the best the strongest is taken. A line through the held-out scores then scales the logit, so that
it is as sure as it may be of people and methods that it does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold

from data.errors import DatasetError
from models.hold_out.plan import method_blocks
from models.linear.contrasts import inside, is_enough
from models.principal_axes import largest_eigenvectors

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths of the L2 penalty, scikit-learn's C, on standardised statistics. At the first
the weights are in effect the mean difference: on unseen people and programs that ranks as well as
any other, and more pairs rightly (docs/transfer.md)."""
USUAL = 1e-3
"""The strength where nobody can be held out."""
PERSON_FOLDS, METHOD_FOLDS = 4, 3
"""Of the cross-validation."""
MOST_DIRECTIONS = 512
"""Directions of most variance that are fitted; all of them with as many videos. With thousands of
videos each fit of thousands of statistics would take seconds, and there are some sixty."""
FLAT = 1e-12
"""Directions of less variance than this share of the largest are rounding."""
LEAST_SLOPE = 1e-3
"""Of the line through held-out scores. One that falls says that nothing was learnt; scores keep
their order, and all are near even odds."""

BLOCK_VIDEOS = 1024
"""Of many videos, those whose standardised statistics are in memory at once."""

Floats = NDArray[np.float64]
Columns = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearFit:
    """The fit of the strength of least held-out loss."""

    mean: Floats  # (E,) of the statistics, subtracted
    deviation: Floats  # (E,) divided by
    weight: Floats  # (E,)
    bias: float
    penalty: float
    held_out: Floats  # (N,) logits by models that saw neither the person nor the method; may be NaN
    tried: dict[float, float] = field(default_factory=dict)  # penalty -> held-out loss

    def logits(self, columns: Columns) -> Floats:
        """(N, E) statistics, NaN for those that a clip does not have -> (N,)."""
        parts = [
            _standardised(one, self.mean, self.deviation) @ self.weight + self.bias
            for one in _blocks(columns)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


def fit_linear_model(
    columns: Columns,
    labels: NDArray[np.integer[Any]],
    groups: Sequence[str],
    methods: Sequence[str],
    *,
    differences: csr_matrix,
    weights: NDArray[np.floating[Any]],
    fitted: NDArray[np.bool_],
    shares: Floats | None = None,
) -> LinearFit:
    """Chooses the strength by cross-validation and fits.

    Args:
        columns: (N, E) statistics, NaN for those that a clip does not have.
        labels: (N,) 1 = fake; both classes among `fitted`.
        groups: (N,) names.
        methods: (N,) of the fakes.
        differences: (M, N) by `models.linear.contrasts`; too few of them are not used.
        weights: (N,) of each video in the loss of classes.
        fitted: (N,) videos that the final fit learns from; all serve the cross-validation.
        shares: (E,) by which each standardised statistic is multiplied: the penalty on its weight
            grows with the inverse square. None for 1.
    """
    truth = np.asarray(labels, np.int64)
    mean, deviation = _scales(columns, fitted)
    if shares is not None:
        deviation = deviation / shares
    values, axes = _rotated(columns, mean, deviation)
    planned = [*_folds(truth, np.asarray(groups), np.asarray(methods))]
    lines = {}
    for penalty in PENALTIES:
        held, count = np.zeros(len(truth)), np.zeros(len(truth))
        for train, test in planned:
            weight, bias = _fit(values, truth, differences, weights, train, penalty)
            held[test] += values[test] @ weight + bias
            count[test] += 1
        lines[penalty] = _line(truth, np.where(count > 0, held / np.maximum(count, 1), np.nan))
    penalty = strongest({one: line.losses for one, line in lines.items()}, groups)
    slope, shift, held = lines[penalty].slope, lines[penalty].shift, lines[penalty].held
    weight, bias = _fit(values, truth, differences, weights, fitted, penalty)
    return LinearFit(
        mean=mean,
        deviation=deviation,
        weight=slope * (axes @ weight),
        bias=slope * bias + shift,
        penalty=penalty,
        held_out=slope * held + shift,
        tried={one: float(np.nansum(line.losses)) for one, line in lines.items()},
    )


def strongest(losses: dict[float, Floats], groups: Sequence[str]) -> float:
    """The strongest penalty that is within one standard error of the best.

    The rule of Breiman et al. (1984), of differences: of each group's loss to that with the best.

    Args:
        losses: penalty -> (N,) share of each video in the loss; NaN where it was not held out.
        groups: (N,) names.
    """
    there = ~np.isnan(next(iter(losses.values())))
    if not there.any():
        return USUAL
    names, place = np.unique(np.asarray(groups)[there], return_inverse=True)
    by_group = {one: np.bincount(place, loss[there]) for one, loss in losses.items()}
    best = min(by_group, key=lambda one: (by_group[one].sum(), one))
    for penalty in sorted(by_group):
        worse = by_group[penalty] - by_group[best]
        if len(names) > 1 and worse.sum() <= worse.std(ddof=1) * np.sqrt(len(names)):
            return penalty
    return best


def measure(labels: NDArray[np.integer[Any]], logits: Floats) -> tuple[float, float]:
    """Log loss and AUC; those that are NaN do not count."""
    there = ~np.isnan(logits)
    scores = expit(logits[there])
    return (
        float(log_loss(labels[there], scores, labels=[0, 1])),
        float(roc_auc_score(labels[there], scores)),
    )


def _blocks(columns: Columns, rows: NDArray[np.bool_] | None = None) -> Iterator[Floats]:
    """These rows, or all of them, BLOCK_VIDEOS at a time, in float64."""
    chosen = np.arange(len(columns)) if rows is None else np.flatnonzero(rows)
    for start in range(0, len(chosen), BLOCK_VIDEOS):
        yield np.asarray(columns[chosen[start : start + BLOCK_VIDEOS]], np.float64)


def _standardised(block: Floats, mean: Floats, deviation: Floats) -> Floats:
    """(B, E) -> (B, E); NaN becomes 0."""
    return np.nan_to_num((block - mean) / deviation)


def _scales(columns: Columns, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and deviation of each statistic, of the clips in `rows` that have it."""

    def average(values: Callable[[Floats], Floats]) -> Floats:
        """Of values of the statistics, where they exist."""
        total, count = np.zeros(columns.shape[1]), np.zeros(columns.shape[1], int)
        for block in _blocks(columns, rows):
            exists = ~np.isnan(block)
            total += np.where(exists, values(block), 0).sum(0)
            count += exists.sum(0)
        return np.asarray(total / np.maximum(count, 1))

    mean = average(lambda block: block)
    variance = average(lambda block: np.square(block - mean))
    return mean, np.where(variance > 1e-16, np.sqrt(np.maximum(variance, 1e-16)), 1.0)


def _rotated(columns: Columns, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """(N, E), standardised, in the directions of most variance, (N, R), and these, (E, R).

    A penalised line has its weights in the space that the videos span, so nothing is lost where N
    is at most MOST_DIRECTIONS.
    """
    count, dim = columns.shape
    if count <= dim:
        standard = _standardised(np.asarray(columns, np.float64), mean, deviation)
        sizes, vectors = largest_eigenvectors(standard @ standard.T, MOST_DIRECTIONS)
        kept = sizes > FLAT * max(sizes[-1], 1e-300)
        axes = standard.T @ (vectors[:, kept] / np.sqrt(sizes[kept]))
        return standard @ axes, axes
    products = np.zeros((dim, dim))
    for block in _blocks(columns):
        standard = _standardised(block, mean, deviation)
        products += standard.T @ standard
    sizes, vectors = largest_eigenvectors(products, MOST_DIRECTIONS)
    axes = vectors[:, sizes > FLAT * max(sizes[-1], 1e-300)]
    rotated = [_standardised(block, mean, deviation) @ axes for block in _blocks(columns)]
    return np.concatenate(rotated), axes


def _folds(
    labels: NDArray[np.int64], groups: NDArray[np.str_], methods: NDArray[np.str_]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Videos to learn from and to test on, (N,) each; every fake is tested once, reals in each
    block of methods.
    """
    fake = labels == 1
    blocks: dict[str, int] = dict.fromkeys(methods[fake].tolist(), 0)
    try:
        blocks = method_blocks(Counter(methods[fake].tolist()), METHOD_FOLDS)
    except DatasetError:  # of one method
        several = False
    else:
        several = True
    block = np.asarray([blocks.get(name, -1) for name in methods.tolist()])
    count = min(PERSON_FOLDS, len(np.unique(groups)))
    if count < 2:
        return
    division = GroupKFold(count, shuffle=True, random_state=0)
    for _, rows in division.split(labels, labels, groups):
        held = np.zeros(len(labels), bool)
        held[rows] = True
        for number in sorted(set(blocks.values())):
            forged = fake & (block == number)
            train = ~held & ~(forged & several)
            if len(set(fake[train].tolist())) == 2:
                yield train, held & (~fake | forged)


def _fit(
    values: Floats,
    labels: NDArray[np.int64],
    differences: csr_matrix,
    weights: NDArray[np.floating[Any]],
    rows: NDArray[np.bool_],
    penalty: float,
) -> tuple[Floats, float]:
    """Weight (R,) and bias by the videos of `rows`.

    Scores are 0 midway between the classes and vary by 1 within them, so that models of different
    folds agree on what a score means. Unscaled, those of folds with other methods differ more than
    the classes do: on ../shared/faces the AUC over all folds was 0.48, where each had 0.68; so it
    is 0.64.
    """
    own = inside(differences, rows)
    if is_enough(own):
        # Half of them the other way round: the loss is the same, and two classes are wanted.
        sign = np.where(np.arange(own.shape[0]) % 2 == 0, 1.0, -1.0)
        model = LogisticRegression(C=penalty, fit_intercept=False, tol=1e-6, max_iter=2000)
        model.fit((own @ values) * sign[:, None], sign > 0)
    else:
        model = LogisticRegression(C=penalty, tol=1e-6, max_iter=2000)
        model.fit(values[rows], labels[rows], sample_weight=weights[rows])
    weight = model.coef_[0]
    sides = [values[rows][labels[rows] == label] @ weight for label in (0, 1)]
    size = max(float(np.sqrt(np.mean([side.var() for side in sides]))), 1e-12)
    return weight / size, -float(np.mean([side.mean() for side in sides])) / size


@dataclass(frozen=True, kw_only=True, eq=False)
class _Line:
    """The logistic regression through held-out scores."""

    slope: float
    shift: float
    held: Floats  # (N,) the scores; NaN where none
    losses: Floats  # (N,) share of each video in the loss, both classes alike; NaN where none


def _line(labels: NDArray[np.int64], held: Floats) -> _Line:
    """Scales held-out scores, (N,), NaN where there is none."""
    there = ~np.isnan(held)
    truth, scores = labels[there], held[there]
    losses = np.full(len(held), np.nan)
    if len(set(truth.tolist())) < 2:
        return _Line(slope=1.0, shift=0.0, held=held, losses=losses)
    size = max(float(scores.std()), 1e-12)
    model = LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=1000)
    model.fit(scores[:, None] / size, truth)
    slope, shift = float(model.coef_[0, 0]) / size, float(model.intercept_[0])
    if slope * size < LEAST_SLOPE:
        slope, shift = LEAST_SLOPE / size, -LEAST_SLOPE / size * float(scores.mean())
    share = np.where(truth == 1, 1 / (truth == 1).sum(), 1 / (truth == 0).sum()) / 2
    sign = np.where(truth == 1, -1.0, 1.0)
    losses[there] = share * np.logaddexp(0, sign * (slope * scores + shift))
    return _Line(slope=slope, shift=shift, held=held, losses=losses)
