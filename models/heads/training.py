"""Training a head on cached sequences: class weights, early stopping, the best weights kept.

The loop is our own, compiled once: `Model.fit` computes AUC in bins, and its overhead takes longer
than a step on some hundred videos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from models.conditioning.cache import Conditioned, condition
from models.configs import HeadConfig, TrainConfig
from models.early_stopping import EarlyStopping
from models.evaluation.baselines import pooled
from models.heads.architectures import (
    STANDARDISE,
    build_after_conditioning,
    build_head,
    copy_weights,
)
from models.heads.batches import head_batches
from models.heads.inference import score
from models.heads.linear import train_linear
from models.heads.log import TrainingLog
from models.heads.residual import train_residual
from models.heads.split_checks import check_loss, check_splits, video_weights
from models.heads.trained import Trained
from models.linear.mean_pool import fit_logistic
from models.tf_runtime import keras, seed_everything, tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences
    from features.sequences.padded import Rows


def train_head(
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    seed: int = 0,
    log: TrainingLog | None = None,
    conditioned: Conditioned | None = None,
) -> Trained:
    """Trains a head and restores the best epoch (`models.early_stopping.best_of`).

    The heads `mean` (`models.linear.mean_pool`) and `statistics` have no epochs: they are fitted to
    convergence. `statistics` is trained by `models.heads.linear`, residuals by
    `models.heads.residual`.

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,). Where videos have
            several views, each epoch draws one of each.
        val: validation split, the same T or another.
        head: shape of the head.
        config: how to train it.
        seed: of weights, dropout and order; the same seed gives the same bytes on one machine.
        log: of the epochs; None logs a table where stderr is a terminal.
        conditioned: what `models.conditioning.cache.condition` made of both splits by
            `head.condition`; None makes it here where the head conditions its input.

    Raises:
        DatasetError: a split lacks a class, or there are too few videos, or training diverged.
    """
    check_splits(train.labels, val.labels)
    seed_everything(seed)
    dim = train.features.shape[-1]
    if head.condition.kind == "none":
        mean, variance = frame_statistics(train.features, train.mask)
        model = network = build_head(head, dim=dim, mean=mean, variance=variance)
    else:
        conditioned = conditioned or condition(train, val, head.condition)
        train, val = conditioned.train, conditioned.val
        model = build_head(head, dim=dim, conditioning=conditioned.conditioning)
        network = build_after_conditioning(head, conditioned.conditioning)
    weights = video_weights(train.labels, config.class_weight)  # (N,)
    with log or TrainingLog(head.kind) as training_log:
        if head.kind == "mean":
            return _fit_mean(model, train, val, weights, head=head, log=training_log)
        if head.kind == "statistics":
            return train_linear(model, train, val, head=head, config=config, log=training_log)
        if head.is_residual:
            return train_residual(
                model, network, train, val, head=head, config=config, seed=seed, log=training_log
            )
        history, stopping = _descend(
            network, train, val, weights, config=config, seed=seed, log=training_log
        )
    network.set_weights(stopping.best.weights)
    if network is not model:
        copy_weights(network, model)
    return Trained(
        model=model,
        config=head,
        history=tuple(history),
        best_epoch=stopping.best.epoch,
        stop_reason=stopping.reason(len(history)),
    )


def _descend(
    network: Any,
    train: Sequences,
    val: Sequences,
    weights: NDArray[np.float32],
    *,
    config: TrainConfig,
    seed: int,
    log: TrainingLog,
) -> tuple[list[dict[str, float]], EarlyStopping]:
    """Gradient descent until it stops early or the epochs end; rows of the history."""
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    step = _train_step(network, optimizer, train.features)
    shuffle = np.random.default_rng(seed)
    stopping = EarlyStopping(patience=config.patience)
    history: list[dict[str, float]] = []
    for epoch in range(1, config.epochs + 1):
        losses, scores = np.zeros(len(weights)), np.zeros(len(weights))
        for rows, inputs in head_batches(train, weights, shuffle, batch_size=config.batch_size):
            batch_losses, batch_scores = step(*inputs)
            count = len(rows)  # rows of padding follow
            losses[rows] = batch_losses.numpy()[:count]
            scores[rows] = batch_scores.numpy()[:count]
        row = {
            "epoch": epoch,
            "loss": check_loss(losses.mean(), epoch, config.learning_rate),
            "auc": float(roc_auc_score(train.labels, scores)),
        }
        val_scores = score(network, val)
        row |= {
            "val_loss": check_loss(log_loss(val.labels, val_scores), epoch, 0),
            "val_auc": float(roc_auc_score(val.labels, val_scores)),
        }
        history.append(row)
        stop = stopping.update(epoch, row["val_auc"], row["val_loss"], network.get_weights)
        log.epoch(row, best=stopping.best.epoch == epoch)
        if stop:
            break
    return history, stopping


def _fit_mean(
    model: Any,
    train: Sequences,
    val: Sequences,
    weights: NDArray[np.float32],
    *,
    head: HeadConfig,
    log: TrainingLog,
) -> Trained:
    """Fits the head `mean`; its history is one row, of the fit."""
    labels, of_train = train.labels, pooled(train.features, train.mask)
    if train.views is not None:  # the fit sees every view, where an epoch would draw one
        count = len(train.views) // len(train)
        of_train = pooled(train.views, np.tile(train.mask, (count, 1)))
        labels, weights = np.tile(labels, count), np.tile(weights, count) / np.float32(count)
    of_val = pooled(val.features, val.mask)
    if head.condition.kind == "none":
        mean, deviation = model.get_layer(STANDARDISE).get_weights()
        of_train, of_val = (of_train - mean) / deviation, (of_val - mean) / deviation
    check_loss(float(of_train.sum() + of_val.sum()), 1, 0)  # scikit-learn takes no NaN
    fitted = fit_logistic(of_train, labels, weights, of_val, val.labels)
    row = {"epoch": 1, **fitted.row}
    log.epoch(row, best=True)
    weight, bias = fitted.weight[:, None], np.array([fitted.bias])
    model.get_layer("classifier").set_weights([weight, bias])
    return Trained(
        model=model,
        config=head,
        history=(row,),
        best_epoch=1,
        stop_reason=f"fitted to convergence with C = {fitted.penalty:g}, chosen on validation "
        f"(AUC {row['val_auc']:.3f})",
    )


def frame_statistics(
    features: Rows, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance, each (D,) float64, over all frames that exist; one video at a time.

    Args:
        features: (N, T, D), may be a memory map larger than memory.
        mask: (N, T).
    """
    count = max(int(mask.sum()), 1)
    total = np.zeros(features.shape[-1])
    squares = np.zeros(features.shape[-1])
    shift = np.asarray(features[0][mask[0]], np.float64).mean(axis=0)  # against cancellation
    for frames, exists in zip(features, mask, strict=True):
        centred = np.asarray(frames[exists], np.float64) - shift
        total += centred.sum(axis=0)
        squares += np.square(centred).sum(axis=0)
    mean = total / count
    return mean + shift, np.maximum(squares / count - np.square(mean), 0)


def _train_step(model: Any, optimizer: Any, like: Rows) -> Any:
    """One compiled step of gradient descent, for any number of videos and frames `like` these."""
    variables = model.trainable_variables
    optimizer.build(variables)
    # XLA makes one pass of Adam's dozen over every weight: a third of the time.
    apply = tf.function(lambda gradients: optimizer.apply(gradients, variables), jit_compile=True)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((None, None, like.shape[-1]), like.dtype),
            tf.TensorSpec((None, None), tf.bool),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        ]
    )
    def step(features: Any, mask: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            scores = model({"features": features, "mask": mask}, training=True)  # (B,)
            losses = weights * keras.losses.binary_crossentropy(labels[:, None], scores[:, None])
            videos = tf.math.count_nonzero(tf.reduce_any(mask, axis=1), dtype=tf.float32)
            loss = tf.reduce_sum(losses) / videos  # padding has no frame and no weight
        gradients = tape.gradient(loss, variables)
        apply(gradients)
        return losses, scores

    return step
