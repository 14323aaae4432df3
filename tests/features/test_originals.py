"""Faces of an original for its forgeries: found once, under keys of their own, never by chance."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import StoreError, VideoError
from data.frames import Frames
from data.known_faces import KnownFaces
from features.cluster import RayEngine
from features.embed import extract, keep_all
from features.job import Job, stand_for
from features.layout import INDEX
from features.published import Features, publish, read_index, verify, write_index
from features.recipe import sequence_key
from features.sequences import load_sequences
from features.store import FeatureStore
from features.summary import ExtractSummary
from features.views import Views
from tests.features.clustered import KNOWN, VERSIONS
from tests.features.conftest import (
    FakeEncoder,
    digest_of,
    make_job,
    make_recipe,
    read_fake,
    turned,
)
from tests.features.fake_ray import FakeRay, node
from tests.features.test_sequences import row

RECIPE = make_recipe()
FORGED = {"a-fake-1": "z-real", "a-fake-2": "z-real", "b-fake": "y-real"}
NAMES = [*FORGED, "y-real", "z-real"]


def jobs_for(names: list[str], **forged: str) -> list[Job]:
    """Jobs in a manifest's order: forgeries before their originals."""
    origin = forged or FORGED
    return [
        replace(make_job(name), original=digest_of(origin[name]) if name in origin else "")
        for name in names
    ]


class Reader:
    """Takes the faces that it is given, and remembers."""

    def __init__(self) -> None:
        self.own: list[str] = []
        self.given: dict[str, KnownFaces] = {}

    def __call__(self, path: Path, known: KnownFaces | None = None) -> Frames:
        frames = read_fake(path)
        if known is None:
            self.own.append(path.name)
            return frames
        self.given[path.name] = known
        count = len(frames.pixels)
        boxes = np.resize(known.boxes, (count, 4))
        return replace(frames, boxes=boxes if count != len(known.boxes) else known.boxes)


def run(root: Path, jobs: list[Job], read: Any, **options: Any) -> ExtractSummary:
    with FeatureStore(root / "store", RECIPE, versions={}, shard_bytes=300) as store:
        views = options.get("views")
        summary = extract(
            jobs, read=read, encoder=FakeEncoder(), store=store, workers=2, progress=False,
            **options,
        )  # fmt: skip
        told = (views or Views()).sha256
        publish(
            root / "out", set(store.shards.values()), RECIPE, dim=5, failures=summary.failures,
            provenance={}, stand_for=stand_for(jobs), views=views,
            sha256s=[told(job.identity, view) for job in jobs for view in job.views],
        )  # fmt: skip
    return summary


def test_faces_are_looked_for_in_originals_alone(tmp_path: Path) -> None:
    reader = Reader()
    summary = run(tmp_path, jobs_for(NAMES), reader)
    assert sorted(reader.own) == ["y-real", "z-real"]
    assert sorted(reader.given) == sorted(FORGED)
    for fake, real in FORGED.items():
        frames = read_fake(Path(real))
        np.testing.assert_array_equal(reader.given[fake].boxes, frames.boxes)
        np.testing.assert_array_equal(reader.given[fake].found, frames.face_found)
        np.testing.assert_array_equal(
            reader.given[fake].timestamps_seconds, frames.timestamps_seconds
        )
    same = [fake for fake, real in FORGED.items()
            if len(read_fake(Path(fake)).boxes) == len(read_fake(Path(real)).boxes)]  # fmt: skip
    assert summary.shared_faces == len(same)
    assert (summary.done, summary.failures) == (5, [])
    assert verify(tmp_path / "out") == []


def test_a_later_forgery_takes_the_faces_that_are_in_the_store(tmp_path: Path) -> None:
    run(tmp_path, jobs_for(["y-real", "z-real"]), Reader())
    reader = Reader()
    summary = run(tmp_path, jobs_for(NAMES), reader)
    assert reader.own == []
    assert sorted(reader.given) == sorted(FORGED)
    assert summary.reused == 2
    again = run(tmp_path, jobs_for(NAMES), Reader())
    assert (again.done, again.reused) == (0, 5)


def test_equal_runs_seal_equal_shards(tmp_path: Path) -> None:
    run(tmp_path / "one", jobs_for(NAMES), Reader())
    run(tmp_path / "two", jobs_for(NAMES), Reader())
    names = [sorted(p.name for p in (tmp_path / one).glob("store/*/shards/*")) for one in
             ("one", "two")]  # fmt: skip
    assert names[0] == names[1]


def test_features_are_found_by_the_video(tmp_path: Path) -> None:
    views = Views(count=2, augmentation={"turn": 1})
    jobs = [replace(job, views=(0, 1)) for job in jobs_for(NAMES)]
    run(tmp_path, jobs, Reader(), views=views, augment=turned)
    features = Features(tmp_path / "out")
    assert set(features.sha256s) == {digest_of(name) for name in NAMES}
    loaded = load_sequences(features, [row(name) for name in NAMES], views=True)
    assert loaded.missing == ()
    assert loaded.viewless == 0
    assert loaded.sha256s == tuple(digest_of(name) for name in NAMES)
    encoder = FakeEncoder()
    for number, name in enumerate(NAMES):
        pixels = read_fake(Path(name)).pixels
        batch = np.zeros((8, *pixels.shape[1:]), np.uint8)
        batch[0] = pixels[0]
        np.testing.assert_array_equal(loaded.features[number][0], encoder(batch)[0])


def test_own_faces_have_another_key(tmp_path: Path) -> None:
    job = jobs_for(["b-fake"])[0]
    own = replace(job, original="")
    assert own.identity == job.sha256 != job.identity
    assert replace(job, original=digest_of("z-real")).identity != job.identity
    run(tmp_path, jobs_for(NAMES), Reader())
    reader = Reader()
    run(tmp_path, [replace(job, original="") for job in jobs_for(NAMES)], reader)
    assert sorted(reader.own) == sorted(FORGED), "what has an original's faces does not count"
    assert read_index(tmp_path / "out").get("stand_for") is None


def test_an_original_without_a_face_leaves_its_forgeries_to_themselves(tmp_path: Path) -> None:
    reader = Reader()
    jobs = jobs_for(["a-fake-1", "bad-real"], **{"a-fake-1": "bad-real"})
    summary = run(tmp_path, jobs, reader)
    assert [failure.path for failure in summary.failures] == ["bad-real"]
    assert "a-fake-1" in reader.own
    assert summary.shared_faces == 0


def test_an_original_that_may_be_read_another_time_fails_its_forgeries(tmp_path: Path) -> None:
    def slow(path: Path, known: KnownFaces | None = None) -> Frames:
        if path.name == "z-real":
            raise VideoError("timeout", "too slow")
        return read_fake(path)

    summary = run(tmp_path, jobs_for(NAMES), slow)
    failed = {failure.path: failure for failure in summary.failures}
    assert sorted(failed) == ["a-fake-1", "a-fake-2", "z-real"]
    assert failed["a-fake-1"].failure == "timeout"
    assert "z-real" in failed["a-fake-1"].message
    assert run(tmp_path, jobs_for(NAMES), Reader()).failures == []


def test_jobs_travel_with_their_faces() -> None:
    frames = read_fake(Path("z-real"))
    faces = KnownFaces(timestamps_seconds=frames.timestamps_seconds, boxes=frames.boxes,
                       found=frames.face_found)  # fmt: skip
    job = replace(jobs_for(["b-fake"])[0], faces=faces)
    back = pickle.loads(pickle.dumps(job))  # noqa: S301 - as Ray sends it
    assert back.identity == job.identity
    np.testing.assert_array_equal(back.faces.boxes, faces.boxes)


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    run(tmp_path, jobs_for(NAMES), Reader())
    facts = read_index(tmp_path / "out") | {"stand_for": ["no table"]}
    (tmp_path / "out" / INDEX).unlink()
    write_index(tmp_path / "out", facts)
    with pytest.raises(StoreError, match="damaged"):
        Features(tmp_path / "out")


def test_an_original_in_the_store_serves_whatever_happens_to_its_views(tmp_path: Path) -> None:
    """Its faces are known, so its forgeries do not fail with it."""
    run(tmp_path, jobs_for(["z-real"]), Reader())

    def slow(path: Path, known: KnownFaces | None = None) -> Frames:
        if path.name == "z-real":
            raise VideoError("timeout", "too slow")
        return Reader()(path, known)

    views = Views(count=2, augmentation={"turn": 1})
    jobs = [replace(job, views=(0, 1)) for job in jobs_for(["a-fake-1", "z-real"])]
    summary = run(tmp_path, jobs, slow, views=views, augment=turned)
    assert [failure.path for failure in summary.failures] == ["z-real"]
    assert summary.done == 1


def test_damaged_faces_fail_the_forgeries_alone(tmp_path: Path) -> None:
    run(tmp_path, jobs_for(["y-real", "z-real"]), Reader())
    sealed = sorted((tmp_path / "store").glob("*/shards/*.h5"))
    boxes = read_fake(Path("z-real")).boxes.tobytes()
    (holds,) = [path for path in sealed if boxes in path.read_bytes()]
    content = bytearray(holds.read_bytes())
    content[content.find(boxes) + 4] ^= 64
    for path in [holds, *(tmp_path / "out").glob(holds.name)]:
        path.unlink()
        path.write_bytes(content)
    summary = run(tmp_path, jobs_for(NAMES), Reader())
    failed = {failure.path: failure for failure in summary.failures}
    assert sorted(failed) == ["a-fake-1", "a-fake-2"]
    assert "store repair" in failed["a-fake-1"].message


def test_a_cluster_takes_faces_over_as_this_machine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FakeRay([node("one", CPU=2.0), node("two", CPU=1.0)])
    monkeypatch.setattr("features.cluster.connected", made.connected)
    monkeypatch.setattr("features.crew.RECRUIT_SECONDS", 0.0)
    jobs = []
    for job in jobs_for(NAMES):
        path = tmp_path / job.name
        path.write_text(job.name)
        jobs.append(replace(job, path=path, sha256=hashlib.sha256(job.name.encode()).hexdigest()))
    engine = RayEngine(
        "somewhere:1", recipe=RECIPE, versions=VERSIONS, equip=KNOWN["sharing"],
        files=lambda: {"pace": b"0"},
    )  # fmt: skip
    with FeatureStore(tmp_path / "ray", RECIPE, versions=VERSIONS) as store:
        summary = keep_all(jobs, engine=engine, store=store, progress=False)
        for job in jobs:
            if job.original:
                faces = store.sequence(sequence_key(job.original, RECIPE)).boxes
                mine = store.sequence(sequence_key(job.identity, RECIPE)).boxes
                np.testing.assert_array_equal(mine[0], faces[0])
    assert (summary.done, summary.failures) == (5, [])
    assert engine.report.workers == 2, "one crew for both waves"
