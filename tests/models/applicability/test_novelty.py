"""Novelty: flags what is unlike training, spares people like those of validation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import covariance

from data.errors import StoreError
from models.applicability import novelty
from models.applicability.novelty import (
    FILE,
    FLOOR,
    Novelty,
    fit_novelty,
    ledoit_wolf_shrinkage,
    quantile_of_people,
)

DIM = 64


def embeddings(count: int, *, seed: int, offset: float = 0.0) -> np.ndarray:
    """(N, D) whose logarithms vary in eight directions, and a little in all."""
    basis = np.random.default_rng(99).standard_normal((8, DIM)) / 5
    draw = np.random.default_rng(seed)
    logs = draw.standard_normal((count, 8)) @ basis + 0.02 * draw.standard_normal((count, DIM))
    return np.exp(logs + offset)


def fitted(share: float = 0.05) -> Novelty:
    people = [f"p{n // 2}" for n in range(210)]
    found = fit_novelty(embeddings(150, seed=0), embeddings(60, seed=1), people, share=share)
    assert found is not None
    return found.novelty


def test_others_of_the_same_kind_are_spared_and_another_kind_is_flagged() -> None:
    found = fitted()
    assert np.mean(found.distance(embeddings(400, seed=2)) > 1) < 0.1
    assert np.all(found.distance(embeddings(100, seed=3, offset=0.5)) > 1)
    strange = np.exp(np.random.default_rng(4).standard_normal((100, DIM)) * 2)  # new directions
    assert np.all(found.distance(strange) > 1)


def test_the_distance_is_that_of_the_whole_covariance() -> None:
    known = np.concatenate([embeddings(150, seed=0), embeddings(60, seed=1)])
    whole = covariance.LedoitWolf().fit(np.log(known + FLOOR))
    found, others = fitted(), embeddings(50, seed=5)
    expected = np.sqrt(whole.mahalanobis(np.log(others + FLOOR))) / found.threshold
    np.testing.assert_allclose(found.distance(others), expected, rtol=0.02)  # float16


@pytest.mark.parametrize(("count", "dim"), [(50, 20), (20, 50), (30, 1), (12, 12)])
def test_shrinkage_is_that_of_scikit_learn(count: int, dim: int) -> None:
    draw = np.random.default_rng(count)
    rows = draw.standard_normal((count, dim)) * np.linspace(0.2, 3, dim)
    centred = rows - rows.mean(0)
    wanted = covariance.ledoit_wolf_shrinkage(centred, assume_centered=True)
    for products in (centred.T @ centred, centred @ centred.T):
        found = ledoit_wolf_shrinkage(centred, float(np.square(products).sum()))
        assert found == pytest.approx(wanted, rel=1e-12)


def test_people_weigh_alike_however_many_videos_they_have() -> None:
    distances = np.arange(100.0)
    each = [f"p{n}" for n in range(100)]
    assert quantile_of_people(distances, each, share=0.05) == 94
    # The 40 farthest videos are of one person, and weigh as one of the others' 60 does.
    crowded = [f"p{min(n, 60)}" for n in range(100)]
    assert 56 <= quantile_of_people(distances, crowded, share=0.05) <= 60


def test_written_and_read_back_it_says_the_same(tmp_path: Path) -> None:
    found = fitted()
    (tmp_path / FILE).write_bytes(found.content())
    facts = json.loads(json.dumps(found.to_json() | {"sha256": digest(tmp_path / FILE)}))
    read = Novelty.load(tmp_path, facts, DIM)
    others = embeddings(20, seed=6)
    np.testing.assert_array_equal(read.distance(others), found.distance(others))
    assert read.content() == found.content()


@pytest.mark.parametrize("what", ["absent", "changed", "pickle", "short", "dimension"])
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, what: str) -> None:
    found = fitted()
    path, content, dim = tmp_path / FILE, found.content(), DIM
    if what == "pickle":
        np.save(path, np.asarray([{}], object), allow_pickle=True)
        content = path.read_bytes()
    elif what == "short":
        content = content[:-100]
    elif what == "dimension":
        dim += 1
    path.write_bytes(content)
    facts = found.to_json() | {"sha256": digest(path)}
    if what == "changed":
        path.write_bytes(content[:-1] + b"!")
    if what == "absent":
        path.unlink()
    with pytest.raises(StoreError, match="train"):
        Novelty.load(tmp_path, facts, dim)


def test_few_videos_have_no_distribution() -> None:
    few = embeddings(5, seed=0), embeddings(5, seed=1)
    assert fit_novelty(*few, ["a"] * 10, share=0.05) is None


def test_one_odd_person_of_validation_does_not_open_the_range() -> None:
    train, val = embeddings(60, seed=0), embeddings(8, seed=1)
    val[:2] *= np.exp(0.4)  # of one of four people
    people = [f"p{n // 2}" for n in range(68)]
    fitted = fit_novelty(train, val, people, share=0.05)
    assert fitted is not None
    found = fitted.novelty
    assert found.people == 34
    assert np.all(found.distance(embeddings(100, seed=3, offset=0.5)) > 1)


@pytest.mark.parametrize("most", [2000, 100])
def test_of_many_videos_validation_gives_the_threshold(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novelty, "MOST_CROSS_FITTED", most)
    found = fitted()
    assert found.people == (30 if most == 100 else 105)
    assert np.mean(found.distance(embeddings(400, seed=2)) > 1) < 0.1


def digest(path: Path) -> str:
    from data.io.reading import file_sha256

    return file_sha256(path)
