"""Fits the comparison of two versions of a face to pairs of which the forged one is known.

A logistic regression on differences of descriptions, without constant: each pair stands in it
twice, as it is and swapped. Its likelihood ratio is fitted on scores of pairs whose people and
forgery methods the scoring model never saw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from data.errors import DatasetError
from models.evaluation.bootstrap import group_weights
from models.evaluation.likelihood_ratio import DRAWS, LikelihoodRatio
from models.evaluation.likelihood_ratio_fit import fit_likelihood_ratio, nine_digits
from models.hold_out.folds import make_folds

FEWEST_PAIRS = 8
FEWEST_GROUPS = 4
FOLDS = 5
"""At most; each holds out people and forgery methods."""
STRENGTH = 1.0
EMBEDDINGS_SHARE = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Differences of descriptions, forged minus real, and where they come from."""

    differences: NDArray[np.float64]  # (N, F)
    traces: int  # P, how many of the F values are of the pixels
    groups: tuple[str, ...]  # N
    methods: tuple[str, ...]  # N


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedPairs:
    """What `PairModel` needs."""

    scales: NDArray[np.float64]  # (F,)
    weights: NDArray[np.float64]  # (F,)
    ratio: LikelihoodRatio
    held_out: NDArray[np.float64]  # (N,) scores of held-out pairs, right above 0; NaN for none


def fit_pairs(pairs: Pairs, *, seed: int = 0) -> FittedPairs:
    """Fits weights to all pairs, and the likelihood ratio to held-out ones.

    Raises:
        DatasetError: too few pairs or people.
    """
    count, groups = len(pairs.differences), len(set(pairs.groups))
    if count < FEWEST_PAIRS or groups < FEWEST_GROUPS:
        raise DatasetError(
            f"{count} pairs of {groups} groups are too few to fit a comparison; it takes "
            f"{FEWEST_PAIRS} fakes of {FEWEST_GROUPS} groups whose original is in the manifest, "
            "too: add pairs, or make some by `unmask forge`"
        )
    scales, weights = fit_weights(pairs.differences, pairs.traces)
    held_out = held_out_scores(pairs)
    return FittedPairs(
        scales=scales,
        weights=weights,
        ratio=fit_ratio(held_out, pairs, seed=seed),
        held_out=held_out,
    )


def fit_weights(
    differences: NDArray[np.float64], traces: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scales (F,) and weights (F,) of a ridge-penalised logistic regression without constant."""
    from sklearn.linear_model import LogisticRegression

    scales = np.sqrt((differences**2).mean(0)) + 1e-9
    scales[traces:] *= np.sqrt(differences.shape[1] - traces) * EMBEDDINGS_SHARE
    scales[:traces] *= np.sqrt(traces)
    scaled = differences / scales
    both = np.concatenate([scaled, -scaled])
    labels = np.repeat([1, 0], len(scaled))
    fitted = LogisticRegression(C=STRENGTH, fit_intercept=False, tol=1e-6, max_iter=2000)
    fitted.fit(both, labels)
    rounded = [[nine_digits(one) for one in each] for each in (scales, fitted.coef_[0])]
    return np.asarray(rounded[0]), np.asarray(rounded[1])


def held_out_scores(pairs: Pairs) -> NDArray[np.float64]:
    """Scores (N,) of pairs by models that saw neither their group nor their method."""
    count = len(pairs.differences)
    labels = np.repeat([1, 0], count)
    folds = make_folds(labels, pairs.groups * 2, (*pairs.methods, *["real"] * count), count=FOLDS)
    scores = np.full(count, np.nan)
    for fold in folds:
        train, test = fold.train[:count], fold.test[:count]
        # a pair is its fake: the real side of a held-out method may be in the training part
        if train.sum() < FEWEST_PAIRS // 2 or not test.any():
            continue
        scales, weights = fit_weights(pairs.differences[train], pairs.traces)
        scores[test] = (pairs.differences[test] / scales) @ weights
    return scores


def fit_ratio(scores: NDArray[np.float64], pairs: Pairs, *, seed: int) -> LikelihoodRatio:
    """The likelihood ratio of held-out scores, exactly antisymmetric.

    Raises:
        DatasetError: no pair could be held out.
    """
    known = np.flatnonzero(~np.isnan(scores))
    if len(known) < FEWEST_PAIRS:
        raise DatasetError(
            f"only {len(known)} pairs could be held out, too few to say what a score means; add "
            "pairs of other people and forgery methods, or make some by `unmask forge`"
        )
    groups = np.asarray(pairs.groups)[known]
    labels = np.repeat([1, 0], len(known))
    both = np.concatenate([scores[known], -scores[known]])
    weights = group_weights(labels, np.tile(groups, 2), rounds=DRAWS, seed=seed)
    found = fit_likelihood_ratio(
        labels,
        expit(both),
        weights,
        groups=len(set(groups.tolist())),
        methods=len({pairs.methods[row] for row in known.tolist()}),
    )
    return antisymmetric(found, pairs=len(known))


def antisymmetric(ratio: LikelihoodRatio, *, pairs: int) -> LikelihoodRatio:
    """Without constant, and bounded alike on both sides: what mirrored scores give but rounding."""

    def bound(lower: float, upper: float) -> float:
        return abs(min(-lower, upper))  # no negative zero

    most = bound(ratio.lower, ratio.upper)
    return replace(
        ratio,
        intercept=0.0,
        lower=0.0 - most,
        upper=most,
        videos=pairs,
        draws=tuple(
            (slope, 0.0, -bound(lower, upper), bound(lower, upper))
            for slope, _, lower, upper in ratio.draws
        ),
    )
