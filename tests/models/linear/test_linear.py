"""The linear model of a clip's statistics: what it is taught by, and what it is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from models.linear.contrasts import FEWEST, contrasts, inside, is_enough
from models.linear.fit import USUAL, LinearFit, fit_linear_model, strongest
from models.linear.statistics import clip_statistics, statistic_shares

LABELS = np.array([0, 0, 1, 1, 0, 1])
GROUPS = ("a", "a", "a", "b", "b", "c")
PATHS = tuple(f"{number}.mp4" for number in range(6))
ORIGINALS = ("", "", "1.mp4", "4.mp4", "", "elsewhere.mp4")


def test_a_fake_is_compared_with_its_original_or_with_its_people() -> None:
    columns = np.arange(6.0)[:, None] ** 2
    given = (LABELS, GROUPS, PATHS, ORIGINALS)
    pairs = contrasts("pairs", *given)
    np.testing.assert_allclose(pairs @ columns, [[4 - 1], [9 - 16]])
    people = contrasts("people", *given)  # the mean of the reals; nobody real is seen with "c"
    np.testing.assert_allclose(people @ columns, [[4 - (0 + 1) / 2], [9 - 16]])
    for loss, originals in (("class", ORIGINALS), ("pairs", ())):
        assert contrasts(loss, LABELS, GROUPS, PATHS, originals).shape == (0, 6)
    kept = inside(people, np.array([True, True, True, False, True, True]))
    np.testing.assert_allclose(kept @ columns, [[3.5]])
    assert not is_enough(people)
    assert is_enough(csr_matrix(np.ones((FEWEST, 6))))


def made_up(people: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Two clips of each person, the second forged: a small shift, and large personal features."""
    draw = np.random.default_rng(seed)
    personal = np.repeat(draw.standard_normal((people, 20)) * 5, 2, axis=0)
    labels = np.arange(2 * people) % 2
    columns = personal + draw.standard_normal((2 * people, 20)) * 0.5
    columns[:, 0] += labels
    return columns, labels, [f"{seed}-{number // 2}" for number in range(2 * people)]


def fitted(loss: str, columns: NDArray[np.float64], labels: NDArray[np.int64],
           groups: list[str], **more: NDArray[np.generic]) -> LinearFit:  # fmt: skip
    count = len(labels)
    paths = tuple(map(str, range(count)))
    truth = labels.tolist()
    originals = tuple(
        str(row - 1) if label and (truth[row - 1], groups[row - 1]) == (0, groups[row]) else ""
        for row, label in enumerate(truth)
    )
    methods = ["real" if not label else f"m{row // 2 % 3}" for row, label in enumerate(labels)]
    return fit_linear_model(
        columns, labels, groups, methods,
        differences=contrasts(loss, labels, groups, paths, originals),
        weights=np.ones(count), **{"fitted": np.ones(count, bool), **more},
    )  # fmt: skip


@pytest.mark.parametrize("people", [8, 60])  # fewer videos than statistics, and more
def test_many_videos_are_fitted_in_parts(people: int, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, labels, groups = made_up(people, seed=0)
    columns[::5, 3] = np.nan
    learn = np.arange(len(labels)) % 7 != 0
    whole = fitted("class", columns, labels, groups, fitted=learn)
    monkeypatch.setattr("models.linear.fit.BLOCK_VIDEOS", 7)
    parts = fitted("class", columns.astype(np.float32), labels, groups, fitted=learn)
    assert parts.penalty == whole.penalty
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(parts.deviation, whole.deviation, rtol=1e-6)
    np.testing.assert_allclose(parts.logits(columns), whole.logits(columns), atol=1e-4)
    assert whole.logits(columns[:0]).shape == (0,)


@pytest.mark.parametrize("loss", ["pairs", "people"])
def test_differences_find_what_people_hide(loss: str) -> None:
    """Most fakes are of people whose videos look otherwise, as portraits before a plain wall do."""
    columns, labels, groups = made_up(60, seed=0)
    alone, _, others = made_up(60, seed=6)
    kinds = np.arange(len(alone)) % 4 // 2  # two clips of one person, of one class
    alone[:, 0] -= np.arange(len(alone)) % 2
    alone[:, 1] += np.where(kinds == 1, 15, -15)
    given = np.concatenate([columns, alone]), np.append(labels, kinds), groups + others
    by_difference, by_class = (fitted(one, *given) for one in (loss, "class"))
    shares = [
        abs(one.weight[0] / one.deviation[0]) / np.abs(one.weight / one.deviation).sum()
        for one in (by_difference, by_class)
    ]
    assert shares[0] > 2 * shares[1]
    new, _, _ = made_up(200, seed=1)
    right = [np.diff(one.logits(new).reshape(-1, 2)) > 0 for one in (by_difference, by_class)]
    assert right[0].mean() > 0.85
    assert right[0].mean() > right[1].mean() + 0.05


def test_held_out_logits_are_of_models_without_the_person_and_the_method() -> None:
    columns, labels, groups = made_up(40, seed=2)
    before = fitted("people", columns, labels, groups)
    assert before.held_out.shape == labels.shape
    noise = labels.copy()
    draw = np.random.default_rng(3)
    for row in range(0, len(noise), 2):
        noise[row : row + 2] = noise[row : row + 2][draw.permutation(2)]
    after = fitted("people", columns, noise, groups)
    there = ~np.isnan(after.held_out)
    assert 0.3 < roc_auc_score(noise[there], after.held_out[there]) < 0.7
    assert not np.isnan(before.held_out).any()
    assert np.mean(np.diff(before.held_out.reshape(-1, 2)) > 0) > 0.6


def test_clips_that_are_not_fitted_move_no_direction() -> None:
    columns, labels, groups = made_up(40, seed=4)
    learn = np.arange(80) < 60
    first = fitted("people", columns, labels, groups, fitted=learn)
    np.testing.assert_allclose(first.mean, columns[learn].mean(0))
    np.testing.assert_allclose(first.deviation, columns[learn].std(0))
    same = fitted("people", columns, labels, groups, fitted=learn)
    np.testing.assert_array_equal(first.weight, same.weight)


def test_a_smaller_share_has_less_weight_where_the_penalty_is_strong() -> None:
    columns, labels, groups = made_up(40, seed=4)
    columns[:, 1] = columns[:, 0]  # both say the same
    shares = np.where(np.arange(20) == 1, 0.5, 1.0)
    found = fitted("people", columns, labels, groups, shares=shares)
    parts = found.weight / found.deviation
    assert parts[1] == pytest.approx(parts[0] / 4)


def test_the_mean_has_half_a_share_beside_others_and_a_whole_one_alone() -> None:
    np.testing.assert_array_equal(statistic_shares(("mean", "steps"), 2), [0.5, 0.5, 1, 1])
    np.testing.assert_array_equal(statistic_shares(("mean",), 2), [1, 1])


def test_the_strongest_penalty_within_an_error_of_the_best_is_taken() -> None:
    draw = np.random.default_rng(5)
    groups = [str(row) for row in range(50)]
    best = draw.uniform(0.5, 0.7, 50)
    near, far = best + draw.normal(0, 0.1, 50), best + 0.3
    assert (
        strongest({0.1: best, 0.01: near - near.mean() + best.mean(), 0.001: far}, groups) == 0.01
    )
    assert strongest({0.1: best, 0.01: far, 0.001: far}, groups) == 0.1
    assert strongest({0.1: np.full(50, np.nan)}, groups) == USUAL


def test_statistics_need_frames() -> None:
    frames = np.arange(24, dtype=np.float32).reshape(1, 4, 6) ** 2
    for count, exist in ((4, [1, 1, 1]), (2, [1, 1, 1]), (1, [1, 0, 0]), (0, [0, 0, 0])):
        mask = (np.arange(4) < count)[None]
        given = np.where(mask[..., None], frames, np.nan)
        found, there = clip_statistics(given, mask, statistics=("mean", "deviation", "steps"))
        assert there.astype(int).tolist() == [exist]
        seen = frames[0, :count]
        if count > 1:
            np.testing.assert_allclose(found[0, :6], seen.mean(0), rtol=1e-6)
            np.testing.assert_allclose(found[0, 6:12], seen.std(0, ddof=1), rtol=1e-5)
            np.testing.assert_allclose(found[0, 12:], np.abs(np.diff(seen, axis=0)).mean(0))
        assert np.isfinite(found).all()
