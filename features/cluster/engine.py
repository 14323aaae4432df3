"""Stage one on many machines: Ray takes units of videos to workers and brings sealed shards back.

The store stays with the driver, which checks what arrives and keeps it as it keeps its own; workers
write nowhere.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from data.errors import ConfigError, StoreError, ToolError
from features.cluster.node import Ready, Trouble, raise_trouble
from features.cluster.work_units import (
    UNIT_VIEWS,
    Equip,
    Unit,
    UnitReport,
    cut_units,
    not_as_sent,
    unpack,
)
from features.cluster.workers import Crew, CrewReport, Hand
from features.extraction.job import Finished, Job
from features.extraction.summary import Phases
from features.store.feature_set import Failure
from features.store.key import Recipe
from features.store.views import Views

ANSWER_SECONDS = 10.0
"""For a first sign of life from an address; Ray itself would try for many minutes."""
LOCAL_MEMORY_BYTES = 1 << 30
"""Of shared memory for a Ray of this machine's own: weights, and some units."""


class RayEngine:
    """An `Engine` of `features.extraction.engine` over a Ray cluster.

    Args:
        address: of the cluster's head, host:port; "auto": the one that this machine belongs to;
            "local": a new one of this machine alone.
        recipe: of the features.
        versions: of the programs here; a worker with others is refused, since its features might
            not be the same.
        equip: gives a worker its equipment; must be known by its name on the workers, too.
        files: gives the files that `equip` needs.
        views: what views are called; needed where jobs have others than 0.
        unit_views: most views in a unit of more than one video.

    Attributes:
        report: who did the work.
    """

    def __init__(
        self,
        address: str,
        *,
        recipe: Recipe,
        versions: dict[str, str],
        equip: Equip,
        files: Callable[[], dict[str, bytes]],
        views: Views | None = None,
        unit_views: int = UNIT_VIEWS,
    ) -> None:
        self.report = CrewReport()
        self._address = address
        self._recipe = recipe
        self._views = views or Views()
        self._versions = versions
        self._equip = equip
        self._files = files
        self._unit_views = unit_views

    def __call__(self, jobs: Sequence[Job], phases: Phases) -> Generator[Finished, None, None]:
        """Embeds videos; see `features.extraction.engine.Engine`.

        Raises:
            ConfigError: the address is none.
            ToolError: Ray is not installed; the cluster does not answer, or has no worker; a worker
                lacks a video or has other programs; a unit ends every worker.
        """
        with connected(self._address) as ray:
            files = ray.put(self._files())
            crew = Crew(ray, self._recipe, self._views, self._equip, files, self.report)
            try:
                crew.recruit()
                # Links stay links: what they point at may lie elsewhere on another machine.
                sent = [replace(job, path=job.path.absolute()) for job in jobs]
                views = sum(len(job.views) for job in sent)
                most = max(1, min(self._unit_views, views // (4 * max(1, crew.size))))
                crew.waiting.extend(cut_units(sent, most=most))
                yield from self._work(crew, phases)
            finally:
                crew.dismiss()

    def _work(self, crew: Crew, phases: Phases) -> Iterator[Finished]:
        """Hands units out and takes reports until there is neither."""
        while crew.waiting or crew.busy:
            crew.recruit()
            crew.hand_out()
            for hand, unit, answer in crew.answers():
                if isinstance(answer, Trouble):
                    raise_trouble(answer)
                elif isinstance(answer, Ready):
                    self._refuse_other_versions(answer)
                    crew.welcome(hand, answer)
                elif unit is not None:
                    yield from self._take(crew, hand, unit, answer, phases)

    def _refuse_other_versions(self, ready: Ready) -> None:
        names = sorted(self._versions.keys() | ready.versions.keys())
        for name in names:
            here, there = self._versions.get(name, "none"), ready.versions.get(name, "none")
            if here != there:
                raise ToolError(
                    f"{ready.host} has {name} {there}, this machine has {here}: features might not "
                    "be the same; install the same environment on both"
                )

    def _take(
        self, crew: Crew, hand: Hand, unit: Unit, report: UnitReport, phases: Phases
    ) -> Iterator[Finished]:
        """Takes a report apart; a damaged one is asked for again."""
        try:
            results = list(unpack(unit, report, self._recipe, self._views))
        except StoreError as error:
            crew.again(unit, str(error))
            return
        for one in report.unseen:
            if not not_as_sent(one.job):
                raise ToolError(
                    f"{hand.host} does not have {one.job.path} as this machine does: {one.reason}; "
                    "workers need all videos under the same path, so mount the shared file system "
                    "there, or pull them there with DVC"
                )
            message = "the file changed, or went away, while extract ran; index again"
            failure = Failure(
                path=one.job.name, failure="unreadable", message=message, stderr_tail=""
            )
            results.append(Finished(job=one.job, failure=failure))
        phases.add(report.phases)
        yield from results


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster and quiet; the cluster lives on unless it was made here.

    Raises:
        ConfigError: the address is none.
        ToolError: Ray is not installed, or no cluster answers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts; it must not phone home
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of its future
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise ToolError(
            "Ray is not installed: pip install 'unmask[ray]', or take --engine local"
        ) from error
    _refuse_silent(address)
    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "object_store_memory": LOCAL_MEMORY_BYTES}
    with suppress(AttributeError):
        # Of a node that dies Ray prints pages, and no setting stops it; the report tells of it.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ToolError(
            f"cannot join the Ray cluster {address} ({reason}); start one with `ray start --head` "
            "and the same Ray and Python, or leave --address out"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Refuses an address where nobody listens."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"--address must be host:port of a Ray head, auto or local, got {address!r}; run "
            "unmask on a machine of the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise ToolError(
            f"no Ray cluster answers at {address}: {error.strerror or error}; start one with "
            "`ray start --head`, or leave --address out"
        ) from error
