"""Does fine-tuning in bfloat16 reach the validation AUC of float32?

    python benchmarks/finetune_precision.py [--seeds 3] [--people 40] [--size 96] [--epochs 5]

Rendered people, a real and a fake clip of each. For each seed half of them are validation; the
backbone is fine-tuned twice, in float32 and in bfloat16, from the same state, with the same batches
and augmentation, and the epoch that `finetune` would keep is scored on validation. The difference
of AUCs is paired; its interval draws people with replacement, the same for both precisions and all
seeds. A run of another seed in float32 gives the scale: what a reordering of the batches changes.

The last line is one JSON object: auc_float32, auc_bfloat16, auc_difference (bfloat16 less float32)
with its 95 % interval, auc_spread_of_seeds (standard deviation between float32 runs of the same
people that differ in their batches), seconds of all runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.demo import DemoConfig, write_demo
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from models.backbones.registry import load_backbone
from models.configs import FinetuneConfig
from models.early_stopping import EarlyStopping
from models.finetuning.clips import Clips
from models.finetuning.network import FinetuneNet
from models.tf_runtime import seed_everything

ROUNDS = 2000
"""Bootstrap samples."""


def crops(people: int, frames: int, size: int) -> Clips:
    """Face crops of rendered people, real and fake in turn."""
    finder, recipe = FaceFinder(), FrameRecipe(count=frames, size=size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_demo(folder, DemoConfig(people=people, seconds=1.0), workers=2)
        reals, fakes = sorted(folder.glob("real/*.mp4")), sorted(folder.glob("fake/*.mp4"))
        paths = [path for pair in zip(reals, fakes, strict=True) for path in pair]
        pixels = np.stack([read_frames(path, recipe, faces=finder).pixels for path in paths])
    return Clips(
        pixels=pixels,
        counts=np.full(len(paths), frames),
        labels=np.array([number % 2 for number in range(len(paths))], np.int8),
        groups=tuple(str(number // 2) for number in range(len(paths))),
        sha256s=tuple(map(str, range(len(paths)))),
        originals=np.full(len(paths), -1),
        failures=(),
    )


def of_people(clips: Clips, people: NDArray[np.int64]) -> Clips:
    """The clips of some people, two each, real and fake in turn."""
    rows = (2 * np.sort(people)[:, None] + [0, 1]).ravel()
    return replace(
        clips,
        pixels=clips.pixels[rows], counts=clips.counts[rows], labels=clips.labels[rows],
        groups=tuple(clips.groups[row] for row in rows),
        sha256s=tuple(clips.sha256s[row] for row in rows),
        originals=clips.originals[rows],
    )  # fmt: skip


def scores(train: Clips, val: Clips, config: FinetuneConfig, seed: int) -> NDArray[np.float64]:
    """(N,) logits of the validation clips by the epoch that `finetune` would keep."""
    seed_everything(seed)
    net = FinetuneNet(load_backbone("resnet50-thin", size=val.pixels.shape[2]), config)
    stopping = EarlyStopping(patience=config.patience)
    for epoch in range(config.epochs + 1):
        rng = np.random.default_rng((seed, epoch))
        if epoch == 0:
            row = net.fit_head(train, val, rng)
        else:
            net.train_epoch(train, rng, epoch)
            row = net.validate(val, epoch)
        if stopping.update(epoch, row["val_auc"], row["val_loss"], net.get_weights):
            break
    net.set_weights(stopping.best.weights)
    kernel, bias = net._dense.get_weights()
    logits = net._embed_clips(val) @ kernel[:, 0] + bias  # (N, F)
    return np.asarray(logits.mean(axis=1), np.float64)


def main() -> None:
    """Prints a row for each seed and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("seeds", 3), ("people", 40), ("size", 96), ("epochs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    config = FinetuneConfig(epochs=arguments.epochs, forge=0)
    clips = crops(arguments.people, config.frames_per_video, arguments.size)
    found = []  # of each seed: people, labels, logits in float32, in bfloat16, in float32 again
    for seed in range(arguments.seeds):
        people = np.random.default_rng(seed).permutation(arguments.people)
        val, train = (of_people(clips, part) for part in np.split(people, [len(people) // 2]))
        run = partial(scores, train, val)
        runs = (
            run(config.replace(precision="float32"), seed),
            run(config.replace(precision="bfloat16"), seed),
            run(config.replace(precision="float32"), seed + 1000),
        )
        found.append((np.array(val.groups, int), val.labels, *runs))
        aucs = [roc_auc_score(val.labels, one) for one in runs]
        print(
            f"seed {seed}: {len(val.labels)} validation clips, AUC float32 {aucs[0]:.4f}, bfloat16 "
            f"{aucs[1]:.4f}, float32 with other batches {aucs[2]:.4f}",
            flush=True,
        )
    aucs = np.array([[roc_auc_score(labels, one) for one in runs] for _, labels, *runs in found])
    draw = np.random.default_rng(0)
    differences = []
    for _ in range(ROUNDS):
        counts = np.bincount(
            draw.integers(arguments.people, size=arguments.people), minlength=arguments.people
        )
        drawn = []
        for groups, labels, exact, lower, _ in found:
            one, other = (
                roc_auc_score(labels, scored, sample_weight=counts[groups])
                for scored in (lower, exact)
            )
            drawn.append(one - other)
        differences.append(np.mean(drawn))
    low, high = np.percentile(differences, [2.5, 97.5])
    figures = {
        "auc_float32": round(float(aucs[:, 0].mean()), 4),
        "auc_bfloat16": round(float(aucs[:, 1].mean()), 4),
        "auc_difference": round(float((aucs[:, 1] - aucs[:, 0]).mean()), 4),
        "auc_difference_interval": [round(float(low), 4), round(float(high), 4)],
        "auc_spread_of_seeds": round(
            float(np.sqrt(((aucs[:, 0] - aucs[:, 2]) ** 2 / 2).mean())), 4
        ),
        "seconds": round(time.perf_counter() - begun),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
