"""A projection of clips to a sphere, learnt with losses of alignment and uniformity, in NumPy.

Clips of one class are drawn together and all clips apart (Wang and Isola, 2020), beside the
cross-entropy of a line on the sphere, as GenD does with a whole network (Yermakov et al., 2025).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

ALIGNMENT, UNIFORMITY = 0.1, 0.5
"""Weights beside the cross-entropy; those of benchmarks/finetune_tries.py."""
DIMENSIONS, SHARPNESS = 16, 8.0
"""Of the sphere, and the factor of cosines in the cross-entropy."""
STEPS, RATE = 100, 1e-2
"""Of Adam (Kingma and Ba, 2015), on all clips."""

Floats = NDArray[np.float64]


def scores_on_sphere(
    known: Floats, labels: NDArray[np.int64], learn: NDArray[np.bool_], of: Floats
) -> Floats:
    """Learns from some clips and scores others.

    Args:
        known: (N, E) standardised.
        labels: (N,) 1 = fake.
        learn: (N,) the clips to learn from.
        of: (M, E).

    Returns:
        (M,): 0 midway between the classes that were learnt from, varying by 1 within them.
    """
    x, truth = known[learn], labels[learn]
    draw = np.random.default_rng(0)
    weights = [
        draw.standard_normal((x.shape[1], DIMENSIONS)) / np.linalg.norm(x, axis=1).mean(),
        draw.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS),
    ]
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in weights]
    share = np.where(truth == 1, 0.5 / (truth == 1).sum(), 0.5 / (truth == 0).sum())
    same = (truth[:, None] == truth[None]).astype(np.float64)
    np.fill_diagonal(same, 0)
    for step in range(1, STEPS + 1):
        places, lengths = on_sphere(x, weights[0])
        error = share * (expit(SHARPNESS * places @ weights[1]) - truth) * SHARPNESS
        near = np.exp(4 * (places @ places.T - 1))  # of exp(-2 d^2); d^2 = 2 - 2 cos
        np.fill_diagonal(near, 0)
        slope = error[:, None] * weights[1]
        slope -= ALIGNMENT * 4 * (same @ places) / same.sum()
        slope += UNIFORMITY * 8 * (near @ places) / near.sum()
        along = (slope * places).sum(1, keepdims=True)
        gradients = (x.T @ ((slope - along * places) / lengths), places.T @ error)
        for number, gradient in enumerate(gradients):
            first, second = moments[number]
            first += 0.1 * (gradient - first)
            second += 0.001 * (np.square(gradient) - second)
            size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            weights[number] = weights[number] - RATE * first / (1 - 0.9**step) / size
    scores = on_sphere(x, weights[0])[0] @ weights[1]
    sides = [scores[truth == one] for one in (0, 1)]
    size = max(float(np.sqrt(np.mean([one.var() for one in sides]))), 1e-12)
    middle = float(np.mean([one.mean() for one in sides]))
    return np.asarray((on_sphere(of, weights[0])[0] @ weights[1] - middle) / size)


def on_sphere(x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """(N, DIMENSIONS) of length 1, and the lengths that they had, (N, 1)."""
    projected = x @ weight
    lengths = np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-9)
    return projected / lengths, lengths
