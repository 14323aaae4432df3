"""Which designs of a head transfer to people and forgery programs that they never saw?

    python benchmarks/transfer_designs.py MANIFEST FEATURES [--only NAME ...] [--regimes abc]

The manifest and the features are those that benchmarks/transfer.py leaves in its folder. Each
design is a linear model on what a clip's embeddings are reduced to; it learns from self-made
forgeries (a), true fakes (b) or both (c), as in benchmarks/transfer.py, on the same held-out parts.
The penalty and the calibration come from cross-validation by people inside of each training
part; nothing is chosen on what is held out. Prints a row for each try: mean AUC over programs with
three clips or more, over all programs, pairs ranked rightly, Cllr; the last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.transfer import REGIMES, learnt_from, shown
from benchmarks.transfer_data import TRUE
from data.datasets.manifest import Manifest, Video
from features.store.feature_set import Features
from models.evaluation.likelihood_ratio import LN10
from models.evaluation.pairs import pair_rows
from models.hold_out.evaluate import HeldOutScores, evaluate_held_out
from models.hold_out.plan import plan_hold_out

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
INNER_FOLDS = 4
METRICS = ("auc_methods_several", "auc_methods", "pairs", "cllr")

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """N clips."""

    frames: list[NDArray[np.float32]]  # N arrays (T, D)
    labels: NDArray[np.int64]  # (N,) 1 = fake
    groups: NDArray[np.str_]  # (N,)
    pairs: NDArray[np.int64]  # (K, 2) rows of a fake and its original

    def of(self, reduce: Callable[[NDArray[np.float32]], Floats]) -> Floats:
        """(N, E)."""
        return np.stack([reduce(one) for one in self.frames])


def read_clips(features: Features, videos: list[Video]) -> Clips:
    return Clips(
        frames=[features.sequence(one.sha256).features.astype(np.float32) for one in videos],
        labels=np.asarray([one.label for one in videos]),
        groups=np.asarray([one.group for one in videos]),
        pairs=pair_rows(
            [one.path for one in videos],
            [one.label for one in videos],
            [one.original for one in videos],
        ),
    )


# What a clip's frames (T, D) are reduced to.


def mean(frames: NDArray[np.float32]) -> Floats:
    return frames.mean(0, dtype=np.float64)


def deviation(frames: NDArray[np.float32]) -> Floats:
    return frames.std(0, dtype=np.float64)


def steps(frames: NDArray[np.float32]) -> Floats:
    """Mean absolute difference of neighbouring frames."""
    return np.abs(np.diff(frames, axis=0)).mean(0, dtype=np.float64)


def step_deviation(frames: NDArray[np.float32]) -> Floats:
    return np.abs(np.diff(frames, axis=0)).std(0, dtype=np.float64)


def joined(*parts: Callable[[NDArray[np.float32]], Floats]) -> Callable[..., Floats]:
    return lambda frames: np.concatenate([part(frames) for part in parts])


def relative(part: Callable[[NDArray[np.float32]], Floats]) -> Callable[..., Floats]:
    """Logarithm over the clip's own average over dimensions: motion of the whole face cancels."""

    def reduce(frames: NDArray[np.float32]) -> Floats:
        values = np.log(part(frames) + 1e-3)
        return np.asarray(values - values.mean())

    return reduce


def summed(part: Callable[[NDArray[np.float32]], Floats]) -> Callable[..., Floats]:
    """One number, the average over dimensions: how much a clip moves at all."""
    return lambda frames: part(frames).mean(keepdims=True)


def normalised(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each frame centred, scaled (LayerNorm), and of length 1."""
    centred = frames - frames.mean(1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def after(
    first: Callable[[NDArray[np.float32]], NDArray[np.float32]], then: Callable[..., Floats]
) -> Callable[..., Floats]:
    return lambda frames: then(first(frames))


# How columns are conditioned: fitted on the training rows, gives a function of columns.

Conditioned = Callable[[Floats], Floats]


def standardise(columns: Floats, clips: Clips, rows: NDArray[np.int64]) -> Conditioned:
    centre, scale = columns[rows].mean(0), columns[rows].std(0)
    scale = np.where(scale > 1e-8, scale, 1.0)
    return lambda values: (values - centre) / scale


def whiten(dims: int) -> Callable[..., Conditioned]:
    """PCA to some dimensions of variance 1."""

    def fit(columns: Floats, clips: Clips, rows: NDArray[np.int64]) -> Conditioned:
        centre = columns[rows].mean(0)
        _, sizes, axes = np.linalg.svd(columns[rows] - centre, full_matrices=False)
        kept = min(dims, int((sizes > 1e-6 * sizes[0]).sum()))
        matrix = axes[:kept].T * (np.sqrt(len(rows)) / sizes[:kept])
        return lambda values: (values - centre) @ matrix

    return fit


def without_scenes(count: int) -> Callable[..., Conditioned]:
    """Standardised, without the main directions in which real clips of the training part vary."""

    def fit(columns: Floats, clips: Clips, rows: NDArray[np.int64]) -> Conditioned:
        base = standardise(columns, clips, rows)
        real = base(columns[rows[clips.labels[rows] == 0]])
        _, _, axes = np.linalg.svd(real - real.mean(0), full_matrices=False)
        kept = axes[:count]

        def apply(values: Floats) -> Floats:
            standard = base(values)
            return np.asarray(standard - (standard @ kept.T) @ kept)

        return apply

    return fit


def whiten_by_scenes(share: float) -> Callable[..., Conditioned]:
    """Standardised, then whitened by the covariance of real clips, shrunk towards the identity."""

    def fit(columns: Floats, clips: Clips, rows: NDArray[np.int64]) -> Conditioned:
        base = standardise(columns, clips, rows)
        real = base(columns[rows[clips.labels[rows] == 0]])
        _, sizes, axes = np.linalg.svd(real - real.mean(0), full_matrices=False)
        variance = sizes**2 / len(real)
        floor = share * float((sizes**2).sum()) / len(real) / columns.shape[1]
        gain = np.sqrt(floor / (variance * (1 - share) + floor)) - 1

        def apply(values: Floats) -> Floats:
            standard = base(values)
            return np.asarray(standard + ((standard @ axes.T) * gain) @ axes)

        return apply

    return fit


# How a line through the conditioned columns is fitted: gives weights and bias.


def by_class(
    columns: Floats, clips: Clips, rows: NDArray[np.int64], penalty: float
) -> tuple[Floats, float]:
    model = LogisticRegression(C=penalty, max_iter=3000, class_weight="balanced")
    model.fit(columns[rows], clips.labels[rows])
    return model.coef_[0], float(model.intercept_[0])


def by_pair(
    columns: Floats, clips: Clips, rows: NDArray[np.int64], penalty: float
) -> tuple[Floats, float]:
    """Fakes minus their originals, against the reverse: what scenes share cancels."""
    inside = np.isin(clips.pairs, rows).all(1)
    differences = columns[clips.pairs[inside, 0]] - columns[clips.pairs[inside, 1]]
    return _line(differences, columns, clips, rows, penalty)


def _line(
    differences: Floats, columns: Floats, clips: Clips, rows: NDArray[np.int64], penalty: float
) -> tuple[Floats, float]:
    """Tells differences from their reverse; the bias lies midway between the classes' means."""
    if len(differences) < 2:
        return np.zeros(columns.shape[1]), 0.0
    model = LogisticRegression(C=penalty, fit_intercept=False, max_iter=3000)
    model.fit(np.concatenate([differences, -differences]), np.repeat([1, 0], len(differences)))
    weights = model.coef_[0]
    scores = columns[rows] @ weights
    sides = [scores[clips.labels[rows] == label].mean() for label in (0, 1)]
    return weights, -float(np.mean(sides))


def by_person(
    columns: Floats, clips: Clips, rows: NDArray[np.int64], penalty: float
) -> tuple[Floats, float]:
    """As `by_pair`, of each fake and the mean of the real clips of its group."""
    labels, groups = clips.labels[rows], clips.groups[rows]
    differences = [
        columns[row] - columns[rows[(groups == group) & (labels == 0)]].mean(0)
        for row, group in zip(rows[labels == 1], groups[labels == 1], strict=True)
        if ((groups == group) & (labels == 0)).any()
    ]
    return _line(
        np.asarray(differences).reshape(-1, columns.shape[1]), columns, clips, rows, penalty
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """One try."""

    name: str
    reduce: Callable[..., Floats]  # of a clip's frames
    condition: Callable[..., Conditioned] = standardise
    fit: Callable[..., tuple[Floats, float]] = by_class
    penalties: tuple[float, ...] = PENALTIES


TIME = joined(steps, step_deviation)
ALL = joined(mean, deviation, steps)
DESIGNS = (
    Design(name="mean, C = 0.01 (the report's control)", reduce=mean, penalties=(0.01,)),
    Design(name="mean", reduce=mean),
    Design(name="mean, LayerNorm and L2", reduce=after(normalised, mean)),
    Design(name="mean, PCA-whitened to 64", reduce=mean, condition=whiten(64)),
    Design(name="mean, PCA-whitened to 128", reduce=mean, condition=whiten(128)),
    Design(name="mean, PCA-whitened to 256", reduce=mean, condition=whiten(256)),
    Design(
        name="mean, LayerNorm and L2, PCA-whitened to 128",
        reduce=after(normalised, mean),
        condition=whiten(128),
    ),
    Design(name="mean without 10 scene directions", reduce=mean, condition=without_scenes(10)),
    Design(name="mean without 30 scene directions", reduce=mean, condition=without_scenes(30)),
    Design(name="mean, whitened by scenes", reduce=mean, condition=whiten_by_scenes(0.1)),
    Design(name="deviation", reduce=deviation),
    Design(name="steps", reduce=steps),
    Design(name="steps, mean and deviation", reduce=TIME),
    Design(name="steps, relative", reduce=relative(steps)),
    Design(name="deviation, relative", reduce=relative(deviation)),
    Design(name="steps of LayerNorm and L2", reduce=after(normalised, steps)),
    Design(name="mean, deviation, steps", reduce=ALL),
    Design(name="mean, steps, LayerNorm and L2", reduce=after(normalised, joined(mean, steps))),
    Design(name="mean by pairs", reduce=mean, fit=by_pair),
    Design(name="deviation by pairs", reduce=deviation, fit=by_pair),
    Design(name="steps by pairs", reduce=steps, fit=by_pair),
    Design(name="steps by pairs, relative", reduce=relative(steps), fit=by_pair),
    Design(name="deviation by pairs, relative", reduce=relative(deviation), fit=by_pair),
    Design(name="mean, steps by pairs", reduce=joined(mean, steps), fit=by_pair),
    Design(name="mean, deviation, steps by pairs", reduce=ALL, fit=by_pair),
    Design(name="mean by pairs, LayerNorm and L2", reduce=after(normalised, mean), fit=by_pair),
    Design(
        name="mean, steps by pairs, LayerNorm and L2",
        reduce=after(normalised, joined(mean, steps)),
        fit=by_pair,
    ),
    Design(
        name="mean by pairs without 10 scene directions",
        reduce=mean,
        condition=without_scenes(10),
        fit=by_pair,
    ),
    Design(
        name="steps by pairs without 10 scene directions",
        reduce=steps,
        condition=without_scenes(10),
        fit=by_pair,
    ),
    Design(
        name="mean, steps by pairs without 10 scene directions",
        reduce=joined(mean, steps),
        condition=without_scenes(10),
        fit=by_pair,
    ),
    Design(
        name="mean by pairs, whitened by scenes",
        reduce=mean,
        condition=whiten_by_scenes(0.1),
        fit=by_pair,
    ),
    Design(
        name="mean, steps by pairs, whitened by scenes",
        reduce=joined(mean, steps),
        condition=whiten_by_scenes(0.1),
        fit=by_pair,
    ),
    Design(name="deviation, steps by pairs", reduce=joined(deviation, steps), fit=by_pair),
    Design(name="mean, deviation by pairs", reduce=joined(mean, deviation), fit=by_pair),
    Design(
        name="deviation by pairs, LayerNorm and L2",
        reduce=after(normalised, deviation),
        fit=by_pair,
    ),
    Design(name="steps by pairs, LayerNorm and L2", reduce=after(normalised, steps), fit=by_pair),
    Design(
        name="deviation by pairs without 10 scene directions",
        reduce=deviation,
        condition=without_scenes(10),
        fit=by_pair,
    ),
    Design(
        name="deviation by pairs, whitened by scenes",
        reduce=deviation,
        condition=whiten_by_scenes(0.1),
        fit=by_pair,
    ),
    Design(
        name="deviation, LayerNorm and L2",
        reduce=after(normalised, deviation),
    ),
    Design(
        name="deviation, one number by pairs, LayerNorm and L2",
        reduce=after(normalised, summed(deviation)),
        fit=by_pair,
    ),
    Design(
        name="deviation by pairs, relative, LayerNorm and L2",
        reduce=after(normalised, relative(deviation)),
        fit=by_pair,
    ),
    Design(
        name="mean, deviation by pairs, LayerNorm and L2",
        reduce=after(normalised, joined(mean, deviation)),
        fit=by_pair,
    ),
    Design(name="mean by people", reduce=mean, fit=by_person),
    Design(name="deviation by people", reduce=deviation, fit=by_person),
    Design(name="mean, deviation, steps by people", reduce=ALL, fit=by_person),
    Design(
        name="mean, deviation, steps, whitened by scenes",
        reduce=ALL,
        condition=whiten_by_scenes(0.1),
    ),
)


def conditioned(design: Design, columns: Floats, clips: Clips, train: NDArray[np.int64]) -> Floats:
    """(N, R) in the space that the training rows span, where a penalised line has its weights."""
    values = design.condition(columns, clips, train)(columns)
    _, sizes, axes = np.linalg.svd(values[train], full_matrices=False)
    return np.asarray(values @ axes[sizes > 1e-9 * sizes[0]].T)


def learn(
    design: Design, columns: Floats, clips: Clips, train: NDArray[np.int64]
) -> Callable[[NDArray[np.int64]], Floats]:
    """Chooses the penalty and calibrates by people inside of the training part.

    Returns:
        Rows (n,) to the natural logarithm of a likelihood ratio, (n,).
    """
    groups, labels = clips.groups[train], clips.labels[train]
    cuts = GroupKFold(min(INNER_FOLDS, len(set(groups.tolist()))), shuffle=True, random_state=0)
    held = np.zeros((len(design.penalties), len(train)))
    for inner, other in cuts.split(train, labels, groups):
        values = conditioned(design, columns, clips, train[inner])
        for number, penalty in enumerate(design.penalties):
            weights, bias = design.fit(values, clips, train[inner], penalty)
            held[number, other] = values[train[other]] @ weights + bias
    tried = []
    for number, penalty in enumerate(design.penalties):
        scores = held[number, :, None]
        line = LogisticRegression(class_weight="balanced").fit(scores, labels)
        tried.append((log_loss(labels, line.predict_proba(scores)[:, 1]), penalty, line))
    _, penalty, line = min(tried, key=lambda one: one[:2])
    slope, shift = max(float(line.coef_[0, 0]), 0.0), float(line.intercept_[0])
    values = conditioned(design, columns, clips, train)
    weights, bias = design.fit(values, clips, train, penalty)
    whole = values @ weights + bias
    # A slope of 0 says nothing of any clip; the order of the scores is kept for the AUC.
    llrs = slope * whole + (shift if slope else 0.0) + 1e-9 * whole
    return lambda rows: llrs[rows]


def try_design(design: Design, clips: Clips, folds: list, test: NDArray, methods: NDArray) -> dict:
    """Measures one design."""
    columns = clips.of(design.reduce)
    rows = np.flatnonzero(test)
    llrs = np.full((len(folds), len(rows)), np.nan)
    for number, fold in enumerate(folds):
        llrs[number, np.searchsorted(rows, fold.test)] = learn(design, columns, clips, fold.train)(
            fold.test
        )
    tested = ~np.isnan(llrs)
    place = {row: number for number, row in enumerate(rows.tolist())}
    pairs = np.asarray([[place[a], place[b]] for a, b in clips.pairs.tolist()
                        if a in place and b in place]).reshape(-1, 2)  # fmt: skip
    said = HeldOutScores(
        scores=np.where(tested, expit(llrs), np.nan),
        llrs=llrs / LN10,
        called_fake=tested & (llrs >= 0),
        decided=tested,
    )
    return evaluate_held_out(
        clips.labels[rows], clips.groups[rows], methods[rows], pairs, said,
        rounds=500, confidence=0.95, seed=0,
    )  # fmt: skip


def main() -> None:
    """Prints the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="some designs")
    parser.add_argument("--regimes", default="abc")
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    features = Features(arguments.features)
    videos = [one for one in Manifest.read(arguments.manifest).videos if one.sha256 in features]
    clips = read_clips(features, videos)
    methods = np.asarray([one.method for one in videos])
    test = np.asarray([one.path.startswith(f"{TRUE}/") for one in videos])
    begun, figures = time.monotonic(), {}
    head = ("AUC, 3+", "AUC, all", "pairs", "Cllr")
    print(f"{'learnt from':<21}{'design':<50}" + "".join(f"{one:>18}" for one in head))
    for regime in arguments.regimes:
        plan = partial(plan_hold_out, clips.labels, clips.groups.tolist(), methods.tolist())
        folds = plan(
            learn=learnt_from(tuple(videos), regime), test=test, person_folds=arguments.folds,
            method_folds=arguments.folds, seed=0,
        )  # fmt: skip
        for design in DESIGNS:
            if arguments.only and design.name not in arguments.only:
                continue
            found = try_design(design, clips, folds, test, methods).metrics
            cells = "".join(f"{shown(found.get(name)):>18}" for name in METRICS)
            print(f"{REGIMES[regime]:<21}{design.name:<50}{cells}", flush=True)
            figures[f"{regime}, {design.name}"] = [round(found[one].value, 4) for one in METRICS]
    figures["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
