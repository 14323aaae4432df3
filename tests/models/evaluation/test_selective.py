"""Error against coverage: the surest first, novel videos last."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.selective import risk_coverage

LABELS = np.asarray([1, 1, 0, 0])
SCORES = np.asarray([0.95, 0.4, 0.2, 0.55])  # the two nearest the threshold are wrong


def test_errors_near_the_threshold_come_last() -> None:
    curve = risk_coverage(LABELS, SCORES, 0.5, np.zeros(4, bool))
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.error, [0, 0, 1 / 3, 0.5])
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)


def test_novel_videos_are_judged_after_all_others() -> None:
    curve = risk_coverage(LABELS, SCORES, 0.5, np.asarray([False, True, False, True]))
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 1])  # both novel ones at once
    np.testing.assert_allclose(curve.error, [0, 0, 0.5])


def test_equal_scores_are_one_step() -> None:
    curve = risk_coverage(np.asarray([0, 1]), np.asarray([0.9, 0.9]), 0.5, np.zeros(2, bool))
    np.testing.assert_allclose(curve.error, [0.5])
