"""Training a head on cached sequences: class weights, early stopping, the best weights kept.

The loop is our own, compiled once: `Model.fit` computes AUC in bins, and its bookkeeping takes
longer than a step on the few hundred videos that people have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from data.errors import DatasetError
from models.configs import CLASSES, HeadConfig, TrainConfig
from models.heads.architectures import build_head
from models.heads.batches import head_batches
from models.heads.log import TrainingLog
from models.heads.split_checks import check_splits
from models.tf_runtime import keras, seed_everything, tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences
    from features.sequences.padded import Rows


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained head and how it got there.

    Attributes:
        model: the head with the best epoch's weights.
        config: its shape.
        history: one row per epoch: epoch (from 1), loss, auc, val_loss, val_auc. The first two
            are those of the training steps themselves, with dropout and class weights.
        best_epoch: the epoch whose weights the model has.
        stop_reason: one line for the reader.
    """

    model: Any
    config: HeadConfig
    history: tuple[dict[str, float], ...]
    best_epoch: int
    stop_reason: str


def train_head(
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    seed: int = 0,
    log: TrainingLog | None = None,
) -> Trained:
    """Trains a head and restores the epoch of lowest validation loss among those of highest AUC.

    Those are the epochs whose validation AUC is less than ALIKE below the highest (`best_of`).

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,). Where videos have
            several views, each epoch draws one of each.
        val: validation split, the same T or another.
        head: shape of the head.
        config: how to train it.
        seed: of weights, dropout and order; the same seed gives the same bytes on one machine.
        log: is told of each epoch; None shows a table where stderr is a terminal.

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
    stopping = BestSoFar(patience=config.patience)
    history: list[dict[str, float]] = []
    with log or TrainingLog(head.kind) as told:
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
            over = stopping.done(epoch, row["val_auc"], row["val_loss"], model.get_weights)
            told.epoch(row, best=stopping.epoch == epoch)
            if over:
                break
    model.set_weights(stopping.weights)
    return Trained(
        model=model,
        config=head,
        history=tuple(history),
        best_epoch=stopping.epoch,
        stop_reason=stopping.reason(len(history)),
    )


def score(model: Any, sequences: Sequences, *, batch_size: int = 128) -> NDArray[np.float64]:
    """P(fake) of each video, (N,) float64.

    The last batch is filled up with empty videos: one shape, one traced graph, the same sums. So on
    one machine, with one number of threads, a video's score has the same bytes in any order and
    company. Another `batch_size` may choose other kernels: there it is the same to 1e-6.
    """
    forward = getattr(model, "_unmask_forward", None)
    if forward is None:
        forward = tf.function(
            lambda features, mask: model({"features": features, "mask": mask}, training=False)
        )
        model._unmask_forward = forward
    count, steps, dim = sequences.features.shape
    scores = np.zeros(count, np.float64)
    for start in range(0, count, batch_size):
        rows = slice(start, min(start + batch_size, count))
        held = rows.stop - rows.start
        features = np.zeros((batch_size, steps, dim), sequences.features.dtype)
        mask = np.zeros((batch_size, steps), bool)
        features[:held], mask[:held] = sequences.features[rows], sequences.mask[rows]
        scores[rows] = forward(tf.constant(features), tf.constant(mask)).numpy()[:held]
    return scores


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


ALIKE = 0.005
"""Validation AUCs that differ by less are told apart by loss: half a hundredth, as far as rounding
to hundredths moves one. At a whole hundredth the demo's fine-tuning ends where it began: its frozen
phase has AUC 0.982 and loss 0.211, its best epoch 0.990 and 0.215."""
ROUNDING = 1e-9
"""So that two AUCs of 0.95 and 0.945 differ by 0.005, whatever float64 makes of it."""


def alike(highest: float, auc: float) -> bool:
    """Whether an AUC is less than ALIKE below the highest one."""
    return highest - auc < ALIKE - ROUNDING


def best_of(measured: Sequence[tuple[float, float]]) -> int:
    """The place of the best epoch, or probe, whatever their order.

    The lowest loss among those whose AUC is less than ALIKE below the highest of all; of equal
    losses the higher AUC, then the first. Differences to the highest are compared, not AUCs rounded
    to bins: 0.9451 and 0.9449 are alike.

    Args:
        measured: validation AUC and validation loss of each; at least one.
    """
    highest = max(auc for auc, _ in measured)
    near = [place for place, (auc, _) in enumerate(measured) if alike(highest, auc)]
    return min(near, key=lambda place: (measured[place][1], -measured[place][0]))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An epoch that is the best one, or may become it when AUC rises further."""

    epoch: int
    auc: float
    loss: float
    weights: Any


class BestSoFar:
    """Early stopping: remembers the best epoch's weights and says when to give up.

    The best epoch is that of `best_of` over all epochs, in any order: with tens of validation
    videos a difference in the third digit of the AUC is chance, and near 1 there is no other.
    Measured against the highest AUC, many small steps cannot add up to a large one. Patience looks
    at AUC alone, or a loss that creeps down for ever would never let training end.

    Where AUC and loss rise together, the epoch that is the best now may fall behind the highest AUC
    later, and another one take its place: the weights of those that can are kept, too. That is
    mostly one or two epochs.

    Args:
        patience: epochs without a higher AUC before giving up.

    Attributes:
        candidates: epochs whose weights are kept, in order.
    """

    def __init__(self, *, patience: int) -> None:
        self.patience = patience
        self.candidates: list[Candidate] = []
        self._highest = -np.inf
        self._risen = 0  # the epoch in which AUC last rose
        self._gave_up = False

    @property
    def best(self) -> Candidate:
        """The best epoch so far."""
        return self.candidates[best_of([(one.auc, one.loss) for one in self.candidates])]

    @property
    def epoch(self) -> int:
        """The best epoch so far; 0 before the first."""
        return self.best.epoch if self.candidates else 0

    @property
    def weights(self) -> Any:
        """The best epoch's weights; empty before the first."""
        return self.best.weights if self.candidates else []

    def done(self, epoch: int, auc: float, loss: float, weights: Callable[[], Any]) -> bool:
        """Takes an epoch in; `weights` is called if it may be the best. True means stop."""
        if auc > self._highest:
            self._highest, self._risen = auc, epoch
        held = [one for one in self.candidates if alike(self._highest, one.auc)]
        if alike(self._highest, auc) and not any(
            one.auc >= auc and one.loss <= loss for one in held
        ):
            held = [one for one in held if one.auc > auc or one.loss < loss]
            held.append(Candidate(epoch=epoch, auc=auc, loss=loss, weights=weights()))
        self.candidates = held
        self._gave_up = epoch - self._risen >= self.patience
        return self._gave_up

    def reason(self, epochs: int) -> str:
        """Why training ended and what was restored, in one line."""
        restored = f"restored epoch {self.epoch} (validation AUC {self.best.auc:.3f})"
        if self._gave_up:
            return f"no higher validation AUC for {self.patience} epochs; {restored}"
        return f"reached the limit of {epochs} epochs; {restored}"


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
