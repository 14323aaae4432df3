"""The bootstrap by groups, fast: draws are weights, metrics are weighted sums.

A draw of groups with replacement is how often each video counts. Every metric is then a weighted
sum over videos sorted once by score, for all draws in matrix form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.metrics import (
    BINS,
    CLIP,
    TARGET_FPRS,
    Probabilities,
    as_probabilities,
    bin_of,
)

BLOCK_CELLS = 640_000
"""Draws times videos computed together: 5 MB an array."""


def group_weights(
    labels: NDArray[np.int64], groups: NDArray[np.str_], *, rounds: int, seed: int
) -> NDArray[np.float64]:
    """Draws groups with replacement.

    Args:
        labels: (N,).
        groups: (N,).
        rounds: R.
        seed: of the draws.

    Returns:
        (R, N) float64, how often each video was drawn. Draws that lack a class are drawn again;
        after 100 tries, which needs next to no groups, every video counts once.
    """
    names, member = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    equal = np.full(len(names), 1 / len(names))
    counts = rng.multinomial(len(names), equal, size=rounds)  # (R, G)
    for _ in range(100):
        weights = counts[:, member]
        lacking = (weights[:, labels == 1].sum(1) == 0) | (weights[:, labels == 0].sum(1) == 0)
        if not lacking.any():
            return weights.astype(np.float64)
        counts[lacking] = rng.multinomial(len(names), equal, size=int(lacking.sum()))
    counts[lacking] = 1
    return counts[:, member].astype(np.float64)


def group_and_method_weights(
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    methods: NDArray[np.str_],
    *,
    rounds: int,
    seed: int,
) -> NDArray[np.float64]:
    """Draws groups and, for fakes, forgery methods, each with replacement and independently.

    What a score of a fake says depends on who is seen and on how it was made. A fake counts as
    often as both were drawn (the product; Owen, Annals of Applied Statistics, 2007).

    Args:
        labels: (N,) 1 = fake.
        groups: (N,).
        methods: (N,); those of real videos are not looked at.
        rounds: R.
        seed: of the draws.

    Returns:
        (R, N), as `group_weights`; in draws without a fake, methods count once.
    """
    by_group = group_weights(labels, groups, rounds=rounds, seed=seed)
    fake = labels == 1
    names, member = np.unique(methods[fake], return_inverse=True)
    draw = np.random.default_rng((seed, 1))
    counts = draw.multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds)
    both = by_group.copy()
    both[:, fake] *= counts[:, member]
    lacking = both[:, fake].sum(1) == 0
    both[lacking] = by_group[lacking]
    return both


def weighted_metrics(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    threshold: float,
    videos: NDArray[np.int64] | None = None,
    probabilities: Probabilities = "scores",
) -> dict[str, NDArray[np.float64]]:
    """All metrics of `models.evaluation.evaluate` for every draw.

    Args:
        labels: (F,) 1 = fake.
        scores: (F,) P(fake), or of another scale on which fakes are higher.
        weights: (R, N) how often each video counts; each row has both classes.
        threshold: at or above it a video is called fake.
        videos: (F,) the column of `weights` that a row belongs to, of frames for one; None for
            F = N, in order.
        probabilities: P(fake) of scores of another scale.

    Returns:
        metric -> (R,).
    """
    order = np.argsort(-scores, kind="stable")
    p = as_probabilities(scores, probabilities)
    if p is not None:
        p = p[order]
    labels, scores = labels[order], scores[order]
    column = order if videos is None else videos[order]
    # Videos of equal score are one step of the curve.
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # (K,)
    block = max(1, BLOCK_CELLS // len(labels))
    parts = [
        _block(labels, scores, p, weights[start : start + block][:, column], ends, threshold)
        for start in range(0, len(weights), block)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def weighted_auc(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    videos: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """AUC alone for every draw, of far more rows than there are videos: frames.

    Args:
        labels: (F,) 1 = fake.
        scores: (F,).
        weights: (R, N) how often each video counts; each row has both classes.
        videos: (F,) the column of `weights` that a row belongs to; None for F = N, in order.

    Returns:
        (R,).
    """
    column = np.arange(len(labels)) if videos is None else videos
    order = np.argsort(scores, kind="stable")
    fake, real = order[labels[order] == 1], order[labels[order] == 0]
    # How many reals stand below each fake, and how many below or level.
    below = np.searchsorted(scores[real], scores[fake], side="left")
    level = np.searchsorted(scores[real], scores[fake], side="right")
    ties = bool(np.any(below != level))
    fake_column, real_column = column[fake], column[real]
    passed = np.zeros(len(real) + 1)
    found = np.zeros(len(weights))
    for row, weight in enumerate(weights):  # one draw fills the cache already
        drawn = weight[fake_column]
        np.cumsum(weight[real_column], out=passed[1:])
        won = drawn @ passed[below]
        if ties:
            won = (won + drawn @ passed[level]) / 2
        found[row] = won / (drawn.sum() * passed[-1])
    return found


def _block(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    p: NDArray[np.float64] | None,
    weights: NDArray[np.float64],
    ends: NDArray[np.int64],
    threshold: float,
) -> dict[str, NDArray[np.float64]]:
    """The metrics of some draws; videos sorted by falling score, `p` is their P(fake) or None."""
    fake, real = weights * labels, weights * (1 - labels)
    true = np.cumsum(fake, 1)[:, ends]  # (R, K) fakes at or above each score
    false = np.cumsum(real, 1)[:, ends]
    fakes, reals = true[:, -1:], false[:, -1:]
    zero = np.zeros((len(weights), 1))
    true_rate = np.concatenate([zero, true / fakes], 1)
    false_rate = np.concatenate([zero, false / reals], 1)
    auc = (np.diff(false_rate, axis=1) * (true_rate[:, 1:] + true_rate[:, :-1]) / 2).sum(1)
    precision = true / np.maximum(true + false, 1e-300)
    ap = (np.diff(true_rate, axis=1) * precision).sum(1)
    called = scores >= threshold
    recall_fake = (fake @ called) / fakes[:, 0]
    recall_real = (real @ ~called) / reals[:, 0]
    total = fakes[:, 0] + reals[:, 0]
    found = {
        "auc": auc,
        "ap": ap,
        "eer": _eers(false_rate, true_rate),
        **{
            name: np.where(false_rate <= most + 1e-12, true_rate, 0).max(1)
            for name, most in TARGET_FPRS.items()
        },
        "accuracy": (fake @ called + real @ ~called) / total,
        "balanced_accuracy": (recall_fake + recall_real) / 2,
        "recall_fake": recall_fake,
        "recall_real": recall_real,
    }
    if p is not None:
        place = bin_of(p)[:, None] == np.arange(BINS)  # (N, BINS)
        sure = np.clip(p, CLIP, 1 - CLIP)
        losses = -np.where(labels == 1, np.log(sure), np.log1p(-sure))
        found["log_loss"] = weights @ losses / total
        found["brier"] = weights @ (p - labels) ** 2 / total
        found["ece"] = np.abs(weights @ ((p - labels)[:, None] * place)).sum(1) / total
    return found


def _eers(false_rate: NDArray[np.float64], true_rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """EER of each row: where the straight-line curve meets FPR = 1 - TPR. (R, K + 1) -> (R,)."""
    gap = false_rate + true_rate - 1
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    before = np.maximum(after - 1, 0)
    rise = gap[rows, after] - gap[rows, before]
    share = np.where(rise > 0, -gap[rows, before] / np.where(rise > 0, rise, 1), 1.0)
    step = false_rate[rows, after] - false_rate[rows, before]
    return np.asarray(false_rate[rows, before] + share * step)
