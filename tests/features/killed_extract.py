"""A whole extraction in a process that tests kill: real readers, a fast fake encoder.

    python -m tests.features.killed_extract VIDEOS STORE LOG

LOG gets a line when the store is open, when a video is begun, and when one is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import numpy as np

from data.datasets.digests import DigestCache
from data.faces.crops import Frames, read_frames
from data.video.frames import FrameRecipe
from features.extraction.engine import extract
from features.extraction.job import Job
from features.store.key import Recipe
from features.store.shard import StoredSequence
from features.store.store import FeatureStore

FRAMES = FrameRecipe(crop="full", count=4, size=32, minimum_frames=4)
RECIPE = Recipe(
    frames=FRAMES.to_json(), face_detector=None, backbone="fake", backbone_digest="ab" * 32
)
SHARD_BYTES = 1500
"""Some ten videos: sealing is worth killing, too."""
WORKERS = 2


class MeanColours:
    """A quick stand-in for the backbone; exact, whatever the batch."""

    digest = "ab" * 32
    dim = 12
    batch_size = 8

    def __call__(self, frames):
        bands = frames.reshape(self.batch_size, 4, -1, 3).astype(np.int64).sum(axis=2)
        return (bands.reshape(self.batch_size, self.dim) % 2048).astype(np.float32)


class TellingStore(FeatureStore):
    """Says what it keeps, once it is kept."""

    log: IO[str]

    def stage(self, sequence: StoredSequence) -> None:
        super().stage(sequence)
        print("kept", sequence.sha256, file=self.log, flush=True)


def extract_all(videos: Path, root: Path, log: IO[str]) -> int:
    """One run; returns the number of failures."""
    digests = DigestCache()
    paths = sorted(videos.iterdir())
    jobs = [
        Job(path=path, name=path.name, sha256=digests.sha256(path), duration_seconds=0.5)
        for path in paths
    ]
    digest_of = {job.path: job.sha256 for job in jobs}

    def read(path: Path) -> Frames:
        print("begun", digest_of[path], file=log, flush=True)
        return read_frames(path, FRAMES)

    with TellingStore(root, RECIPE, versions={"test": "1"}, shard_bytes=SHARD_BYTES) as store:
        store.log = log
        print("open", file=log, flush=True)
        summary = extract(
            jobs,
            read=read,
            encoder=MeanColours(),
            store=store,
            workers=WORKERS,
            show_progress=False,
        )
    return len(summary.failures)


if __name__ == "__main__":
    with open(sys.argv[3], "a", encoding="utf-8") as opened:
        sys.exit(extract_all(Path(sys.argv[1]), Path(sys.argv[2]), opened))
