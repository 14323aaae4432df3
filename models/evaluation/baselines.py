"""Linear baselines that a detector must beat, fitted on the training split with it.

Logistic regressions on the file's metadata and on the mean embedding. They are a few numbers each
and are kept in the bundle, so every evaluation has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.configs import CalibrationConfig
from models.evaluation.thresholds import pick_threshold

if TYPE_CHECKING:
    from data.datasets.manifest import Video
    from features.sequences.padded import Rows

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the penalty; the one of least validation loss is taken."""
METADATA = ("size", "bit rate", "duration", "resolution", "frame rate")
"""Names of the first columns of `metadata`."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A logistic regression as plain numbers."""

    mean: tuple[float, ...]  # (E,) subtracted
    scale: tuple[float, ...]  # (E,) divided by
    weight: tuple[float, ...]  # (E,)
    bias: float  # added
    # of even odds on validation; of the best balanced accuracy where there are none
    threshold: float
    codecs: tuple[str, ...] = ()  # of the metadata's columns; empty for other inputs

    def score(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(fake), (N, E) -> (N,)."""
        from scipy.special import expit

        standard = (inputs - np.asarray(self.mean)) / np.asarray(self.scale)
        return np.asarray(expit(standard @ np.asarray(self.weight) + self.bias))

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Linear:
        """Reads a bundle.json's.

        Raises:
            ValueError, TypeError: it is something else.
        """
        values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
        read = cls(**values)
        if len({len(read.mean), len(read.scale), len(read.weight)}) > 1 or 0 in read.scale:
            raise ValueError("a baseline's numbers do not fit each other")
        return read


def fit_linear(
    train: NDArray[np.float64],
    train_labels: NDArray[np.integer[Any]],
    val: NDArray[np.float64],
    val_labels: NDArray[np.integer[Any]],
    *,
    codecs: tuple[str, ...] = (),
) -> Linear:
    """Fits scikit-learn's logistic regression; validation chooses penalty and threshold.

    Args:
        train: (N, E).
        train_labels: (N,) 1 = fake; both classes.
        val: (M, E).
        val_labels: (M,); both classes.
        codecs: kept with it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    mean, deviation = train.mean(0), train.std(0)
    varies = deviation > 1e-8
    scale = np.where(varies, deviation, 1.0)
    standard, other = (train - mean) / scale, (val - mean) / scale
    tried = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=2000, class_weight="balanced")
        model.fit(standard, train_labels)
        tried.append((log_loss(val_labels, model.predict_proba(other)), penalty, model))
    model = min(tried, key=lambda one: one[:2])[2]
    found = Linear(
        mean=_round(mean),
        scale=_round(scale),
        weight=_round(np.where(varies, model.coef_[0], 0)),
        bias=_round(model.intercept_)[0],
        threshold=0.5,
        codecs=codecs,
    )
    threshold, _ = pick_threshold(val_labels, found.score(val), CalibrationConfig())
    return replace(found, threshold=_round(np.array([threshold]))[0])


def metadata(videos: Sequence[Video], codecs: Sequence[str]) -> NDArray[np.float64]:
    """Features of the file itself, not of its frames: (N, 5 + codecs) float64; logs of sizes."""
    return np.asarray(
        [
            [
                math.log(max(one.size_bytes, 1)),
                math.log(max(one.bit_rate, 1)),
                math.log(max(one.duration_seconds, 0.01)),
                math.log(max(one.width * one.height, 1)),
                one.fps,
                *(float(one.codec == codec) for codec in codecs),
            ]
            for one in videos
        ],
        np.float64,
    ).reshape(len(videos), 5 + len(codecs))


def pooled(features: Rows, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean embedding of each video, (N, T, D), (N, T) -> (N, D) float64."""
    found = np.zeros((len(features), features.shape[-1]))
    for row, (frames, exists) in enumerate(zip(features, mask, strict=True)):
        found[row] = frames[exists].mean(0, dtype=np.float64)
    return found


def middles(features: Rows, mask: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """The embedding of each video's middle frame, (N, T, D), (N, T) -> (N, D)."""
    rows = zip(features, mask, strict=True)
    return np.stack([frames[np.flatnonzero(there)[there.sum() // 2]] for frames, there in rows])


def shuffled(
    features: NDArray[np.floating[Any]], mask: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.floating[Any]]:
    """The same frames of each video in another order; padding stays where it is."""
    found = features.copy()
    for row, exists in enumerate(mask):
        there = np.flatnonzero(exists)
        found[row, there] = features[row, rng.permutation(there)]
    return found


def _round(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Nine digits: sums in another order must not change a bundle's bytes."""
    return tuple(float(f"{value:.9g}") for value in values)
