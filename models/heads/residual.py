"""Training of heads on a linear model of the clip: `statistics`, and residuals that correct it.

A residual's last layer starts at zero, so it begins as the linear model and can only be kept where
it is better on validation people. While it learns, each video's logit of the linear model is one
that was held out of the fit: those of the fit itself are right on every training video, and would
leave nothing to correct.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.configs import HeadConfig, TrainConfig
from models.early_stopping import EarlyStopping
from models.heads.architectures import CLASSIFIER, STATISTICS, residual_branch
from models.heads.batches import head_batches
from models.heads.inference import BASE
from models.heads.log import TrainingLog
from models.heads.split_checks import check_loss, video_weights
from models.heads.trained import Trained
from models.linear.contrasts import contrasts, in_words
from models.linear.fit import LinearFit, fit_linear_model, measure
from models.linear.statistics import statistics_of
from models.tf_runtime import keras, tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

LEAST_GAIN = 1.0
"""Standard errors, over validation groups, by which a residual must lower the loss to be kept: the
one-standard-error rule of Breiman et al. (1984), which keeps the simpler model otherwise."""

Floats = NDArray[np.float64]


def fit_statistics(
    train: Sequences, val: Sequences, *, head: HeadConfig, config: TrainConfig
) -> tuple[LinearFit, Floats, str]:
    """Fits the linear model.

    Returns:
        The fit, the statistics of all videos (N + M, E), training first, and what it learnt from,
        in words.
    """
    columns = np.concatenate(
        [
            statistics_of(
                part.features, part.mask, statistics=head.statistics, frame_norm=head.frame_norm
            )
            for part in (train, val)
        ]
    )
    check_loss(float(np.nansum(columns)), 1, 0)  # scikit-learn takes no NaN
    labels = np.concatenate([train.labels, val.labels]).astype(np.int64)
    groups = (*train.groups, *val.groups)
    differences = contrasts(
        config.loss, labels, groups, (*train.paths, *val.paths), (*train.originals, *val.originals)
    )
    fitted = np.arange(len(labels)) < len(train.labels) + len(val.labels) * config.refit
    fit = fit_linear_model(
        columns,
        labels,
        groups,
        (*train.methods, *val.methods),
        differences=differences,
        weights=video_weights(labels, config.class_weight),
        fitted=fitted,
    )
    return fit, columns, in_words(config, differences)


def train_linear(
    model: Any,
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    log: TrainingLog,
) -> Trained:
    """Trains the head `statistics`, whose Keras model is given; its history is one row."""
    fit, columns, words = fit_statistics(train, val, head=head, config=config)
    row = _row(fit, columns, train, val, config)
    log.epoch(row, best=True)
    set_linear_model(model, fit)
    return Trained(
        model=model,
        config=head,
        history=(row,),
        best_epoch=1,
        stop_reason=f"fitted to convergence on {words}, with C = {fit.penalty:g} by "
        f"cross-validation (validation AUC {row['val_auc']:.3f})",
        held_out=fit.held_out,
    )


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
    first = _row(fit, columns, train, val, config)
    history = [first]
    branch = residual_branch(network)
    start = branch.get_weights()
    stopping = EarlyStopping(patience=config.patience)
    stopping.update(1, first["val_auc"], first["val_loss"], partial(_kept, branch, val_base))
    log.epoch(first, best=True)
    weights = video_weights(train.labels, config.class_weight)
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    step = _residual_step(branch, optimizer, train.features)
    shuffle = np.random.default_rng(seed)
    for epoch in range(2, config.epochs + 2):
        losses, logits = np.zeros(count), np.zeros(count)
        for rows, inputs in head_batches(train, weights, shuffle, batch_size=config.batch_size):
            padding = inputs[2].shape[0] - len(rows)
            base = tf.constant(np.pad(held[rows], (0, padding)), tf.float32)
            batch_losses, batch_logits = step(*inputs, base)
            losses[rows] = batch_losses.numpy()[: len(rows)]
            logits[rows] = batch_logits.numpy()[: len(rows)]
        val_logits = val_base + _branch_logits(branch, val)
        val_loss, val_auc = measure(val.labels, val_logits)
        row = {
            "epoch": epoch,
            "loss": check_loss(losses.mean(), epoch, config.learning_rate),
            "auc": measure(train.labels, logits)[1],
            "val_loss": check_loss(val_loss, epoch, 0),
            "val_auc": val_auc,
        }
        history.append(row)
        stop = stopping.update(epoch, val_auc, val_loss, partial(_kept, branch, val_logits))
        log.epoch(row, best=stopping.best.epoch == epoch)
        if stop:
            break
    best = stopping.best
    gain = gain_in_errors(val.labels, val.groups, val_base, best.weights[1])
    kept = best.epoch > 1 and gain > LEAST_GAIN
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
            f"the validation loss by {LEAST_GAIN:g} standard error"
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


def set_linear_model(model: Any, fit: LinearFit, *, prefix: str = "") -> None:
    """Gives the layers of a head the numbers of a fit."""
    model.get_layer(f"{prefix}{STATISTICS}").set_weights([fit.mean, fit.deviation])
    model.get_layer(f"{prefix}{CLASSIFIER}").set_weights(
        [fit.weight[:, None], np.asarray([fit.bias])]
    )


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


def _row(
    fit: LinearFit, columns: Floats, train: Sequences, val: Sequences, config: TrainConfig
) -> dict[str, float]:
    """The history's row of a linear model."""
    count = len(train.labels)
    logits = fit.logits(columns)
    loss, auc = measure(train.labels, logits[:count])
    of_val = fit.held_out[count:] if config.refit else logits[count:]
    val_loss, val_auc = measure(val.labels, np.where(np.isnan(of_val), logits[count:], of_val))
    return {"epoch": 1, "loss": loss, "auc": auc, "val_loss": val_loss, "val_auc": val_auc}


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


def _residual_step(branch: Any, optimizer: Any, like: Any) -> Any:
    """One compiled step of gradient descent on the log loss of base plus residual."""
    variables = branch.trainable_variables
    optimizer.build(variables)
    apply = tf.function(lambda gradients: optimizer.apply(gradients, variables), jit_compile=True)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((None, None, like.shape[-1]), like.dtype),
            tf.TensorSpec((None, None), tf.bool),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        ]
    )
    def step(features: Any, mask: Any, labels: Any, weights: Any, base: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            added = branch({"features": features, "mask": mask}, training=True)  # (B, 1)
            logits = base + added[:, 0]
            losses = weights * tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
            videos = tf.math.count_nonzero(tf.reduce_any(mask, axis=1), dtype=tf.float32)
            loss = tf.reduce_sum(losses) / videos  # padding has no frame and no weight
        apply(tape.gradient(loss, variables))
        return losses, logits

    return step
