"""Fits likelihood ratios on held-out scores, and measures them.

A logistic regression turns a head's score into log10 LR. It is fitted on scores of people and
forgery methods that the scoring head never saw (`models.heads.out_of_fold`), so that the slope
falls to zero where a head does not transfer. Empirical bounds keep it from extrapolating, and draws
of groups say how well it is known.

The formulas are those of the Netherlands Forensic Institute's package `lir`, and tests hold them
equal. The package itself stays out: matplotlib, pandas and fonttools come with it (150 MB), and it
needs a second to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.bootstrap import BLOCK_CELLS, group_and_method_weights, group_weights
from models.evaluation.likelihood_ratio import DRAWS, LN10, LikelihoodRatio, bounded_logits

STEP = 0.01
"""Accuracy of the empirical bounds on the scale of log10 LR, as in `lir`."""
EXTREME = 9.0
"""log10 LR are kept within this for the empirical bounds, as in `lir`."""
MOST_STEPS, MOST_HALVINGS = 60, 30
"""Of Newton's method; 6 to 10 steps are usual, and a halving is rare."""
ROUNDING = 1e-12
"""A loss that is larger by this share is not larger."""
CONVERGED = 1e-7
"""A step of log-odds below this is the last: its square is what is missing still."""


def fit_likelihood_ratio(
    labels: NDArray[np.integer[Any]],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    groups: int,
    methods: int,
) -> LikelihoodRatio:
    """Fits the logistic regression, the empirical bounds and the draws of the interval.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) P(fake) by heads that saw neither the person nor the forgery method.
        weights: (R, N) how often each draw of groups takes a video
            (`models.evaluation.bootstrap.group_weights`); each draw has both classes.
        groups: number of groups, for the record.
        methods: number of forgery methods that were held out, for the record.
    """
    truth = np.asarray(labels, np.int64)
    logits = bounded_logits(scores)
    every = np.concatenate([np.ones((1, len(truth))), weights])
    fitted = []
    for weight, line in zip(every, fit_lines(truth, logits, every).tolist(), strict=True):
        rows = np.repeat(np.arange(len(truth)), weight.astype(np.int64))
        bounds = empirical_bounds(truth[rows], line[0] * logits[rows] + line[1])
        fitted.append((line[0], line[1], *bounds))
    (slope, intercept, lower, upper), *drawn = fitted
    llrs = slope * logits + intercept
    return LikelihoodRatio(
        slope=slope,
        intercept=intercept,
        lower=lower,
        upper=upper,
        draws=tuple(drawn),
        videos=len(truth),
        groups=groups,
        methods=methods,
        cllr=nine_digits(cllr(truth, np.clip(llrs, lower, upper))),
    )


def fit_by_groups(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    groups: Sequence[str],
    methods: Sequence[str],
    *,
    methods_drawn: bool,
    methods_held_out: int,
    seed: int,
) -> LikelihoodRatio:
    """As `fit_likelihood_ratio`, with draws of groups and, of several methods, of these.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) P(fake).
        groups: (N,) names.
        methods: (N,) how each fake was made.
        methods_drawn: whether draws are of methods, too.
        methods_held_out: of the heads that scored, for the record.
        seed: of the draws.
    """
    names = np.asarray(groups)
    if methods_drawn:
        weights = group_and_method_weights(
            labels, names, np.asarray(methods), rounds=DRAWS, seed=seed
        )
    else:
        weights = group_weights(labels, names, rounds=DRAWS, seed=seed)
    return fit_likelihood_ratio(
        labels, scores, weights, groups=len(set(groups)), methods=methods_held_out
    )


def fit_line(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of log10 LR of (N,) `labels` and `logits`: see `fit_lines`."""
    slope, intercept = fit_lines(labels, logits, np.ones((1, len(labels))))[0]
    return float(slope), float(intercept)


def fit_lines(
    labels: NDArray[np.int64], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slope and intercept of log10 LR for each draw, rounded to 9 digits; 0 where it would fall.

    scikit-learn's logistic regression (C = 1) with both classes weighed alike, so that the log-odds
    are those of the ratio: `lir`'s LogitCalibrator. A falling line would say that the head errs
    more often than chance, which on held-out people is chance.

    All draws together by Newton's method: 200 calls of scikit-learn took 4 seconds for 850 videos,
    this takes a tenth of one.

    Args:
        labels: (N,) 1 = fake; both classes.
        logits: (N,).
        weights: (R, N) how often each counts; each draw has both classes.

    Returns:
        (R, 2).
    """
    block = max(1, BLOCK_CELLS // len(labels))
    parts = [
        _newton(labels, logits, weights[start : start + block])
        for start in range(0, len(weights), block)
    ]
    lines = np.concatenate(parts) / LN10
    lines[lines[:, 0] <= 0] = 0
    return np.asarray([[nine_digits(value) for value in line] for line in lines.tolist()])


def _newton(
    labels: NDArray[np.int64], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The lines, (R, 2), of least penalised loss, by steps that are halved until they pay."""
    from scipy.special import expit

    # Balanced by the drawn counts; scikit-learn's "balanced" would count rows.
    sides = [weights * (labels == label) for label in (0, 1)]
    whole = weights.sum(1, keepdims=True)
    share = sum(side * whole / (2 * side.sum(1, keepdims=True)) for side in sides)  # (R, N)

    def loss(lines: NDArray[np.float64]) -> NDArray[np.float64]:
        odds = lines[:, :1] * logits + lines[:, 1:]
        costs = np.logaddexp(0, np.where(labels == 1, -odds, odds))
        return np.asarray((share * costs).sum(1) + lines[:, 0] ** 2 / 2)

    lines = np.zeros((len(weights), 2))
    now = loss(lines)
    for _ in range(MOST_STEPS):
        p = expit(lines[:, :1] * logits + lines[:, 1:])
        wrong, curve = share * (p - labels), share * p * (1 - p)
        gradient = np.stack([wrong @ logits + lines[:, 0], wrong.sum(1)], 1)
        cross = curve @ logits
        hessian = np.stack([curve @ logits**2 + 1, cross, cross, curve.sum(1)], 1)
        step = np.linalg.solve(hessian.reshape(-1, 2, 2), gradient[..., None])[..., 0]
        for _ in range(MOST_HALVINGS):
            after = loss(lines - step)
            worse = after > now * (1 + ROUNDING)
            if not worse.any():
                break
            step[worse] /= 2
        lines, now = lines - step, after
        if np.abs(step).max() < CONVERGED:
            break
    return lines


def empirical_bounds(
    labels: NDArray[np.int64], llrs: NDArray[np.float64], *, step: float = STEP
) -> tuple[float, float]:
    """Empirical lower and upper bound of log10 LR (ELUB; Vergeer et al., Science & Justice, 2016).

    Outside of them a system with one more misleading ratio on each side would be of less use than
    one that always says 1. Few videos bound a ratio to about their number.

    Args:
        labels: (N,) 1 = fake; both classes.
        llrs: (N,) log10 LR.
        step: accuracy.
    """
    llrs = np.clip(llrs, -EXTREME, EXTREME)
    fakes, reals = np.sort(llrs[labels == 1]), np.sort(llrs[labels == 0])
    least = max(float(llrs.min()), -float(np.log10(len(fakes) + 1)))
    most = min(float(llrs.max()), float(np.log10(len(reals) + 1)))
    first = min(0, int(np.floor_divide(least, step)))
    last = max(0, int(np.floor_divide(most, step)) + 1)
    thresholds = np.linspace(first * step, last * step, last - first + 1)
    # Expected cost of accepting "fake" above each threshold, with one misleading ratio more for
    # each side, against that of the system that always says 1.
    missed = (np.searchsorted(fakes, thresholds, side="right") + 1) / (len(fakes) + 1)
    accused = (len(reals) - np.searchsorted(reals, thresholds, side="right") + 1) / (len(reals) + 1)
    cost = missed + 10**thresholds * accused
    neutral = np.where(thresholds >= 0, 1.0, 10**thresholds)
    worse = neutral / cost < 1
    below, above = thresholds[(thresholds <= 0) & worse], thresholds[(thresholds >= 0) & worse]
    lower = float(np.max(below + step, initial=thresholds.min()))
    upper = float(np.min(above - step, initial=thresholds.max()))
    return nine_digits(min(lower, 0.0)), nine_digits(max(upper, 0.0))


def cllr_costs(labels: NDArray[np.integer[Any]], llrs: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each log10 likelihood ratio costs, of their shape (..., N); NaN stays.

    Cllr is the mean of the fakes' mean and the reals' mean (Bruemmer and du Preez, 2006): 0 is
    perfect, 1 is what a detector reaches that always says LR 1, above it the ratios mislead.
    """
    sign = np.where(np.asarray(labels) == 1, -LN10, LN10)
    return np.asarray(np.logaddexp(0, sign * llrs) / np.log(2))


def cllr(
    labels: NDArray[np.int64],
    llrs: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> Any:
    """The mean of the fakes' mean and the reals' mean of `cllr_costs`.

    Args:
        labels: (N,) 1 = fake; both classes.
        llrs: (N,) log10 LR.
        weights: (R, N) how often each video counts; None is once.

    Returns:
        A float; (R,) with weights.
    """
    if weights is None:
        return float(cllr(labels, llrs, np.ones((1, len(labels))))[0])
    costs = cllr_costs(labels, llrs)
    sides = [weights * (labels == label) for label in (0, 1)]
    return sum(side @ costs / side.sum(1) for side in sides) / 2


def cllr_min(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> Any:
    """Cllr after the best monotonous calibration of these very scores: what the ranking is worth.

    By pool adjacent violators, as in `lir`; Cllr minus this is the cost of calibration.

    Args:
        labels: (N,) 1 = fake; both classes.
        scores: (N,) in any unit.
        weights: (R, N) how often each video counts; None is once.

    Returns:
        A float; (R,) with weights.
    """
    if weights is None:
        return float(cllr_min(labels, scores, np.ones((1, len(labels))))[0])
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))  # equal scores are one
    fake = np.add.reduceat((weights * (labels == 1))[:, order], starts, axis=1)  # (R, K)
    real = np.add.reduceat((weights * (labels == 0))[:, order], starts, axis=1)
    from scipy.optimize import isotonic_regression

    fake /= fake.sum(1, keepdims=True)
    real /= real.sum(1, keepdims=True)
    found = np.zeros(len(weights))
    for row, (of_fakes, of_reals) in enumerate(zip(fake, real, strict=True)):
        held = of_fakes + of_reals > 0
        of_fakes, of_reals = of_fakes[held], of_reals[held]
        both = of_fakes + of_reals
        p = np.clip(isotonic_regression(of_fakes / both, weights=both).x, 0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[row] = -(
                np.where(of_fakes > 0, of_fakes * np.log2(p), 0).sum()
                + np.where(of_reals > 0, of_reals * np.log2(1 - p), 0).sum()
            )
    return np.maximum(found, 0) / 2  # no negative zero


def nine_digits(value: float) -> float:
    """Rounds to these: sums in another order must not change a bundle's bytes."""
    return float(f"{value:.9g}")
