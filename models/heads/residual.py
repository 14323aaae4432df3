"""Training of residual heads, which correct a linear model of the clip (`models.heads.linear`).

A residual's last layer starts at zero, so it begins as the linear model and can only be kept where
it is better on validation people. While it learns, each video's logit of the linear model is one
that was held out of the fit: those of the fit itself are right on every training video, and would
leave nothing to correct.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import DatasetError
from data.io.interrupts import interruptible_threads
from models.configs import HeadConfig, TrainConfig
from models.early_stopping import EarlyStopping
from models.heads.descent.shared import Descent
from models.heads.inference import BASE, HeadNetwork, chain, score, validated_at_once
from models.heads.linear import StatisticsFit, fit_statistics, linear_row, set_linear_model
from models.heads.log import TrainingLog
from models.heads.split_checks import check_loss, video_weights
from models.heads.trained import Trained
from models.hold_out.plan import method_blocks
from models.linear.fit import LinearFit, measure

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

LEAST_GAIN = 1.0
"""Standard errors, over validation groups, by which a residual must lower the loss to be kept: the
one-standard-error rule of Breiman et al. (1984), which keeps the simpler model otherwise."""

METHOD_BLOCKS = 2
"""Parts of the forgery methods, each held out of a residual once before one is kept."""

MOST_BYTES = 128 << 20
"""Of validation frames that are kept with their differences, which is four times as many."""

Floats = NDArray[np.float64]
DescentOfLane = Callable[[int], Descent]
"""Number of a lane, a thread, -> its descent, started anew."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidualFit:
    """A linear model and what corrects it."""

    fit: LinearFit
    weights: dict[str, list[NDArray[Any]]]  # of the residual by layer; {} where it is left out
    history: tuple[dict[str, float], ...]  # the first row is of the linear model
    best_epoch: int
    stop_reason: str

    def give_to(self, model: Any, head: HeadConfig) -> Trained:
        """Gives the whole head in Keras, `model`, what was found."""
        for name, weights in self.weights.items():
            model.get_layer(name).set_weights(weights)
        set_linear_model(model, self.fit, prefix=BASE)
        return Trained(
            model=model,
            config=head,
            history=self.history,
            best_epoch=self.best_epoch,
            stop_reason=self.stop_reason,
            held_out=None if self.weights else self.fit.held_out,
        )


def fit_residual(
    descent: DescentOfLane,
    train: Sequences,
    val: Sequences,
    *,
    lanes: Sequence[int],
    head: HeadConfig,
    config: TrainConfig,
    seed: int,
    log: TrainingLog,
    linear: StatisticsFit | None = None,
) -> ResidualFit:
    """Fits the linear model, then trains what corrects it.

    Args:
        descent: number of a lane -> the descent of this shape, started anew.
        train: training split, conditioned where the head conditions.
        val: validation split, likewise.
        lanes: that may be used, the first for the residual itself, all of them at once for those
            that learn without some methods.
        head: its shape.
        config: how to train.
        seed: of the order.
        log: of the epochs.
        linear: what `fit_statistics` gives, where it is there already.

    Raises:
        DatasetError: training diverged.
    """
    linear = linear or fit_statistics(train, val, head=head, config=config)
    fit, columns, words = linear.fit, linear.columns, linear.learnt_from
    count = len(train.labels)
    own = fit.logits(columns)
    held = np.where(np.isnan(fit.held_out), own, fit.held_out)
    val_base = held[count:] if config.refit else own[count:]
    first = linear_row(fit, columns, train, val, config)
    weights = video_weights(train.labels, config.class_weight)
    offsets = (held[:count], val_base)
    history, stopping = _descend(
        descent(lanes[0]),
        train,
        val,
        offsets,
        weights,
        config=config,
        seed=seed,
        first=first,
        log=log,
    )
    best = stopping.best
    kept = (
        best.epoch > 1
        and gain_in_errors(val.labels, val.groups, val_base, best.weights[1]) > LEAST_GAIN
        and _helps_on_unknown_methods(
            descent, train, val, offsets, weights, lanes=lanes, config=config, seed=seed
        )
    )
    if kept:
        reason = stopping.reason(len(history))
    else:
        reason = (
            f"the {head.kind} is left out, since after {len(history) - 1} epochs it does not lower "
            f"the loss on validation people, or on methods it did not learn from, by "
            f"{LEAST_GAIN:g} standard error"
        )
    return ResidualFit(
        fit=fit,
        weights=best.weights[0] if kept else {},
        history=tuple(history),
        best_epoch=best.epoch if kept else 1,
        stop_reason=f"a linear model of {words} (C = {fit.penalty:g}, validation AUC "
        f"{first['val_auc']:.3f}); {reason}",
    )


def residual_of_fold(
    descent: Descent, train: Sequences, base: Floats, *, epochs: int, config: TrainConfig, seed: int
) -> HeadNetwork:
    """Trains a residual for so many epochs, and keeps it: a fold takes what the whole split chose.

    Args:
        descent: just started.
        train: what the fold learns from.
        base: (N,) logits of the fold's linear model, held out of its fit.
        epochs: that validation chose.
        config: how to train.
        seed: of the order.

    Returns:
        Frames -> (B,) logits that it adds.
    """
    weights, draw = video_weights(train.labels, config.class_weight), np.random.default_rng(seed)
    size = config.batch_size
    for epoch in range(epochs):
        losses, _ = descent.epoch(train, weights, draw, batch_size=size, extra=(base,))
        check_loss(losses.mean(), epoch + 2, config.learning_rate)
    return HeadNetwork.of(descent.network)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Epoch:
    """What an epoch left, until it is validated."""

    number: int
    loss: float
    logits: Floats  # (N,) of the training videos
    weights: dict[str, list[NDArray[Any]]]  # of the residual by layer
    added: Future[Floats]  # (M,) logits that it adds on validation


def _descend(
    descent: Descent,
    train: Sequences,
    val: Sequences,
    offsets: tuple[Floats, Floats],
    weights: NDArray[np.float32],
    *,
    config: TrainConfig,
    seed: int,
    first: dict[str, float],
    log: TrainingLog | None = None,
    judged: NDArray[np.bool_] | None = None,
) -> tuple[list[dict[str, float]], EarlyStopping]:
    """Gradient descent on the residual until it stops early; rows of the history.

    Args:
        descent: of the residual, just started.
        train: training split.
        val: validation split.
        offsets: logits of the linear model, (N,) and (M,).
        weights: (N,) of each video in the loss.
        config: how to train.
        seed: of the order.
        first: the history's row of the linear model.
        log: of the epochs; None for none.
        judged: (M,) validation videos that choose the epoch; None for all.
    """
    base, val_base = offsets
    chosen = np.ones(len(val.labels), bool) if judged is None else judged
    history = [first]
    stopping = EarlyStopping(patience=config.patience)
    val_loss, val_auc = measure(val.labels[chosen], val_base[chosen])
    kept = (descent.weights(), val_base)
    stopping.update(1, val_auc, val_loss, lambda: kept)
    if log is not None:
        log.epoch(first, best=True)

    def judge(one: _Epoch) -> bool:
        """Adds an epoch to the history; whether to stop."""
        val_logits = val_base + one.added.result()
        val_loss, val_auc = measure(val.labels[chosen], val_logits[chosen])
        row = {
            "epoch": one.number,
            "loss": check_loss(one.loss, one.number, config.learning_rate),
            "auc": measure(train.labels, one.logits)[1],
            "val_loss": check_loss(val_loss, one.number, 0),
            "val_auc": val_auc,
        }
        history.append(row)
        found = (one.weights, val_logits)
        stop = stopping.update(one.number, val_auc, val_loss, lambda: found)
        if log is not None:
            log.epoch(row, best=stopping.best.epoch == one.number)
        return stop

    shuffle = np.random.default_rng(seed)
    last: _Epoch | None = None
    size = validated_at_once(val)
    ahead, seen = _without_weights(descent, val)
    # An epoch is validated while the next one learns, which takes one in vain at the end.
    with interruptible_threads(1) as beside:
        for epoch in range(2, config.epochs + 2):
            losses, logits = descent.epoch(
                train, weights, shuffle, batch_size=config.batch_size, extra=(base,)
            )
            if last is not None and judge(last):
                return history, stopping
            network = HeadNetwork.of(descent.network)
            network = replace(network, layers=network.layers[ahead:])
            last = _Epoch(
                number=epoch,
                loss=float(losses.mean()),
                logits=logits,
                weights=descent.weights(),
                added=beside.submit(score, network, seen, batch_size=size),
            )
        if last is not None:
            judge(last)
    return history, stopping


def _without_weights(descent: Descent, val: Sequences) -> tuple[int, Sequences]:
    """How many layers have no weights before the first that does, and what they give of videos.

    They are the same in every epoch, and took 9 ms of the 46 that validation on 150 conditioned
    videos takes. None of a large split, whose frames and differences would fill memory.
    """
    layers = HeadNetwork.of(descent.network).layers
    count = next(at for at, one in enumerate(layers) if one.weights)
    rows = val.features
    if not count or not isinstance(rows, np.ndarray) or rows.nbytes > MOST_BYTES:
        return 0, val
    return count, replace(val, features=chain(layers[:count], rows, val.mask))


def _helps_on_unknown_methods(
    descent: DescentOfLane,
    train: Sequences,
    val: Sequences,
    offsets: tuple[Floats, Floats],
    weights: NDArray[np.float32],
    *,
    lanes: Sequence[int],
    config: TrainConfig,
    seed: int,
) -> bool:
    """Whether residuals that learn without some methods help on fakes of these.

    Validation people were forged by the methods of training, so what a residual gains on them may
    be of these alone: on ../shared/faces it cost 0.07 of AUC on others. True where there is one
    method.
    """
    fake, val_fake = train.labels == 1, val.labels == 1
    methods, val_methods = np.asarray(train.methods), np.asarray(val.methods)
    try:
        blocks = method_blocks(Counter(methods[fake].tolist()), METHOD_BLOCKS)
    except DatasetError:  # of one method
        return True
    held = [
        [name for name, at in blocks.items() if at == number]
        for number in sorted(set(blocks.values()))
    ]
    held = [names for names in held if (val_fake & np.isin(val_methods, names)).any()]
    if not held:
        return False

    def logits_without(names: list[str], lane: int) -> Floats:
        """(M,) on validation."""
        known = np.where(fake & np.isin(methods, names), np.float32(0), weights)
        judged = ~val_fake | np.isin(val_methods, names)
        options: dict[str, Any] = {"config": config, "seed": seed, "first": {}, "judged": judged}
        _, stopping = _descend(descent(lane), train, val, offsets, known, **options)
        return np.asarray(stopping.best.weights[1])

    given = zip(held, itertools.cycle(lanes))
    with interruptible_threads(len(lanes)) as pool:
        found = [*pool.map(lambda one: logits_without(*one), given)]
    rows = [np.flatnonzero(~val_fake | np.isin(val_methods, names)) for names in held]
    base = np.concatenate([offsets[1][one] for one in rows])
    other = np.concatenate([logits[one] for logits, one in zip(found, rows, strict=True)])
    place = np.concatenate(rows)
    groups = tuple(val.groups[row] for row in place.tolist())
    return gain_in_errors(val.labels[place], groups, base, other) > LEAST_GAIN


def gain_in_errors(
    labels: NDArray[np.integer[Any]], groups: tuple[str, ...], base: Floats, other: Floats
) -> float:
    """By how many standard errors, over groups, logits have less log loss than those of the base.

    Both classes weigh alike.
    """
    sign = np.where(np.asarray(labels) == 1, -1.0, 1.0)
    gains = np.logaddexp(0, sign * base) - np.logaddexp(0, sign * other)  # (M,)
    share = np.where(np.asarray(labels) == 1, 1 / (sign < 0).sum(), 1 / (sign > 0).sum()) / 2
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    by_group = np.bincount(place, share * gains) * len(names)
    error = by_group.std(ddof=1) / np.sqrt(len(names)) if len(names) > 1 else np.inf
    return float(by_group.mean() / error) if error > 0 else 0.0
