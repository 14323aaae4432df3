"""No detector is tested on what it knows, and figures of held-out tests mean what they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data.errors import DatasetError
from models.evaluation.likelihood_ratio_fit import cllr_costs, cllr_min
from models.evaluation.pairs import pair_rows, wins
from models.hold_out.evaluate import HeldOutScores, difference, evaluate_held_out
from models.hold_out.plan import method_blocks, plan_hold_out


def videos(people: int = 24, methods: tuple[str, ...] = ("a", "b", "c", "d")):
    """Each person's real video and one fake, the methods in turn."""
    labels = np.tile([0, 1], people)
    groups = [f"g{row // 2}" for row in range(2 * people)]
    made = [methods[row // 2 % len(methods)] if row % 2 else "real" for row in range(2 * people)]
    return labels, groups, made


def plan(labels, groups, methods, **options):
    every = np.ones(len(labels), bool)
    given = {"learn": every, "test": every, "person_folds": 3, "method_folds": 4, "seed": 0}
    return plan_hold_out(labels, groups, methods, **(given | options))


def test_a_pair_is_a_fake_and_its_own_real_video():
    paths, labels = ["r", "f", "g", "h", "s"], [0, 1, 1, 1, 0]
    rows = pair_rows(paths, labels, ["", "r", "lost", "f", "r"])
    assert rows.tolist() == [[1, 0]]  # not a lost original, not a fake one, not of a real video
    assert pair_rows(["f"], [1], [""]).shape == (0, 2)
    assert wins(np.array([2.0, 1.0, 0.0, np.nan]), np.ones(4)).tolist() == [1, 0.5, 0, 0]


def test_no_detector_knows_a_person_or_a_method_that_it_is_tested_on():
    labels, groups, methods = videos()
    folds = plan(labels, groups, methods)
    tested = Counter()
    for fold in folds:
        assert not {groups[row] for row in fold.train} & {groups[row] for row in fold.test}
        learnt = {methods[row] for row in fold.train if labels[row]}
        fakes = [row for row in fold.test if labels[row]]
        assert {methods[row] for row in fakes} == set(fold.methods)
        assert not learnt & set(fold.methods)
        assert set(labels[fold.train]) == set(labels[fold.test]) == {0, 1}
        tested.update(fakes)
    assert tested == Counter(np.flatnonzero(labels).tolist())  # every fake once


def test_the_same_seed_gives_the_same_folds():
    first, again = (plan(*videos()) for _ in range(2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))


def test_variants_of_one_program_are_held_out_together():
    blocks = method_blocks(Counter({"Wav2Lip-HD": 1, "Wav2Lip+GFPGAN": 1, "FOMM": 5, "SDA": 2}), 9)
    assert blocks["Wav2Lip-HD"] == blocks["Wav2Lip+GFPGAN"]
    assert len(set(blocks.values())) == 3
    own = method_blocks(Counter({"forged-swap": 1, "forged-blend": 1}), 9)
    assert own["forged-swap"] != own["forged-blend"]


def test_self_made_forgeries_alone_need_one_detector_for_each_part_of_the_people():
    labels, groups, methods = videos()
    methods = [("forged-blend" if row % 4 == 1 else name) for row, name in enumerate(methods)]
    made = np.asarray([name.startswith("forged") for name in methods])
    folds = plan(labels, groups, methods, learn=made | (labels == 0), test=~made)
    assert len(folds) == 3
    assert all(not set(fold.methods) & {"forged-blend"} for fold in folds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("one",)}, "at least 2 forgery methods, got one"),
        ({"methods": ("Wav2Lip-HD", "Wav2Lip+GFPGAN")}, "at least 2 forgery methods"),
        ({"groups": 1}, "at least 2 groups"),
    ],
)
def test_too_little_to_hold_out_is_refused(change, message):
    labels, groups, methods = videos(**{k: v for k, v in change.items() if k != "groups"})
    groups = ["one"] * len(labels) if "groups" in change else groups
    with pytest.raises(DatasetError, match=message):
        plan(labels, groups, methods)


def test_fakes_of_unnamed_methods_are_refused_with_the_remedy():
    with pytest.raises(DatasetError, match="column `method`"):
        plan(*videos(methods=("fake",)))


def said(scores: np.ndarray, **changes: np.ndarray) -> HeldOutScores:
    """Of one detector or several; thresholds at 0.5, a verdict for each."""
    scores = np.atleast_2d(scores).astype(float)
    tested = ~np.isnan(scores)
    odds = np.log10(np.clip(scores, 1e-9, 1) / np.clip(1 - scores, 1e-9, 1))
    made = HeldOutScores(scores=scores, llrs=odds, called_fake=scores >= 0.5, decided=tested)
    return replace(made, **changes)


def measure(labels, groups, methods, pairs, given, rounds=200):
    return evaluate_held_out(
        labels, np.asarray(groups), np.asarray(methods), np.asarray(pairs, int).reshape(-1, 2),
        given, rounds=rounds, confidence=0.95, seed=0,
    )  # fmt: skip


def test_aucs_are_scikit_learns_and_averaged_by_method():
    labels, groups, methods = videos(people=12, methods=("a", "a", "b"))
    scores = np.random.default_rng(1).random(24)
    found = measure(labels, groups, methods, [], said(scores))
    own = {}
    for name in ("a", "b"):
        chosen = (labels == 0) | (np.asarray(methods) == name)
        own[name] = roc_auc_score(labels[chosen], scores[chosen])
        assert found.methods[name].auc.value == pytest.approx(own[name])
    assert found.metrics["auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert found.metrics["auc_methods"].value == pytest.approx(np.mean(list(own.values())))
    assert found.metrics["auc_methods"].low < found.metrics["auc_methods"].value
    assert "pairs" not in found.metrics


def test_scores_of_two_detectors_are_never_compared():
    labels, groups, methods = videos(people=4, methods=("a", "b"))
    # The second detector ranks rightly, too, but all its scores lie above the first one's.
    scores = np.full((2, 8), np.nan)
    scores[0, :4], scores[1, 4:] = (0.1, 0.2, 0.1, 0.2), (0.8, 0.9, 0.8, 0.9)
    found = measure(labels, groups, methods, [[1, 0], [7, 6]], said(scores))
    assert found.metrics["auc"].value == 1
    assert found.metrics["pairs"].value == 1
    assert found.metrics["recall_fake"].value == 0.5
    # One calibration for both: the first one's fakes look like nothing, the second one's reals lie
    # above them.
    both = np.nan_to_num(scores).sum(0)
    assert found.metrics["cllr_min"].value == pytest.approx(cllr_min(labels, both))


def test_a_mean_over_several_videos_leaves_rare_methods_out():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    methods = ["real"] * 3 + ["often"] * 3 + ["rare"]
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.7, 0.0])
    found = measure(labels, [f"g{n}" for n in range(7)], methods, [], said(scores))
    assert found.metrics["auc_methods_several"].value == 1
    assert found.metrics["auc_methods"].value == 0.5


def test_cllr_is_one_where_nothing_is_said_and_more_where_it_misleads():
    labels, groups, methods = videos()
    none = measure(labels, groups, methods, [], said(np.full(len(labels), 0.5)))
    assert none.metrics["cllr"].value == pytest.approx(1)
    wrong = measure(labels, groups, methods, [], said(np.where(labels == 1, 0.1, 0.9)))
    assert wrong.metrics["cllr"].value > 2
    assert wrong.metrics["cllr_min"].value == pytest.approx(1)  # a falling line is none
    right = measure(labels, groups, methods, [], said(np.where(labels == 1, 0.6, 0.5)))
    assert right.metrics["cllr"].value > 0.8
    assert right.metrics["cllr_min"].value == pytest.approx(0)
    assert cllr_costs(np.array([1, 0]), np.array([1.0, 1.0])) == pytest.approx(
        [np.log2(1.1), np.log2(11)]
    )


def test_verdicts_that_are_not_given_lower_the_coverage_alone():
    labels, groups, methods = videos()
    scores = np.where(labels == 1, 0.9, 0.1)
    scores[:4] = 0.45, 0.55, 0.55, 0.45  # one pair right, one wrong
    decided = np.ones((1, len(labels)), bool)
    decided[0, :4] = False
    found = measure(labels, groups, methods, [], said(scores, decided=decided)).metrics
    assert found["coverage"].value == pytest.approx(44 / 48)
    assert found["decided_balanced_accuracy"].value == 1
    assert found["balanced_accuracy"].value == pytest.approx(1 - 1 / 24)


def test_a_difference_is_drawn_on_the_same_people():
    labels, groups, methods = videos()
    scores = np.random.default_rng(0).random(len(labels))
    one = measure(labels, groups, methods, [], said(scores))
    gap = difference(one, measure(labels, groups, methods, [], said(scores)), "auc")
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
