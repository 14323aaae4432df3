"""The workers of a Ray cluster: which work unit each has, and what becomes of it when one is lost.

A node gives one worker with all its cores, or one for each of its GPUs. A worker has the next unit
queued while it embeds one. Nodes that join later get workers, too.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from data.errors import ToolError
from features.cluster.node import Ready, Worker
from features.cluster.work_units import Equip, Unit
from features.store.key import Recipe
from features.store.views import Views

TRIES = 4
"""Workers that a video may cost: one that ends every worker must not be retried for ever."""
WHOLE_TRIES = 2
"""Of these, the first ones with the whole unit; then its videos are tried one by one."""
READY_SECONDS = 300.0
"""How long a run goes on without any worker that is ready."""
START_SECONDS = 3.0
"""Between two looks for nodes that joined, or lost their worker."""
TICK_SECONDS = 0.5
UNITS_AHEAD = 2


@dataclass(kw_only=True)
class WorkersReport:
    """Which workers took part in a run."""

    workers: int = 0  # number of those that became ready
    nodes: set[str] = field(default_factory=set)  # that they ran on
    threads: int = 0  # most that were ready at one time
    runtimes: set[str] = field(default_factory=set)  # of their backbones
    lost: int = 0  # workers that ended before the run did
    repeated: int = 0  # work units that were given out again


@dataclass(eq=False, kw_only=True)
class WorkerHandle:
    """A worker as the driver sees it."""

    actor: Any  # Ray's handle
    place: tuple[str, int]  # id of its node, and its number there
    host: str  # name of its node
    threads: int
    ready: bool = False  # it has loaded the backbone
    units: deque[Unit] = field(default_factory=deque)  # sent to it, in order


class Workers:
    """The workers of one run, and the work units that wait for them.

    Args:
        ray: the module, connected.
        arguments: of each `Worker` but its threads; the files as a reference of Ray.
        report: is kept up to date.
    """

    def __init__(
        self, ray: Any, arguments: tuple[Recipe, Views, Equip, Any], report: WorkersReport
    ) -> None:
        self.waiting: deque[Unit] = deque()  # units that no worker has
        self._ray = ray
        self._arguments = arguments
        self._report = report
        self._workers: dict[tuple[str, int], WorkerHandle] = {}
        self._calls: dict[Any, tuple[WorkerHandle, Unit | None]] = {}  # by Ray's reference
        self._looked = float("-inf")
        self._last_ready = time.monotonic()

    def __len__(self) -> int:
        """Workers, ready or not."""
        return len(self._workers)

    @property
    def busy(self) -> bool:
        """Whether some worker has a unit."""
        return any(worker.units for worker in self._workers.values())

    def start_missing(self) -> None:
        """Starts a worker wherever a node has room for one and none runs yet.

        Raises:
            ToolError: none was ready for too long.
        """
        now = time.monotonic()
        if any(worker.ready for worker in self._workers.values()):
            self._last_ready = now
        if now - self._last_ready > READY_SECONDS:
            raise ToolError(
                f"no worker of the Ray cluster was ready for {READY_SECONDS:.0f} s; `ray status` "
                "shows whether its nodes are busy with something else"
            )
        if now - self._looked < START_SECONDS:
            return
        self._looked = now
        for node in self._ray.nodes():
            for number, (cpus, gpus) in enumerate(worker_resources(node)):
                place = (node["NodeID"], number)
                if place not in self._workers:
                    self._workers[place] = self._start(node, place, cpus, gpus)

    def _start(
        self, node: dict[str, Any], place: tuple[str, int], cpus: float, gpus: int
    ) -> WorkerHandle:
        stay_on = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        threads = max(1, int(cpus))
        options = self._ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            scheduling_strategy=stay_on(place[0], soft=False),
        )
        worker = WorkerHandle(
            actor=options.remote(*self._arguments, threads),
            place=place,
            host=node["NodeManagerHostname"],
            threads=threads,
        )
        self._calls[worker.actor.prepare.remote()] = (worker, None)
        return worker

    def set_ready(self, worker: WorkerHandle, ready: Ready) -> None:
        """Counts a worker that has loaded the backbone."""
        worker.ready = True
        self._report.workers += 1
        self._report.nodes.add(worker.place[0])
        self._report.runtimes.add(ready.runtime)
        threads = sum(one.threads for one in self._workers.values() if one.ready)
        self._report.threads = max(self._report.threads, threads)

    def send_units(self) -> None:
        """Sends units to workers that are ready: first one to each, then another to queue."""
        for most in range(1, UNITS_AHEAD + 1):
            for worker in self._workers.values():
                if self.waiting and worker.ready and len(worker.units) < most:
                    unit = self.waiting.popleft()
                    worker.units.append(unit)
                    self._calls[worker.actor.embed.remote(unit)] = (worker, unit)

    def results(self) -> Iterator[tuple[WorkerHandle, Unit | None, Any]]:
        """Results that have arrived; waits a moment for one.

        Raises:
            ToolError: a worker cannot start; a unit ended too many.
        """
        if not self._calls:
            time.sleep(TICK_SECONDS)
            return
        arrived, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=TICK_SECONDS)
        for reference in arrived:
            worker, unit = self._calls[reference]
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:  # `Worker` returns its own errors
                raise RuntimeError(f"a worker on {worker.host} failed: {error}") from error
            except self._ray.exceptions.RayError as error:
                self._lose(worker, error)
                continue
            del self._calls[reference]
            if unit is not None:
                worker.units.remove(unit)
            yield worker, unit, result

    def _lose(self, worker: WorkerHandle, error: Exception) -> None:
        """Forgets a worker that ended, and puts its units first in the queue again."""
        lines = str(error).strip().splitlines()
        if not worker.ready and "creation task" in str(error):
            raise ToolError(
                f"no worker can start on {worker.host}: {lines[-1] if lines else error!r}; install "
                "the same unmask there as here"
            ) from error
        del self._workers[worker.place]
        self._calls = {one: call for one, call in self._calls.items() if call[0] is not worker}
        with suppress(Exception):  # it may only have been out of reach
            self._ray.kill(worker.actor)
        if worker.ready:
            self._report.lost += 1
        units, worker.units = worker.units, deque()
        for number, unit in reversed(list(enumerate(units))):
            if number:  # it was not begun
                self.waiting.appendleft(unit)
                self._report.repeated += 1
            else:
                self.retry(unit, "its worker was lost")

    def retry(self, unit: Unit, reason: str) -> None:
        """Puts a unit first in the queue again; after `WHOLE_TRIES`, video by video.

        So the one video that ends every worker is found, and the others are done.

        Raises:
            ToolError: it has failed `TRIES` times.
        """
        lost = unit.lost + 1
        if lost >= TRIES:
            raise ToolError(
                f"{TRIES} attempts at {unit.jobs[0].name} failed, lastly since {reason}; look at "
                "the workers' memory, or leave the video out; finished videos are kept"
            )
        size = 1 if lost >= WHOLE_TRIES else len(unit.jobs)
        self._report.repeated += 1
        for start in reversed(range(0, len(unit.jobs), size)):
            part = unit.jobs[start : start + size]
            self.waiting.appendleft(replace(unit, jobs=part, lost=lost))

    def stop(self) -> None:
        """Ends all workers, whatever they do."""
        for worker in self._workers.values():
            with suppress(Exception):  # it has ended already
                self._ray.kill(worker.actor)
        self._workers.clear()
        self._calls.clear()


def worker_resources(node: dict[str, Any]) -> list[tuple[float, int]]:
    """Cores and GPUs of each worker that a node has room for, from `ray.nodes()`."""
    resources = node["Resources"] if node["Alive"] else {}
    cpus, gpus = float(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if not cpus:
        return []
    if not gpus:
        return [(cpus, 0)]
    share = cpus / gpus
    return [(float(int(share)) if share >= 1 else share, 1)] * gpus
