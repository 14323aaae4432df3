"""Training a head on cached sequences: class weights, early stopping, the best weights kept.

The loop is our own, compiled once: `Model.fit` computes AUC in bins, and its overhead takes longer
than a step on some hundred videos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from data.errors import DatasetError
from models.configs import CLASSES, HeadConfig, TrainConfig
from models.heads.architectures import build_head
from models.heads.batches import head_batches
from models.heads.early_stopping import EarlyStopping
from models.heads.inference import score
from models.heads.log import TrainingLog
from models.heads.split_checks import check_splits
from models.heads.trained import Trained
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
) -> Trained:
    """Trains a head and restores the best epoch (`models.heads.early_stopping.best_of`).

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,). Where videos have
            several views, each epoch draws one of each.
        val: validation split, the same T or another.
        head: shape of the head.
        config: how to train it.
        seed: of weights, dropout and order; the same seed gives the same bytes on one machine.
        log: of the epochs; None logs a table where stderr is a terminal.

    Raises:
        DatasetError: a split lacks a class, or there are too few videos, or training diverged.
    """
    check_splits(train.labels, val.labels)
    seed_everything(seed)
    mean, variance = frame_statistics(train.features, train.mask)
    model = build_head(head, dim=train.features.shape[-1], mean=mean, variance=variance)
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    step = _train_step(model, optimizer, train.features)
    weights = video_weights(train.labels, config.class_weight)  # (N,)
    shuffle = np.random.default_rng(seed)
    stopping = EarlyStopping(patience=config.patience)
    history: list[dict[str, float]] = []
    with log or TrainingLog(head.kind) as training_log:
        for epoch in range(1, config.epochs + 1):
            losses, scores = np.zeros(len(weights)), np.zeros(len(weights))
            for rows, inputs in head_batches(train, weights, shuffle, batch_size=config.batch_size):
                batch_losses, batch_scores = step(*inputs)
                losses[rows], scores[rows] = batch_losses.numpy(), batch_scores.numpy()
            row = {
                "epoch": epoch,
                "loss": check_loss(losses.mean(), epoch, config.learning_rate),
                "auc": float(roc_auc_score(train.labels, scores)),
            }
            val_scores = score(model, val)
            row |= {
                "val_loss": check_loss(log_loss(val.labels, val_scores), epoch, 0),
                "val_auc": float(roc_auc_score(val.labels, val_scores)),
            }
            history.append(row)
            stop = stopping.update(epoch, row["val_auc"], row["val_loss"], model.get_weights)
            training_log.epoch(row, best=stopping.best.epoch == epoch)
            if stop:
                break
    model.set_weights(stopping.best.weights)
    return Trained(
        model=model,
        config=head,
        history=tuple(history),
        best_epoch=stopping.best.epoch,
        stop_reason=stopping.reason(len(history)),
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


def video_weights(
    labels: NDArray[Any], class_weight: dict[str, float] | str | None
) -> NDArray[np.float32]:
    """The weight of each video in the loss, (N,) float32."""
    if class_weight is None:
        return np.ones(len(labels), np.float32)
    if isinstance(class_weight, str):  # "balanced", as scikit-learn has it
        each = len(labels) / (2 * np.bincount(labels, minlength=2))
    else:
        each = np.array([class_weight[name] for name in CLASSES])
    return np.asarray(each[labels], np.float32)


def check_loss(loss: float, epoch: int, learning_rate: float) -> float:
    """The loss, if it is a number.

    Raises:
        DatasetError: it is not; training has diverged.
    """
    if not np.isfinite(loss):
        raise DatasetError(
            f"the loss is {loss} in epoch {epoch}: training diverged; lower the learning rate "
            f"(now {learning_rate:g}) and check the features with `unmask store verify`"
        )
    return float(loss)


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
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, variables)
        apply(gradients)
        return losses, scores

    return step
