"""Originals first, then their forgeries, which take their faces over.

An engine embeds wave after wave and asks for the next one when the last is done and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from data.errors import StoreError
from data.known_faces import KnownFaces
from features.job import Job, faces_of
from features.published import Failure
from features.recipe import sequence_key
from features.store import FeatureStore
from features.summary import ExtractSummary

SURE = ("no_face", "no_video_stream", "too_few_frames")
"""Failures of an original that another run has again: its forgeries find their own faces. After any
other one they fail with it, since what is kept must not depend on what went wrong for once."""


class Waves:
    """The jobs of one run, cut in two where one needs what another gives.

    Args:
        missing: jobs, each of another video.
        store: where originals are kept.
        summary: of the run, up to date when the second wave is asked for.

    Attributes:
        refused: forgeries without their originals' faces, and why; known after the last wave.
    """

    def __init__(
        self, missing: Sequence[Job], store: FeatureStore, summary: ExtractSummary
    ) -> None:
        self.refused: list[tuple[Job, Failure]] = []
        self._missing = missing
        self._store = store
        self._summary = summary

    def __iter__(self) -> Iterator[Sequence[Job]]:
        first = [job for job in self._missing if not job.original]
        if first:
            yield first
        then = list(self._with_faces())
        if then:
            yield then

    def _with_faces(self) -> Iterator[Job]:
        failed = {failure.path: failure.failure for failure in self._summary.failures}
        originals = {job.sha256: job.name for job in self._missing if not job.original}
        known: dict[str, KnownFaces] = {}
        for job in self._missing:
            if not job.original:
                continue
            key = sequence_key(job.original, self._store.recipe)
            name = originals.get(job.original, "")
            if self._store.has(key):
                try:
                    if job.original not in known:
                        known[job.original] = faces_of(self._store.sequence(key))
                except StoreError as error:
                    self._refuse(job, "unreadable", f"its original's features: {error}")
                else:
                    yield replace(job, faces=known[job.original])
            elif failed.get(name) in (None, *SURE):
                yield job
            else:
                message = (
                    f"its original, {name}, failed ({failed[name]}), perhaps for once; run again, "
                    "or crop every video at its own face: --set frames.faces=own"
                )
                self._refuse(job, failed[name], message)

    def _refuse(self, job: Job, kind: str, message: str) -> None:
        row = Failure(path=job.name, failure=kind, message=message, stderr_tail="")
        self.refused.append((job, row))
