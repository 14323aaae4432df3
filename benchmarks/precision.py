"""Does the backbone's precision change what a head finds?

    python benchmarks/precision.py [--faces ../shared/faces] [--data demo,faces] [--keep FOLDER]

The face crops of the demo of params.yaml, and of the faces beside the checkout (real faces and
published fakes), are embedded by resnet50-thin in float32, bfloat16 and int8 and rounded to float16
as the store rounds them. In five folds disjoint by person, a logistic regression on the mean
embedding, the default head and an LSTM alone (`head.residual` false; the default head may leave its
LSTM out) are trained on one part, stopped and calibrated on another, tested on the rest; int8's
scales are fitted to the fold's training frames. For each head and precision:

- trained: AUC of heads trained on features of that precision, less that of those trained on
  float32, with its paired 95 % interval (bootstrap of people, 2000 draws);
- served: the same of the heads trained on float32, given features of that precision; and flips, the
  share of videos that change the side of the threshold then, with its interval.

Two controls say what flips mean, both of float32 alone:

- one grey level: the heads are given the same crops with noise of one grey level (each value of a
  pixel moves by -1, 0 or 1), which nobody sees, and which is less than any encoder changes;
- another seed: the LSTM is trained again with other initial weights and another order.

And the LSTM is trained on float32 features with its products in bfloat16 (`train.precision`; all
others here are trained in float32).

The last line is one JSON object: auc_change_<precision> and flips_<precision>, the largest of all
data sets and heads (auc: absolute, served and trained; each also by data set and head in `of`),
and the largest of each control, flips_grey_level, flips_seed and flips_products. --keep holds the
crops for the next run, --repeats divides the people into folds as often, each time in another way.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.demo import write_demo
from data.errors import VideoError
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from features.sequences.dataset import Sequences
from models.backbones.encoder import openvino_encoder
from models.backbones.quantization import FRAMES, quantize
from models.backbones.registry import load_backbone
from models.configs import CalibrationConfig, HeadConfig, TrainConfig
from models.evaluation.baselines import fit_linear, pooled
from models.evaluation.bootstrap import group_weights, weighted_auc
from models.evaluation.thresholds import pick_threshold
from models.heads.training import score, train_head
from pipeline.config import load_params

ROOT = Path(__file__).parents[1]
FOLDS = 5
DRAWS = 2000
PRECISIONS = ("float32", "bfloat16", "int8")
ALONE = "lstm alone"
HEADS = ("logistic", "lstm", ALONE)
CONTROLS = {
    "grey_level": "one grey level",
    "seed": "another seed",
    "products": "bfloat16 products",
}
"""Of float32 features, and their names in the table; the last is `train.precision`."""
SEEDED = ("seed", "products")
"""Of these, those that train the LSTM again; of the head that has nothing else."""


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The face crops of a data set."""

    pixels: np.ndarray  # (F, S, S, 3) uint8, of all videos one after the other
    counts: np.ndarray  # (N,) frames of each video
    labels: np.ndarray  # (N,) 1 = fake
    groups: np.ndarray  # (N,) people


def read_crops(folder: Path, recipe: FrameRecipe) -> Crops:
    """Reads the videos of a folder with labels.csv; those without a face are left out."""
    finder = FaceFinder()
    found: list[tuple[np.ndarray, int, str]] = []
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                pixels = read_frames(folder / row["path"], recipe, faces=finder).pixels
            except VideoError:
                continue
            found.append((pixels, int(row["label"] == "fake"), row["group"]))
    pixels, labels, groups = zip(*found, strict=True)
    return Crops(
        pixels=np.concatenate(pixels),
        counts=np.array([len(one) for one in pixels]),
        labels=np.array(labels),
        groups=np.array(groups),
    )


def crops_of(name: str, faces: Path, keep: Path | None) -> Crops:
    """The crops of "demo" or "faces", read or kept."""
    path = keep / f"{name}.npz" if keep else None
    if path is not None and path.is_file():
        with np.load(path) as file:
            return Crops(**file)
    params = load_params(ROOT / "params.yaml")
    if name == "faces":
        crops = read_crops(faces, FrameRecipe(count=16))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            write_demo(Path(scratch) / "demo", params.demo, workers=os.cpu_count() or 1)
            crops = read_crops(Path(scratch) / "demo", params.frames)
    if path is not None:
        np.savez(path, **vars(crops))
    return crops


def embed(encoder: Any, pixels: np.ndarray) -> np.ndarray:
    """(F, S, S, 3) -> (F, D) float16, as the store has it."""
    size = encoder.batch_size
    padded = np.zeros((-(-len(pixels) // size) * size, *pixels.shape[1:]), np.uint8)
    padded[: len(pixels)] = pixels
    parts = [encoder(padded[start : start + size]) for start in range(0, len(padded), size)]
    return np.concatenate(parts)[: len(pixels)].astype(np.float16)


def sequences(crops: Crops, features: np.ndarray, rows: np.ndarray) -> Sequences:
    """The videos of these rows, padded."""
    starts = np.cumsum(crops.counts) - crops.counts
    steps = int(crops.counts.max())
    padded = np.zeros((len(rows), steps, features.shape[1]), np.float16)
    for place, row in enumerate(rows):
        padded[place, : crops.counts[row]] = features[starts[row] :][: crops.counts[row]]
    names = tuple(map(str, rows))
    return Sequences(
        features=padded,  # type: ignore[arg-type]
        mask=np.arange(steps) < crops.counts[rows][:, None],
        labels=crops.labels[rows].astype(np.int8),
        groups=tuple(crops.groups[rows]),
        methods=names,
        paths=names,
        sha256s=names,
    )


class Head:
    """A head trained on one precision's features."""

    def __init__(
        self,
        kind: str,
        train: Sequences,
        val: Sequences,
        *,
        seed: int = 0,
        products: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        if kind == "logistic":
            inputs = [pooled(one.features, one.mask) for one in (train, val)]
            linear = fit_linear(inputs[0], train.labels, inputs[1], val.labels)
            self._score = lambda given: linear.score(pooled(given.features, given.mask))
        else:
            config = TrainConfig(epochs=40, precision=products)
            shape = HeadConfig(residual=kind != ALONE)
            trained = train_head(train, val, head=shape, config=config, seed=seed)
            self._score = lambda given: score(trained.model, given)
        self.threshold, _ = pick_threshold(val.labels, self(val), CalibrationConfig())

    def __call__(self, given: Sequences) -> np.ndarray:
        """P(fake), (N,)."""
        return self._score(given)

    def sides(self, given: Sequences) -> np.ndarray:
        """(N,) whether each is called fake."""
        return self(given) >= self.threshold


def one_grey_level(pixels: np.ndarray) -> np.ndarray:
    """The same pictures with noise that nobody sees: each value moves by -1, 0 or 1."""
    draw = np.random.default_rng(0)
    moved = [one + draw.integers(-1, 2, one.shape, np.int16) for one in pixels]
    return np.stack([np.clip(one, 0, 255).astype(np.uint8) for one in moved])


def out_of_fold(
    crops: Crops, *, precisions: tuple[str, ...], repeats: int
) -> dict[str, dict[str, np.ndarray]]:
    """Head -> name -> (R, N).

    The names are "trained <precision>" and "served <precision>", scores, and "flips <precision>",
    "flips grey_level" and "flips seed", whether a video changes side.
    """
    backbone = load_backbone("resnet50-thin", size=crops.pixels.shape[1])
    float32 = openvino_encoder(backbone, precision="float32")
    features = {
        "float32": embed(float32, crops.pixels),
        "bfloat16": embed(openvino_encoder(backbone, precision="bfloat16"), crops.pixels),
        "grey_level": embed(float32, one_grey_level(crops.pixels)),
    }
    names = [f"{what} {one}" for what in ("trained", "served", "flips") for one in precisions]
    names += [f"{what} {one}" for what in ("trained", "flips") for one in CONTROLS]
    shape = (repeats, len(crops.labels))
    found = {head: {name: np.zeros(shape) for name in names} for head in HEADS}
    videos = np.repeat(np.arange(len(crops.counts)), crops.counts)  # (F,)
    for repeat in range(repeats):
        cut = GroupKFold(FOLDS, shuffle=True, random_state=repeat)
        parts = [test for _, test in cut.split(crops.labels, groups=crops.groups)]
        for fold, test in enumerate(parts):
            val = parts[(fold + 1) % FOLDS]
            train = np.setdiff1d(np.arange(len(crops.labels)), np.concatenate([test, val]))
            if "int8" in precisions:
                frames = np.flatnonzero(np.isin(videos, train))
                count = min(FRAMES, len(frames))
                chosen = frames[np.linspace(0, len(frames) - 1, count).astype(int)]
                quantized = quantize(backbone, crops.pixels[chosen])
                encoder = openvino_encoder(quantized, precision="int8")
                features["int8"] = embed(encoder, crops.pixels)
            for head in HEADS:
                of_fold = measure_fold(head, crops, features, (train, val, test), precisions)
                for name, values in of_fold.items():
                    found[head][name][repeat, test] = values
            print(f"fold {fold + 1} of {FOLDS} done", file=sys.stderr, flush=True)
    return found


def measure_fold(
    head: str,
    crops: Crops,
    features: dict[str, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    precisions: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """What `out_of_fold` gives, of the videos of one fold; `rows` are train, val and test."""
    found = {}
    parts = {
        name: [sequences(crops, values, part) for part in rows] for name, values in features.items()
    }
    heads = {one: Head(head, *parts[one][:2]) for one in precisions}
    first = heads["float32"]
    exact = first.sides(parts["float32"][2])
    for one in precisions:
        found[f"trained {one}"] = heads[one](parts[one][2])
        found[f"served {one}"] = first(parts[one][2])
    for one in (*precisions, "grey_level"):
        found[f"flips {one}"] = first.sides(parts[one][2]) != exact
    if head == ALONE:
        tested = parts["float32"][2]
        for name, other in (
            ("seed", Head(head, *parts["float32"][:2], seed=1)),
            ("products", Head(head, *parts["float32"][:2], products="bfloat16")),
        ):
            found[f"trained {name}"] = other(tested)
            found[f"flips {name}"] = other.sides(tested) != exact
    return found


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"))
    parser.add_argument("--data", default="demo,faces")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--precisions", default=",".join(PRECISIONS[1:]))
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    precisions = (PRECISIONS[0], *args.precisions.split(","))
    figures: dict[str, Any] = {}
    of: dict[str, Any] = {}
    for data in args.data.split(","):
        crops = crops_of(data, args.faces, args.keep)
        found = out_of_fold(crops, precisions=precisions, repeats=args.repeats)
        weights = group_weights(crops.labels, crops.groups, rounds=DRAWS, seed=0)
        videos, people = len(crops.labels), len(set(crops.groups))
        print(f"{data}: {videos} videos of {people} people, {len(crops.pixels)} frames")
        for head, scores in found.items():
            exact = scores["trained float32"]
            told = mean_auc(crops.labels, exact)
            print(f"  {head:<11}{'float32':<10}AUC {told:.4f}")
            base = drawn_auc(crops.labels, exact, weights)
            for one in precisions[1:]:
                for what in ("trained", "served"):
                    mine = scores[f"{what} {one}"]
                    change = mean_auc(crops.labels, mine) - told
                    drawn = drawn_auc(crops.labels, mine, weights) - base
                    low, high = np.percentile(drawn, (2.5, 97.5))
                    line = f"  {head:<11}{one:<10}{what:<8} {change:+.4f} [{low:+.4f}, {high:+.4f}]"
                    if what == "served":
                        flips, words = share_of(scores[f"flips {one}"], weights)
                        line += f", {words} of videos change side"
                        name = f"flips_{one}"
                        figures[name] = round(max(figures.get(name, 0), flips), 4)
                    print(line, flush=True)
                    name = f"auc_change_{one}"
                    figures[name] = round(max(figures.get(name, 0), abs(change)), 4)
                    of[f"{data} {head} {one} {what}"] = round(float(change), 4)
            for one, control in CONTROLS.items():
                if one in SEEDED and head != ALONE:
                    continue
                flips, words = share_of(scores[f"flips {one}"], weights)
                line = f"  {head:<11}{'float32':<10}{control}: {words} of videos change side"
                figures[f"flips_{one}"] = round(max(figures.get(f"flips_{one}", 0), flips), 4)
                if one in SEEDED:
                    mine = scores[f"trained {one}"]
                    change = mean_auc(crops.labels, mine) - told
                    drawn = drawn_auc(crops.labels, mine, weights) - base
                    low, high = np.percentile(drawn, (2.5, 97.5))
                    line += f", AUC {change:+.4f} [{low:+.4f}, {high:+.4f}]"
                    of[f"{data} {head} {one}"] = round(float(change), 4)
                print(line, flush=True)
    print(json.dumps(figures | {"of": of}))


def mean_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The mean AUC of (R, N) scores over the repeats."""
    return float(np.mean([roc_auc_score(labels, one) for one in scores]))


def drawn_auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(DRAWS,) the same of each draw of people."""
    return np.mean([weighted_auc(labels, one, weights) for one in scores], axis=0)


def share_of(flips: np.ndarray, weights: np.ndarray) -> tuple[float, str]:
    """The share of (R, N) flips, and its text with the 95 % interval over people."""
    by_video = flips.mean(0)
    drawn = weights @ by_video / weights.sum(1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    share = float(by_video.mean())
    return share, f"{100 * share:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


if __name__ == "__main__":
    main()
