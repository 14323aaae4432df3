"""Parts of benchmarks/train.py that train from cached features on disk, as `unmask train` does."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
STEPS, DIM = 32, 2048
EPOCHS = 30
SHIFT, NO_SHIFT = 0.4, 0.0
"""With the first the LSTM finds more than its linear model and is kept; with the other there is
nothing to find, and it is left out."""
LIMIT_BYTES = 512 << 20
LARGE_VIDEOS = 8192


def cached_videos(folder: Path, count: int, *, shift: float = SHIFT) -> Path:
    """Publishes made-up features of `count` videos, and their manifest; 70, 15, 15 percent.

    `shift` is how far fakes lie from reals in 16 dimensions.
    """
    from data.datasets.manifest import Manifest, Video
    from data.io.reading import file_sha256
    from features.store.feature_set import publish
    from features.store.key import Recipe, sequence_key
    from features.store.shard import Shard, StoredSequence, write_shard

    recipe = Recipe(
        frames={"count": STEPS, "size": 224},
        face_detector=None,
        backbone="resnet50-imagenet",
        backbone_digest="00" * 32,
    )
    draw = np.random.default_rng(0)
    videos = [
        Video(
            path=f"v/{number:06}.mp4",
            label=number % 2,
            group=f"g{number // 2}",
            method="made up" if number % 2 else "real",
            split="train" if number < 0.7 * count else "val" if number < 0.85 * count else "test",
            sha256=hashlib.sha256(str(number).encode()).hexdigest(),
            size_bytes=100_000 + number,
            codec="h264",
            width=640,
            height=360,
            fps=25.0,
            duration_seconds=10.0,
            bit_rate=80_000,
        )
        for number in range(count)
    ]

    def stored(part: list[Video]) -> Iterator[StoredSequence]:
        for video in part:
            features = draw.standard_normal((STEPS, DIM), np.float32)
            features[:, :16] += shift * video.label + 0.5 * draw.standard_normal(16)
            yield StoredSequence(
                sha256=video.sha256,
                key=sequence_key(video.sha256, recipe),
                path=video.path,
                features=features.astype(np.float16),
                timestamps_seconds=np.arange(STEPS) / 3,
                boxes=np.zeros((STEPS, 4), np.float32),
                face_found=np.ones(STEPS, bool),
            )

    shards = []
    for start in range(0, count, 2000):  # past the staging of each
        part = videos[start : start + 2000]
        path = folder / "new"
        write_shard(path, stored(part), recipe, {}, frame_counts=[STEPS] * len(part))
        shards.append(Shard(path.rename(folder / f"shard-{file_sha256(path)}.h5")))
    publish(folder / "features", shards, recipe, dim=DIM, failures=[], provenance={})
    Manifest(root=folder, videos=tuple(videos)).write(folder / "manifest.csv")
    return folder / "features"


CONDITION = ("--set", "head.condition.kind=layernorm_l2", "--set", "head.condition.dimensions=128")
"""The features' first linear map, fitted once and kept; "none" is the full width."""
NO_RATIOS = ("--set", "calibration.folds=0")
"""No further heads are trained on folds, to fit likelihood ratios on their scores."""
GRID = ("head.units=64,128", "head.dropout=0.4,0.6", "head.input_dropout=0.4,0.8",
        "train.learning_rate=5e-4,1e-3", "train.batch_size=32,64")  # fmt: skip
"""32 settings."""
QUICK_GRID = ("head.units=64,128", "train.batch_size=32,64")
"""4 settings, each as long as eight of GRID, to estimate a sweep by."""


def experiment(
    videos: int = 1000,
    *,
    options: tuple[str, ...] = CONDITION,
    seeds: int = 1,
    shift: float = SHIFT,
) -> dict[str, float]:
    """`unmask train` with these options for 30 epochs and `unmask evaluate`, from start to end.

    With nothing conditioned before, in the first run; the next seeds find it in the cache.

    Returns:
        "seconds" and "cpu_seconds" of the first run, "train_seconds" of it, "epochs" that its LSTM
        is kept from, 0 where it is left out, and "auc", the mean test AUC over the seeds.
    """
    found: dict[str, float] = {}
    aucs = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        features = cached_videos(folder, videos, shift=shift)
        known = ["--manifest", str(folder / "manifest.csv"), "-o"]
        for seed in range(1, 1 + seeds):
            train = ["train", str(features), *known, str(folder / "bundle"),
                     "--set", f"train.epochs={EPOCHS}", "--set", f"train.patience={EPOCHS}",
                     "--set", f"seed={seed}", *options]  # fmt: skip
            evaluate = ["evaluate", str(folder / "bundle"), str(features), *known,
                        str(folder / "report")]  # fmt: skip
            begun, spent = time.perf_counter(), _children_cpu_seconds()
            _unmask(train, folder)
            trained = time.perf_counter()
            _unmask(evaluate, folder)
            if not found:
                found["seconds"] = time.perf_counter() - begun
                found["train_seconds"] = trained - begun
                found["cpu_seconds"] = _children_cpu_seconds() - spent
                facts = json.loads((folder / "bundle" / "bundle.json").read_text())
                found["epochs"] = facts["head"]["best_epoch"] - 1
            metrics = json.loads((folder / "report" / "metrics.json").read_text())
            aucs.append(metrics["lstm"]["auc"])
    return found | {"auc": statistics.fmean(aucs)}


def sweep(videos: int = 1000, *, grid: tuple[str, ...] = GRID) -> float:
    """Seconds of `unmask sweep` of a grid with 3 seeds for each setting, from start to end."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        features = cached_videos(folder, videos)
        axes = [word for axis in grid for word in ("--grid", axis)]
        command = ["sweep", str(features), "--manifest", str(folder / "manifest.csv"),
                   "-o", str(folder / "sweep"), *axes, "--seeds", "3",
                   "--set", f"train.epochs={EPOCHS}", *CONDITION]  # fmt: skip
        begun = time.perf_counter()
        _unmask(command, folder)
        return time.perf_counter() - begun


def _children_cpu_seconds() -> float:
    """User and system time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _unmask(command: list[str], folder: Path) -> None:
    """Runs a command in a folder of its own, where it keeps what it caches."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed unmask is compiled
    subprocess.run(
        [sys.executable, "-m", "pipeline", *command],
        check=True, cwd=folder, stdout=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


def extraction(clips: Path, videos: int = 1000) -> float | None:
    """Seconds that extracting as many videos like the folder's takes, 32 frames, ResNet50.

    Random weights cost what others do. Loading the backbone is not counted.
    """
    from functools import partial

    from data.datasets.digests import DigestCache
    from data.faces.crops import read_frames
    from data.faces.tracker import FaceFinder
    from data.video.frames import FrameRecipe
    from features.extraction.engine import extract
    from features.store.key import Recipe
    from features.store.store import FeatureStore
    from models.backbones.encoder import make_encoder
    from models.backbones.registry import load_backbone
    from pipeline.extraction.inputs import make_jobs, named_videos
    from pipeline.machine import cores

    if not clips.is_dir():
        return None
    recipe, finder = FrameRecipe(count=STEPS), FaceFinder()
    network = load_backbone("resnet50-random")
    encoder = make_encoder(network)
    encoder(np.zeros((32, 224, 224, 3), np.uint8))
    known = Recipe(
        frames=recipe.to_json(),
        face_detector=finder.digest,
        backbone=network.name,
        backbone_digest=network.digest,
    )
    jobs, _ = make_jobs(named_videos(clips, None), DigestCache())
    with (
        tempfile.TemporaryDirectory() as scratch,
        FeatureStore(Path(scratch), known, versions={}) as store,
    ):
        read = partial(read_frames, recipe=recipe, faces=finder)
        summary = extract(jobs, read=read, encoder=encoder, store=store, workers=cores())
    return summary.wall_seconds / summary.done * videos


def input_share(rounds: int = 5) -> float:
    """Share of an epoch that the training loop waits for its batches."""
    from data.datasets.manifest import Manifest
    from features.sequences.dataset import load_sequences
    from features.store.feature_set import Features
    from models.configs import HeadConfig
    from models.heads.architectures import build_head
    from models.heads.descent.adam import Adam
    from models.heads.descent.batches import head_batches
    from models.heads.descent.step import train_step
    from models.linear.statistics import frame_statistics

    shares = []
    with tempfile.TemporaryDirectory() as scratch:
        features = Features(cached_videos(Path(scratch), 1000))
        rows = Manifest.read(Path(scratch) / "manifest.csv")
        train = load_sequences(features, rows.split("train"))
        mean, variance = frame_statistics(train.features, train.mask)
        model = build_head(HeadConfig(), dim=DIM, mean=mean, variance=variance)
        step = train_step(model, Adam(model.trainable_variables), dtype="float16")
        draw, weights = np.random.default_rng(0), np.ones(len(train), np.float32)
        for turn in range(rounds + 1):
            begun, waited = time.perf_counter(), 0.0
            batches = head_batches(train, weights, draw, batch_size=32)
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                waited += time.perf_counter() - asked
                if batch is None:
                    break
                losses, scores = step(*batch.inputs)
                losses.numpy(), scores.numpy()
            if turn:  # the first one compiles
                shares.append(waited / (time.perf_counter() - begun))
    return statistics.median(shares)


def step_cpu_ms(products: str, rounds: int = 5) -> float:
    """Least CPU time of a step of the default LSTM on 32 conditioned clips, in an epoch of 700."""
    from features.sequences.dataset import Sequences
    from models.configs import ConditionConfig, HeadConfig
    from models.heads.descent.shared import descent_of, variables_of

    count, dim, draw = 700, 128, np.random.default_rng(0)
    train = Sequences(
        features=draw.standard_normal((count, STEPS, dim), np.float32),
        mask=np.ones((count, STEPS), bool),
        labels=(np.arange(count) % 2).astype(np.int8),
        groups=(), methods=(), paths=(), sha256s=(),
    )  # fmt: skip
    head = HeadConfig(condition=ConditionConfig(kind="pca", dimensions=dim))
    given = {"dim": dim, "dtype": "float32", "weight_decay": 0.0, "products": products}
    descent, ones = descent_of(head, **given), np.ones(count, np.float32)
    descent.start(variables_of(descent.network), learning_rate=1e-3)
    spent = []
    for _ in range(rounds + 1):  # the first one compiles
        begun = time.process_time()
        descent.epoch(train, ones, draw, batch_size=32, extra=(np.zeros(count),))
        spent.append(time.process_time() - begun)
    return min(spent[1:]) * 1e3 / -(-count // 32)


def larger_than_memory() -> float:
    """Trains on features of twice the memory that may be taken; returns their ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        features = cached_videos(Path(scratch), LARGE_VIDEOS)
        size = sum(path.stat().st_size for path in features.glob("*.h5"))
        subprocess.run(
            [sys.executable, str(ROOT / "benchmarks" / "train.py"), "--limited", scratch],
            check=True, cwd=ROOT,
        )  # fmt: skip
    return size / LIMIT_BYTES


def train_limited(folder: Path) -> None:
    """One epoch under a limit on the process's own memory; mapped files are not under it."""
    from data.datasets.manifest import Manifest
    from features.sequences.dataset import load_sequences
    from features.store.feature_set import Features
    from models.configs import HeadConfig, TrainConfig
    from models.heads.training import train_head

    rows = Manifest.read(folder / "manifest.csv")
    features = Features(folder / "features")
    few = [load_sequences(features, rows.split(name)[:64]) for name in ("train", "val")]
    train_head(
        *few, head=HeadConfig(), config=TrainConfig(epochs=1)
    )  # what TensorFlow itself takes
    held = _status("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (held + LIMIT_BYTES,) * 2)
    train, val = (load_sequences(features, rows.split(name)) for name in ("train", "val"))
    clock = time.perf_counter()
    trained = train_head(train, val, head=HeadConfig(), config=TrainConfig(epochs=1))
    seconds = time.perf_counter() - clock
    try:
        np.ones(train.features.shape, train.features.dtype)
        raise SystemExit("the limit did not hold")
    except MemoryError:
        pass
    print(
        f"limit        {LIMIT_BYTES >> 20} MiB beside TensorFlow: an epoch of {len(train)} videos, "
        f"{train.features.dtype.itemsize * np.prod(train.features.shape) >> 20} MiB, in "
        f"{seconds:.0f} s; validation AUC {trained.history[0]['val_auc']:.3f}"
    )


def _status(name: str) -> int:
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index(f"{name}:") + 1]) << 10


def cores_and_load() -> str:
    """What the figures were measured on."""
    return f"{len(os.sched_getaffinity(0))} cores, load average {os.getloadavg()[0]:.1f}"
