"""Do the bootstrap's intervals hold the truth as often as they say?"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from models.bootstrap import group_weights, weighted_auc

PEOPLE, VIDEOS, SETS, ROUNDS = 150, 4, 300, 400


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """Videos of one person share an effect, so that intervals over videos would be too narrow."""
    draw = np.random.default_rng(20)
    shift, person, video = 1.5, 0.8, 0.6  # shift of fakes; spreads, person's and video's own
    truth = NormalDist().cdf(shift / np.sqrt(2 * (person**2 + video**2)))
    group = np.repeat(np.arange(PEOPLE), VIDEOS)
    labels = np.repeat((np.arange(PEOPLE) % 2).astype(np.int64), VIDEOS)
    held = naive = 0
    for number in range(SETS):
        scores = shift * labels + np.repeat(draw.normal(0, person, PEOPLE), VIDEOS)
        scores = scores + draw.normal(0, video, len(labels))
        for names, by_group in ((group, True), (np.arange(len(labels)), False)):
            weights = group_weights(labels, names, rounds=ROUNDS, seed=number)
            low, high = np.percentile(weighted_auc(labels, scores, weights), [2.5, 97.5])
            if by_group:
                held += low <= truth <= high
            else:
                naive += low <= truth <= high
    told = f"by group {held / SETS:.1%}, by video {naive / SETS:.1%}"
    print(told)
    assert 0.93 <= held / SETS <= 0.97, told
    assert naive / SETS < 0.9, told
