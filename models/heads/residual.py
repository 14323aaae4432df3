"""Training of residual heads, which correct a linear model of the clip (`models.heads.linear`).

A residual's last layer starts at zero, so it begins as the linear model and can only be kept where
it is better on validation people. While it learns, each video's logit of the linear model is one
that was held out of the fit: those of the fit itself are right on every training video, and would
leave nothing to correct.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import DatasetError
from models.configs import HeadConfig, TrainConfig
from models.early_stopping import EarlyStopping
from models.heads.architectures import residual_branch
from models.heads.descent import Descent
from models.heads.inference import BASE
from models.heads.linear import fit_statistics, linear_row, set_linear_model
from models.heads.log import TrainingLog
from models.heads.split_checks import check_loss, video_weights
from models.heads.trained import Trained
from models.hold_out.plan import method_blocks
from models.linear.fit import measure
from models.tf_runtime import tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

LEAST_GAIN = 1.0
"""Standard errors, over validation groups, by which a residual must lower the loss to be kept: the
one-standard-error rule of Breiman et al. (1984), which keeps the simpler model otherwise."""

METHOD_BLOCKS = 2
"""Parts of the forgery methods, each held out of a residual once before one is kept."""

Floats = NDArray[np.float64]


def train_residual(
    model: Any,
    network: Any,
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    seed: int,
    log: TrainingLog,
) -> Trained:
    """Fits the linear model, then trains what corrects it.

    Args:
        model: the whole head in Keras, which is given the weights.
        network: the same for these sequences: `model`, or without its conditioning.
        train: training split, conditioned where the head conditions.
        val: validation split, likewise.
        head: its shape.
        config: how to train.
        seed: of order and dropout.
        log: of the epochs; the first row is of the linear model.
    """
    fit, columns, words = fit_statistics(train, val, head=head, config=config)
    count = len(train.labels)
    own = fit.logits(columns)
    held = np.where(np.isnan(fit.held_out), own, fit.held_out)
    val_base = held[count:] if config.refit else own[count:]
    first = linear_row(fit, columns, train, val, config)
    branch = residual_branch(network)
    start = branch.get_weights()
    weights = video_weights(train.labels, config.class_weight)
    offsets = (held[:count], val_base)
    descent = Descent(
        branch,
        dtype=train.features.dtype.name,
        weight_decay=config.weight_decay,
        losses_of=_of_residual,
        extra=1,
    )
    history, stopping = _descend(
        descent, train, val, offsets, weights, config=config, seed=seed, first=first, log=log
    )
    best = stopping.best
    kept = (
        best.epoch > 1
        and gain_in_errors(val.labels, val.groups, val_base, best.weights[1]) > LEAST_GAIN
        and _helps_on_unknown_methods(
            descent, start, train, val, offsets, weights, config=config, seed=seed
        )
    )
    branch.set_weights(best.weights[0] if kept else start)
    if network is not model:
        for layer in branch.layers:
            if layer.get_weights():
                model.get_layer(layer.name).set_weights(layer.get_weights())
    set_linear_model(model, fit, prefix=BASE)
    if kept:
        reason = stopping.reason(len(history))
    else:
        reason = (
            f"the {head.kind} is left out, since after {len(history) - 1} epochs it does not lower "
            f"the loss on validation people, or on methods it did not learn from, by "
            f"{LEAST_GAIN:g} standard error"
        )
    return Trained(
        model=model,
        config=head,
        history=tuple(history),
        best_epoch=best.epoch if kept else 1,
        stop_reason=f"a linear model of {words} (C = {fit.penalty:g}, validation AUC "
        f"{first['val_auc']:.3f}); {reason}",
        held_out=None if kept else fit.held_out,
    )


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
        descent: of the residual, from the weights that it has.
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
    branch, (base, val_base) = descent.network, offsets
    chosen = np.ones(len(val.labels), bool) if judged is None else judged
    history = [first]
    stopping = EarlyStopping(patience=config.patience)
    val_loss, val_auc = measure(val.labels[chosen], val_base[chosen])
    stopping.update(1, val_auc, val_loss, partial(_kept, branch, val_base))
    if log is not None:
        log.epoch(first, best=True)
    descent.restart(config.learning_rate)
    shuffle = np.random.default_rng(seed)
    for epoch in range(2, config.epochs + 2):
        losses, logits = descent.epoch(
            train, weights, shuffle, batch_size=config.batch_size, extra=(base,)
        )
        val_logits = val_base + _branch_logits(branch, val)
        val_loss, val_auc = measure(val.labels[chosen], val_logits[chosen])
        row = {
            "epoch": epoch,
            "loss": check_loss(losses.mean(), epoch, config.learning_rate),
            "auc": measure(train.labels, logits)[1],
            "val_loss": check_loss(val_loss, epoch, 0),
            "val_auc": val_auc,
        }
        history.append(row)
        stop = stopping.update(epoch, val_auc, val_loss, partial(_kept, branch, val_logits))
        if log is not None:
            log.epoch(row, best=stopping.best.epoch == epoch)
        if stop:
            break
    return history, stopping


def _helps_on_unknown_methods(
    descent: Descent,
    start: Any,
    train: Sequences,
    val: Sequences,
    offsets: tuple[Floats, Floats],
    weights: NDArray[np.float32],
    *,
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
    found: list[tuple[NDArray[Any], NDArray[np.str_], Floats, Floats]] = []
    for number in sorted(set(blocks.values())):
        names = [name for name, at in blocks.items() if at == number]
        judged = ~val_fake | np.isin(val_methods, names)
        if not (judged & val_fake).any():
            continue
        descent.network.set_weights(start)
        known = np.where(fake & np.isin(methods, names), np.float32(0), weights)
        _, stopping = _descend(
            descent, train, val, offsets, known, config=config, seed=seed, first={}, judged=judged
        )
        logits = stopping.best.weights[1]
        rows = np.flatnonzero(judged)
        found.append(
            (val.labels[rows], np.asarray(val.groups)[rows], offsets[1][rows], logits[rows])
        )
    if not found:
        return False
    labels, groups, base, other = (np.concatenate(one) for one in zip(*found, strict=True))
    return gain_in_errors(labels, tuple(groups.tolist()), base, other) > LEAST_GAIN


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


def _kept(branch: Any, val_logits: Floats) -> tuple[Any, Floats]:
    """What early stopping keeps of an epoch."""
    return branch.get_weights(), val_logits


def _branch_logits(branch: Any, sequences: Sequences) -> Floats:
    """(N,) what the residual adds, in batches of one shape."""
    size = min(128, len(sequences.labels))
    found = []
    for start in range(0, len(sequences.labels), size):
        rows = slice(start, start + size)
        features, mask = np.asarray(sequences.features[rows]), sequences.mask[rows]
        found.append(np.asarray(branch({"features": features, "mask": mask}, training=False))[:, 0])
    return np.concatenate(found).astype(np.float64)


def _of_residual(added: Any, labels: Any, base: Any) -> tuple[Any, Any]:
    """Losses (B,) and logits (B,) of what the residual adds, (B, 1), to the base, (B,)."""
    logits = base + added[:, 0]
    return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), logits
