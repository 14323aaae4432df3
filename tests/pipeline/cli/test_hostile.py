"""Five hundred hostile files through the engine: no crash, no hang, nothing opened outside."""

from __future__ import annotations

import csv
import ctypes
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from data.datasets.digests import DigestCache
from data.errors import VideoError
from data.faces.crops import read_frames
from data.video import ffmpeg
from data.video.frames import FrameRecipe
from features.extraction.engine import extract
from features.store.feature_set import Features, publish
from features.store.store import FeatureStore
from features.store.verify import verify
from pipeline.extraction.inputs import make_jobs
from tests.data.hostile import WHOLE, make_seeds, write_hostile
from tests.features.conftest import make_recipe
from tests.requirements import missing

COUNT = 500
FRAMES = FrameRecipe(crop="full", count=4, size=32, minimum_frames=4)
IN_OPEN, IN_ACCESS = 0x20, 0x1


class Projection:
    """A quick stand-in for the backbone."""

    digest = "ab" * 32
    dim = 8
    batch_size = 16

    def __init__(self) -> None:
        self._weights = np.random.default_rng(0).standard_normal((32 * 32 * 3, self.dim))

    def __call__(self, frames):
        return (frames.reshape(len(frames), -1) @ self._weights / 1e4).astype(np.float32)


class Watch:
    """Tells how often a file was opened or read, by anybody: inotify."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(os.O_NONBLOCK)
        watched = libc.inotify_add_watch(self._handle, os.fsencode(path), IN_OPEN | IN_ACCESS)
        self.works = self._handle >= 0 and watched >= 0

    def events(self) -> int:
        """Bytes of events since the last call; 0 means that nobody looked."""
        try:
            return len(os.read(self._handle, 65536))
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self._handle)


@pytest.fixture
def outside(tmp_path):
    """A video that nothing may open, and what tells whether anybody did."""
    (tmp_path / "seeds").mkdir()
    seeds = make_seeds(tmp_path / "seeds")
    canary = tmp_path / "outside.mp4"
    shutil.copy(tmp_path / "seeds" / "seed.mp4", canary)
    watch = Watch(canary)
    yield seeds, canary, watch
    watch.close()


def test_hostile_files_harm_nobody(tmp_path, outside):
    seeds, canary, watch = outside
    folder = tmp_path / "videos"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        expected = write_hostile(folder, seeds, canary=canary, port=port, count=COUNT)
        assert len(expected) == len(list(folder.iterdir())) == COUNT
        canary.read_bytes()
        if not watch.works or not watch.events():
            missing("inotify", "this machine does not tell who opens a file")
        seconds: dict[str, float] = {}

        def read(path: Path):
            clock = time.monotonic()
            try:
                return read_frames(path, FRAMES)
            finally:
                seconds[path.name] = time.monotonic() - clock

        out, recipe = tmp_path / "features", make_recipe()
        # As a manifest would name them: a folder's playlists are passed over by their suffix.
        named = [(path.name, path, None) for path in sorted(folder.iterdir())]
        jobs, failures = make_jobs(named, DigestCache())
        assert failures == []
        with FeatureStore(tmp_path / "store", recipe, versions={}) as store:
            summary = extract(jobs, read=read, encoder=Projection(), store=store, workers=4)
            shards = {shard.path: shard for shard in store.shards.values()}
            publish(out, shards.values(), recipe, dim=8, failures=summary.failures, provenance={})
        assert watch.events() == 0
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()

    assert verify(out) == []
    assert not [one for one in threading.enumerate() if one.name.startswith("reader")]
    assert max(seconds.values()) < 30
    features = Features(out)
    with (out / "failures.csv").open(encoding="utf-8", newline="") as handle:
        failed = {row["path"]: row["class"] for row in csv.DictReader(handle)}
    wrong = {}
    for job in jobs:
        told = job.name.encode("utf-8", "backslashreplace").decode().replace("\r", "\\r")
        assert (told in failed) != (job.sha256 in features), job.name
        outcome = failed.get(told, WHOLE)
        if outcome not in expected[job.name]:
            wrong[job.name] = outcome
    assert wrong == {}
    assert len(features) > 50
    assert len(failed) > 200


def test_a_child_has_every_limit():
    shell = shutil.which("sh") or "/bin/sh"
    with ffmpeg.Child(
        [shell, "-c", "sleep 0.3; ulimit -t; ulimit -v; ulimit -c"], timeout_seconds=9
    ) as child:
        told = child.stdout.read().decode()
        child.wait_in_time("writing")
    assert told.split() == ["23", str(ffmpeg.MEMORY_BYTES // 1024), "0"]


def test_a_child_out_of_processor_time_has_timed_out():
    shell = shutil.which("sh") or "/bin/sh"
    with (
        ffmpeg.Child([shell, "-c", "kill -XCPU $$"], timeout_seconds=9) as child,
        pytest.raises(VideoError, match="more than 9 s"),
    ):
        child.wait_in_time("waiting")
