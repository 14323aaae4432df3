"""Stage one's engine: videos in, embedding sequences in the store.

Threads read videos (ffmpeg is a child of each) while this thread runs the encoder. Frames of many
videos fill one batch of fixed size, so that short videos do not starve it and so that a frame's
embedding never depends on what shares its batch. TensorFlow is not known here: the encoder is
handed in.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import StoreError, VideoError
from data.frames import Frames
from features.published import Failure
from features.recipe import sequence_key
from features.shard import StoredSequence
from features.store import FeatureStore


class Encoder(Protocol):
    """A backbone as a function of a full batch: (batch_size, S, S, 3) uint8 -> (batch_size, D)."""

    digest: str
    dim: int
    batch_size: int

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to embed.

    Attributes:
        path: the file.
        name: as the manifest or the command line has it.
        sha256: of the file, hex.
        duration_seconds: for the progress bar.
    """

    path: Path
    name: str
    sha256: str
    duration_seconds: float


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What became of one job: frames and features, or a failure.

    Attributes:
        job: the job.
        frames: as they were read; None after a failure.
        features: (T, D) float32; None after a failure.
        failure: None after a success.
    """

    job: Job
    frames: Frames | None = None
    features: NDArray[np.float32] | None = None
    failure: Failure | None = None


@dataclass(kw_only=True)
class Phases:
    """Seconds by phase: reading counts all threads together, the others this thread."""

    read: float = 0.0
    backbone: float = 0.0
    write: float = 0.0
    waiting: float = 0.0


@dataclass(kw_only=True)
class ExtractSummary:
    """What a run of `extract` did.

    Attributes:
        done: videos embedded in this run.
        reused: videos whose features were there.
        failures: videos that gave none.
        frames: embedded in this run.
        video_seconds: length of the videos embedded in this run.
        wall_seconds: of the run.
        phases: where the time went.
    """

    done: int = 0
    reused: int = 0
    failures: list[Failure] = field(default_factory=list)
    frames: int = 0
    video_seconds: float = 0.0
    wall_seconds: float = 0.0
    phases: Phases = field(default_factory=Phases)

    @property
    def failed_by_class(self) -> dict[str, int]:
        """Number of failures of each class."""
        return dict(sorted(Counter(failure.failure for failure in self.failures).items()))


def extract(
    jobs: Sequence[Job],
    *,
    read: Callable[[Path], Frames],
    encoder: Encoder,
    store: FeatureStore,
    workers: int,
    progress: bool | None = None,
) -> ExtractSummary:
    """Embeds every video that the store does not hold yet.

    Args:
        jobs: in the manifest's order; equal bytes under two names are embedded once.
        read: turns a file into frames; raises VideoError.
        encoder: the backbone.
        store: of the right recipe.
        workers: threads that read.
        progress: show a bar; None shows it on a terminal.

    Raises:
        OutputError: the store cannot be written; what is finished is kept.
        StoreError: the embeddings are not finite.
    """
    begun = time.monotonic()
    summary = ExtractSummary()
    by_key = {sequence_key(job.sha256, store.recipe): job for job in reversed(jobs)}
    keys = list(dict.fromkeys(sequence_key(job.sha256, store.recipe) for job in jobs))
    store.begin(keys)
    missing = [by_key[key] for key in keys if not store.has(key)]
    summary.reused = sum(store.has(sequence_key(job.sha256, store.recipe)) for job in jobs)
    total = sum(job.duration_seconds for job in missing)
    shape = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}{postfix}]"
    quiet = None if progress is None else not progress
    with tqdm(total=total, desc="extract", disable=quiet, bar_format=shape) as bar:
        for result in embed_videos(
            missing, read=read, encoder=encoder, workers=workers, phases=summary.phases
        ):
            key = sequence_key(result.job.sha256, store.recipe)
            if result.failure is not None:
                summary.failures.append(result.failure)
                store.fail(key)
            else:
                clock = time.monotonic()
                store.stage(_stored(result, key, store))
                summary.phases.write += time.monotonic() - clock
                summary.done += 1
                summary.frames += len(result.features)  # type: ignore[arg-type]
                summary.video_seconds += result.job.duration_seconds
            bar.update(result.job.duration_seconds)
    clock = time.monotonic()
    store.finish()
    summary.phases.write += time.monotonic() - clock
    summary.wall_seconds = time.monotonic() - begun
    return summary


def _stored(result: Embedded, key: str, store: FeatureStore) -> StoredSequence:
    """The sequence as the store keeps it.

    Raises:
        StoreError: a value is no number, or too large for the dtype: never an inf in the store.
    """
    assert result.frames is not None  # noqa: S101
    assert result.features is not None  # noqa: S101
    with np.errstate(over="ignore"):
        features = result.features.astype(store.recipe.dtype)
    if not np.isfinite(features).all():
        peak = float(np.abs(result.features).max())
        raise StoreError(
            f"the embeddings of {result.job.name} reach {peak:g}, which {store.recipe.dtype} "
            "cannot hold; set extract.dtype to float32, or check the backbone's weights"
        )
    return StoredSequence(
        sha256=result.job.sha256,
        key=key,
        path=result.job.name,
        features=features,
        timestamps_seconds=result.frames.timestamps_seconds,
        boxes=result.frames.boxes,
        face_found=result.frames.face_found,
    )


def embed_videos(
    jobs: Sequence[Job],
    *,
    read: Callable[[Path], Frames],
    encoder: Encoder,
    workers: int,
    phases: Phases | None = None,
) -> Iterator[Embedded]:
    """Reads and embeds videos; results come as they are finished, in no fixed order.

    Args:
        jobs: the videos.
        read: turns a file into frames; raises VideoError. Anything else it raises ends the run.
        encoder: the backbone.
        workers: threads that read; each holds at most one video, and as many wait.
        phases: where the time went, counted up.
    """
    phases = phases or Phases()
    batcher = _Batcher(encoder, phases)
    readers = _Readers(jobs, read, workers, phases)
    try:
        for job, frames, problem in readers.results():
            if isinstance(problem, VideoError):
                yield Embedded(
                    job=job,
                    failure=Failure(
                        path=job.name,
                        failure=problem.failure,
                        message=str(problem),
                        stderr_tail=problem.stderr_tail,
                    ),
                )
            elif problem is not None:
                problem.add_note(f"while reading {job.name}")
                raise problem
            elif frames is not None:
                yield from batcher.add(job, frames)
        yield from batcher.flush()
    finally:
        readers.stop()


class _Readers:
    """Threads that read videos ahead of the encoder, a few at a time."""

    def __init__(
        self,
        jobs: Sequence[Job],
        read: Callable[[Path], Frames],
        workers: int,
        phases: Phases,
    ) -> None:
        self._jobs = iter(jobs)
        self._total = len(jobs)
        self._read = read
        self._phases = phases
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._queue: queue.Queue[tuple[Job, Frames | None, Exception | None]] = queue.Queue(workers)
        # Daemons: after Ctrl-C nobody waits for the end of a long video.
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def results(self) -> Iterator[tuple[Job, Frames | None, Exception | None]]:
        """Every job once, with its frames or with what went wrong."""
        for _ in range(self._total):
            clock = time.monotonic()
            result = self._queue.get()
            self._phases.waiting += time.monotonic() - clock
            yield result

    def stop(self) -> None:
        """Lets no thread start another video; those in flight are left to end by themselves."""
        self._stopped.set()
        while any(thread.is_alive() for thread in self._threads):
            try:
                self._queue.get(timeout=0.02)
            except queue.Empty:
                break

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                job = next(self._jobs, None)
            if job is None:
                return
            clock = time.monotonic()
            try:
                result: tuple[Job, Frames | None, Exception | None] = (
                    job,
                    self._read(job.path),
                    None,
                )
            except Exception as error:  # noqa: BLE001 - handed to the consumer, which raises it
                result = (job, None, error)
            with self._lock:
                self._phases.read += time.monotonic() - clock
            while not self._stopped.is_set():
                try:
                    self._queue.put(result, timeout=0.1)
                    break
                except queue.Full:
                    continue


@dataclass(kw_only=True)
class _Open:
    """A video some of whose frames are still waiting for their batch."""

    job: Job
    frames: Frames
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    missing: int = 0


class _Batcher:
    """Fills batches of fixed size with frames of many videos, and gives each video its rows."""

    def __init__(self, encoder: Encoder, phases: Phases) -> None:
        self._encoder = encoder
        self._phases = phases
        self._waiting: list[tuple[_Open, int, int]] = []  # video, first frame, end
        self._count = 0

    def add(self, job: Job, frames: Frames) -> Iterator[Embedded]:
        """Takes a video; yields those that it completed."""
        video = _Open(job=job, frames=frames, missing=len(frames.pixels))
        self._waiting.append((video, 0, len(frames.pixels)))
        self._count += len(frames.pixels)
        while self._count >= self._encoder.batch_size:
            yield from self._run()

    def flush(self) -> Iterator[Embedded]:
        """Embeds the rest, the last batch filled up with black frames."""
        while self._count:
            yield from self._run()

    def _run(self) -> Iterator[Embedded]:
        size = self._encoder.batch_size
        parts: list[tuple[_Open, int, int]] = []
        room = size
        while room and self._waiting:
            video, first, end = self._waiting.pop(0)
            taken = min(room, end - first)
            parts.append((video, first, first + taken))
            if first + taken < end:
                self._waiting.insert(0, (video, first + taken, end))
            room -= taken
        self._count -= size - room
        batch = np.concatenate([video.frames.pixels[first:end] for video, first, end in parts])
        if room:
            batch = np.concatenate([batch, np.zeros((room, *batch.shape[1:]), np.uint8)])
        clock = time.monotonic()
        embeddings = self._encoder(batch)  # (B, D)
        self._phases.backbone += time.monotonic() - clock
        row = 0
        for video, first, end in parts:
            video.parts.append(embeddings[row : row + end - first].copy())
            video.missing -= end - first
            row += end - first
            if not video.missing:
                yield Embedded(
                    job=video.job, frames=video.frames, features=np.concatenate(video.parts)
                )


def where_time_went(summary: ExtractSummary, workers: int) -> dict[str, Any]:
    """Seconds by phase and the phase that binds, for the summary line."""
    phases = summary.phases
    binding = "reading" if phases.waiting > phases.backbone else "backbone"
    return {
        "read_seconds": phases.read,
        "backbone_seconds": phases.backbone,
        "write_seconds": phases.write,
        "waiting_seconds": phases.waiting,
        "workers": workers,
        "binding": binding,
    }
