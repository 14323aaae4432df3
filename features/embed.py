"""Stage one's engine: videos in, embedding sequences in the store.

Threads read videos (`features.readers`) while this thread runs the encoder on frames of many of
them (`features.batches`) and keeps what is finished. TensorFlow is not known here: the encoder is
handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.errors import StoreError, VideoError
from data.frames import Frames
from features.batches import Batcher, Encoder
from features.published import Failure
from features.readers import Readers
from features.recipe import Recipe, sequence_key
from features.shard import StoredSequence
from features.store import FeatureStore
from features.summary import ExtractSummary, Phases


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


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What is to be kept of one job.

    Attributes:
        job: the job.
        sequence: None after a failure.
        failure: None after a success.
    """

    job: Job
    sequence: StoredSequence | None = None
    failure: Failure | None = None


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

    def engine(missing: Sequence[Job], phases: Phases) -> Generator[Finished, None, None]:
        results = embed_videos(missing, read=read, encoder=encoder, workers=workers, phases=phases)
        with closing(results):
            for result in results:
                yield finished(result, store.recipe)

    return keep_all(jobs, engine=engine, store=store, progress=progress)


Engine = Callable[[Sequence[Job], Phases], Generator[Finished, None, None]]
"""Embeds jobs, each key once, and yields every one of them in any order; counts time up."""


def keep_all(
    jobs: Sequence[Job],
    *,
    engine: Engine,
    store: FeatureStore,
    progress: bool | None = None,
) -> ExtractSummary:
    """Lets an engine embed what the store does not hold, and keeps each result as it comes.

    Args:
        jobs: as `extract` takes them.
        engine: is not started where nothing is missing.
        store: open for writing.
        progress: as in `extract`.

    Raises:
        OutputError: the store cannot be written.
    """
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
    results = engine(list(missing.values()), summary.phases)
    bar = tqdm(total=total, desc="extract", disable=quiet, bar_format=shape)
    with bar, closing(results):
        for result in results if missing else ():
            key = sequence_key(result.job.sha256, store.recipe)
            if result.failure is not None:
                same = [replace(result.failure, path=job.name) for job in named[key]]
                summary.failures += same
                store.fail(key)
            elif (sequence := result.sequence) is not None:
                clock = time.monotonic()
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


def finished(result: Embedded, recipe: Recipe) -> Finished:
    """A result as the store keeps it.

    Raises:
        StoreError: a value is no number, or too large for the dtype: never an inf in the store.
    """
    if result.frames is None or result.features is None:
        return Finished(job=result.job, failure=result.failure)
    with np.errstate(over="ignore"):
        features = result.features.astype(recipe.dtype)
    if not np.isfinite(features).all():
        peak = float(np.abs(result.features).max())
        raise StoreError(
            f"the embeddings of {result.job.name} reach {peak:g}, which {recipe.dtype} "
            "cannot hold; set extract.dtype to float32, or check the backbone's weights"
        )
    sequence = StoredSequence(
        sha256=result.job.sha256,
        key=sequence_key(result.job.sha256, recipe),
        path=result.job.name,
        features=features,
        timestamps_seconds=result.frames.timestamps_seconds,
        boxes=result.frames.boxes,
        face_found=result.frames.face_found,
    )
    return Finished(job=result.job, sequence=sequence)


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
