"""Logistic regression on mean embeddings, fitted to convergence: how the head `mean` is trained.

Its loss is convex, so there is one optimum for each strength of regularisation, which L-BFGS
reaches in some hundred iterations on (N, E) numbers: a second, where epochs of Adam over all frames
take ten and stop wherever early stopping stops them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from models.early_stopping import best_of
from models.evaluation.baselines import PENALTIES


@dataclass(frozen=True, kw_only=True)
class FittedLogistic:
    """The fit of the strength that validation chose."""

    weight: NDArray[np.float64]  # (E,)
    bias: float
    penalty: float  # inverse strength of the L2 penalty, scikit-learn's C
    row: dict[str, float]  # loss, auc, val_loss, val_auc; the first two of training, weighted


def fit_logistic(
    train: NDArray[np.float64],
    train_labels: NDArray[np.integer[Any]],
    weights: NDArray[np.floating[Any]],
    val: NDArray[np.float64],
    val_labels: NDArray[np.integer[Any]],
) -> FittedLogistic:
    """Fits each strength of PENALTIES; the best by `models.early_stopping.best_of` is kept.

    Args:
        train: (N, E), standardised.
        train_labels: (N,) 1 = fake; both classes.
        weights: (N,) of each row in the loss.
        val: (M, E).
        val_labels: (M,); both classes.
    """
    tried = []
    for penalty in PENALTIES:
        model = _fit(train, train_labels, weights, penalty)
        scores, val_scores = (model.predict_proba(one)[:, 1] for one in (train, val))
        row = {
            "loss": log_loss(train_labels, scores, sample_weight=weights),
            "auc": roc_auc_score(train_labels, scores),
            "val_loss": log_loss(val_labels, val_scores),
            "val_auc": roc_auc_score(val_labels, val_scores),
        }
        tried.append((model, penalty, {name: float(value) for name, value in row.items()}))
    model, penalty, row = tried[best_of([(row["val_auc"], row["val_loss"]) for *_, row in tried])]
    return FittedLogistic(
        weight=model.coef_[0], bias=float(model.intercept_[0]), penalty=penalty, row=row
    )


def score_logistic(
    train: NDArray[np.float64],
    train_labels: NDArray[np.integer[Any]],
    weights: NDArray[np.floating[Any]],
    test: NDArray[np.float64],
    *,
    penalty: float,
) -> NDArray[np.float64]:
    """P(fake), (M,), of (M, E) `test` by a fit of one strength (`FittedLogistic.penalty`)."""
    model = _fit(train, train_labels, weights, penalty)
    return np.asarray(model.predict_proba(test)[:, 1])


def _fit(
    train: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    weights: NDArray[np.floating[Any]],
    penalty: float,
) -> LogisticRegression:
    model = LogisticRegression(C=penalty, tol=1e-6, max_iter=2000)
    return model.fit(train, labels, sample_weight=weights)
