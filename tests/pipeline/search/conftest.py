"""Simulated features, and a fake training, for tests of the search."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from data.datasets.manifest import Manifest, Video
from features.store.feature_set import publish
from features.store.key import sequence_key
from features.store.shard import StoredSequence
from features.store.store import FeatureStore
from pipeline.search import runs as sweep_runs
from pipeline.search.plan import Plan, make_plan
from pipeline.search.results import RunResult
from tests.features.conftest import digest_of, make_recipe


@dataclass(frozen=True)
class Cached:
    """Features of made-up videos, and their manifest."""

    features: Path
    manifest: Path
    videos: tuple[Video, ...]


@pytest.fixture(scope="module")
def cached(tmp_path_factory) -> Cached:
    folder, recipe = tmp_path_factory.mktemp("cached"), make_recipe()
    draw = np.random.default_rng(0)
    videos = []
    with FeatureStore(folder / "store", recipe, versions={}) as store:
        names = [f"v{number:02}" for number in range(40)]
        store.begin([sequence_key(digest_of(name), recipe) for name in names])
        for number, name in enumerate(names):
            label = number % 2
            videos.append(
                Video(
                    path=f"{name}.mp4", label=label, group=name, method="real",
                    split="train" if number < 24 else "val" if number < 34 else "test",
                    sha256=digest_of(name), size_bytes=1, codec="h264", width=1, height=1,
                    fps=25.0, duration_seconds=1.0, bit_rate=1,
                )
            )  # fmt: skip
            features = draw.standard_normal((4, 8)) + 0.5 * label
            store.stage(
                StoredSequence(
                    sha256=digest_of(name), key=sequence_key(digest_of(name), recipe), path=name,
                    features=features.astype(np.float16),
                    timestamps_seconds=np.arange(4.0), boxes=np.zeros((4, 4), np.float32),
                    face_found=np.ones(4, bool),
                )
            )  # fmt: skip
        store.finish()
        shards = {shard.path: shard for shard in store.shards.values()}.values()
        publish(folder / "features", shards, recipe, dim=8, failures=[], provenance={})
    Manifest(root=folder, videos=tuple(videos)).write(folder / "manifest.csv")
    return Cached(folder / "features", folder / "manifest.csv", tuple(videos))


def plan_of(cached: Cached, grid: list[str], **changes: object) -> Plan:
    facts = {"sampler": "grid", "trials": None, "seeds": 1, "params": None, "overrides": [],
             "features": cached.features, "videos": []}  # fmt: skip
    return make_plan(grid, **facts | changes)


class Trainer:
    """Stands in for training: counts, and gives figures that depend on the parameters alone."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.stop_after = 1000

    def __call__(self, run, data, prune=None) -> RunResult:
        assert [len(part) for part in (data.train, data.val)] == [24, 10]  # never the test split
        if len(self.keys) == self.stop_after:
            raise KeyboardInterrupt
        self.keys.append(run.key)
        if run.train.learning_rate > 0.5:
            return RunResult(error="the loss is nan in epoch 1", seconds=1.0)
        auc = 0.5 + run.head.units / 1000 - run.train.learning_rate + run.seed / 100
        for epoch in range(1, 10):
            if prune is not None and prune(epoch, auc):
                return RunResult(error=f"pruned after epoch {epoch}", pruned=True, val_auc=auc,
                                 best_epoch=1, epochs=epoch, seconds=1.0)  # fmt: skip
        return RunResult(val_auc=auc, val_loss=1 - auc, best_epoch=3, epochs=9, seconds=2.0)


@pytest.fixture
def trainer(monkeypatch) -> Trainer:
    made = Trainer()
    monkeypatch.setattr(sweep_runs, "do_run", made)
    return made


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def command_of(cached: Cached, out: Path, *more: object) -> tuple[object, ...]:
    return ("sweep", cached.features, "--manifest", cached.manifest, "-o", out,
            "--seeds", 2, "--workers", 1, *more)  # fmt: skip
