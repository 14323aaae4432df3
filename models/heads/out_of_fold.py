"""Scores of each video by a head that saw neither its person nor its forgery method.

Heads of one kind are trained on folds of the training and validation videos
(`models.hold_out.folds`), from cached features. Validation videos keep their part, which is to
end the training, so a fold's head is trained as the bundle's own is, on fewer videos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from data.errors import DatasetError
from data.io.progress import log, progress
from features.sequences.selection import select
from models.configs import HeadConfig, TrainConfig
from models.evaluation.bootstrap import group_weights
from models.evaluation.calibration import Calibration
from models.evaluation.likelihood_ratio import DRAWS, LikelihoodRatio
from models.evaluation.likelihood_ratio_fit import fit_likelihood_ratio
from models.heads.inference import score
from models.heads.log import TrainingLog
from models.heads.trained import Trained
from models.heads.training import train_head
from models.hold_out.folds import LEAST_GROUPS, make_folds

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences


@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """Held-out scores of training and validation videos."""

    labels: NDArray[np.int64]  # (N,) 1 = fake
    scores: NDArray[np.float64]  # (N,) raw P(fake)
    groups: tuple[str, ...]  # N names
    methods: int  # forgery methods that were held out; 0 where there is one only


def held_out_scores(
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    folds: int,
    seed: int,
) -> OutOfFold | None:
    """As `out_of_fold_scores`; None without folds.

    None, with a line in the log, where too few groups leave nothing to hold out.
    """
    if not folds:
        return None
    held = out_of_fold_scores(train, val, head=head, config=config, folds=folds, seed=seed)
    if len({*held.labels.tolist()}) < 2:
        log.info(f"{head.kind}: no likelihood ratios, since too few people can be held out")
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
        methods=len(fakes) if len(fakes) > 1 else 0,
    )


def fit_head_ratio(
    held: OutOfFold | None, *, kind: str, calibration: Calibration, seed: int
) -> LikelihoodRatio | None:
    """The likelihood ratio of a head of this kind by its held-out scores; None without any.

    It is fitted on the scores as the bundle's own `calibration` makes them P(fake).
    """
    if held is None:
        return None
    names = np.asarray(held.groups)
    found = fit_likelihood_ratio(
        held.labels,
        calibration.apply(held.scores),
        group_weights(held.labels, names, rounds=DRAWS, seed=seed),
        groups=len(np.unique(names)),
        methods=held.methods,
    )
    log.info(f"{kind}: likelihood ratios fitted on {found.origin}: {found.in_words}")
    return found


def out_of_fold_scores(
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    folds: int,
    seed: int,
) -> OutOfFold:
    """Trains a head for each fold and scores what the fold holds out.

    Args:
        train: training split.
        val: validation split; what of it is not held out ends a fold's training.
        head: shape of the heads.
        config: how to train them.
        folds: how many, at most; see `models.hold_out.folds.make_folds`.
        seed: of weights, dropout and order.

    Returns:
        The videos that could be held out, in order; none of a fold that leaves one class only to
        learn from or to validate on.
    """
    count = len(train)
    labels = np.concatenate([train.labels, val.labels]).astype(np.int64)
    groups = (*train.groups, *val.groups)
    planned = make_folds(labels, groups, (*train.methods, *val.methods), count=folds)
    scores = np.full(len(labels), np.nan)
    held_out: set[str] = set()
    for fold in progress(planned, desc="folds for likelihood ratios", show=len(planned) > 0):
        try:
            trained = train_head(
                select(train, fold.train[:count]),
                select(val, fold.train[count:]),
                head=head,
                config=config,
                seed=seed,
                log=TrainingLog(f"{head.kind}, fold", live=False),
            )
        except DatasetError as error:
            log.debug(f"a fold is left out: {error}")
            continue
        for part, rows in ((train, slice(0, count)), (val, slice(count, None))):
            wanted = np.flatnonzero(fold.test[rows])
            if len(wanted):
                scores[rows][wanted] = score(trained.model, select(part, wanted))
        held_out |= {*fold.methods}
    scored = np.flatnonzero(~np.isnan(scores))
    return OutOfFold(
        labels=labels[scored],
        scores=scores[scored],
        groups=tuple(groups[row] for row in scored.tolist()),
        methods=len(held_out),
    )
