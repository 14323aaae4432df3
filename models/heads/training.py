"""Training a head on cached sequences: class weights, early stopping, the best weights kept.

The loop is our own, compiled once (`models.heads.descent`): `Model.fit` computes AUC in bins, and
its overhead takes longer than a step on some hundred videos.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from data.errors import DatasetError
from features.sequences.selection import select
from models.conditioning.cache import Conditioned, condition, in_memory
from models.configs import HeadConfig, TrainConfig
from models.early_stopping import EarlyStopping
from models.evaluation.baselines import pooled
from models.evaluation.likelihood_ratio import bounded_logits
from models.heads.architectures import STANDARDISE, build_head
from models.heads.average import average_heads
from models.heads.descent.shared import Descent, Variables, descent_of, precision_of, variables_of
from models.heads.inference import score, validated_at_once
from models.heads.linear import StatisticsFit, fit_statistics, linear_logits, train_linear
from models.heads.log import TrainingLog
from models.heads.residual import fit_residual, residual_of_fold
from models.heads.split_checks import check_loss, check_splits, video_weights
from models.heads.trained import Trained
from models.linear.mean_pool import fit_logistic, score_logistic
from models.linear.statistics import frame_statistics
from models.tf_runtime import seed_everything

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences


def train_head(
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    seed: int = 0,
    log: TrainingLog | None = None,
    conditioned: Conditioned | None = None,
    linear: StatisticsFit | None = None,
) -> Trained:
    """Trains a head; arguments and errors as of `HeadTrainer` and its `fit`."""
    given: dict[str, Any] = {"seed": seed, "conditioned": conditioned, "linear": linear}
    return HeadTrainer(train, val, head=head, config=config, **given).fit(log)


class HeadTrainer:
    """Trains a head on a training split, then others like it on parts of that split.

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,). Where videos have
            several views, each epoch draws one of each.
        val: validation split, the same T or another.
        head: shape of the head.
        config: how to train it.
        seed: of weights, dropout and order; the same seed gives the same bytes on one machine.
        conditioned: what `models.conditioning.cache.condition` made of both splits by
            `head.condition`; None makes it here where the head conditions its input.
        linear: what `models.heads.linear.fit_statistics` gives of both by these settings; None
            fits it here where the head has a linear model.

    Raises:
        DatasetError: a split lacks a class, or there are too few videos.

    Attributes:
        train: the training split as the network sees it: conditioned, (N, T, E), or as it was.
        val: the validation split likewise.
        head: shape of the head.
        seed: of all heads.
    """

    LANES = 2
    """Threads that may call `score_held_out` at once. A step of some hundred units keeps one core
    busy. Each further lane compiles one of its own, for as long as it saves."""

    def __init__(
        self,
        train: Sequences,
        val: Sequences,
        *,
        head: HeadConfig,
        config: TrainConfig,
        seed: int = 0,
        conditioned: Conditioned | None = None,
        linear: StatisticsFit | None = None,
    ) -> None:
        check_splits(train.labels, val.labels)
        self.train, self.val, self.head, self.seed = train, val, head, seed
        self._config, self._conditioning, self._linear = config, None, linear
        if head.condition.kind != "none":
            conditioned = conditioned or condition(train, val, head.condition)
            self.train, self.val = in_memory(conditioned.train), in_memory(conditioned.val)
            self._conditioning = conditioned.conditioning
        self._weights = video_weights(train.labels, config.class_weight)  # (N,)
        self._model: Any = None  # untrained, where `build` made it
        self._start: Variables = {}  # of every head
        self._epochs, self._penalty = 0, 0.0  # chosen by validation, the one or the other
        self._members: list[HeadTrainer] = []  # of an average, once it is fitted

    def fit(self, log: TrainingLog | None = None) -> Trained:
        """Trains a head and restores the best epoch (`models.early_stopping.best_of`).

        The heads `mean` (`models.linear.mean_pool`) and `statistics` (`models.heads.linear`) have
        no epochs: they are fitted to convergence. Residuals are `models.heads.residual`'s.
        An average (`head.average`) is of heads of as many seeds, each trained as if alone; the
        history has the mean of their rows, and last that of the average itself.

        Args:
            log: of the epochs, of the first seed of an average; None logs a table where stderr is
                a terminal.

        Raises:
            DatasetError: training diverged.
        """
        if self.head.is_average:
            return self._fit_average(log)
        model, self._model = self._model or self._build(), None
        with log or TrainingLog(self.head.kind) as training_log:
            if self.head.kind == "mean":
                return self._fit_mean(model, training_log)
            if self.head.has_linear_model:
                return self._fit_linear(model, training_log)
            return self._descend(model, training_log)

    def build(self) -> None:
        """Makes the untrained head before `fit`, and seeds the process's random numbers.

        `fit` of the head `mean` then draws none: it may run beside the training of another head.
        """
        self._model = self._build()

    def _build(self) -> Any:
        seed_everything(self.seed)
        if (first := self._conditioning) is not None:
            model = build_head(self.head, dim=len(first.mean), conditioning=first)
        elif self.head.kind == "statistics":  # standardises its statistics, not frames
            model = build_head(self.head, dim=self.train.features.shape[-1])
        else:
            mean, variance = frame_statistics(self.train.features, self.train.mask)
            model = build_head(self.head, dim=len(mean), mean=mean, variance=variance)
        self._start = variables_of(model)
        return model

    def score_held_out(
        self, learn: NDArray[np.bool_], test: NDArray[np.bool_], *, lane: int = 0
    ) -> NDArray[np.float64]:
        """Raw scores by another head, which learns from a part of the training split.

        After `fit`, of which it takes what validation chose, the number of epochs or the penalty,
        and the standardisation or conditioning: that is of all training frames, without labels.
        Whether a residual is kept is taken, too; its linear model chooses its penalty anew, by
        cross-validation of what is left.

        Args:
            learn: (N + M,) videos of both splits that it may learn from, or choose by.
            test: (N + M,) videos to score.
            lane: number of the thread, below LANES; calls of different lanes may run at once.

        Returns:
            P(fake), uncalibrated, of the videos of `test` in order.

        Raises:
            DatasetError: a class is missing among those to learn from, or training diverged.
        """
        if self._members:
            told = [one.score_held_out(learn, test, lane=lane) for one in self._members]
            return np.asarray(expit(np.mean([bounded_logits(one) for one in told], axis=0)))
        if not self._start:
            raise ValueError("fit the head on the whole training split first")
        count = len(self.train)
        parts = ((self.train, test[:count]), (self.val, test[count:]))
        if self.head.has_linear_model:
            return self._linear_of_part(learn, [select(*one) for one in parts], lane)
        learn = learn[:count]
        if len({*self.train.labels[learn].tolist()}) < 2:
            raise DatasetError("a part of the training split has one class only")
        if self.head.kind == "mean":
            tested = np.concatenate([self._means, self._means_of_val])[test]
            return score_logistic(*self._rows_of_mean(learn), tested, penalty=self._penalty)
        part = select(self.train, learn)
        descent, draw = self._descent(lane), np.random.default_rng(self.seed)
        for epoch in range(1, self._epochs + 1):
            self._epoch(descent, part, self._weights[learn], draw, epoch)
        return np.concatenate([score(descent.network, select(*one)) for one in parts])

    def _linear_of_part(
        self, learn: NDArray[np.bool_], tested: list[Sequences], lane: int
    ) -> NDArray[np.float64]:
        """P(fake) of videos by a head with a linear model that learns from (N + M,) `learn`."""
        count, head, config = len(self.train), self.head, self._config
        train, val = select(self.train, learn[:count]), select(self.val, learn[count:])
        check_splits(train.labels, val.labels)
        linear = fit_statistics(train, val, head=head, config=config)
        fit = linear.fit
        logits = np.concatenate([linear_logits(fit, one, head) for one in tested])
        if self._epochs:
            own = fit.logits(linear.columns)
            base = np.where(np.isnan(fit.held_out), own, fit.held_out)[: len(train)]
            given: dict[str, Any] = {"epochs": self._epochs, "config": config, "seed": self.seed}
            branch = residual_of_fold(self._descent(lane), train, base, **given)
            logits += np.concatenate([score(branch, one) for one in tested])
        return np.asarray(expit(logits))

    def _fit_average(self, log: TrainingLog | None) -> Trained:
        """Fits heads of several seeds and gives their average."""
        members = [copy.copy(self) for _ in range(self.head.average)]  # videos in memory once
        for number, one in enumerate(members):
            one.head, one.seed = self.head.replace(average=1), self.seed + number
        quiet = [TrainingLog(self.head.kind, live=False) for _ in members[1:]]
        fitted = [one.fit(its) for one, its in zip(members, (log, *quiet), strict=True)]
        self._members = members
        return average_heads(fitted, self.val, head=self.head)

    def _fit_linear(self, model: Any, log: TrainingLog) -> Trained:
        """As `models.heads.linear` and `models.heads.residual` do."""
        given: dict[str, Any] = {"head": self.head, "config": self._config, "log": log}
        given |= {"linear": self._linear}
        if self.head.kind == "statistics":
            return train_linear(model, self.train, self.val, **given)
        given |= {"seed": self.seed, "lanes": range(self.LANES)}
        found = fit_residual(self._descent, self.train, self.val, **given)
        trained = found.give_to(model, self.head)
        self._epochs = trained.best_epoch - 1  # the first row is of the linear model alone
        return trained

    def _descend(self, model: Any, log: TrainingLog) -> Trained:
        """Gradient descent until it stops early or the epochs end."""
        train, val, descent = self.train, self.val, self._descent()
        shuffle = np.random.default_rng(self.seed)
        stopping = EarlyStopping(patience=self._config.patience)
        history: list[dict[str, float]] = []
        for epoch in range(1, self._config.epochs + 1):
            loss, scores = self._epoch(descent, train, self._weights, shuffle, epoch)
            row = {"epoch": epoch, "loss": loss, "auc": float(roc_auc_score(train.labels, scores))}
            val_scores = score(descent.network, val, batch_size=validated_at_once(val))
            row |= {
                "val_loss": check_loss(log_loss(val.labels, val_scores), epoch, 0),
                "val_auc": float(roc_auc_score(val.labels, val_scores)),
            }
            history.append(row)
            stop = stopping.update(epoch, row["val_auc"], row["val_loss"], descent.weights)
            log.epoch(row, best=stopping.best.epoch == epoch)
            if stop:
                break
        self._epochs = stopping.best.epoch
        for name, weights in stopping.best.weights.items():
            model.get_layer(name).set_weights(weights)
        return Trained(
            model=model,
            config=self.head,
            history=tuple(history),
            best_epoch=stopping.best.epoch,
            stop_reason=stopping.reason(len(history)),
        )

    def _descent(self, lane: int = 0) -> Descent:
        """The compiled descent of this shape, at its start."""
        features = self.train.features
        descent = descent_of(
            self.head,
            dim=features.shape[-1],
            dtype=features.dtype.name,
            weight_decay=self._config.weight_decay,
            products=precision_of(self._config),
            lane=lane,
        )
        descent.start(self._start, learning_rate=self._config.learning_rate)
        return descent

    def _epoch(
        self,
        descent: Descent,
        train: Sequences,
        weights: NDArray[np.float32],
        draw: np.random.Generator,
        epoch: int,
    ) -> tuple[float, NDArray[np.float64]]:
        """One epoch: the mean loss and P(fake) of each video, as its step found it."""
        losses, scores = descent.epoch(train, weights, draw, batch_size=self._config.batch_size)
        return check_loss(losses.mean(), epoch, self._config.learning_rate), scores

    def _fit_mean(self, model: Any, log: TrainingLog) -> Trained:
        """Fits the head `mean`; its history is one row, of the fit."""
        means = self._rows_of_mean(np.ones(len(self._weights), bool))
        check_loss(float(means[0].sum() + self._means_of_val.sum()), 1, 0)  # no NaN for the fit
        fitted = fit_logistic(*means, self._means_of_val, self.val.labels)
        row = {"epoch": 1, **fitted.row}
        log.epoch(row, best=True)
        weight, bias = fitted.weight[:, None], np.array([fitted.bias])
        model.get_layer("classifier").set_weights([weight, bias])
        self._penalty = fitted.penalty
        return Trained(
            model=model,
            config=self.head,
            history=(row,),
            best_epoch=1,
            stop_reason=f"fitted to convergence with C = {fitted.penalty:g}, chosen on validation "
            f"(AUC {row['val_auc']:.3f})",
        )

    def _rows_of_mean(self, learn: NDArray[np.bool_]) -> tuple[Any, Any, NDArray[np.float32]]:
        """Means, labels and weights that the head `mean` is fitted to.

        The fit sees every view, where an epoch would draw one.
        """
        views = self._means_of_views[:, learn]  # (K, n, E)
        count = len(views)
        weights = np.tile(self._weights[learn], count) / np.float32(count)
        return views.reshape(-1, views.shape[-1]), np.tile(self.train.labels[learn], count), weights

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        """Mean embeddings of the training videos, (N, E), as the network standardises them."""
        return self._standardised(pooled(self.train.features, self.train.mask))

    @cached_property
    def _means_of_views(self) -> NDArray[np.float64]:
        """The same of all their views, (K, N, E)."""
        views, mask = self.train.views, self.train.mask
        if views is None:
            return self._means[None]
        count = len(views) // len(mask)
        means = self._standardised(pooled(views, np.tile(mask, (count, 1))))
        return means.reshape(count, len(mask), -1)

    @cached_property
    def _means_of_val(self) -> NDArray[np.float64]:
        """Mean embeddings of the validation videos, (M, E)."""
        return self._standardised(pooled(self.val.features, self.val.mask))

    def _standardised(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means as the head's first layer has them; conditioned ones stay."""
        if self._conditioning is not None:
            return means
        mean, deviation = self._start[STANDARDISE]
        return (means - mean) / deviation
