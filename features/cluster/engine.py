"""Stage one on many machines: Ray takes work units to workers and brings sealed shards back.

The store stays with the driver, which verifies what arrives and stores it as it stores its own
results; workers write only to temporary folders of their own.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from data.errors import ConfigError, StoreError, ToolError
from features.cluster.node import Ready, RemoteError, raise_remote_error
from features.cluster.work_units import (
    UNIT_VIEWS,
    Equip,
    Unit,
    UnitReport,
    cut_units,
    not_as_sent,
    unpack,
)
from features.cluster.workers import WorkerHandle, Workers, WorkersReport
from features.extraction.job import Finished, Job
from features.extraction.summary import Phases
from features.store.feature_set import Failure
from features.store.key import Recipe
from features.store.views import Views

CONNECT_SECONDS = 10.0
"""Until an address is refused that does not accept a connection; Ray itself tries for minutes."""
LOCAL_MEMORY_BYTES = 1 << 30
"""Of shared memory for a Ray of this machine's own: weights, and some units."""


@dataclass(kw_only=True)
class RayEngine:
    """An `Engine` of `features.extraction.engine` over a Ray cluster."""

    # Of the cluster's head, host:port; "auto": the one that this machine belongs to; "local": a new
    # one of this machine alone.
    address: str
    recipe: Recipe  # of the features
    versions: dict[str, str]  # of the programs here; a worker with others is refused
    equip: Equip  # makes a worker's equipment; workers must be able to import it by its name
    files: Callable[[], dict[str, bytes]]  # returns the files that `equip` needs
    views: Views = field(default_factory=Views)  # names of the views in the store
    unit_views: int = UNIT_VIEWS  # most views in a unit of more than one video
    report: WorkersReport = field(default_factory=WorkersReport)  # which workers took part

    def __call__(self, jobs: Sequence[Job], phases: Phases) -> Generator[Finished, None, None]:
        """Embeds videos; see `features.extraction.engine.Engine`.

        Raises:
            ConfigError: the address is none.
            ToolError: Ray is not installed; the cluster does not answer, or has no worker; a worker
                lacks a video or has other programs; a unit ends every worker.
        """
        with connected(self.address) as ray:
            arguments = (self.recipe, self.views, self.equip, ray.put(self.files()))
            workers = Workers(ray, arguments, self.report)
            try:
                workers.start_missing()
                # Links stay links: what they point at may lie elsewhere on another machine.
                sent = [replace(job, path=job.path.absolute()) for job in jobs]
                views = sum(len(job.views) for job in sent)
                most = max(1, min(self.unit_views, views // (4 * max(1, len(workers)))))
                workers.waiting.extend(cut_units(sent, most=most))
                yield from self._run(workers, phases)
            finally:
                workers.stop()

    def _run(self, workers: Workers, phases: Phases) -> Iterator[Finished]:
        """Sends units and yields what comes back, until none is left."""
        while workers.waiting or workers.busy:
            workers.start_missing()
            workers.send_units()
            for worker, unit, result in workers.results():
                if isinstance(result, RemoteError):
                    raise_remote_error(result)
                elif isinstance(result, Ready):
                    self._refuse_other_versions(result)
                    workers.set_ready(worker, result)
                elif unit is not None:
                    yield from self._unpack(workers, worker, unit, result, phases)

    def _refuse_other_versions(self, ready: Ready) -> None:
        for name in sorted(self.versions.keys() | ready.versions.keys()):
            here, there = self.versions.get(name, "none"), ready.versions.get(name, "none")
            if here != there:
                raise ToolError(
                    f"{ready.host} has {name} {there}, this machine has {here}: features might not "
                    "be the same; install the same environment on both"
                )

    def _unpack(
        self,
        workers: Workers,
        worker: WorkerHandle,
        unit: Unit,
        report: UnitReport,
        phases: Phases,
    ) -> Iterator[Finished]:
        """Verifies a unit's results; a damaged one is tried again."""
        try:
            results = list(unpack(unit, report, self.recipe, self.views))
        except StoreError as error:
            workers.retry(unit, str(error))
            return
        for one in report.unseen:
            if not not_as_sent(one.job):
                raise ToolError(
                    f"{worker.host} does not have {one.job.path} as this machine does: "
                    f"{one.reason}; workers need all videos under the same path, so mount the "
                    "shared file system there, or pull them there with DVC"
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
    """Ray, connected to a cluster, without its messages; ends the cluster if it started it.

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
    _check_address(address)
    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "object_store_memory": LOCAL_MEMORY_BYTES}
    with suppress(AttributeError):
        # Ray prints pages about a node that dies, and no setting stops it; the report counts it.
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


def _check_address(address: str) -> None:
    """Refuses an address that is none, or where no process listens."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"--address must be host:port of a Ray head, auto or local, got {address!r}; run "
            "unmask on a machine of the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ToolError(
            f"no Ray cluster answers at {address}: {error.strerror or error}; start one with "
            "`ray start --head`, or leave --address out"
        ) from error
