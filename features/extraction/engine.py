"""Stage one's engine: videos in, embedding sequences in the store.

Threads read videos (`features.extraction.readers`) while this thread runs the encoder on frames of
many of them (`features.extraction.batches`) and stores what is finished. The encoder is an
argument, so TensorFlow is not imported here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError, VideoError
from data.faces.crops import Frames
from data.io.progress import log, progress
from data.video.picture import count_sizes
from features.extraction.batches import Batcher, Encoder
from features.extraction.job import Embedded, Finished, Job
from features.extraction.readers import Readers
from features.extraction.summary import ExtractSummary, Phases
from features.store.feature_set import Failure
from features.store.key import Recipe, sequence_key
from features.store.shard import StoredSequence
from features.store.store import FeatureStore
from features.store.views import Views

Read = Callable[[Path], Frames]
"""The path of a file -> frames."""
Augment = Callable[[Frames, str, int], Frames]
"""Frames of a video, its sha256 and the number of a view, from 1 on -> that view's frames."""
Engine = Callable[[Sequence[Job], Phases], Generator[Finished, None, None]]
"""Embeds jobs, each of another video. Yields, in any order, a result for each view of a job, or one
failure for all of them. Adds up the time of each phase."""


def extract(
    jobs: Sequence[Job],
    *,
    read: Read,
    encoder: Encoder,
    store: FeatureStore,
    workers: int,
    views: Views | None = None,
    augment: Augment | None = None,
    show_progress: bool = True,
) -> ExtractSummary:
    """Embeds every video, and every view of it, that the store does not hold yet.

    Whatever ends it early (Ctrl-C, a full disk, a bug), finished videos stay in the store's
    staging, and the next run goes on from there to the same shards.

    Args:
        jobs: in the manifest's order; equal bytes under two names are embedded once.
        read: turns a file into frames; raises VideoError. Anything else it raises ends the run.
        encoder: the backbone of the store's recipe.
        store: open for writing.
        workers: threads that read.
        views, augment: names of the views in the store, and what makes a view's frames; needed
            where jobs have others than view 0. `augment` is called from the threads that read.
        show_progress: draw a progress bar.

    Raises:
        OutputError: the store cannot be written.
        StoreError: embeddings are not finite, or too large for the dtype.
        ValueError: the encoder is not of the store's recipe: our bug.
    """
    engine = local_engine(read, encoder, store.recipe, workers, views or Views(), augment)
    return keep_all(jobs, engine=engine, store=store, views=views, show_progress=show_progress)


def local_engine(
    read: Read,
    encoder: Encoder,
    recipe: Recipe,
    workers: int,
    views: Views = Views(),  # noqa: B008 - it is frozen
    augment: Augment | None = None,
) -> Engine:
    """The engine of this machine: threads that read, one encoder.

    Raises:
        ValueError: the encoder is not of the recipe: our bug.
    """
    if encoder.digest != recipe.backbone_digest:
        raise ValueError(
            f"encoder must be {recipe.backbone_digest[:12]}, got {encoder.digest[:12]}"
        )

    def engine(missing: Sequence[Job], phases: Phases) -> Generator[Finished, None, None]:
        results = embed_videos(
            missing, read=read, encoder=encoder, workers=workers, augment=augment, phases=phases
        )
        with closing(results):
            for result in results:
                yield finished(result, recipe, views)

    return engine


def keep_all(
    jobs: Sequence[Job],
    *,
    engine: Engine,
    store: FeatureStore,
    views: Views | None = None,
    show_progress: bool = True,
) -> ExtractSummary:
    """Embeds what the store does not hold with any engine, and stores each result: a whole run.

    The engine is not started where nothing is missing. Arguments are those of `extract`.

    Raises:
        OutputError: the store cannot be written.
    """
    begun = time.monotonic()
    store.begin()
    summary = keep_part(jobs, engine=engine, store=store, views=views, show_progress=show_progress)
    clock = time.monotonic()
    store.finish()
    summary.phases.write += time.monotonic() - clock
    summary.wall_seconds = time.monotonic() - begun
    return summary


def keep_part(
    jobs: Sequence[Job],
    *,
    engine: Engine,
    store: FeatureStore,
    views: Views | None = None,
    show_progress: bool = True,
) -> ExtractSummary:
    """As `keep_all`, but for the next videos of a run whose videos are not all known at its start.

    The caller begins and finishes the store's run; shards are cut as if all parts came at once.
    """
    summary = ExtractSummary()
    views = views or Views()
    named: dict[str, list[Job]] = {}  # by sha256
    for job in jobs:
        named.setdefault(job.sha256, []).append(job)

    def key_of(sha256: str, view: int) -> str:
        return sequence_key(views.sha256(sha256, view), store.recipe)

    wanted = {
        sha256: sorted({view for job in same for view in job.views})
        for sha256, same in named.items()
    }
    # Views come after all videos and in shards of their own: those of the videos are the same
    # bytes with and without views.
    store.want(
        [key_of(sha256, 0) for sha256, which in wanted.items() if 0 in which],
        [key_of(sha256, view) for sha256, which in wanted.items() for view in which if view],
    )
    missing: dict[str, Job] = {}
    for sha256, which in wanted.items():
        lacking = tuple(view for view in which if not store.has(key_of(sha256, view)))
        if lacking:
            missing[sha256] = replace(named[sha256][0], views=lacking)
        else:
            summary.reused += len(named[sha256])
    bar = progress(
        total=sum(job.duration_seconds for job in missing.values()),
        desc="extract",
        bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}{postfix}]",
        show=show_progress and bool(missing),
    )
    results = engine(list(missing.values()), summary.phases)
    with bar, closing(results):
        for result in results if missing else ():
            job, same = result.job, named[result.job.sha256]
            if result.failure is not None:
                log.debug(f"{job.name}: {result.failure.failure}: {result.failure.message}")
                summary.failures += [replace(result.failure, path=one.name) for one in same]
                for view in job.views:
                    store.fail(key_of(job.sha256, view))
                bar.update(job.duration_seconds)
            elif (sequence := result.sequence) is not None:
                log.debug(f"{sequence.path}: {len(sequence.features)} frames embedded")
                clock = time.monotonic()
                store.stage(sequence)
                summary.phases.write += time.monotonic() - clock
                if result.view == job.views[0]:
                    summary.done += 1
                    summary.reused += len(same) - 1
                    summary.resized += [one.name for one in same if result.sizes > 1]
                    summary.video_seconds += job.duration_seconds
                summary.augmented += result.view > 0
                summary.frames += len(sequence.features)
                summary.size_bytes += sequence.nbytes
                bar.update(job.duration_seconds / len(job.views))
    return summary


def finished(result: Embedded, recipe: Recipe, views: Views) -> Finished:
    """Turns a result into what the store keeps.

    Raises:
        StoreError: a value is not finite, or too large for the dtype: never an inf in the store.
    """
    job, view, frames = result.job, result.view, result.frames
    if frames is None or result.features is None:
        return Finished(job=job, failure=result.failure)
    with np.errstate(over="ignore"):
        features = result.features.astype(recipe.dtype)
    if not np.isfinite(features).all():
        peak = float(np.abs(result.features).max())
        raise StoreError(
            f"the embeddings of {job.name} reach {peak:g}, which {recipe.dtype} "
            "cannot hold; set extract.dtype to float32, or check the backbone's weights"
        )
    sha256 = views.sha256(job.sha256, view)
    sequence = StoredSequence(
        sha256=sha256,
        key=sequence_key(sha256, recipe),
        path=f"{job.name} (view {view})" if view else job.name,
        features=features,
        timestamps_seconds=frames.timestamps_seconds,
        boxes=frames.boxes,
        face_found=frames.face_found,
    )
    return Finished(job=job, view=view, sequence=sequence, sizes=count_sizes(frames.shown))


def embed_videos(
    jobs: Sequence[Job],
    *,
    read: Read,
    encoder: Encoder,
    workers: int,
    augment: Augment | None = None,
    phases: Phases | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Generator[Embedded, None, None]:
    """Reads and embeds videos; yields results as they are finished, in no fixed order.

    A video is decoded once, whatever the number of its views; they come one after the other.

    Args are those of `extract`; the time of each phase is added to `phases`. `meanwhile` is called
    while the first videos are being read, to load the encoder.
    """
    batcher: Batcher[tuple[Job, int, Frames]] = Batcher(encoder)

    def read_views(job: Job) -> tuple[Frames, ...]:
        frames = read(job.path)
        found = []
        for view in job.views:
            if view and augment is None:
                raise ValueError(f"view {view} of {job.name} needs a way to augment")
            found.append(augment(frames, job.sha256, view) if view and augment else frames)
        return tuple(found)

    def embedded(tag: tuple[Job, int, Frames], features: NDArray[np.float32]) -> Embedded:
        job, view, frames = tag
        return Embedded(job=job, view=view, frames=frames, features=features)

    readers = Readers(jobs, read_views, workers=workers)
    try:
        if meanwhile is not None:
            meanwhile()
        for job, views, problem in readers.outcomes():
            if isinstance(problem, VideoError):
                failure = Failure(
                    path=job.name,
                    failure=problem.failure,
                    message=str(problem),
                    stderr_tail=problem.stderr_tail,
                )
                yield Embedded(job=job, failure=failure)
            elif problem is not None:
                problem.add_note(f"while reading {job.name}")
                raise problem
            for number, frames in zip(job.views, views, strict=False):  # none after a problem
                for tag, features in batcher.add((job, number, frames), frames.pixels):
                    yield embedded(tag, features)
        for tag, features in batcher.flush():
            yield embedded(tag, features)
    finally:
        readers.stop()
        if phases is not None:
            phases.read += readers.read_seconds
            phases.waiting += readers.waited_seconds
            phases.backbone += batcher.seconds
