"""How fast does fine-tuning go, what does each precision gain, and does a step wait for its input?

    python benchmarks/finetune.py [--backbone resnet50-thin] [--rounds 3] [--forge 0.5]

A bare step is the same network, blocks, loss and two Adams on a batch of tensors in memory: nothing
is drawn, read, augmented or forged. An epoch is `FinetuneNet`'s on cached crops with all
augmentation of the defaults, and again with new forgeries. Each is made in float32 and in bfloat16;
"prefetch" makes each batch in a thread beside the step before; "Keras float32" is a bare step of
the layers as Keras calls them, batch normalisation as a pass of its own. They take turns in one run
and the medians count. The profile has each part's share of an epoch: the step, making batches (on a
CPU all cores make each, between steps), and Python between them; and of a run of the default
length, the frozen phase, the epochs and their validation.

The last line is one JSON object: finetune_bfloat16_vs_float32, the rate of an epoch in bfloat16
over that in float32; finetune_vs_keras_float32, the bare step over Keras's, in float32;
prefetch_vs_between, the rate of an epoch in bfloat16 with "prefetch" over that without;
finetune_vs_bare_step, the rate of an epoch over that of bare steps, and the same with forgeries;
batches_share, of an epoch with forgeries; frames_per_second of the epoch. The last four are of the
default precision.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from models.finetuning.forward_pass import cut
from models.finetuning.network import FinetuneNet
from models.finetuning.precision import resolve_precision
from models.matrix_units import matrix_unit
from models.prefetch import prefetch
from models.tf_runtime import seed_everything, tf

PEOPLE, COPIES = 4, 3
"""Rendered people, and how often each of their clips is in the training set."""

ONCE = ("validation", "frozen phase")
"""Long, not compared, and their graph is that of the network's other calls."""


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
        originals=np.full(len(paths), -1),
        failures=(),
    )


def bare_step(net: FinetuneNet, clips: Clips, config: FinetuneConfig, *, keras: bool) -> Any:
    """A step on one batch of ready tensors; `keras` calls its layers."""
    size = clips.pixels.shape[2]
    count = 2 * config.pairs_per_batch
    frames = tf.constant(
        clips.pixels[:count, : config.frames_per_clip].reshape(-1, size, size, 3)
    )  # (B * F, S, S, 3)
    labels = tf.constant(np.repeat(clips.labels[:count], config.frames_per_clip), tf.float32)
    lower, upper = net._lower, net._upper
    if keras:
        parts = cut(net.backbone.model, config.unfreeze)
        lower, upper = (_inference(part) for part in parts)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> Any:
        seen = lower(frames)
        with tf.GradientTape() as tape:
            logits = net._dense(upper(seen))[:, 0]
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        head = net._dense.trainable_weights
        slow, fast = tape.gradient(loss, [net._learning, head])
        net._apply_slow(slow)
        net._fast.apply(fast, head)
        return loss

    return step


def _inference(part: Any) -> Callable[[Any], Any]:
    return lambda frames: part(frames, training=False)


@contextmanager
def timed_parts(net: FinetuneNet) -> Iterator[Counter[str]]:
    """Seconds of the steps and of waiting for batches, within the block."""
    spent: Counter[str] = Counter()
    step, batches = net._step, net._batches

    def timed_step(*arguments: Any) -> Any:
        begun = time.perf_counter()
        result = step(*arguments)
        result[0].numpy()
        spent["step"] += time.perf_counter() - begun
        return result

    def timed_batches(*arguments: Any) -> Iterator[Any]:
        coming = batches(*arguments)
        while True:
            begun = time.perf_counter()
            item = next(coming, None)
            spent["batches"] += time.perf_counter() - begun
            if item is None:
                return
            yield item

    net._step, net._batches = timed_step, timed_batches
    try:
        yield spent
    finally:
        net._step, net._batches = step, batches


def seconds_of(call: Callable[[], object]) -> float:
    """Wall-clock seconds of a call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def bare_steps(step: Any, count: int) -> None:
    """That many steps, one after the other."""
    for _ in range(count):
        step().numpy()


def main() -> None:
    """Prints tables and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet50-thin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forge", type=float, default=0.5)
    parser.add_argument("--unfreeze", default=FinetuneConfig().unfreeze)
    arguments = parser.parse_args()
    unfreeze = arguments.unfreeze if arguments.unfreeze == "all" else int(arguments.unfreeze)
    base = FinetuneConfig(forge=arguments.forge, unfreeze=unfreeze)
    auto = resolve_precision(base)[0].precision
    seed_everything(0)
    size = load_backbone(arguments.backbone).size
    clips = crops(base.frames_per_video, size)
    forger = Forger(clips, workers=len(os.sched_getaffinity(0)))
    steps = len(clips.labels) // 2 // base.pairs_per_batch
    draw = np.random.default_rng(0)
    seconds: dict[tuple[str, str], list[float]] = {}
    parts: dict[tuple[str, str], list[Counter[str]]] = {}
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for precision in ("float32", "bfloat16"):
        config = base.replace(precision=precision)
        net = FinetuneNet(load_backbone(arguments.backbone), config)
        if precision == "float32":
            keras = bare_step(net, clips, config, keras=True)
            calls["Keras", precision] = lambda step=keras: bare_steps(step, steps)
        bare = bare_step(net, clips, config, keras=False)
        calls["bare steps", precision] = lambda step=bare: bare_steps(step, steps)
        for name, by in (("epoch", None), ("epoch, forging", forger)):

            def epoch(
                net: FinetuneNet = net, by: Any = by, key: tuple[str, str] = (name, precision)
            ) -> None:
                with timed_parts(net) as spent:
                    net.train_epoch(clips, draw, 1, by)
                parts.setdefault(key, []).append(spent)

            calls[name, precision] = epoch

        def ahead(net: FinetuneNet = net) -> None:
            batches = net._batches
            net._batches = lambda *arguments: prefetch(batches(*arguments))
            net.train_epoch(clips, draw, 1)
            net._batches = batches

        calls["prefetch", precision] = ahead
        calls["validation", precision] = lambda net=net: net.validate(clips, 1)
        calls["frozen phase", precision] = lambda net=net: net.fit_head(clips, clips, draw, forger)
    for turn in range(arguments.rounds + 1):
        for key, call in calls.items():
            if key[0] in ONCE and turn != 1:
                continue
            taken = seconds_of(call)
            if turn:  # the first one compiles
                seconds.setdefault(key, []).append(taken)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    frames = steps * 2 * base.pairs_per_batch * base.frames_per_clip
    print(f"{arguments.backbone}, unfreeze {unfreeze}, matrix unit {matrix_unit('bfloat16')}")
    shown = ("Keras", "bare steps", "epoch", "epoch, forging", "prefetch")
    for key in (key for key in medians if key[0] in shown):
        value = medians[key]
        print(f"{key[0]:<16}{key[1]:<10}{value:>8.2f} s{frames / value:>8.1f} frames/s")
    print("share of an epoch   step  batches  Python between")
    waiting = {}
    for key, rounds in parts.items():
        last = rounds[1:]
        step, wait = (statistics.median(one[name] for one in last) for name in ("step", "batches"))
        waiting[key] = wait / medians[key]
        rest = max(0.0, 1 - step / medians[key] - waiting[key])
        print(
            f"{key[0]:<14} {key[1]:<8}{step / medians[key]:>6.1%}{waiting[key]:>8.1%}{rest:>8.1%}"
        )
    print(f"run of {base.epochs} epochs   frozen phase  epochs  validation, as many videos")
    for precision in ("float32", "bfloat16"):
        one = [
            medians[name, precision] for name in ("frozen phase", "epoch, forging", "validation")
        ]
        told = (one[0], base.epochs * one[1], base.epochs * one[2])
        print(f"{precision:<20}" + "".join(f"{value:>10.1f} s" for value in told))
    bare, epoch_seconds = medians["bare steps", auto], medians["epoch", auto]
    figures = {
        "finetune_bfloat16_vs_float32": round(
            medians["epoch", "float32"] / medians["epoch", "bfloat16"], 2
        ),
        "finetune_vs_keras_float32": round(
            medians["Keras", "float32"] / medians["bare steps", "float32"], 2
        ),
        "finetune_vs_bare_step": round(bare / epoch_seconds, 3),
        "finetune_forging_vs_bare_step": round(bare / medians["epoch, forging", auto], 3),
        "prefetch_vs_between": round(
            medians["epoch", "bfloat16"] / medians["prefetch", "bfloat16"], 3
        ),
        "batches_share": round(waiting["epoch, forging", auto], 3),
        "frames_per_second": round(frames / epoch_seconds, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
