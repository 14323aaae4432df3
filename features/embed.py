"""Stage one's engine: videos in, embedding sequences in the store.

Threads read videos (`features.readers`) while this thread runs the encoder on frames of many of
them (`features.batches`) and keeps what is finished. TensorFlow is not known here: the encoder is
handed in.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import StoreError, VideoError
from data.frames import Frames
from features.batches import Batcher, Encoder
from features.published import Failure
from features.readers import Readers
from features.recipe import sequence_key
from features.shard import StoredSequence
from features.store import FeatureStore


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
    """Seconds by phase: reading counts all threads together, the others this thread.

    Of reading, `faces` is the share that the caller knows to be the search for faces.
    """

    read: float = 0.0
    faces: float = 0.0
    backbone: float = 0.0
    write: float = 0.0
    waiting: float = 0.0


@dataclass(kw_only=True)
class ExtractSummary:
    """What a run of `extract` did.

    Attributes:
        done: videos embedded in this run.
        reused: videos whose features were there, or came with a file of the same bytes.
        failures: videos that gave none; they are tried again by the next run.
        frames: embedded in this run.
        size_bytes: rows written in this run.
        video_seconds: length of the videos embedded in this run.
        wall_seconds: of the run.
        phases: where the time went.
    """

    done: int = 0
    reused: int = 0
    failures: list[Failure] = field(default_factory=list)
    frames: int = 0
    size_bytes: int = 0
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

    Whatever ends it early (Ctrl-C, a full disk, a bug), finished videos stay in the store's
    staging, and the next run goes on from there to the same shards.

    Args:
        jobs: in the manifest's order; equal bytes under two names are embedded once.
        read: turns a file into frames; raises VideoError. Anything else it raises ends the run.
        encoder: the backbone of the store's recipe.
        store: open for writing.
        workers: threads that read.
        progress: show a bar; None shows it on a terminal.

    Raises:
        OutputError: the store cannot be written.
        StoreError: embeddings are not finite, or too large for the dtype.
        ValueError: the encoder is not of the store's recipe: our bug.
    """
    if encoder.digest != store.recipe.backbone_digest:
        raise ValueError(
            f"encoder must be {store.recipe.backbone_digest[:12]}, got {encoder.digest[:12]}"
        )
    begun = time.monotonic()
    summary = ExtractSummary()
    named: dict[str, list[Job]] = {}  # by key
    for job in jobs:
        named.setdefault(sequence_key(job.sha256, store.recipe), []).append(job)
    store.begin(list(named))
    missing = {key: same[0] for key, same in named.items() if not store.has(key)}
    summary.reused = sum(len(same) for key, same in named.items() if key not in missing)
    total = sum(job.duration_seconds for job in missing.values())
    shape = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}{postfix}]"
    quiet = True if not missing else None if progress is None else not progress
    results = embed_videos(
        list(missing.values()), read=read, encoder=encoder, workers=workers, phases=summary.phases
    )
    bar = tqdm(total=total, desc="extract", disable=quiet, bar_format=shape)
    with bar, closing(results):
        for result in results:
            key = sequence_key(result.job.sha256, store.recipe)
            if result.failure is not None:
                same = [replace(result.failure, path=job.name) for job in named[key]]
                summary.failures += same
                store.fail(key)
            else:
                clock = time.monotonic()
                sequence = _stored(result, key, store)
                store.stage(sequence)
                summary.phases.write += time.monotonic() - clock
                summary.done += 1
                summary.reused += len(named[key]) - 1
                summary.frames += len(sequence.features)
                summary.size_bytes += sequence.nbytes
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
) -> Generator[Embedded, None, None]:
    """Reads and embeds videos; results come as they are finished, in no fixed order.

    Args:
        jobs: the videos.
        read: turns a file into frames; raises VideoError. Anything else it raises ends the run.
        encoder: the backbone.
        workers: threads that read; each holds at most one video, and as many wait.
        phases: where the time went, counted up.
    """
    batcher: Batcher[tuple[Job, Frames]] = Batcher(encoder)
    readers = Readers(jobs, read, workers=workers)
    try:
        for job, frames, problem in readers.outcomes():
            if isinstance(problem, VideoError):
                yield Embedded(job=job, failure=_failure(job, problem))
            elif problem is not None:
                problem.add_note(f"while reading {job.name}")
                raise problem
            elif frames is not None:
                for tag, features in batcher.add((job, frames), frames.pixels):
                    yield Embedded(job=tag[0], frames=tag[1], features=features)
        for tag, features in batcher.flush():
            yield Embedded(job=tag[0], frames=tag[1], features=features)
    finally:
        readers.stop()
        if phases is not None:
            phases.read += readers.read_seconds
            phases.waiting += readers.waited_seconds
            phases.backbone += batcher.seconds


def _failure(job: Job, error: VideoError) -> Failure:
    return Failure(
        path=job.name, failure=error.failure, message=str(error), stderr_tail=error.stderr_tail
    )


def where_time_went(summary: ExtractSummary, workers: int) -> dict[str, Any]:
    """Seconds by phase and the phase that binds, for the summary line.

    Waiting for readers, the backbone and writing share one thread: the longest of them binds.
    """
    phases = summary.phases
    shares = {"reading": phases.waiting, "backbone": phases.backbone, "writing": phases.write}
    binding = max(shares, key=lambda name: shares[name])
    return {
        "decode_seconds": phases.read - phases.faces,
        "faces_seconds": phases.faces,
        "backbone_seconds": phases.backbone,
        "write_seconds": phases.write,
        "waiting_seconds": phases.waiting,
        "workers": workers,
        "binding": binding,
    }
