"""Do the bootstrap's intervals hold the truth as often as they say?"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from models.evaluation.bootstrap import group_weights, weighted_auc

VIDEOS, SETS, ROUNDS = 4, 300, 400


def coverage(people: int) -> tuple[float, float]:
    """Share of simulated data sets whose interval holds the truth: drawn by group, by video."""
    draw = np.random.default_rng(20)
    shift, person, video = 1.5, 0.8, 0.6  # shift of fakes; spreads, person's and video's own
    truth = NormalDist().cdf(shift / np.sqrt(2 * (person**2 + video**2)))
    group = np.repeat(np.arange(people), VIDEOS)
    labels = np.repeat((np.arange(people) % 2).astype(np.int64), VIDEOS)
    held = [0, 0]
    for number in range(SETS):
        scores = shift * labels + np.repeat(draw.normal(0, person, people), VIDEOS)
        scores = scores + draw.normal(0, video, len(labels))
        for way, names in enumerate((group, np.arange(len(labels)))):
            weights = group_weights(labels, names, rounds=ROUNDS, seed=number)
            low, high = np.percentile(weighted_auc(labels, scores, weights), [2.5, 97.5])
            held[way] += low <= truth <= high
    print(f"{people} groups: by group {held[0] / SETS:.1%}, by video {held[1] / SETS:.1%}")
    return held[0] / SETS, held[1] / SETS


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """Videos of one person share an effect, so that intervals over videos would be too narrow."""
    by_group, by_video = coverage(150)
    assert 0.93 <= by_group <= 0.97
    assert by_video < 0.9


def test_few_groups_make_intervals_too_narrow() -> None:
    """What docs/evaluation.md warns of."""
    assert 0.75 < coverage(8)[0] < 0.9 < coverage(32)[0] < 0.95
