"""The ratio of a pair: antisymmetric, 1 where nothing tells, fitted to others, and kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.errors import DatasetError, StoreError
from models.pairs.fit import Losses, fit_ratio, held_out_ratios
from models.pairs.model import FILE, PairModel, built_in


def made_up(signal: float, *, count: int = 60, seed: int = 0) -> Losses:
    """Pairs of 20 groups and 3 methods."""
    rng = np.random.default_rng(seed)
    return Losses(
        lost=rng.normal(signal, 0.02, count),
        groups=tuple(f"g{number % 20}" for number in range(count)),
        methods=tuple(f"m{number % 20 % 3}" for number in range(count)),
    )


def model_of(losses: Losses) -> PairModel:
    return PairModel(
        ratio=fit_ratio(losses),
        pairs=len(losses.lost),
        right=float((losses.lost > 0).mean()),
        methods=tuple(sorted(set(losses.methods))),
        sha256s=("a", "b"),
    )


@pytest.fixture(scope="module")
def model() -> PairModel:
    return model_of(made_up(0.04))


def test_a_swapped_pair_has_the_mirrored_ratio_to_the_last_bit(model: PairModel) -> None:
    for lost in (*np.random.default_rng(1).normal(0, 0.1, 50), 1e-9, 5.0):
        value, low, high = model.log10_lr(lost)
        assert model.log10_lr(-lost) == (-value, -high, -low)
        assert low <= value <= high
    assert model.log10_lr(0.0)[0] == 0


def test_what_tells_is_bounded_by_the_number_of_pairs(model: PairModel) -> None:
    value, low, high = model.log10_lr(0.5)
    assert 0 < value == low <= high
    assert value <= model.ratio.upper < np.log10(200)
    assert model.log10_lr(0.01)[0] < value


def test_where_nothing_tells_the_ratio_is_one() -> None:
    for losses in (made_up(0.0), made_up(-0.04)):  # the second would say the contrary of the truth
        value, low, high = model_of(losses).log10_lr(0.06)
        assert low <= 0 <= high
        assert value == 0
        assert "1 forgery" not in model_of(losses).origin


def test_a_pair_is_told_by_a_ratio_of_other_people_and_methods() -> None:
    losses = made_up(0.04)
    before = held_out_ratios(losses)
    known = ~np.isnan(before)
    assert known.sum() >= len(before) / 4
    assert (before[known] >= 0).mean() > 0.9
    person = np.asarray([group == "g5" for group in losses.groups])
    method = np.asarray(losses.methods) == losses.methods[5]
    held = person & known
    assert held.any()
    # neither the person's pairs nor those of the method change what is told of the person
    changed = Losses(
        lost=np.where((person | method) & ~held, -losses.lost, losses.lost),
        groups=losses.groups,
        methods=losses.methods,
    )
    assert (held_out_ratios(changed)[held] == before[held]).all()


def test_it_is_kept_and_checked(model: PairModel, tmp_path: Path) -> None:
    assert PairModel.load(tmp_path) is None
    model.save(tmp_path / FILE)
    read = PairModel.load(tmp_path)
    assert read is not None
    assert read.ratio == model.ratio
    assert read.origin == model.origin
    facts = json.loads((tmp_path / FILE).read_text())
    lopsided = facts["ratio"] | {"intercept": 0.5}
    uneven = facts["ratio"] | {"draws": [[1.0, 0.0, -1.0, 2.0]]}
    for damage in (
        {"pairs": "x"}, {"ratio": None}, {"version": 1}, {"ratio": lopsided}, {"ratio": uneven},
    ):  # fmt: skip
        (tmp_path / FILE).write_text(json.dumps(facts | damage))
        with pytest.raises(StoreError, match="fit-pairs again"):
            PairModel.load(tmp_path)


def test_the_built_in_ratio_names_a_side_and_what_it_stands_on() -> None:
    model = built_in()
    assert "DeepFaceLive-DFM" in model.methods
    assert len(model.methods) >= 5  # published and self-made ones
    value, low, high = model.log10_lr(0.08)
    assert 0 < value == low <= high < 2.5
    assert model.log10_lr(0.0005)[0] < 0.2
    assert "built-in ratio" in model.origin
    assert "fakes by DeepFaceLive-DFM and forgeries that unmask made itself" in model.origin
    assert f"{model.pairs} pairs" in model.origin


def test_too_few_pairs_are_refused_with_advice() -> None:
    with pytest.raises(DatasetError, match="unmask forge"):
        fit_ratio(made_up(0.02, count=5))
