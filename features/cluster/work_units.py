"""Work units for other machines: some videos are sent, a sealed shard with their features returns.

Every byte of the shard is verified on arrival; the store then stages its sequences one by one, as
those made on this machine, so that the store's shards are cut at the same places and have the same
bytes. How units are sent is not known here.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from data.errors import StoreError, VideoError
from data.faces.crops import Frames
from data.images.identity import source_sha256
from data.io.reading import file_sha256
from features.extraction.batches import Encoder
from features.extraction.engine import embed_videos, finished
from features.extraction.job import Finished, Job
from features.extraction.summary import Phases
from features.store.feature_set import Failure
from features.store.key import Recipe, sequence_key
from features.store.shard import Shard, write_shard
from features.store.verify import shard_problems
from features.store.views import Views

UNIT_VIEWS = 32
"""In a unit. With 32 frames each they fill whole batches; a lost unit costs a minute or so."""
UNIT_SECONDS = 1800.0
"""Of video in a unit; a longer video is a unit of its own."""


@dataclass(kw_only=True)
class Unit:
    """Videos that one worker embeds in one call."""

    number: int  # in the order of the jobs
    jobs: list[Job]  # the videos
    lost: int = 0  # how often a worker was lost with it


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A video that the worker lacks or that has other bytes there; `reason` says what was found."""

    job: Job
    reason: str


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """Result of a unit."""

    # Bytes of a sealed shard with the sequences of all that gave any; empty if none did.
    shard: bytes
    sha256: str  # of `shard`
    # sha256 of a video -> why neither it nor a view of it has features.
    failures: dict[str, Failure]
    unseen: list[Unseen]  # videos that the worker could not read as they were sent
    phases: Phases = field(default_factory=Phases)  # seconds of each phase
    # sha256 of each video whose picture changes its size -> how many sizes it has.
    sizes: dict[str, int] = field(default_factory=dict)


class Equipment(Protocol):
    """A worker's backbone and reader of videos; its methods are called from several threads.

    Attributes:
        encoder: the backbone.
        versions: of its programs, as a shard records them.
        faces_seconds: spent on finding faces so far.
    """

    encoder: Encoder
    versions: dict[str, str]

    @property
    def faces_seconds(self) -> float: ...
    def read(self, path: Path) -> Frames:
        """Turns a file into frames; raises VideoError."""

    def augment(self, frames: Frames, sha256: str, view: int) -> Frames:
        """Makes a view's frames; see `features.extraction.engine.Augment`."""


def cut_units(jobs: Sequence[Job], *, most: int, seconds: float = UNIT_SECONDS) -> list[Unit]:
    """Cuts jobs into units of consecutive videos.

    Args:
        jobs: in the manifest's order.
        most: views in a unit of more than one video.
        seconds: of video in a unit of more than one.
    """
    units: list[Unit] = []
    length, views = 0.0, 0
    for job in jobs:
        length += job.duration_seconds
        views += len(job.views)
        if not units or views > most or length > seconds:
            units.append(Unit(number=len(units), jobs=[]))
            length, views = job.duration_seconds, len(job.views)
        units[-1].jobs.append(job)
    return units


def embed_unit(
    unit: Unit, recipe: Recipe, views: Views, equipment: Equipment, *, threads: int
) -> UnitReport:
    """Embeds a unit on a worker, with so many threads that read.

    Raises:
        OutputError: there is no room for the shard.
        StoreError: embeddings are not finite, or too large for the dtype.
    """
    unseen = [Unseen(job=job, reason=reason) for job in unit.jobs if (reason := not_as_sent(job))]
    skipped = {one.job.sha256 for one in unseen}
    jobs = [job for job in unit.jobs if job.sha256 not in skipped]
    phases = Phases(faces=-equipment.faces_seconds)
    sequences, failures = {}, {}
    sizes: dict[str, int] = {}
    results = embed_videos(
        jobs,
        read=equipment.read,
        encoder=equipment.encoder,
        workers=threads,
        augment=equipment.augment,
        phases=phases,
    )
    with closing(results):
        for result in results:
            kept = finished(result, recipe, views)
            if kept.sequence is not None:
                sequences[kept.job.sha256, kept.view] = kept.sequence
                if kept.sizes > 1:
                    sizes[kept.job.sha256] = kept.sizes
            elif kept.failure is not None:
                failures[kept.job.sha256] = kept.failure
    phases.faces += equipment.faces_seconds
    clock = time.monotonic()
    shard, sha256 = b"", hashlib.sha256().hexdigest()
    # In the unit's order, not as they were finished: equal units, equal shards.
    places = [(job.sha256, view) for job in jobs for view in job.views]
    ordered = [sequences[place] for place in places if place in sequences]
    if ordered:
        with tempfile.TemporaryDirectory(prefix="unmask-unit-") as folder:
            path = Path(folder) / "unit.h5"
            counts = [len(one.features) for one in ordered]
            write_shard(path, ordered, recipe, equipment.versions, frame_counts=counts)
            shard, sha256 = path.read_bytes(), file_sha256(path)
    phases.write = time.monotonic() - clock
    return UnitReport(
        shard=shard, sha256=sha256, failures=failures, unseen=unseen, phases=phases, sizes=sizes
    )


def not_as_sent(job: Job) -> str:
    """Why a video is not the one of the job; empty if it is."""
    try:
        if not job.path.exists():
            return "it is not there"
        return "" if source_sha256(job.path) == job.sha256 else "it has other bytes there"
    except OSError as error:
        return f"it cannot be read there: {error.strerror}"
    except VideoError as error:
        return f"it cannot be read there: {error}"


def unpack(unit: Unit, report: UnitReport, recipe: Recipe, views: Views) -> Iterator[Finished]:
    """Yields the sequences and failures of a report, once every byte of its shard is verified.

    Raises:
        StoreError: something was changed on its way, is missing, or was not asked for.
    """
    if hashlib.sha256(report.shard).hexdigest() != report.sha256:
        raise StoreError(f"the shard of unit {unit.number} was changed on its way")
    sequences = {}
    if report.shard:
        with tempfile.TemporaryDirectory(prefix="unmask-unit-") as folder:
            path = Path(folder) / "unit.h5"
            path.write_bytes(report.shard)
            problems = shard_problems(path, f"unit {unit.number}", None, recipe.digest)
            if problems:
                raise StoreError(f"{problems[0].file}: {problems[0].message}")
            shard = Shard(path)
            # Slices of a memory map, which outlives the file's name.
            sequences = {key: shard.sequence(number) for number, key in enumerate(shard.keys)}
    jobs = {job.sha256: job for job in unit.jobs}
    wanted = {
        sequence_key(views.sha256(job.sha256, view), recipe): (job, view)
        for job in unit.jobs
        for view in job.views
    }
    without = [*report.failures, *(one.job.sha256 for one in report.unseen)]
    lacking = [key for one in without for key, (job, _) in wanted.items() if job.sha256 == one]
    if sorted([*sequences, *lacking]) != sorted(wanted) or not jobs.keys() >= set(without):
        raise StoreError(f"unit {unit.number} came back with other videos than were sent")
    for key, sequence in sequences.items():
        job, view = wanted[key]
        sizes = report.sizes.get(job.sha256, 1)
        yield Finished(job=job, view=view, sequence=sequence, sizes=sizes)
    for sha256, failure in report.failures.items():
        yield Finished(job=jobs[sha256], failure=failure)


Equip = Callable[[dict[str, bytes], int], Equipment]
"""Files that were sent along, number of threads -> a worker's equipment."""
