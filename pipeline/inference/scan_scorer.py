"""Scores one chunk of a scan after the other: digest, embed what the store lacks, score.

The store stays open for all chunks, which are one run of it: shards are cut by size, wherever
chunks end. The backbone is loaded when a video first needs it, so never for known videos alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from data.datasets.digests import DigestCache
from data.errors import VideoError
from data.faces.crops import Frames, read_frames
from data.faces.tracker import FaceFinder
from data.images.formats import is_image
from data.video.failures import with_reason
from features.extraction.engine import keep_part, local_engine
from features.extraction.job import Job
from features.store.key import sequence_key
from features.store.store import FeatureStore
from models.applicability.one_image import NO_JUDGE
from models.bundle import Bundle
from models.explanation.score_interval import score_sequences
from pipeline.extraction.feature_spec import scoring_recipe
from pipeline.extraction.inputs import DIGESTS, failure_row, make_jobs
from pipeline.inference.scan_journal import Row, Stamp, stamp_of
from pipeline.inference.weighing import novelties
from pipeline.machine import versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """A file of the folder: its name there, its size and time of change.

    There is one for each file of a scan, so it holds no path, which would take 400 bytes.
    """

    name: str
    folder: Path
    stamp: Stamp | None

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.name


class Scorer:
    """Scores chunks of videos. A context manager that holds the store open.

    Args:
        bundle: whose head and recipe.
        store: root of the feature store.
        workers: threads that read.

    Attributes:
        embedded: videos embedded so far.

    Raises:
        LockedError: another process writes to the store.
    """

    def __init__(self, bundle: Bundle, store: Path, workers: int) -> None:
        self.embedded = 0
        self._bundle = bundle
        self._workers = workers
        self._frames, self._recipe = scoring_recipe(bundle.recipe)
        self._digests = DigestCache(store.parent / DIGESTS.name)
        finder = FaceFinder() if self._frames.crop == "face" else None
        self._read = partial(read_frames, recipe=self._frames, faces=finder)
        self._encoder = bundle.encoder(self._recipe.precision)
        self._opened = FeatureStore(store, self._recipe, versions=versions())

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(*error)

    def begin(self, known: Iterable[str]) -> None:
        """Starts the store's run with the videos that earlier runs staged and did not seal.

        Args:
            known: sha256 of the videos that earlier runs scored, in order.

        Raises:
            OutputError: the store cannot be written.
        """
        keys = (sequence_key(sha256, self._recipe) for sha256 in known)
        self._opened.begin(key for key in keys if self._opened.has(key))

    def chunk(self, videos: Sequence[Video], bar: Any) -> list[Row]:
        """Embeds the videos that the store lacks and scores all.

        Args:
            videos: of the chunk.
            bar: a progress bar in megabytes.

        Returns:
            A row for each video, in order.
        """
        stamps = {one.name: one.stamp for one in videos}
        jobs, failures = make_jobs([(one.name, one.path, None) for one in videos], self._digests)
        images = {job.name for job in jobs if is_image(job.path)}
        judge = self._bundle.for_one_image() if images else None
        if images and judge is None:
            refused = VideoError("too_few_frames", NO_JUDGE)
            failures += [failure_row(name, refused) for name in sorted(images)]
            jobs = [job for job in jobs if job.name not in images]
        begun, lock = bar.n, Lock()

        def read(path: Path) -> Frames:
            try:
                return self._read(path)
            finally:
                stamp = stamp_of(path)  # it may be gone by now
                with lock:
                    bar.update(stamp[0] / 1e6 if stamp else 0)

        engine = local_engine(read, self._encoder, self._recipe, self._workers)
        summary = keep_part(jobs, engine=engine, store=self._opened, show_progress=False)
        self.embedded += summary.done
        failures += summary.failures
        failed = {one.path for one in failures}
        left = [job for job in jobs if job.name not in failed]
        rows = self._score(self._bundle, [job for job in left if job.name not in images], stamps)
        if judge is not None:
            found = self._score(judge, [job for job in left if job.name in images], stamps)
            rows |= {name: replace(row, image=True) for name, row in found.items()}
        for name in summary.resized:
            rows[name] = replace(rows[name], resized=True)
        sha256s = {job.name: job.sha256 for job in jobs}
        for one in failures:
            rows[one.path] = Row(
                path=one.path,
                stamp=stamps[one.path],
                sha256=sha256s.get(one.path),
                failure=one.failure,
                message=with_reason(one.message, one.stderr_tail),
            )
        bar.n = begun + sum(one.stamp[0] for one in videos if one.stamp) / 1e6
        bar.refresh()  # known videos, copies and failures were not read
        return [rows[one.name] for one in videos]

    def finish(self) -> None:
        """Seals the rest of the staged videos, after the last chunk.

        Raises:
            OutputError: the store cannot be written.
        """
        self._opened.finish()

    def _score(
        self, bundle: Bundle, jobs: Sequence[Job], stamps: dict[str, Stamp | None]
    ) -> dict[str, Row]:
        """Scores stored sequences, all padded to one length: one shape, one traced graph."""
        if not jobs:
            return {}
        stored = [self._opened.sequence(sequence_key(job.sha256, self._recipe)) for job in jobs]
        longest = max(self._frames.count, *(len(one.features) for one in stored))
        features = np.zeros((len(jobs), longest, bundle.dim), self._recipe.dtype)
        mask = np.zeros((len(jobs), longest), bool)
        for row, one in enumerate(stored):
            features[row, : len(one.features)] = one.features
            mask[row, : len(one.features)] = True
        head = bundle.head
        scores = head.calibration.apply(score_sequences(head, features, mask))
        means = np.asarray([one.features.mean(0, dtype=np.float64) for one in stored])
        return {
            job.name: Row(
                path=job.name,
                stamp=stamps[job.name],
                sha256=job.sha256,
                probability_fake=float(value),
                frames_used=len(one.features),
                faces_found=int(one.face_found.sum()),
                novelty=novelty,
            )
            for job, one, value, novelty in zip(
                jobs, stored, scores, novelties(bundle, means), strict=True
            )
        }
