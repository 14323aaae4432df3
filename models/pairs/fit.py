"""Fits how sure a loss of detail makes, to pairs of which the forged one is known.

What is fitted is one slope and the bounds of the ratio. Each pair stands in the fit twice, as it is
and swapped. The draws behind the ratio's interval are of groups and of forgery methods, so that it
covers other people and methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from data.errors import DatasetError
from models.evaluation.bootstrap import group_and_method_weights, group_weights
from models.evaluation.likelihood_ratio import DRAWS, LikelihoodRatio
from models.evaluation.likelihood_ratio_fit import fit_likelihood_ratio
from models.hold_out.folds import make_folds
from models.pairs.model import UNIT

FEWEST_PAIRS = 8
FEWEST_GROUPS = 4
FOLDS = 5
"""At most; each holds out people and forgery methods."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """Losses of detail of pairs' forged sides, and where the pairs come from."""

    lost: NDArray[np.float64]  # (N,) above 0 where the forged side lacks detail
    groups: tuple[str, ...]  # N
    methods: tuple[str, ...]  # N

    def chosen(self, rows: NDArray[np.bool_]) -> Losses:
        """Those of some rows, (N,)."""
        kept = np.flatnonzero(rows).tolist()
        return Losses(
            lost=self.lost[kept],
            groups=tuple(self.groups[row] for row in kept),
            methods=tuple(self.methods[row] for row in kept),
        )


def fit_ratio(losses: Losses, *, seed: int = 0) -> LikelihoodRatio:
    """The likelihood ratio of losses, exactly antisymmetric.

    Raises:
        DatasetError: too few pairs or people.
    """
    count, groups = len(losses.lost), len(set(losses.groups))
    if count < FEWEST_PAIRS or groups < FEWEST_GROUPS:
        raise DatasetError(
            f"{count} pairs of {groups} groups are too few to fit a comparison; it takes "
            f"{FEWEST_PAIRS} fakes of {FEWEST_GROUPS} groups whose original is in the manifest, "
            "too: add pairs, or make some by `unmask forge`"
        )
    labels = np.repeat([1, 0], count)
    names, methods = np.tile(losses.groups, 2), np.tile(losses.methods, 2)
    kinds = len(set(losses.methods))
    if kinds > 1:
        weights = group_and_method_weights(labels, names, methods, rounds=DRAWS, seed=seed)
    else:
        weights = group_weights(labels, names, rounds=DRAWS, seed=seed)
    weights[:, count:] = weights[:, :count]  # a pair and its mirror image are drawn together
    found = fit_likelihood_ratio(
        labels,
        expit(np.concatenate([losses.lost, -losses.lost]) / UNIT),
        weights,
        groups=groups,
        methods=kinds,
    )
    return antisymmetric(found, pairs=count)


def held_out_ratios(losses: Losses, *, seed: int = 0) -> NDArray[np.float64]:
    """log10 LR (N,) that is told of each pair, by a ratio of other people and forgery methods.

    Above 0 it speaks for the forged side; NaN where no fold holds out both.
    """
    count = len(losses.lost)
    labels = np.repeat([1, 0], count)
    reals = ("real",) * count
    folds = make_folds(labels, losses.groups * 2, losses.methods + reals, count=FOLDS)
    told = np.full(count, np.nan)
    for fold in folds:
        # a pair is its fake: the real side of a held-out method may be in the training part
        train, test = fold.train[:count], fold.test[:count]
        if not test.any():
            continue
        ratio = fit_ratio(losses.chosen(train), seed=seed)
        told[test] = ratio.told(expit(losses.lost[test] / UNIT))
    return told


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
