"""Scores of each video by a head that saw neither its person nor its forgery method.

Heads of one kind are trained on folds of the training and validation videos
(`models.hold_out.folds`), from cached features. A fold's head learns from training videos alone, as
the bundle's own does, from fewer of them; it takes from that one what validation chose, its number
of epochs (of the head `mean` its penalty), whether a residual is kept, and what was fitted without
labels: the standardisation, or the conditioning, of all training frames. So the frames of a
held-out person have a part in where the axes lie, and a held-out validation video in how many
epochs there are and whether there is a residual, but none in the weights.

Fitting these anew in each fold, and stopping each early by what is left of the validation split,
takes several times as long. On the demo's 56 test videos the LSTM's Cllr was 0.459 so and is 0.438
(frozen backbone), 0.241 and 0.259 (fine-tuned), mean-pool's 0.482 and 0.512, 0.171 and 0.210.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from data.errors import DatasetError
from data.io.interrupts import interruptible_threads
from data.io.progress import log, progress
from models.evaluation.calibration import Calibration
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.evaluation.likelihood_ratio_fit import fit_by_groups
from models.heads.trained import Trained
from models.heads.training import HeadTrainer
from models.hold_out.folds import LEAST_GROUPS, make_folds

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences


@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """Held-out scores of training and validation videos."""

    labels: NDArray[np.int64]  # (N,) 1 = fake
    scores: NDArray[np.float64]  # (N,) raw P(fake)
    groups: tuple[str, ...]  # N names
    method_names: tuple[str, ...]  # N; how each fake was made
    methods: int  # forgery methods that were held out; 0 where there is one only


def held_out_scores(trainer: HeadTrainer, trained: Trained, *, folds: int) -> OutOfFold | None:
    """Those of a linear model's own cross-validation, or of further heads.

    Args:
        trainer: of the bundle's own head.
        trained: this head.
        folds: as of `out_of_fold_scores`; 0 for none.

    Returns:
        None, with a line in the log, where too few groups leave nothing to hold out.
    """
    if not folds:
        return None
    held = of_cross_validation(trained, trainer.train, trainer.val)
    held = held or out_of_fold_scores(trainer, folds=folds)
    if len({*held.labels.tolist()}) < 2:
        log.info(
            f"{trained.config.kind}: no likelihood ratios, since too few people can be held out"
        )
        return None
    return held


def of_cross_validation(trained: Trained, train: Sequences, val: Sequences) -> OutOfFold | None:
    """The held-out scores of a linear model's own cross-validation; None for other heads.

    They chose one of a few strengths of regularisation and two numbers that scale the logit, no
    more, so no further heads are trained for the likelihood ratio. None, too, where one class
    could not be held out.
    """
    if trained.held_out is None:
        return None
    there = np.flatnonzero(~np.isnan(trained.held_out))
    labels = np.concatenate([train.labels, val.labels]).astype(np.int64)
    groups, methods = (*train.groups, *val.groups), (*train.methods, *val.methods)
    if len({*labels[there].tolist()}) < 2 or len(set(groups)) < LEAST_GROUPS:
        return None
    fakes = {methods[row] for row in there.tolist() if labels[row]}
    return OutOfFold(
        labels=labels[there],
        scores=expit(trained.held_out[there]),
        groups=tuple(groups[row] for row in there.tolist()),
        method_names=tuple(methods[row] for row in there.tolist()),
        methods=len(fakes) if len(fakes) > 1 else 0,
    )


def fit_head_ratio(
    held: OutOfFold | None, *, calibration: Calibration, seed: int
) -> LikelihoodRatio | None:
    """The likelihood ratio of a head by its held-out scores; None without any.

    It is fitted on the scores as the bundle's own `calibration` makes them P(fake). How well it is
    known depends on the number of people, and on that of forgery methods where these were held out.
    """
    if held is None:
        return None
    return fit_by_groups(
        held.labels,
        calibration.apply(held.scores),
        held.groups,
        held.method_names,
        methods_drawn=held.methods > 0,
        methods_held_out=held.methods,
        seed=seed,
    )


def out_of_fold_scores(trainer: HeadTrainer, *, folds: int) -> OutOfFold:
    """Trains a head for each fold and scores what the fold holds out.

    Args:
        trainer: of the bundle's own head, which is fitted.
        folds: how many, at most; see `models.hold_out.folds.make_folds`.

    Returns:
        The videos that could be held out, in order; none of a fold that leaves one class only to
        learn from.
    """
    train, val = trainer.train, trainer.val
    labels = np.concatenate([train.labels, val.labels]).astype(np.int64)
    groups, methods = (*train.groups, *val.groups), (*train.methods, *val.methods)
    planned = make_folds(labels, groups, methods, count=folds)
    scores = np.full(len(labels), np.nan)
    held_out: set[str] = set()

    def score_folds(lane: int) -> None:
        for fold in planned[lane :: trainer.LANES]:
            try:
                scores[fold.test] = trainer.score_held_out(fold.train, fold.test, lane=lane)
            except DatasetError as error:
                log.debug(f"a fold is left out: {error}")
            else:
                held_out.update(fold.methods)
            bar.update()

    show = len(planned) > 0
    with (
        progress(desc="folds for likelihood ratios", total=len(planned), show=show) as bar,
        interruptible_threads(trainer.LANES) as lanes,
    ):
        for done in [lanes.submit(score_folds, lane) for lane in range(trainer.LANES)]:
            done.result()
    scored = np.flatnonzero(~np.isnan(scores))
    return OutOfFold(
        labels=labels[scored],
        scores=scores[scored],
        groups=tuple(groups[row] for row in scored.tolist()),
        method_names=tuple(methods[row] for row in scored.tolist()),
        methods=len(held_out),
    )
