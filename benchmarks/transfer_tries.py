"""Ways to fit the default's linear model: which rank unseen people and programs better?

    python benchmarks/transfer_tries.py MANIFEST FEATURES [--only NAME ...] [--divisions 5]

The manifest and the features are those that benchmarks/transfer.py leaves in its folder; true fakes
are learnt from. Each try is a variant of the head `statistics` with the strongest penalty, which
its cross-validation takes here: what it reads, whom it compares, how programs weigh, and whether
the models of the cross-validation are averaged in place of a last fit. Everything is repeated for
several divisions of the people and programs. A row has, first, what cross-validation inside of the
training parts says, by which a try may be chosen: mean AUC over programs with three clips or more,
over all, Cllr. Then the same of what was held out, pairs ranked rightly, the least Cllr that
calibration could reach, and the Cllr of a detector that never speaks for REAL: ratios below 1 count
as 1. Cllr is of the ratio itself, without its interval.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.transfer_data import TRUE
from data.datasets.manifest import Manifest, Video
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from models.configs import Statistic, TrainConfig
from models.evaluation.likelihood_ratio_fit import cllr, empirical_bounds, fit_line
from models.evaluation.pairs import pair_rows, wins
from models.heads.split_checks import video_weights
from models.hold_out.evaluate import SEVERAL, HeldOutScores, evaluate_held_out
from models.hold_out.plan import plan_hold_out
from models.linear import fit
from models.linear.contrasts import contrasts, inside, is_enough
from models.linear.statistics import statistics_of
from pipeline.hold_out.detectors import divide

PARTS, DRO_STEPS = 3, 8
METRICS = ("auc_methods_several", "auc_methods", "pairs", "cllr", "cllr_min")
HEADINGS = ("inside: AUC, 3+", "all", "Cllr", "held out: AUC, 3+", "all", "pairs", "Cllr",
            "least Cllr", "Cllr, FAKE alone", "SD of AUC, 3+")  # fmt: skip

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Try:
    """One way to fit."""

    name: str
    statistics: tuple[Statistic, ...] = ("mean", "deviation")
    mean_share: float = 1.0  # factor of the standardised mean
    loss: Literal["people", "pairs", "class", "people and pairs"] = "people"
    alike: Literal["", "programs", "people"] = ""  # which weigh alike in the loss
    worst: float = 0.0  # step of group DRO over programs (Sagawa et al., 2020); 0 for none
    refit: bool = False  # learn from validation people, too
    average: bool = False  # of the cross-validation's models, in place of a last fit


TRIES = (
    Try(name="the earlier default"),
    Try(name="refit on validation", refit=True),
    Try(name="average over 12 folds", average=True),
    Try(name="programs weigh alike", alike="programs", refit=True),
    Try(name="programs weigh alike, average over folds", alike="programs", average=True),
    Try(name="people weigh alike", alike="people", refit=True),
    Try(name="group DRO, step 1", worst=1.0, refit=True),
    Try(name="group DRO, step 5", worst=5.0, refit=True),
    Try(name="by pairs", loss="pairs", refit=True),
    Try(name="by people and pairs", loss="people and pairs", refit=True),
    Try(name="by classes", loss="class", refit=True),
    Try(name="mean, deviation, steps", statistics=("mean", "deviation", "steps")),
    Try(name="mean alone", statistics=("mean",)),
    Try(name="deviation alone", statistics=("deviation",)),
    Try(name="deviation alone, average over folds", statistics=("deviation",), average=True),
    Try(name="deviation alone, by people and pairs", statistics=("deviation",),
        loss="people and pairs"),
    Try(name="steps alone", statistics=("steps",)),
    Try(name="mean times 0.7", mean_share=0.7),
    Try(name="mean times 0.5 (the default)", mean_share=0.5),
    Try(name="mean times 0.35", mean_share=0.35),
    Try(name="mean times 0.25", mean_share=0.25),
    Try(name="mean times 0.5, average over folds", mean_share=0.5, average=True),
    Try(name="mean times 0.5, by pairs", mean_share=0.5, loss="pairs"),
    Try(name="deviation alone, by pairs", statistics=("deviation",), loss="pairs"),
    Try(name="mean times 0.5, by pairs, average over folds", mean_share=0.5, loss="pairs",
        average=True),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """All true clips."""

    videos: list[Video]
    sequences: Sequences
    labels: Rows
    groups: NDArray[np.str_]
    methods: NDArray[np.str_]


def read(manifest: Path, features: Path) -> Clips:
    stored = Features(features)
    videos = [
        one
        for one in Manifest.read(manifest).videos
        if one.path.startswith(f"{TRUE}/") and one.sha256 in stored
    ]
    return Clips(
        videos=videos,
        sequences=load_sequences(stored, videos),
        labels=np.asarray([one.label for one in videos]),
        groups=np.asarray([one.group for one in videos]),
        methods=np.asarray([one.method for one in videos]),
    )


def differences_of(tried: Try, clips: Clips, rows: Rows) -> csr_matrix:
    videos = [clips.videos[row] for row in rows]
    given = (
        clips.labels[rows], clips.groups[rows].tolist(),
        [one.path for one in videos], [one.original for one in videos],
    )  # fmt: skip
    losses = tried.loss.split(" and ")
    return vstack([contrasts(one, *given) for one in losses]).tocsr()


def line(
    tried: Try, values: Floats, clips: Clips, rows: Rows, differences: csr_matrix,
    learn: NDArray[np.bool_],
) -> tuple[Floats, float]:  # fmt: skip
    """Weight and bias by the rows of `learn`, scaled as `models.linear.fit` does."""
    labels, own = clips.labels[rows], inside(differences, learn)
    if is_enough(own):
        fakes = np.asarray(own.argmax(axis=1)).ravel()
        sign = np.where(np.arange(own.shape[0]) % 2 == 0, 1.0, -1.0)
        named = (clips.groups if tried.alike == "people" else clips.methods)[rows][fakes]
        _, place, sizes = np.unique(named, return_inverse=True, return_counts=True)
        shares, total = np.full(len(sizes), 1 / len(sizes)), np.zeros(values.shape[1])
        for _ in range(DRO_STEPS if tried.worst else 1):
            weights = shares[place] / sizes[place] if tried.alike or tried.worst else None
            if weights is not None:
                weights *= len(weights) / weights.sum()
            model = LogisticRegression(C=min(fit.PENALTIES), fit_intercept=False, tol=1e-6)
            model.fit((own @ values) * sign[:, None], sign > 0, sample_weight=weights)
            total += model.coef_[0]
            margins = (own @ values) @ model.coef_[0]
            losses = np.bincount(place, np.logaddexp(0, -margins / margins.std())) / sizes
            shares = shares * np.exp(tried.worst * losses)
            shares /= shares.sum()
        weight = total
    else:
        model = LogisticRegression(C=min(fit.PENALTIES), tol=1e-6)
        shown = video_weights(labels.astype(np.int8), TrainConfig().class_weight)
        model.fit(values[learn], labels[learn], sample_weight=shown[learn])
        weight = model.coef_[0]
    sides = [values[learn][labels[learn] == label] @ weight for label in (0, 1)]
    size = max(float(np.sqrt(np.mean([side.var() for side in sides]))), 1e-12)
    return weight / size, -float(np.mean([side.mean() for side in sides])) / size


def attempt(
    tried: Try, clips: Clips, columns: Floats, rows: Rows, kept: NDArray[np.bool_], test: Rows
) -> tuple[Floats, Floats]:
    """Logits of the tested clips, and held-out ones of `rows`, NaN where there is none."""
    known = kept | tried.refit
    mean, deviation = fit._scales(columns[rows][known])
    if len(tried.statistics) > 1:
        deviation[: clips.sequences.features.shape[-1]] /= tried.mean_share
    values, axes = fit._rotated(np.nan_to_num((columns[rows] - mean) / deviation))
    differences = differences_of(tried, clips, rows)
    held, count, models = np.zeros(len(rows)), np.zeros(len(rows)), []
    for learn, other in fit._folds(clips.labels[rows], clips.groups[rows], clips.methods[rows]):
        weight, bias = line(tried, values, clips, rows, differences, learn)
        models.append((weight, bias))
        held[other] += values[other] @ weight + bias
        count[other] += 1
    scaled = fit._line(clips.labels[rows], np.where(count > 0, held / np.maximum(count, 1), np.nan))
    if not tried.average:
        models = [line(tried, values, clips, rows, differences, known)]
    tested = np.nan_to_num((columns[test] - mean) / deviation) @ axes
    logits = np.mean([tested @ weight + bias for weight, bias in models], axis=0)
    return scaled.slope * logits + scaled.shift, scaled.slope * scaled.held + scaled.shift


def inner(clips: Clips, rows: Rows, held: Floats) -> tuple[float, float]:
    """Mean AUC of held-out logits over programs with SEVERAL clips, and over all."""
    labels, there = clips.labels[rows], ~np.isnan(held)
    found = []
    for method in sorted({*clips.methods[rows][there & (labels == 1)].tolist()}):
        fakes = held[there & (labels == 1) & (clips.methods[rows] == method)]
        auc = wins(fakes[:, None], held[there & (labels == 0)][None]).mean()
        found.append((len(fakes) >= SEVERAL, auc))
    several = [auc for many, auc in found if many]
    return float(np.mean(several or [np.nan])), float(np.mean([auc for _, auc in found]))


def run(tried: Try, clips: Clips, *, divisions: int) -> Floats:
    """(divisions, 9): as HEADINGS without the last."""
    count, found = len(clips.labels), []
    columns = statistics_of(
        clips.sequences.features, clips.sequences.mask,
        statistics=tried.statistics, frame_norm="layernorm_l2",
    ).astype(np.float64)  # fmt: skip
    place = {one.path: row for row, one in enumerate(clips.videos)}
    pairs = pair_rows(
        [one.path for one in clips.videos], clips.labels, [one.original for one in clips.videos]
    )
    everyone = np.ones(count, bool)
    for seed in range(divisions):
        folds = plan_hold_out(
            clips.labels, clips.groups.tolist(), clips.methods.tolist(), learn=everyone,
            test=everyone, person_folds=PARTS, method_folds=PARTS, seed=seed,
        )  # fmt: skip
        scores, llrs = np.full((2, len(folds), count), np.nan)
        inside_folds = []
        for number, fold in enumerate(folds):
            parts = divide([clips.videos[row] for row in fold.train], seed=seed)
            rows = np.asarray([place[one.path] for part in parts for one in part])
            kept = np.arange(len(rows)) < len(parts[0])
            logits, held = attempt(tried, clips, columns, rows, kept, fold.test)
            there = ~np.isnan(held)
            truth = clips.labels[rows][there]
            slope, shift = fit_line(truth, held[there])
            told = slope * held[there] + shift
            low, high = empirical_bounds(truth, told)
            scores[number, fold.test] = expit(logits)
            llrs[number, fold.test] = np.clip(slope * logits + shift, low, high)
            inside_folds.append((*inner(clips, rows, held), cllr(truth, told)))
        outer, for_fake = (
            evaluate_held_out(
                clips.labels, clips.groups, clips.methods, pairs,
                HeldOutScores(
                    scores=scores, llrs=told, called_fake=scores > 0.5, decided=~np.isnan(scores)
                ),
                rounds=10, confidence=0.95, seed=0,
            ).metrics
            for told in (llrs, np.maximum(llrs, 0))
        )  # fmt: skip
        cells = [*(outer[one].value for one in METRICS), for_fake["cllr"].value]
        found.append([*np.nanmean(inside_folds, axis=0), *cells])
    return np.asarray(found)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="some tries")
    parser.add_argument("--divisions", type=int, default=5, help="of people and programs")
    arguments = parser.parse_args()
    clips = read(arguments.manifest, arguments.features)
    print("| try | " + " | ".join(HEADINGS) + " |\n|" + " --- |" * (1 + len(HEADINGS)))
    for tried in TRIES:
        if not arguments.only or tried.name in arguments.only:
            found = run(tried, clips, divisions=arguments.divisions)
            cells = [*found.mean(0), found[:, 3].std()]
            print(
                f"| {tried.name} | " + " | ".join(f"{one:.3f}" for one in cells) + " |", flush=True
            )


if __name__ == "__main__":
    main()
