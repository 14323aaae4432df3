"""DeLong's test against its definition, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from models.evaluation.delong import delong


@given(seed=st.integers(0, 10_000), ties=st.booleans(), count=st.integers(8, 60))
@settings(max_examples=40)
def test_equals_its_definition(seed: int, ties: bool, count: int) -> None:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    a, b = (draw.standard_normal(count) + labels * shift for shift in (1.0, 0.3))
    if ties:
        a, b = np.round(a), np.round(b)
    found = delong(labels, a, b, confidence=0.95)
    tables = []
    for one in (a, b):
        fakes, reals = one[labels == 1][:, None], one[labels == 0][None]
        tables.append((fakes > reals) + 0.5 * (fakes == reals))
    gap = tables[0] - tables[1]  # (fakes, reals)
    variance = gap.mean(1).var(ddof=1) / len(gap) + gap.mean(0).var(ddof=1) / gap.shape[1]
    assert found.auc_a == pytest.approx(roc_auc_score(labels, a), abs=1e-12)
    assert found.auc_b == pytest.approx(roc_auc_score(labels, b), abs=1e-12)
    assert found.difference == pytest.approx(gap.mean(), abs=1e-12)
    if variance > 1e-12:
        deviation = np.sqrt(variance)
        assert found.p == pytest.approx(2 * norm.sf(abs(gap.mean()) / deviation), abs=1e-12)
        assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * deviation, abs=1e-12)


def test_a_model_against_itself() -> None:
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    assert delong(labels, scores, scores, confidence=0.95).p == 1
    assert delong(labels, scores, scores, confidence=0.95).low == 0
