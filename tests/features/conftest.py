"""A simulated recipe, videos, reader and encoder: exact, fast, without ffmpeg and TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.crops import Frames
from features.extraction.job import Job
from features.store.key import Recipe, sequence_key
from features.store.shard import StoredSequence

SIDE = 6
"""Side of the made-up crops in pixels."""


def digest_of(name: str) -> str:
    """A made-up video's sha256."""
    return hashlib.sha256(name.encode()).hexdigest()


def make_recipe(**changes: Any) -> Recipe:
    """A recipe like a real one."""
    facts: dict[str, Any] = {
        "frames": {"count": 8, "crop": "face", "margin": 1.3, "policy": "uniform", "size": SIDE},
        "face_detector": "0f" * 32,
        "backbone": "fake",
        "backbone_digest": "ab" * 32,
    }
    return Recipe(**(facts | changes))


def make_sequence(
    name: str, recipe: Recipe, *, frames: int | None = None, dim: int = 5
) -> StoredSequence:
    """A stored sequence that depends on the name alone."""
    draw = np.random.default_rng(list(name.encode()))
    count = int(draw.integers(1, 9)) if frames is None else frames
    sha256 = digest_of(name)
    return StoredSequence(
        sha256=sha256,
        key=sequence_key(sha256, recipe),
        path=f"videos/{name}.mp4",
        features=draw.standard_normal((count, dim)).astype(recipe.dtype),
        timestamps_seconds=np.cumsum(draw.random(count)),
        boxes=draw.random((count, 4)).astype(np.float32) * 100,
        face_found=draw.random(count) < 0.8,
    )


def make_job(name: str, *, same_as: str | None = None) -> Job:
    """A job for `read_fake`; `same_as` gives it the bytes of another."""
    return Job(
        path=Path(f"/nowhere/{same_as or name}"),
        name=name,
        sha256=digest_of(same_as or name),
        duration_seconds=2.0,
    )


def read_fake(path: Path) -> Frames:
    """Frames that depend on the file's name alone; a name with "bad" has none.

    With "resized" in it, the last one is of another size.
    """
    if "bad" in path.name:
        raise VideoError("no_face", f"no face in {path.name}", stderr_tail="last words")
    draw = np.random.default_rng(list(path.name.encode()))
    count = int(draw.integers(1, 14))
    return Frames(
        pixels=draw.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8),
        timestamps_seconds=np.arange(count) / 25.0,
        boxes=draw.random((count, 4)).astype(np.float32),
        face_found=draw.random(count) < 0.9,
        shown=np.asarray([(64, 48)] * (count - 1) + [(64 + 8 * ("resized" in path.name), 48)]),
    )


def turned(frames: Frames, sha256: str, view: int) -> Frames:
    """A view that depends on the video and the view's number, as a real one does."""
    return replace(frames, pixels=np.roll(frames.pixels, view + int(sha256[:2], 16) % 2, axis=1))


class FakeEncoder:
    """Integer arithmetic on pixels: exact, whatever the batch."""

    digest = "ab" * 32
    dim = 5
    batch_size = 8

    def __init__(self, then: Callable[[int], None] | None = None) -> None:
        self.calls = 0
        self._then = then
        self._weights = np.random.default_rng(0).integers(-9, 10, (SIDE * SIDE * 3, self.dim))

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert frames.shape == (self.batch_size, SIDE, SIDE, 3)
        self.calls += 1
        if self._then is not None:
            self._then(self.calls)
        exact = frames.reshape(self.batch_size, -1).astype(np.int64) @ self._weights
        return (exact % 2048).astype(np.float32)


def encoded(names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """What the features of these videos must be, frame by frame."""
    encoder = FakeEncoder()
    alone = {}
    for name in names:
        pixels = read_fake(Path(name)).pixels
        rows = []
        for frame in pixels:
            batch = np.zeros((encoder.batch_size, *frame.shape), np.uint8)
            batch[0] = frame
            rows.append(encoder(batch)[0])
        alone[name] = np.stack(rows)
    return alone


@pytest.fixture
def recipe() -> Recipe:
    """A recipe of float16 features by the fake encoder."""
    return make_recipe()
