"""Ray workers: the local engine's bytes, whatever happens to workers, and nothing said twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data.errors import ConfigError, StoreError, ToolError
from features.cluster import RayEngine, connected
from features.crew import rooms
from features.embed import Job, extract, keep_all
from features.published import verify
from features.recipe import Recipe
from features.shard import StoredSequence
from features.store import FeatureStore
from features.summary import ExtractSummary
from tests.features.clustered import KNOWN, VERSIONS, FakeEquipment
from tests.features.conftest import FakeEncoder, make_recipe

NAMES = [f"video-{number:02d}" for number in range(36)]
NAMES[5:5] = ["bad-1"]
NAMES[20:20] = ["bad-2"]
SHARD_BYTES = 900


def files(folder: Path, names: Sequence[str]) -> list[Job]:
    """Files that hold their own names, and jobs for them; the last is a copy of the first."""
    folder.mkdir(exist_ok=True)
    jobs = []
    for name in names:
        (folder / name).write_text(name)
        jobs.append(one_job(folder / name))
    return jobs


def one_job(path: Path, name: str | None = None) -> Job:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Job(path=path, name=name or path.name, sha256=sha256, duration_seconds=1.0)


class Counting(FeatureStore):
    """Calls back after each sequence that is kept."""

    then: Callable[[int], None]
    kept = 0

    def stage(self, sequence: StoredSequence) -> None:
        super().stage(sequence)
        self.kept += 1
        self.then(self.kept)


def run_on_ray(
    address: str,
    root: Path,
    jobs: Sequence[Job],
    *,
    equipped: str = "well",
    pace: float = 0.0,
    then: Callable[[int], None] = lambda _: None,
    recipe: Recipe | None = None,
) -> tuple[ExtractSummary, Any]:
    """A run over a cluster; returns its summary and who did it."""
    recipe = recipe or make_recipe()
    engine = RayEngine(
        address,
        recipe=recipe,
        versions=VERSIONS,
        equip=KNOWN[equipped],
        files=lambda: {"pace": str(pace).encode()},
        unit_videos=4,
    )
    with Counting(root, recipe, versions=VERSIONS, shard_bytes=SHARD_BYTES) as store:
        store.then = then
        summary = keep_all(jobs, engine=engine, store=store, progress=False)
    return summary, engine.report


def run_here(root: Path, jobs: Sequence[Job]) -> ExtractSummary:
    """The same by the local engine."""
    equipment = FakeEquipment(FakeEncoder(), 0)
    with FeatureStore(root, make_recipe(), versions=VERSIONS, shard_bytes=SHARD_BYTES) as store:
        return extract(
            jobs, read=equipment.read, encoder=equipment.encoder, store=store, workers=2,
            progress=False,
        )  # fmt: skip


def shards(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*/shards/*")}


def test_a_node_is_removed_half_way_and_the_shards_are_the_same(
    ray_cluster: Any, tmp_path: Path
) -> None:
    jobs = files(tmp_path / "videos", NAMES)
    jobs.append(one_job(jobs[0].path, "again"))
    doomed = ray_cluster.add_node(num_cpus=1, num_gpus=2, object_store_memory=256 << 20)
    removed: list[float] = []

    def remove(kept: int) -> None:
        if kept > len(NAMES) // 3 and not removed and engine_is_everywhere():
            ray_cluster.remove_node(doomed, allow_graceful=False)
            removed.append(kept)

    def engine_is_everywhere() -> bool:
        import ray

        used = [node for node in ray.nodes() if node["Alive"]]
        return len(used) == 3

    begun = time.monotonic()
    summary, report = run_on_ray(ray_cluster.address, tmp_path / "ray", jobs, pace=0.2, then=remove)
    print(time.monotonic() - begun, report)
    here = run_here(tmp_path / "here", jobs)
    assert removed
    assert report.lost >= 1
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")
    assert len(shards(tmp_path / "ray")) > 3
    assert verify(tmp_path / "ray") == []
    assert (summary.done, summary.reused, summary.frames) == (here.done, here.reused, here.frames)
    key = lambda failure: failure.path  # noqa: E731
    assert sorted(summary.failures, key=key) == sorted(here.failures, key=key)
    assert {failure.path for failure in summary.failures} == {"bad-1", "bad-2"}
