"""The comparison of pairs: antisymmetric, worth nothing where nothing transfers, and kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.errors import DatasetError, StoreError
from models.pairs.fit import Pairs, fit_pairs
from models.pairs.model import FILE, PairModel

TRACES = ("one", "two", "three")


def made_up(signal: float, *, count: int = 60, seed: int = 0) -> Pairs:
    """Pairs of 20 groups and 3 methods; the first value tells which is forged."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(0, 1, (count, 3 + 8))
    differences[:, 0] += signal
    return Pairs(
        differences=differences,
        traces=3,
        groups=tuple(f"g{number % 20}" for number in range(count)),
        methods=tuple(f"m{number % 20 % 3}" for number in range(count)),
    )


def model_of(pairs: Pairs) -> PairModel:
    fitted = fit_pairs(pairs)
    known = fitted.held_out[~np.isnan(fitted.held_out)]
    return PairModel(
        traces=TRACES,
        scales=fitted.scales,
        weights=fitted.weights,
        ratio=fitted.ratio,
        right=float((known > 0).mean()),
        backbone_digest="d",
        methods=("m0", "m1"),
        sha256s=("a", "b"),
    )


@pytest.fixture(scope="module")
def model() -> PairModel:
    return model_of(made_up(2.0))


def test_a_swapped_pair_has_the_mirrored_ratio_to_the_last_bit(model: PairModel) -> None:
    rng = np.random.default_rng(1)
    for one, two in rng.normal(0, 2, (50, 2, 11)):
        score, mirrored = model.score(one, two), model.score(two, one)
        assert mirrored == -score
        value, low, high = model.log10_lr(score)
        assert model.log10_lr(mirrored) == (-value, -high, -low)
        assert low <= value <= high
    assert model.log10_lr(0.0)[0] == 0


def test_what_tells_is_found_and_bounded(model: PairModel) -> None:
    assert model.right > 0.85
    forged = np.zeros(11)
    forged[0] = 4.0
    value, low, high = model.log10_lr(model.score(forged, np.zeros(11)))
    assert 0 < value == low <= high
    # some tens of pairs cannot show more than some tens
    assert value <= model.ratio.upper < np.log10(200)


def test_a_pair_of_which_nothing_tells_has_a_ratio_of_one() -> None:
    model = model_of(made_up(0.0))
    value, low, high = model.log10_lr(3.0)
    assert low <= 0 <= high
    assert abs(value) < 0.3


def test_who_is_scored_trained_nothing_of_the_score() -> None:
    pairs = made_up(0.5)
    before = fit_pairs(pairs).held_out
    person = np.asarray([group == "g5" for group in pairs.groups])
    pairs.differences[person] *= 3
    after = fit_pairs(pairs).held_out
    held = person & ~np.isnan(before)
    assert held.any()
    assert np.allclose(after[held], 3 * before[held], rtol=1e-9)
    others = ~person & ~np.isnan(before)
    assert not np.allclose(after[others], before[others])


def test_it_is_kept_and_checked(model: PairModel, tmp_path: Path) -> None:
    assert PairModel.load(tmp_path, traces=TRACES, backbone_digest="d") is None
    model.save(tmp_path)
    read = PairModel.load(tmp_path, traces=TRACES, backbone_digest="d")
    assert read is not None
    one, two = np.random.default_rng(2).normal(0, 1, (2, 11))
    assert read.score(one, two) == model.score(one, two)
    assert read.ratio == model.ratio
    assert read.origin == model.origin
    with pytest.raises(StoreError, match="fit-pairs again"):
        PairModel.load(tmp_path, traces=TRACES, backbone_digest="other")
    facts = json.loads((tmp_path / FILE).read_text())
    for damage in ({"weights": [1.0]}, {"scales": ["x"] * 11}, {"ratio": None}):
        (tmp_path / FILE).write_text(json.dumps(facts | damage))
        with pytest.raises(StoreError, match="fit-pairs again"):
            PairModel.load(tmp_path, traces=TRACES, backbone_digest="d")


def test_too_few_pairs_are_refused_with_advice() -> None:
    with pytest.raises(DatasetError, match="unmask forge"):
        fit_pairs(made_up(1.0, count=5))
