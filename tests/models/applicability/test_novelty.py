"""Novelty: flags what is unlike training, spares people like those of validation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import covariance as sklearn_covariance

from data.errors import StoreError
from models.applicability import novelty_fit
from models.applicability.novelty import EXPONENT, FILE, FLOOR, Novelty, transformed
from models.applicability.novelty_fit import (
    fit_novelty,
    ledoit_wolf_shrinkage,
    reach_of_people,
    spread_frames,
)

DIM = 64


def embeddings(count: int, *, seed: int, offset: float = 0.0) -> np.ndarray:
    """(N, D) whose logarithms vary in eight directions, and a little in all."""
    basis = np.random.default_rng(99).standard_normal((8, DIM)) / 5
    draw = np.random.default_rng(seed)
    logs = draw.standard_normal((count, 8)) @ basis + 0.02 * draw.standard_normal((count, DIM))
    return np.exp(logs + np.where(np.arange(DIM) % 2, offset, -offset))


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
    from sklearn.covariance import LedoitWolf

    known = np.concatenate([embeddings(150, seed=0), embeddings(60, seed=1)])
    whole = LedoitWolf().fit(transformed(known, EXPONENT))
    found, others = fitted(), embeddings(50, seed=5)
    expected = np.sqrt(whole.mahalanobis(transformed(others, EXPONENT))) / found.threshold
    np.testing.assert_allclose(found.distance(others), expected, rtol=0.02)  # float16


@pytest.mark.parametrize(("count", "dim"), [(50, 20), (20, 50), (30, 1), (12, 12)])
def test_shrinkage_is_that_of_scikit_learn(count: int, dim: int) -> None:
    draw = np.random.default_rng(count)
    rows = draw.standard_normal((count, dim)) * np.linspace(0.2, 3, dim)
    centred = rows - rows.mean(0)
    wanted = sklearn_covariance.ledoit_wolf_shrinkage(centred, assume_centered=True)
    for products in (centred.T @ centred, centred @ centred.T):
        found = ledoit_wolf_shrinkage(centred, float(np.square(products).sum()))
        assert found == pytest.approx(wanted, rel=1e-12)


def test_people_weigh_alike_however_many_videos_they_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Logarithms of five people, with the mean 1 and, of four degrees of freedom, the variance 5/8.
    few = np.exp(np.repeat([0.0, 0.5, 1.0, 1.5, 2.0], [5, 1, 1, 1, 1]))
    reach = reach_of_people(few, [*"aaaaabcde"], share=0.05)
    assert np.log(reach) == pytest.approx(1 + 2.13185 * np.sqrt(5 / 8 * (1 + 1 / 5)), rel=1e-4)
    monkeypatch.setattr(novelty_fit, "MANY_PEOPLE", 50)
    distances = np.arange(100.0)
    each = [f"p{n}" for n in range(100)]
    assert reach_of_people(distances, each, share=0.05) == 94
    # The 40 farthest videos are of one person, and weigh as one of the others' 60 does.
    crowded = [f"p{min(n, 60)}" for n in range(100)]
    assert 56 <= reach_of_people(distances, crowded, share=0.05) <= 60


def test_a_bundle_of_an_earlier_version_measures_logarithms(tmp_path: Path) -> None:
    """Its facts name no exponent."""
    points = np.concatenate([np.log([[0.5, 0.02]]), np.eye(2)[:1]]).astype(np.float16)
    np.save(tmp_path / FILE, points)
    facts = {"variances": [0.25], "rest": 0.01, "threshold": 2.0, "share": 0.05, "people": 9}
    read = Novelty.load(tmp_path, facts | {"sha256": digest(tmp_path / FILE)}, 2)
    means = np.asarray([[1.5, 0.2], [0.0, -3.0]])
    centred = np.log(np.maximum(means, 0) + FLOOR) - points[0].astype(np.float64)
    expected = np.sqrt(centred[:, 0] ** 2 / 0.25 + centred[:, 1] ** 2 / 0.01) / 2
    np.testing.assert_allclose(read.distance(means), expected, rtol=1e-6)


def test_brightness_does_not_matter_and_signs_do() -> None:
    found, others = fitted(), embeddings(20, seed=7)
    np.testing.assert_allclose(found.distance(3 * others), found.distance(others), rtol=1e-9)
    np.testing.assert_array_equal(transformed(-others, 0.4), -transformed(others, 0.4))
    assert np.isfinite(found.distance(np.zeros((1, DIM)))).all()


def test_directions_in_which_frames_vary_count_less() -> None:
    """Of training videos that do not differ in them."""
    draw = np.random.default_rng(0)
    means = embeddings(60, seed=0)
    turned = np.zeros(DIM)
    turned[:32], turned[32:] = 0.3, -0.3  # as poses are, in the frames of each video
    steps = draw.standard_normal((60, 8, 1)) * turned
    frames = means[:, None] * np.exp(steps)
    spread = spread_frames(
        [(frames[:40], np.ones((40, 8), bool)), (frames[40:], np.ones((20, 8), bool))]
    )
    assert spread.frames.shape == (60, 4, DIM)
    people = [f"p{n}" for n in range(60)]
    without = fit_novelty(means[:40], means[40:], people, share=0.05)
    fit = fit_novelty(means[:40], means[40:], people, share=0.05, spread=spread)
    assert without is not None
    assert fit is not None
    posed = embeddings(50, seed=3) * np.exp(turned)
    strange = embeddings(50, seed=3) * np.exp(draw.permutation(turned))
    before = np.median(without.novelty.distance(posed)) / np.median(
        without.novelty.distance(strange)
    )
    after = np.median(fit.novelty.distance(posed)) / np.median(fit.novelty.distance(strange))
    assert after < 0.8 * before


@pytest.mark.parametrize("frames", [4, 8])
def test_both_matrices_give_the_same_distance(frames: int) -> None:
    """Fewer rows than dimensions, and more."""
    draw, means = np.random.default_rng(0), embeddings(30, seed=0)
    factor = draw.standard_normal((frames * 12, DIM)) / 9
    covariance = novelty_fit._Covariance(mean=means[0], factor=factor, sphere=0.02)
    whole = factor.T @ factor + 0.02 * np.eye(DIM)
    centred = means - means[0]
    expected = np.sqrt(np.einsum("nd,de,ne->n", centred, np.linalg.inv(whole), centred))
    first, rest = covariance.distance(means[:3], means[3:])
    np.testing.assert_allclose(np.concatenate([first, rest]), expected, atol=1e-6)


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
    val[:2, ::2] *= np.exp(0.4)  # of one of four people
    people = [f"p{n // 2}" for n in range(68)]
    fitted = fit_novelty(train, val, people, share=0.05)
    assert fitted is not None
    found = fitted.novelty
    assert found.people == 34
    assert np.all(found.distance(embeddings(100, seed=3, offset=0.5)) > 1)


def test_copies_under_other_names_do_not_open_the_range() -> None:
    logs = np.random.default_rng(0).normal(4, 0.08, 55)
    names = [str(one) for one in range(60)]
    alone = reach_of_people(np.exp(logs), names[:55], share=0.05)
    with_copies = reach_of_people(np.exp(np.append(logs, [2.0] * 5)), names, share=0.05)
    assert with_copies == pytest.approx(alone, rel=0.02)


def test_of_very_few_people_the_farthest_gives_the_threshold() -> None:
    means = embeddings(60, seed=0)
    people = [name for name in "abcd" for _ in range(15)]
    found = fit_novelty(means[:45], means[45:], people, share=1e-4)
    assert found is not None
    assert found.novelty.distance(means[45:]).max() == pytest.approx(1, rel=0.05)


def test_where_no_direction_stands_out_one_is_kept() -> None:
    means = np.abs(np.random.default_rng(10).standard_normal((10, 8))) + 0.1
    names = [str(one) for one in range(10)]
    known = novelty_fit._Known.of(means, None)
    covariance = known.covariance(np.arange(10))
    assert covariance is not None
    found = replace(covariance, factor=np.zeros((10, 8))).novelty(0.05)
    assert len(found.variances) == len(found.directions) == 1
    away = transformed(means, EXPONENT) - found.mean
    expected = np.linalg.norm(away, axis=1) / np.sqrt(covariance.sphere)
    np.testing.assert_allclose(found.distance(means), expected, rtol=1e-6)
    assert fit_novelty(means, means[:0], names, share=0.05) is not None


@pytest.mark.parametrize("most", [2000, 100])
def test_of_many_videos_validation_gives_the_threshold(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novelty_fit, "MOST_CROSS_FITTED", most)
    found = fitted()
    assert found.people == (30 if most == 100 else 105)
    assert np.mean(found.distance(embeddings(400, seed=2)) > 1) < 0.1


def digest(path: Path) -> str:
    from data.io.reading import file_sha256

    return file_sha256(path)
