"""Held-out scores: by heads that learnt nothing from a held-out video, the same each time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data.errors import DatasetError
from features.sequences.dataset import Sequences
from models.conditioning import cache
from models.configs import ConditionConfig, HeadConfig, TrainConfig
from models.evaluation.baselines import pooled
from models.evaluation.calibration import Calibration
from models.heads import out_of_fold, training
from models.heads.architectures import KINDS
from models.heads.descent import shared
from models.heads.descent.shared import Descent, descent_of
from models.heads.out_of_fold import fit_head_ratio, held_out_scores, out_of_fold_scores
from models.heads.training import HeadTrainer, train_head
from tests.models.conftest import made_up

LSTM = HeadConfig(units=6, dropout=0.1, input_dropout=0.1, residual=False)
CONDITIONED = LSTM.replace(condition=ConditionConfig(kind="pca", dimensions=5))
CONFIG = TrainConfig(epochs=12, batch_size=8, learning_rate=0.02, patience=12)


def videos(count: int, *, signal: float = 1.5, seed: int = 0) -> Sequences:
    """Two videos of each person, one real, and fakes of three methods."""
    made = made_up(count, signal=signal, seed=seed)
    numbers = range(count)
    names = tuple(f"{seed}-{number}" for number in numbers)
    methods = tuple("real" if not one % 2 else f"method {one // 2 % 3}" for one in numbers)
    return Sequences(
        features=made.features, mask=made.mask, labels=made.labels, methods=methods,
        groups=tuple(f"{seed}-{number // 2}" for number in numbers), paths=names, sha256s=names,
    )  # fmt: skip


def fitted(head: HeadConfig = LSTM, config: TrainConfig = CONFIG) -> HeadTrainer:
    trainer = HeadTrainer(videos(60), videos(24, seed=1), head=head, config=config, seed=3)
    trainer.fit()
    return trainer


def half(trainer: HeadTrainer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The first half of the training videos, and all videos that are not in it."""
    learn = np.arange(len(trainer.train) + len(trainer.val)) < 30
    return learn, ~learn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", [LSTM, CONDITIONED], ids=["full width", "conditioned"])
def test_every_kind_tells_held_out_fakes(kind: str, head: HeadConfig) -> None:
    held = out_of_fold_scores(fitted(head.replace(kind=kind)), folds=3)
    assert held.methods == 3
    assert len(held.labels) == len(held.scores) == len(held.groups) > 60
    least = 0.7 if kind == "statistics" else 0.8  # which halves the mean, the only difference here
    assert roc_auc_score(held.labels, held.scores) > least


@pytest.mark.parametrize("head", [LSTM, CONDITIONED, HeadConfig(kind="mean")], ids=str)
def test_what_is_held_out_teaches_nothing(head: HeadConfig) -> None:
    """Other labels of held-out videos change no score of them."""
    trainer = fitted(head)
    learn, test = half(trainer)
    scores = trainer.score_held_out(learn, test)
    labels = trainer.train.labels
    labels = np.where(learn[: len(labels)], labels, 1 - labels).astype(np.int8)
    trainer.train = replace(trainer.train, labels=labels)
    trainer.val = replace(trainer.val, labels=1 - trainer.val.labels)
    np.testing.assert_array_equal(trainer.score_held_out(learn, test), scores)
    assert len({*scores.tolist()}) > 10


def test_no_person_and_no_method_is_on_both_sides(monkeypatch: Any) -> None:
    trainer = fitted(HeadConfig(kind="mean"))
    groups = np.asarray([*trainer.train.groups, *trainer.val.groups])
    methods = np.asarray([*trainer.train.methods, *trainer.val.methods])
    asked = []
    monkeypatch.setattr(
        trainer,
        "score_held_out",
        lambda *rows, lane: asked.append(rows) or np.zeros(rows[1].sum()),
    )
    out_of_fold_scores(trainer, folds=3)
    assert len(asked) == 3
    for learn, test in asked:
        (learnt,) = np.nonzero(learn)
        assert len(learn) == len(trainer.train) + len(trainer.val)
        assert not {*groups[learnt]} & {*groups[test]}
        assert not ({*methods[learnt]} & {*methods[test]}) - {"real"}


def test_the_same_bytes_whatever_was_trained_before() -> None:
    descent_of.cache_clear()
    first = out_of_fold_scores(fitted(), folds=3).scores
    train_head(videos(20), videos(10, seed=1), head=LSTM, config=CONFIG, seed=9)
    again = out_of_fold_scores(fitted(), folds=3).scores
    assert first.tobytes() == again.tobytes()
    descent_of.cache_clear()
    assert first.tobytes() == out_of_fold_scores(fitted(), folds=3).scores.tobytes()


def test_folds_take_the_epochs_that_validation_chose_and_compile_nothing(monkeypatch: Any) -> None:
    sizes, compiled = [], []
    epoch, step = Descent.epoch, shared.train_step
    descent_of.cache_clear()
    monkeypatch.setattr(
        Descent, "epoch", lambda *one, **more: sizes.append(len(one[1])) or epoch(*one, **more)
    )
    monkeypatch.setattr(
        shared, "train_step", lambda *one, **more: compiled.append(one) or step(*one, **more)
    )
    trainer = HeadTrainer(videos(60), videos(24, seed=1), head=LSTM, config=CONFIG)
    trained = trainer.fit()
    assert sizes == [60] * len(trained.history)
    learn, test = half(trainer)
    trainer.score_held_out(learn, test)
    assert sizes[len(trained.history) :] == [30] * trained.best_epoch
    assert len(compiled) == 1


def test_the_conditioning_is_fitted_once(monkeypatch: Any) -> None:
    fits = []
    fit = cache.Conditioning.fit
    monkeypatch.setattr(cache.Conditioning, "fit", lambda *data: fits.append(data) or fit(*data))
    out_of_fold_scores(fitted(CONDITIONED), folds=3)
    assert len(fits) == 1


def test_the_mean_head_of_a_fold_is_scikit_learn_s() -> None:
    trainer = fitted(HeadConfig(kind="mean"), CONFIG.replace(class_weight=None))
    learn, test = half(trainer)
    means = np.concatenate([pooled(one.features, one.mask) for one in (trainer.train, trainer.val)])
    frames = trainer.train.features[trainer.train.mask].astype(np.float64)
    means = (means - frames.mean(0)) / frames.std(0)
    penalty = float(trainer.fit().stop_reason.split("C = ")[1].split(",")[0])
    theirs = LogisticRegression(C=penalty, tol=1e-8, max_iter=5000)
    theirs.fit(means[learn], trainer.train.labels[learn[:60]])
    np.testing.assert_allclose(
        trainer.score_held_out(learn, test), theirs.predict_proba(means[test])[:, 1], atol=1e-4
    )


def test_views_are_learnt_from_and_never_scored() -> None:
    plain = videos(60)
    assert isinstance(plain.features, np.ndarray)
    other = plain.features.copy()
    other[..., 0] = 0  # a view that hides what fakes have
    for kind in ("mean", "lstm"):
        scores = []
        for second in (plain.features, other):
            viewed = replace(plain, views=np.concatenate([plain.features, second]))
            trainer = HeadTrainer(viewed, videos(24, seed=1), head=LSTM.replace(kind=kind),
                                  config=CONFIG)  # fmt: skip
            trainer.fit()
            scores.append(trainer.score_held_out(*half(trainer)))
        assert len(scores[0]) == 54
        assert np.abs(scores[0] - scores[1]).max() > 1e-3


def test_a_fold_without_a_class_is_left_out_and_too_few_people_give_no_ratio() -> None:
    trainer = fitted(HeadConfig(kind="mean"))
    reals = np.append(trainer.train.labels == 0, np.ones(24, bool))
    with pytest.raises(DatasetError, match="one class only"):
        trainer.score_held_out(reals, ~reals)
    trainer.train = replace(trainer.train, groups=("one",) * 60)
    trainer.val = replace(trainer.val, groups=("two",) * 24)
    trained = trainer.fit()
    assert held_out_scores(trainer, trained, folds=5) is None
    assert fit_head_ratio(None, calibration=Calibration(), seed=0) is None


def test_no_folds_train_nothing(monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a fold was trained")

    monkeypatch.setattr(out_of_fold, "out_of_fold_scores", refuse)
    trainer = fitted()
    assert held_out_scores(trainer, trainer.fit(), folds=0) is None


def test_held_out_scores_need_a_fitted_head() -> None:
    trainer = HeadTrainer(videos(60), videos(24, seed=1), head=LSTM, config=CONFIG)
    with pytest.raises(ValueError, match="fit the head"):
        trainer.score_held_out(*half(trainer))


def test_folds_of_a_residual_that_is_kept_keep_theirs(monkeypatch: Any) -> None:
    """They train as many epochs as validation chose, in both lanes the same."""
    asked: list[int] = []
    trained_by = training.residual_of_fold

    def noted(*one: Any, epochs: int, **more: Any) -> Any:
        asked.append(epochs)
        return trained_by(*one, epochs=epochs, **more)

    monkeypatch.setattr(training, "residual_of_fold", noted)
    head = HeadConfig(units=6, dropout=0.1, input_dropout=0.1, strides=())
    trainer = fitted(head)
    rows = np.arange(84)
    learn = (rows < 30) | (rows >= 72)  # half of either split
    test = ~learn
    trainer._epochs = 0
    alone = trainer.score_held_out(learn, test)
    assert not asked
    trainer._epochs = 3
    first = trainer.score_held_out(learn, test)
    assert asked == [3]
    assert not np.array_equal(first, alone)
    assert roc_auc_score(np.concatenate(
        [trainer.train.labels, trainer.val.labels])[test], first) > 0.8  # fmt: skip
    np.testing.assert_array_equal(trainer.score_held_out(learn, test, lane=1), first)
    np.testing.assert_array_equal(trainer.score_held_out(learn, test), first)
