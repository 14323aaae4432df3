"""What does an epoch of fine-tuning cost beyond its training steps?

    python benchmarks/finetune.py [--backbone resnet50-thin] [--rounds 3] [--forge 0.5]

A bare step is the same network, blocks, loss and two Adams on a batch of tensors in memory: nothing
is drawn, read, augmented or forged. An epoch is `FinetuneNet`'s on cached crops with all
augmentation of the defaults, and again with new forgeries. They take turns in one run and the
medians count. The last line is one JSON object: finetune_vs_bare_step, the rate of an epoch over
that of bare steps; finetune_forging_vs_bare_step, the same with forgeries; frames_per_second of the
epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.demo import DemoConfig, write_demo
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from models.backbones.registry import load_backbone
from models.configs import FinetuneConfig
from models.finetuning.clips import Clips
from models.finetuning.forging import Forger
from models.finetuning.network import FinetuneNet
from models.tf_runtime import tf

PEOPLE, COPIES = 4, 10
"""Rendered people, and how often each of their clips is in the training set."""


def crops(frames: int, size: int) -> Clips:
    """Face crops of rendered people, real and forged in turn, in memory."""
    finder, recipe = FaceFinder(), FrameRecipe(count=frames, size=size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_demo(folder, DemoConfig(people=PEOPLE, seconds=1.0), workers=2)
        reals, fakes = sorted(folder.glob("real/*.mp4")), sorted(folder.glob("fake/*.mp4"))
        paths = [path for pair in zip(reals, fakes, strict=True) for path in pair] * COPIES
        read = {path: read_frames(path, recipe, faces=finder).pixels for path in set(paths)}
    names = tuple(str(number // 2) for number in range(len(paths)))
    return Clips(
        pixels=np.stack([read[path] for path in paths]),
        counts=np.full(len(paths), frames),
        labels=np.array([number % 2 for number in range(len(paths))], np.int8),
        groups=names,
        sha256s=tuple(map(str, range(len(paths)))),
        failures=(),
    )


def bare_steps(net: FinetuneNet, clips: Clips, config: FinetuneConfig, steps: int) -> float:
    """Seconds of this many steps on one batch of ready tensors."""
    size = clips.pixels.shape[2]
    count = 2 * config.pairs_per_batch
    frames = tf.constant(
        clips.pixels[:count, : config.frames_per_clip].reshape(-1, size, size, 3)
    )  # (B * F, S, S, 3)
    labels = tf.constant(np.repeat(clips.labels[:count], config.frames_per_clip), tf.float32)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> Any:
        lower = net._lower(frames, training=False)
        with tf.GradientTape() as tape:
            logits = net._dense(net._upper(lower, training=False))[:, 0]
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        head = net._dense.trainable_weights
        slow, fast = tape.gradient(loss, [net._learning, head])
        net._apply_slow(slow)
        net._fast.apply(fast, head)
        return loss

    step().numpy()
    begun = time.perf_counter()
    for _ in range(steps):
        step().numpy()
    return time.perf_counter() - begun


def main() -> None:
    """Prints a table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet50-thin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forge", type=float, default=0.5)
    arguments = parser.parse_args()
    config = FinetuneConfig(forge=arguments.forge)
    backbone = load_backbone(arguments.backbone)
    clips = crops(config.frames_per_video, backbone.size)
    net = FinetuneNet(backbone, config)
    forger = Forger(clips, workers=len(os.sched_getaffinity(0)))
    steps = len(clips.labels) // 2 // config.pairs_per_batch
    draw = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {"bare steps": [], "epoch": [], "epoch, forging": []}
    for turn in range(arguments.rounds + 1):
        spent = {"bare steps": bare_steps(net, clips, config, steps)}
        for name, by in (("epoch", None), ("epoch, forging", forger)):
            begun = time.perf_counter()
            net.train_epoch(clips, draw, 1, by)
            spent[name] = time.perf_counter() - begun
        for name, value in spent.items():
            if turn:  # the first one compiles
                seconds[name].append(value)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    frames = steps * 2 * config.pairs_per_batch * config.frames_per_clip
    for name, value in medians.items():
        print(f"{name:<16}{value:>8.2f} s{frames / value:>8.1f} frames/s")
    bare = medians["bare steps"]
    figures = {
        "finetune_vs_bare_step": round(bare / medians["epoch"], 3),
        "finetune_forging_vs_bare_step": round(bare / medians["epoch, forging"], 3),
        "frames_per_second": round(frames / medians["epoch"], 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
