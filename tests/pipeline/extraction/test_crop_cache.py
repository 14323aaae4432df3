"""Cached crops: the same pixels as from the file, decoded once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest, Video
from data.errors import VideoError
from data.faces.crops import Frames, read_frames
from data.video.frames import FrameRecipe
from features.extraction.job import Job
from features.store.feature_set import Failure
from features.store.verify import verify
from pipeline.extraction.crop_cache import CropCache, cached_crops
from pipeline.extraction.inputs import make_jobs
from tests.data.hostile import make_seeds

FRAMES = FrameRecipe(count=4, size=32, crop="full", minimum_frames=2)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Small videos of several makes, and one that cannot be read."""
    seeds = make_seeds(tmp_path)
    videos = []
    for number, (suffix, content) in enumerate([*seeds.items(), ("mp4", b"no video")]):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(content)
        videos.append(
            Video(
                path=path.name,
                label=number % 2,
                group=str(number),
                method="",
                split="train",
                sha256=hashlib.sha256(content).hexdigest(),
                duration_seconds=0.5,
                width=64,
                height=48,
                fps=24.0,
                codec="h264",
                size_bytes=len(content),
                bit_rate=1000,
            )
        )
    return Manifest(root=tmp_path, videos=tuple(videos))


def jobs_of(manifest: Manifest, videos: Sequence[Video]) -> tuple[list[Job], list[Failure]]:
    named = [(video.path, manifest.resolve(video), video) for video in videos]
    return make_jobs(named, DigestCache())


def test_a_file_that_changed_gives_no_crops(manifest: Manifest, tmp_path: Path) -> None:
    """Kept under the digest of the file that was indexed, they would be another video's."""
    video, other = manifest.videos[:2]
    shutil.copy(manifest.resolve(other), manifest.resolve(video))
    jobs, failures = jobs_of(manifest, [video])
    given = {"store": tmp_path / "store", "versions": {"test": "1"}, "workers": 1}
    with (
        cached_crops(jobs, failures, FRAMES, **given) as crops,
        pytest.raises(VideoError, match="changed since it was indexed"),
    ):
        crops(video)


def test_crops_are_those_of_the_file_and_read_once(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"store": tmp_path / "store", "versions": {"test": "1"}, "workers": 2}
    *good, bad = manifest.videos
    jobs, failures = jobs_of(manifest, manifest.videos)
    with cached_crops(jobs, failures, FRAMES, **given) as crops:
        for video in good:
            wanted = read_frames(manifest.resolve(video), FRAMES)
            found = crops(video)
            np.testing.assert_array_equal(found.pixels, wanted.pixels)
            np.testing.assert_array_equal(found.timestamps_seconds, wanted.timestamps_seconds)
        with pytest.raises(VideoError) as told:
            crops(bad)
        assert told.value.failure == "unreadable"
    assert verify(tmp_path / "store") == []

    def never(path: Path, **_: object) -> None:
        raise AssertionError(f"{path} must not be read again")

    monkeypatch.setattr("pipeline.extraction.crop_cache.read_frames", never)
    with cached_crops(*jobs_of(manifest, good), FRAMES, **given) as crops:
        assert crops(good[0]).pixels.shape == (4, 32, 32, 3)


def test_cached_crops_stand_for_the_file_until_a_byte_is_wrong(
    manifest: Manifest, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    *good, _ = manifest.videos
    jobs, failures = jobs_of(manifest, good)
    with cached_crops(jobs, failures, FRAMES, store=store, versions={"test": "1"}, workers=2):
        pass
    read: list[Path] = []

    def reading(path: Path, **more: object) -> Frames:
        read.append(path)
        return read_frames(path, FRAMES)

    cache = CropCache(store, FRAMES, None)
    reads = cache.before(reading, jobs)
    for job in jobs:
        np.testing.assert_array_equal(reads(job.path).pixels, read_frames(job.path, FRAMES).pixels)
    assert (read, cache.hits) == ([], len(jobs))
    other = CropCache(store, FRAMES.replace(size=40), None).before(reading, jobs)
    other(jobs[0].path)
    assert read == [jobs[0].path], "other crops are not these"

    (shard,) = (store / next(p.name for p in store.iterdir()) / "shards").iterdir()
    content = bytearray(shard.read_bytes())
    at = content.find(cache.get(jobs[0].sha256).pixels.tobytes())
    content[at + 100] ^= 1
    shard.unlink()
    shard.write_bytes(content)
    damaged = CropCache(store, FRAMES, None)
    assert damaged.get(jobs[0].sha256) is None
    assert damaged.get(jobs[1].sha256) is not None
    shard.write_bytes(b"no shard")
    assert CropCache(store, FRAMES, None).get(jobs[1].sha256) is None
