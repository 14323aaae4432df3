"""Ray workers: the local engine's bytes, whatever happens to workers, and nothing said twice."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.errors import ConfigError, StoreError, ToolError
from features.cluster.engine import RayEngine, connected
from features.cluster.work_units import UnitReport, cut_units
from features.cluster.workers import worker_resources
from features.extraction.engine import extract, keep_all
from features.extraction.job import Job
from features.extraction.summary import ExtractSummary
from features.store.key import Recipe
from features.store.shard import StoredSequence
from features.store.store import FeatureStore
from features.store.verify import verify
from features.store.views import Views
from tests import requirements
from tests.conftest import add_node
from tests.features.clustered import KNOWN, VERSIONS, FakeEquipment
from tests.features.conftest import FakeEncoder, make_recipe, turned
from tests.features.fake_ray import Call, FakeRay, FakeRayError, node

ROOT = Path(__file__).parents[3]
NAMES = [f"video-{number:02d}" for number in range(22)]
NAMES[5:5] = ["bad-1"]
NAMES[15:15] = ["bad-2"]
SHARD_BYTES = 900
VIEWS = Views(count=3, augmentation={"turn": 1})


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
    gate: Path | None = None,
    gate_workers: int = 3,
) -> tuple[ExtractSummary, Any]:
    """A run over a cluster; returns its summary and who did it.

    With a gate no video is read before so many workers are ready: a slow machine starts them one
    after another, and one may do all the work.
    """
    recipe = recipe or make_recipe()
    engine = RayEngine(
        address=address,
        recipe=recipe,
        versions=VERSIONS,
        equip=KNOWN[equipped],
        files=lambda: {"pace": str(pace).encode(), "gate": str(gate or "").encode()},
        views=VIEWS,
        unit_views=4,
    )
    if gate is not None:
        threading.Thread(target=open_gate, args=(gate, engine, gate_workers), daemon=True).start()
    with Counting(root, recipe, versions=VERSIONS, shard_bytes=SHARD_BYTES) as store:
        store.then = then
        summary = keep_all(jobs, engine=engine, store=store, views=VIEWS, show_progress=False)
    return summary, engine.report


def open_gate(gate: Path, engine: RayEngine, workers: int) -> None:
    """Makes the file once so many workers are ready, or after two minutes."""
    patience = time.monotonic() + 120
    while engine.report.workers < workers and time.monotonic() < patience:
        time.sleep(0.05)
    gate.touch()


def run_here(root: Path, jobs: Sequence[Job]) -> ExtractSummary:
    """The same by the local engine."""
    equipment = FakeEquipment(FakeEncoder(), 0)
    with FeatureStore(root, make_recipe(), versions=VERSIONS, shard_bytes=SHARD_BYTES) as store:
        return extract(
            jobs, read=equipment.read, encoder=equipment.encoder, store=store, workers=2,
            views=VIEWS, augment=turned, show_progress=False,
        )  # fmt: skip


def shards(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*/shards/*")}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """Two nodes of one process."""
    made = FakeRay([node("one", CPU=2.0), node("two", CPU=1.0)])
    monkeypatch.setattr("features.cluster.engine.connected", made.connected)
    monkeypatch.setattr("features.cluster.workers.START_SECONDS", 0.0)
    return made


@pytest.mark.slow
def test_a_node_is_removed_half_way_and_the_shards_are_the_same(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.chdir(ROOT)  # where workers look for `tests`; other tests stand elsewhere
    jobs = files(tmp_path / "videos", NAMES)
    jobs.append(one_job(jobs[0].path, "again"))
    doomed = add_node(ray_cluster, num_cpus=1, num_gpus=2)
    removed: list[int] = []

    def remove(kept: int) -> None:
        """When a third is kept, and each worker has begun."""
        if not removed and kept > len(NAMES) // 3 and len(ray.nodes()) > 1:
            ray_cluster.remove_node(doomed, allow_graceful=False)
            removed.append(kept)

    summary, report = run_on_ray(
        ray_cluster.address, tmp_path / "ray", jobs, pace=0.2, then=remove, gate=tmp_path / "gate"
    )
    here = run_here(tmp_path / "here", jobs)
    assert removed
    assert report.workers >= 3  # one of the head's, and one for each GPU
    assert len(report.nodes) >= 2
    assert 1 <= report.lost <= report.repeated
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")
    assert len(shards(tmp_path / "ray")) > 3
    assert verify(tmp_path / "ray") == []
    assert (summary.done, summary.reused, summary.frames) == (here.done, here.reused, here.frames)
    assert rows(summary) == rows(here)
    assert {failure.path for failure in summary.failures} == {"bad-1", "bad-2"}


def rows(summary: ExtractSummary) -> list[Any]:
    return sorted(summary.failures, key=lambda failure: failure.path)


def test_workers_tell_which_videos_change_their_size(fake: FakeRay, tmp_path: Path) -> None:
    jobs = files(tmp_path / "videos", ["a", "resized-b", "c", "resized-d"])
    summary, _ = run_on_ray("auto", tmp_path / "ray", jobs)
    assert sorted(summary.resized) == ["resized-b", "resized-d"]
    assert sorted(run_here(tmp_path / "here", jobs).resized) == sorted(summary.resized)
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")


def test_every_way_to_lose_a_unit_ends_in_the_same_shards(fake: FakeRay, tmp_path: Path) -> None:
    jobs = files(tmp_path / "videos", NAMES)
    calls: list[str] = []

    def around(call: Call, answer: Any) -> Any:
        calls.append(call.method)
        if len(calls) % 5 == 0:
            raise FakeRayError("the worker is lost, with what it had done")
        if len(calls) % 7 == 0 and isinstance(answer, UnitReport):
            return replace(answer, shard=answer.shard[:-1] + b"?")
        return answer

    fake.around = around
    summary, report = run_on_ray("any", tmp_path / "ray", jobs)
    here = run_here(tmp_path / "here", jobs)
    assert report.lost > 1
    assert report.repeated > report.lost / 2
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")
    assert rows(summary) == rows(here)
    assert all(actor.dead for actor in fake.actors)


def test_views_come_back_with_their_videos(fake: FakeRay, tmp_path: Path) -> None:
    jobs = files(tmp_path / "videos", NAMES)
    run_on_ray("any", tmp_path / "ray", jobs[:3])  # of these, only the other views are sent out
    run_here(tmp_path / "here", jobs[:3])
    learnt = [replace(job, views=(0, 1, 2)) for job in jobs[:15]]
    jobs = [*learnt, *jobs[15:], one_job(jobs[0].path, "again")]
    sent: list[int] = []

    def around(call: Call, answer: Any) -> Any:
        if call.method == "embed":
            sent.append(sum(len(job.views) for job in call.arguments[0].jobs))
            if len(sent) % 3 == 0:
                raise FakeRayError("the worker is lost")
        return answer

    fake.around = around
    summary, report = run_on_ray("any", tmp_path / "ray", jobs)
    here = run_here(tmp_path / "here", jobs)
    assert report.repeated
    assert max(sent) <= 4
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")
    assert verify(tmp_path / "ray") == []
    assert (summary.done, summary.augmented, summary.reused) == (22, 28, 1)
    for name in ("done", "augmented", "reused", "frames", "size_bytes", "video_seconds"):
        assert getattr(summary, name) == getattr(here, name), name
    assert rows(summary) == rows(here)
    again, _ = run_on_ray("any", tmp_path / "ray", [one for one in jobs if "bad" not in one.name])
    assert (again.done, again.augmented, again.reused) == (0, 0, 23)


def test_a_unit_that_ends_every_worker_ends_the_run_and_is_named(
    fake: FakeRay, tmp_path: Path
) -> None:
    jobs = files(tmp_path / "videos", [*NAMES[:4], "deadly", *NAMES[4:]])

    def around(call: Call, answer: Any) -> Any:
        if "deadly" in str(call.arguments):
            raise FakeRayError("the worker is lost")
        return answer

    fake.around = around
    with pytest.raises(ToolError, match=r"4 attempts at deadly .*memory"):
        run_on_ray("any", tmp_path / "ray", jobs)
    assert len([actor for actor in fake.actors if actor.dead]) > 3
    jobs = [job for job in jobs if job.name != "deadly"]
    fake.around = lambda call, answer: answer
    run_on_ray("any", tmp_path / "ray", jobs)
    run_here(tmp_path / "here", jobs)
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")


def test_ctrl_c_keeps_what_came_back(fake: FakeRay, tmp_path: Path) -> None:
    jobs = files(tmp_path / "videos", NAMES)

    def interrupt(kept: int) -> None:
        if kept == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_ray("any", tmp_path / "ray", jobs, then=interrupt)
    assert all(actor.dead for actor in fake.actors)
    summary, _ = run_on_ray("any", tmp_path / "ray", jobs)
    assert summary.reused == 7
    run_here(tmp_path / "here", jobs)
    assert shards(tmp_path / "ray") == shards(tmp_path / "here")


def test_where_nothing_is_missing_no_cluster_is_asked(fake: FakeRay, tmp_path: Path) -> None:
    jobs = files(tmp_path / "videos", NAMES[:4])
    run_here(tmp_path / "store", jobs)
    summary, report = run_on_ray("any", tmp_path / "store", jobs)
    assert (summary.reused, report.workers, fake.connections) == (4, 0, 0)


def test_a_file_that_is_gone_everywhere_is_a_row_and_one_gone_there_an_error(
    fake: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = files(tmp_path / "videos", NAMES[6:12])
    jobs[3].path.unlink()
    jobs[4].path.write_text("changed")
    summary, _ = run_on_ray("any", tmp_path / "ray", jobs)
    assert summary.failed_by_class == {"unreadable": 2}
    assert {failure.path for failure in summary.failures} == {jobs[3].name, jobs[4].name}

    monkeypatch.setattr("features.cluster.work_units.not_as_sent", lambda job: "it is not there")
    with pytest.raises(ToolError, match=r"(one|two) does not have /.*video-.*shared file system"):
        run_on_ray("any", tmp_path / "other", jobs[:2])


@pytest.mark.parametrize(
    ("equipped", "kind", "told"),
    [
        ("poorly", ToolError, "has test 2, this machine has 1: .* same environment"),
        ("never", StoreError, r"^\S+: the weights are not those that were sent"),
    ],
)
def test_a_worker_that_is_not_like_the_driver_ends_the_run(
    equipped: str, kind: type, told: str, fake: FakeRay, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=told):
        run_on_ray("any", tmp_path / "ray", files(tmp_path / "videos", ["a"]), equipped=equipped)
    assert all(actor.dead for actor in fake.actors)


def test_a_bug_in_a_worker_shows_where_it_is(fake: FakeRay, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)a worker on .*clustered.py.*ZeroDivisionError"):
        run_on_ray("any", tmp_path / "ray", files(tmp_path / "videos", ["bug"]))


def test_other_weights_than_those_asked_for_are_refused(fake: FakeRay, tmp_path: Path) -> None:
    recipe = make_recipe(backbone_digest="cd" * 32)
    with pytest.raises(ToolError, match=r"other weights"):
        run_on_ray("any", tmp_path / "ray", files(tmp_path / "videos", ["a"]), recipe=recipe)


def test_a_cluster_without_room_is_told(
    fake: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.cluster.workers.READY_SECONDS", 0.0)
    monkeypatch.setattr("features.cluster.workers.TICK_SECONDS", 0.0)
    fake.cluster[:] = [node("head", CPU=0.0), node("gone", CPU=4.0) | {"Alive": False}]
    with pytest.raises(ToolError, match=r"no worker .* was ready for 0 s"):
        run_on_ray("any", tmp_path / "ray", files(tmp_path / "videos", ["a"]))


def test_a_node_that_joins_later_works_too_and_each_gpu_has_its_worker(
    fake: FakeRay, tmp_path: Path
) -> None:
    def join(kept: int) -> None:
        if len(fake.cluster) == 2:
            fake.cluster.append(node("three", CPU=8.0, GPU=2.0))

    _, report = run_on_ray("any", tmp_path / "ray", files(tmp_path / "videos", NAMES), then=join)
    assert report.nodes == {"one", "two", "three"}
    assert (report.workers, report.threads) == (4, 11)
    wanted = [(2.0, 0, "one"), (1.0, 0, "two"), (4.0, 1, "three"), (4.0, 1, "three")]
    given = [actor.options for actor in fake.actors]
    assert wanted == [
        (one["num_cpus"], one["num_gpus"], one["scheduling_strategy"][0]) for one in given
    ]


def test_resources_of_a_node() -> None:
    assert worker_resources(node("a", CPU=16.0)) == [(16.0, 0)]
    assert worker_resources(node("a", CPU=9.0, GPU=2.0)) == [(4.0, 1), (4.0, 1)]
    assert worker_resources(node("a", CPU=1.0, GPU=2.0)) == [(0.5, 1), (0.5, 1)]
    assert worker_resources(node("a", memory=1.0)) == []


def test_a_long_video_is_a_unit_of_its_own() -> None:
    lengths = [5.0, 5.0, 90.0, 5.0, 5.0, 5.0, 5.0]
    jobs = [
        Job(path=Path(str(number)), name="", sha256="", duration_seconds=seconds)
        for number, seconds in enumerate(lengths)
    ]
    units = cut_units(jobs, most=3, seconds=60)
    assert [len(unit.jobs) for unit in units] == [2, 1, 3, 1]
    assert [job for unit in units for job in unit.jobs] == jobs
    views = [replace(job, views=tuple(range(4 if job is jobs[1] else 1))) for job in jobs]
    assert [len(unit.jobs) for unit in cut_units(views, most=3)] == [1, 1, 3, 2]


def test_addresses_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements.module("ray")
    for address in ("ray://head:10001", "head", ":6379", "head:none"):
        with pytest.raises(ConfigError, match=r"host:port"), connected(address):
            pass
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ToolError, match=r"no Ray cluster answers at .*ray start"):
            connected(address).__enter__()


def test_without_ray_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolError, match=r"pip install 'unmask\[ray\]'"), connected("local"):
        pass
