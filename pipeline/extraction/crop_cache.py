"""Face crops cached in the feature store, lossless, so that fine-tuning decodes each video once.

They have a recipe of their own: its backbone is the identity, its features are the pixels. A kill
loses no finished video, as with features. No feature set lists them, so `unmask store gc` removes
them. Extraction reads them, too: with the fine-tuned backbone no training video is decoded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Video
from data.errors import FailureClass, InputError, StoreError, VideoError
from data.faces.crops import Frames, read_frames
from data.faces.tracker import FaceFinder
from data.io.progress import log
from data.pixels_version import PIXELS_VERSION
from data.video.frames import FrameRecipe
from features.extraction.engine import Read, extract
from features.extraction.job import Job
from features.extraction.outdated import count_outdated, format_outdated
from features.store.feature_set import Failure
from features.store.key import Recipe, sequence_key
from features.store.layout import sealed_in
from features.store.shard import Shard, StoredSequence
from features.store.store import FeatureStore


class Pixels:
    """The identity as an `Encoder`: (B, S, S, 3) uint8 -> (B, S * S * 3) uint8."""

    def __init__(self, size: int) -> None:
        self.digest = hashlib.sha256(b"unmask: pixels of crops").hexdigest()
        self.dim = size * size * 3
        self.batch_size = 32

    def __call__(self, frames: NDArray[np.uint8]) -> Any:
        return frames.reshape(len(frames), -1)


@contextmanager
def cached_crops(
    jobs: Sequence[Job],
    failures: Sequence[Failure],
    frames: FrameRecipe,
    *,
    store: Path,
    versions: dict[str, str],
    workers: int,
) -> Iterator[Callable[[Video], Frames]]:
    """Reads the videos whose crops are not in the store; yields a function from video to crops.

    The function returns read-only mapped arrays; it raises VideoError for a video that could not
    be read, or that is among `failures`: those that could not be digested.

    Raises:
        LockedError: another process reads crops into the same store.
        OutputError: the store cannot be written.
    """
    faces = FaceFinder() if frames.crop == "face" else None
    encoder = Pixels(frames.size)
    recipe = crop_recipe(frames, faces.digest if faces is not None else None)
    with FeatureStore(store, recipe, versions=versions) as opened:
        for line in format_outdated(count_outdated(jobs, opened), recipe, "crops"):
            log.info(line)
        summary = extract(
            jobs,
            read=partial(read_frames, recipe=frames, faces=faces),
            encoder=encoder,
            store=opened,
            workers=workers,
        )
        failed = {one.path: one for one in (*failures, *summary.failures)}

        def crops(video: Video) -> Frames:
            if (failure := failed.get(video.path)) is not None:
                kind = cast(FailureClass, failure.failure)
                raise VideoError(kind, failure.message, stderr_tail=failure.stderr_tail)
            return as_frames(opened.sequence(sequence_key(video.sha256, recipe)), frames.size)

        yield crops


def crop_recipe(frames: FrameRecipe, face_detector: str | None) -> Recipe:
    """The recipe of the crops of these frames."""
    return Recipe(
        frames=frames.to_json(),
        face_detector=face_detector,
        backbone="pixels",
        backbone_digest=Pixels(frames.size).digest,
        dtype="uint8",
        pixels_version=PIXELS_VERSION,
    )


def as_frames(stored: StoredSequence, size: int) -> Frames:
    """Stored crops as frames; nothing is copied."""
    return Frames(
        pixels=cast(NDArray[np.uint8], stored.features).reshape(-1, size, size, 3),
        timestamps_seconds=stored.timestamps_seconds,
        boxes=stored.boxes,
        face_found=stored.face_found,
    )


class CropCache:
    """The crops of some frames that a store holds, read-only; there need be no such store.

    Attributes:
        hits: how many videos `before` took from here instead of decoding them.
    """

    def __init__(self, store: Path, frames: FrameRecipe, face_detector: str | None) -> None:
        self.hits = 0
        self._lock = Lock()
        self._size = frames.size
        self._recipe = crop_recipe(frames, face_detector)
        self._shards: dict[str, Shard] = {}
        for path in sealed_in(store / self._recipe.digest[:16]):
            try:
                shard = Shard(path)
            except (InputError, StoreError, OSError):  # `store verify` reports it; decode instead
                continue
            if shard.recipe.digest == self._recipe.digest:
                self._shards |= dict.fromkeys(shard.keys, shard)

    def get(self, sha256: str) -> Frames | None:
        """The crops of a video; None if they are not here, or damaged."""
        key = sequence_key(sha256, self._recipe)
        shard = self._shards.get(key)
        if shard is None:
            return None
        try:
            number = shard.place(key)
            if not shard.intact(number):
                return None
            return as_frames(shard.sequence(number), self._size)
        except (InputError, StoreError):
            return None

    def before(self, read: Read, jobs: Sequence[Job]) -> Read:
        """Returns a `Read` for these jobs that calls `read` only for videos without crops here."""
        digests = {job.path: job.sha256 for job in jobs}

        def read_cached(path: Path) -> Frames:
            crops = self.get(digests[path])
            if crops is None:
                return read(path)
            with self._lock:
                self.hits += 1
            return crops

        return read_cached
