"""How long does a full evaluation of 10,000 cached videos take?

    taskset -c 0,1 python benchmarks/evaluate.py [--videos 10000] [--frames 16] [--rounds 1000]

Simulated embeddings are written to a store and a feature set; a bundle is trained on a small part
of them. The command `unmask evaluate` is timed on all others: reading the features, scoring them
with the head and the baselines, single frames included, all intervals, and the report. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.datasets.manifest import Manifest, Video
from features.store.feature_set import publish
from features.store.key import Recipe, sequence_key
from features.store.shard import Shard, StoredSequence
from features.store.store import seal_shard
from models.backbones.registry import load_backbone

DIM = 1024
TRAINING = 200
PER_SHARD = 2000


def video(number: int, total: int) -> Video:
    """A row of the manifest: groups of four, five methods."""
    fake = number % 2
    part = "train" if number < TRAINING else "val" if number < 2 * TRAINING else "test"
    return Video(
        path=f"v/{number:06}.mp4",
        label=fake,
        group=f"g{number // 4}",
        method=f"method {number // 2 % 5}" if fake else "real",
        split=part,
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        size_bytes=100_000 + number,
        codec="h264",
        width=320,
        height=240,
        fps=25.0,
        duration_seconds=10.0,
        bit_rate=80_000,
    )


def sequence(row: Video, recipe: Recipe, frames: int, draw: np.random.Generator) -> StoredSequence:
    """Noise, a little of it told by the label and a little by the video."""
    features = draw.standard_normal((frames, DIM), np.float32)
    features[:, :20] += 0.3 * row.label + draw.standard_normal(20) * 0.5
    return StoredSequence(
        key=sequence_key(row.sha256, recipe),
        path=row.path,
        sha256=row.sha256,
        features=features.astype(np.float16),
        timestamps_seconds=np.arange(frames) / 2,
        boxes=np.zeros((frames, 4), np.float32),
        face_found=np.ones(frames, bool),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1000)
    arguments = parser.parse_args()
    total = arguments.videos + 2 * TRAINING
    backbone = load_backbone("resnet50-thin")
    recipe = Recipe(
        frames={"count": arguments.frames, "size": 224},
        face_detector=None,
        backbone=backbone.name,
        backbone_digest=backbone.digest,
        dtype="float16",
    )
    draw = np.random.default_rng(0)
    rows = [video(number, total) for number in range(total)]
    seconds = cpu = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sequences = (sequence(row, recipe, arguments.frames, draw) for row in rows)
        (folder / "shards").mkdir()
        shards = []
        for start in range(0, total, PER_SHARD):
            count = min(PER_SHARD, total - start)
            path = seal_shard(
                folder / "shards", islice(sequences, count), recipe, {},
                frame_counts=[arguments.frames] * count, first_key=f"{start:064}",
            )  # fmt: skip
            shards.append(Shard(path))
        publish(folder / "features", shards, recipe, dim=DIM, failures=[], provenance={})
        Manifest(root=folder, videos=tuple(rows)).write(folder / "manifest.csv")
        unmask = [sys.executable, "-m", "pipeline"]
        given = ["--manifest", str(folder / "manifest.csv"), "--set",
                 f"evaluate.rounds={arguments.rounds}", "--set", "train.epochs=3"]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        for command, out in (("train", "bundle"), ("evaluate", "report")):
            start, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            inputs = [folder / "bundle"] if command == "evaluate" else []
            subprocess.run(
                [*unmask, command, *map(str, inputs), str(folder / "features"), "-o",
                 str(folder / out), *given],
                check=True, env=environment, stdout=sys.stderr,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime
    figures = {
        "evaluate_10k_seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "videos": arguments.videos,
        "rounds": arguments.rounds,
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
