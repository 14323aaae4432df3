"""Training of the head `statistics`: a linear model of the clip, in the layers of a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.configs import HeadConfig, TrainConfig
from models.heads.architectures import CLASSIFIER, STATISTICS
from models.heads.log import TrainingLog
from models.heads.split_checks import check_loss, video_weights
from models.heads.trained import Trained
from models.linear.contrasts import contrasts, in_words
from models.linear.fit import LinearFit, fit_linear_model, measure
from models.linear.statistics import statistic_shares, statistics_of

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class StatisticsFit:
    """The linear model of two splits. It draws no random numbers."""

    fit: LinearFit
    columns: NDArray[np.float32]  # (N + M, E) statistics of all videos, training first
    learnt_from: str  # in words


def decides_fit(head: HeadConfig, config: TrainConfig) -> tuple[str, ...]:
    """The settings that `fit_statistics` reads: where these are equal, so is the fit."""
    settings = (head.condition, head.statistics, head.frame_norm)
    return *map(repr, settings), config.loss, repr(config.class_weight), repr(config.refit)


def fit_statistics(
    train: Sequences, val: Sequences, *, head: HeadConfig, config: TrainConfig
) -> StatisticsFit:
    """Fits the linear model to both splits, conditioned where the head conditions."""
    columns = np.concatenate(
        [
            statistics_of(
                part.features, part.mask, statistics=head.statistics, frame_norm=head.frame_norm
            )
            for part in (train, val)
        ]
    )
    check_loss(float(np.nanmax(np.abs(columns), initial=0)), 1, 0)  # scikit-learn takes no inf
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
        shares=statistic_shares(head.statistics, train.features.shape[-1]),
    )
    return StatisticsFit(fit=fit, columns=columns, learnt_from=in_words(config, differences))


def linear_logits(fit: LinearFit, sequences: Sequences, head: HeadConfig) -> Floats:
    """(N,) of the videos by a fitted linear model."""
    columns = statistics_of(
        sequences.features,
        sequences.mask,
        statistics=head.statistics,
        frame_norm=head.frame_norm,
    )
    return fit.logits(columns)


def train_linear(
    model: Any,
    train: Sequences,
    val: Sequences,
    *,
    head: HeadConfig,
    config: TrainConfig,
    log: TrainingLog,
    linear: StatisticsFit | None = None,
) -> Trained:
    """Trains the head `statistics`, whose Keras model is given; its history is one row.

    `linear` is what `fit_statistics` gives, where it is there already.
    """
    linear = linear or fit_statistics(train, val, head=head, config=config)
    fit, words = linear.fit, linear.learnt_from
    row = linear_row(fit, linear.columns, train, val, config)
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


def set_linear_model(model: Any, fit: LinearFit, *, prefix: str = "") -> None:
    """Gives the layers of a head the numbers of a fit."""
    model.get_layer(f"{prefix}{STATISTICS}").set_weights([fit.mean, fit.deviation])
    model.get_layer(f"{prefix}{CLASSIFIER}").set_weights(
        [fit.weight[:, None], np.asarray([fit.bias])]
    )


def linear_row(
    fit: LinearFit,
    columns: NDArray[np.float32],
    train: Sequences,
    val: Sequences,
    config: TrainConfig,
) -> dict[str, float]:
    """The history's row of a linear model."""
    count = len(train.labels)
    logits = fit.logits(columns)
    loss, auc = measure(train.labels, logits[:count])
    of_val = fit.held_out[count:] if config.refit else logits[count:]
    val_loss, val_auc = measure(val.labels, np.where(np.isnan(of_val), logits[count:], of_val))
    return {"epoch": 1, "loss": loss, "auc": auc, "val_loss": val_loss, "val_auc": val_auc}
