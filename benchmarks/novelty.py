"""Does a bundle know what it was not trained on? Prints the share of videos that it calls novel.

    python benchmarks/novelty.py [--seeds 2] [--people 140] [--finetune] [--work FOLDER]

Bundles of rendered people (the demo of params.yaml, one for each seed) are shown their own test
split, which has other people, and real clips; a bundle of filmed people (the reals of
../shared/faces and self-made forgeries of them, split by person) is shown its own test split and
rendered people, the latter on 20 random splits of the same people, too, since one test split has
few of them. Last, logistic regression on the true fakes of ../shared/faces, in folds that hold
out people and forgery methods: accuracy and Cllr of its likelihood ratios on all videos, and on
those that are not novel.

The backbone is frozen; with --finetune it is fine-tuned on the data set of each bundle first, as
`make demo` does. Decoding and embedding take minutes; with --work they are kept for the next run.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.datasets.manifest import Manifest
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from models.applicability.novelty import Novelty
from models.applicability.novelty_fit import fit_novelty, spread_frames
from models.evaluation.baselines import fit_linear, pooled
from models.evaluation.bootstrap import group_weights
from models.evaluation.likelihood_ratio_fit import cllr, fit_likelihood_ratio
from models.hold_out.folds import make_folds
from pipeline.config import load_params

ROOT = Path(__file__).parents[1]
PARAMS = ROOT / "params.yaml"
SHARE = load_params(PARAMS).calibration.novelty
FACES, CLIPS = ROOT / "../shared/faces", ROOT / "../shared/clips"
INNER_FOLDS = 5
RANDOM_SPLITS = range(1000, 1020)
"""Seeds; the settings were chosen on others, all below 1000."""


class Workplace:
    """A folder in which commands run; what is there already is not made again."""

    def __init__(self, folder: Path, *, finetune: bool) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._finetune = finetune

    def unmask(self, *arguments: object) -> None:
        """Runs a command with the parameters of params.yaml."""
        subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, arguments), "-q"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def demo(self, seed: int, people: int) -> Path:
        """The rendered data set of a seed."""
        out = self.folder / f"demo{seed}-{people}"
        if not (out / "labels.csv").exists():
            settings = ("--set", f"demo.seed={seed}", "--set", f"demo.people={people}")
            self.unmask("demo", out, "--params", PARAMS, *settings)
        return out

    def forged(self) -> Path:
        """The reals of FACES, grouped by person as there, and self-made forgeries of them."""
        out = self.folder / "forged"
        if not (out / "labels.csv").exists():
            self.unmask("index", FACES, "-o", "reals.csv", "--params", PARAMS)
            self.unmask("forge", "reals.csv", out, "--root", FACES, "--params", PARAMS)
        return out

    def clips(self) -> Path:
        """All real clips: the reals of FACES, and CLIPS."""
        out = self.folder / "clips"
        if not out.exists():
            (out / "real").mkdir(parents=True)
            with (FACES / "labels.csv").open(newline="") as file:
                found = [FACES / row["path"] for row in csv.DictReader(file)
                         if row["label"] == "real"]  # fmt: skip
            found += [path for path in CLIPS.iterdir() if path.suffix != ".md"]
            for path in found:
                (out / "real" / path.name).symlink_to(path.resolve())
        return out

    def backbone(self, videos: Path) -> str:
        """The backbone of a bundle that is trained on these videos."""
        if not self._finetune:
            return "resnet50-thin"
        out = self.folder / f"{videos.name}.weights"
        if not out.exists():
            self._index(videos)
            weights = ("--backbone", "resnet50-thin", "-o", out, "--params", PARAMS)
            self.unmask("finetune", f"{videos.name}.csv", "--root", videos, *weights)
        return str(out)

    def features(self, videos: Path, backbone: str) -> tuple[Features, Manifest]:
        """Embeddings of a data set, and its manifest."""
        manifest = self._index(videos)
        out = self.folder / f"{videos.name}.{Path(backbone).name}"
        if not out.exists():
            given = ("--root", videos, "--backbone", backbone, "-o", out, "--store", "store")
            self.unmask("extract", manifest, *given, "--params", PARAMS)
        return Features(out), Manifest.read(manifest)

    def _index(self, videos: Path) -> Path:
        manifest = self.folder / f"{videos.name}.csv"
        if not manifest.exists():
            self.unmask("index", videos, "-o", manifest, "--params", PARAMS)
        return manifest


def load(stored: tuple[Features, Manifest], split: str = "all") -> tuple[Sequences, np.ndarray]:
    """The sequences of a split, and their mean embeddings (N, D)."""
    features, manifest = stored
    sequences = load_sequences(features, manifest.split(split))
    return sequences, pooled(sequences.features, sequences.mask)


def fit(stored: tuple[Features, Manifest]) -> Novelty:
    """As `unmask train` does."""
    (known, train), (others, val) = load(stored, "train"), load(stored, "val")
    return fitted([known, others], train, val)


def fitted(parts: Sequence[Sequences], train: np.ndarray, val: np.ndarray) -> Novelty:
    groups = [name for part in parts for name in part.groups]
    spread = spread_frames([(part.features, part.mask) for part in parts])
    found = fit_novelty(train, val, groups, share=SHARE, spread=spread)
    assert found is not None
    return found.novelty


def random_splits(
    stored: tuple[Features, Manifest], others: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """As the splits of the manifest are, a fifth of the people being tested: mean and least.

    And the share of others with the threshold, one for all splits, that flags 6 % of own videos.
    """
    sequences, means = load(stored)
    groups = np.asarray(sequences.groups)
    frames = np.stack(list(sequences.features))
    found: dict[str, list[np.ndarray]] = {}
    for seed in RANDOM_SPLITS:
        people = np.random.default_rng(seed).permutation(np.unique(groups))
        tested = np.isin(groups, people[: round(len(people) / 5)])
        known = replace(
            sequences,
            features=frames[~tested],
            mask=sequences.mask[~tested],
            groups=tuple(groups[~tested].tolist()),
        )
        novelty = fitted([known], means[~tested], means[:0])
        for name, shown in {"own": means[tested], **others}.items():
            found.setdefault(name, []).append(novelty.distance(shown))
    range_of_6 = np.quantile(np.concatenate(found["own"]), 0.94)
    figures = {f"random_{name}": mean_share(each) for name, each in found.items()}
    for name in others:
        figures[f"random_{name}_least"] = min(float(np.mean(one > 1)) for one in found[name])
        figures[f"random_{name}_at_6_of_own"] = mean_share(found[name], range_of_6)
    return figures


def mean_share(distances: Sequence[np.ndarray], threshold: float = 1) -> float:
    return float(np.mean([np.mean(one > threshold) for one in distances]))


def flagged(novelty: Novelty, means: np.ndarray) -> float:
    return float(np.mean(novelty.distance(means) > 1))


def with_and_without(stored: tuple[Features, Manifest]) -> dict[str, float]:
    """Verdicts on the true fakes, by heads and ranges that saw neither person nor method.

    In each fold the rest is split once more, by people and methods: a logistic regression of each
    inner fold gives the scores that the likelihood ratio is fitted on. So nothing of a tested
    video's person or method is known.
    """
    sequences, means = load(stored)
    labels = sequences.labels.astype(np.int64)
    groups, methods = np.asarray(sequences.groups), np.asarray(sequences.methods)
    frames = np.stack(list(sequences.features))
    llrs, novel = np.full(len(labels), np.nan), np.zeros(len(labels), bool)
    for fold in make_folds(labels, sequences.groups, sequences.methods, count=INNER_FOLDS):
        known = np.flatnonzero(fold.train)
        inner = make_folds(
            labels[known], groups[known].tolist(), methods[known].tolist(), count=INNER_FOLDS
        )
        scores = np.full(len(known), np.nan)
        for one in inner:
            learnt, held = known[one.train], known[one.test]
            head = fit_linear(means[learnt], labels[learnt], means[learnt], labels[learnt])
            scores[one.test] = head.score(means[held])
        told = ~np.isnan(scores)
        names = groups[known][told]
        ratio = fit_likelihood_ratio(
            labels[known][told],
            scores[told],
            group_weights(labels[known][told], names, rounds=50, seed=0),
            groups=len(set(names)),
            methods=len(fold.methods),
        )
        head = fit_linear(means[known], labels[known], means[known], labels[known])
        llrs[fold.test] = ratio.apply(head.score(means[fold.test]))
        learnt_from = replace(
            sequences,
            features=frames[known],
            mask=sequences.mask[known],
            groups=tuple(groups[known].tolist()),
        )
        ranged = fitted([learnt_from], means[known], means[:0])
        novel[fold.test] = ranged.distance(means[fold.test]) > 1
    tested = ~np.isnan(llrs)
    labels, llrs, novel = labels[tested], llrs[tested], novel[tested]
    right = (llrs > 0) == (labels == 1)

    def balanced(rows: np.ndarray) -> float:
        return float(np.mean([right[rows & (labels == one)].mean() for one in (0, 1)]))

    return {
        "faces_flagged": float(novel.mean()),
        "faces_balanced_accuracy": balanced(np.ones(len(labels), bool)),
        "faces_balanced_accuracy_familiar": balanced(~novel),
        "faces_cllr": cllr(labels, llrs),
        "faces_cllr_novel_say_nothing": cllr(labels, np.where(novel, 0, llrs)),
        "faces_cllr_familiar": cllr(labels[~novel], llrs[~novel]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--people", type=int, default=load_params(PARAMS).demo.people)
    parser.add_argument("--finetune", action="store_true")
    parser.add_argument("--work", type=Path, help="folder that keeps what was made")
    arguments = parser.parse_args()
    if not FACES.is_dir():
        sys.exit(f"skipped: {FACES} holds no clips")
    with tempfile.TemporaryDirectory() as made:
        place = Workplace(arguments.work or Path(made), finetune=arguments.finetune)
        figures: dict[str, float] = {}
        demos = [place.demo(seed, arguments.people) for seed in range(arguments.seeds)]
        for seed, demo in enumerate(demos):
            backbone = place.backbone(demo)
            stored = place.features(demo, backbone)
            novelty = fit(stored)
            figures[f"demo_{seed}_own_test"] = flagged(novelty, load(stored, "test")[1])
            real = load(place.features(place.clips(), backbone))[1]
            figures[f"demo_{seed}_real_clips"] = flagged(novelty, real)
            figures[f"demo_{seed}_kilobytes"] = len(novelty.content()) / 1000
        forged = place.forged()
        backbone = place.backbone(forged)
        stored = place.features(forged, backbone)
        novelty = fit(stored)
        figures["filmed_own_test"] = flagged(novelty, load(stored, "test")[1])
        shown = {
            f"demo_{seed}": load(place.features(demo, backbone))[1]
            for seed, demo in enumerate(demos)
        }
        figures |= {f"filmed_{name}": flagged(novelty, means) for name, means in shown.items()}
        found = random_splits(stored, shown)
        figures |= {f"filmed_{name}": value for name, value in found.items()}
        figures |= with_and_without(place.features(FACES.resolve(), "resnet50-thin"))
    for name, value in figures.items():
        print(f"{name:36}{value:8.3f}")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
