"""The workers of a Ray cluster: who has which unit, and what becomes of it when one is lost.

A node gives one worker with all its cores, or one for each of its GPUs. A worker has the next unit
in hand while it embeds one. Nodes that join later get workers, too.
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
"""Workers that a video may lose: one that ends them all must not go round for ever."""
WHOLE_TRIES = 2
"""So many of them as a part of its unit, then alone."""
READY_SECONDS = 300.0
"""How long a run goes on without any worker that is ready."""
RECRUIT_SECONDS = 3.0
"""Between two looks for nodes that joined, or lost their worker."""
TICK_SECONDS = 0.5
UNITS_AHEAD = 2


@dataclass(kw_only=True)
class CrewReport:
    """Who did the work.

    Attributes:
        workers: that were ready at some time.
        nodes: that they ran on.
        threads: most that were ready at one time.
        runtimes: of their backbones.
        lost: workers that ended before the run did.
        repeated: units that were given out again.
    """

    workers: int = 0
    nodes: set[str] = field(default_factory=set)
    threads: int = 0
    runtimes: set[str] = field(default_factory=set)
    lost: int = 0
    repeated: int = 0


@dataclass(eq=False, kw_only=True)
class Hand:
    """A worker as the driver sees it.

    Attributes:
        actor: Ray's handle.
        place: id of its node, and its number there.
        host: name of its node.
        threads: that it may use.
        ready: whether it said so.
        units: what it has in hand, in order.
    """

    actor: Any
    place: tuple[str, int]
    host: str
    threads: int
    ready: bool = False
    units: deque[Unit] = field(default_factory=deque)


class Crew:
    """The workers of one run, and the units that wait for them.

    Args:
        ray: the module, connected.
        recipe: of the features.
        views: what views are called.
        equip: gives a worker its equipment.
        files: reference to what it needs for that.
        report: told of all that happens.

    Attributes:
        waiting: units that no worker has.
    """

    def __init__(
        self,
        ray: Any,
        recipe: Recipe,
        views: Views,
        equip: Equip,
        files: Any,
        report: CrewReport,
    ) -> None:
        self.waiting: deque[Unit] = deque()
        self._ray = ray
        self._arguments = (recipe, views, equip, files)
        self._report = report
        self._hands: dict[tuple[str, int], Hand] = {}
        self._asked: dict[Any, tuple[Hand, Unit | None]] = {}
        self._looked = float("-inf")
        self._last_ready = time.monotonic()

    @property
    def size(self) -> int:
        """Workers, ready or not."""
        return len(self._hands)

    @property
    def busy(self) -> bool:
        """Whether some worker has a unit."""
        return any(hand.units for hand in self._hands.values())

    def recruit(self) -> None:
        """Starts a worker wherever there is room for one and none yet.

        Raises:
            ToolError: none was ready for too long.
        """
        now = time.monotonic()
        if any(hand.ready for hand in self._hands.values()):
            self._last_ready = now
        if now - self._last_ready > READY_SECONDS:
            raise ToolError(
                f"no worker of the Ray cluster was ready for {READY_SECONDS:.0f} s; `ray status` "
                "shows whether its nodes are busy with something else"
            )
        if now - self._looked < RECRUIT_SECONDS:
            return
        self._looked = now
        for node in self._ray.nodes():
            for number, (cpus, gpus) in enumerate(rooms(node)):
                place = (node["NodeID"], number)
                if place not in self._hands:
                    self._hands[place] = self._start(node, place, cpus, gpus)

    def _start(self, node: dict[str, Any], place: tuple[str, int], cpus: float, gpus: int) -> Hand:
        stay_on = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        threads = max(1, int(cpus))
        options = self._ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            scheduling_strategy=stay_on(place[0], soft=False),
        )
        hand = Hand(
            actor=options.remote(*self._arguments, threads),
            place=place,
            host=node["NodeManagerHostname"],
            threads=threads,
        )
        self._asked[hand.actor.prepare.remote()] = (hand, None)
        return hand

    def welcome(self, hand: Hand, ready: Ready) -> None:
        """Counts a worker that is ready."""
        hand.ready = True
        self._report.workers += 1
        self._report.nodes.add(hand.place[0])
        self._report.runtimes.add(ready.runtime)
        threads = sum(one.threads for one in self._hands.values() if one.ready)
        self._report.threads = max(self._report.threads, threads)

    def hand_out(self) -> None:
        """Gives units to workers, first one to each, then another for when that is done."""
        for most in range(1, UNITS_AHEAD + 1):
            for hand in self._hands.values():
                if self.waiting and hand.ready and len(hand.units) < most:
                    unit = self.waiting.popleft()
                    hand.units.append(unit)
                    self._asked[hand.actor.embed.remote(unit)] = (hand, unit)

    def answers(self) -> Iterator[tuple[Hand, Unit | None, Any]]:
        """What workers said by now; waits a moment for it.

        Raises:
            ToolError: a worker cannot start; a unit ended too many.
        """
        if not self._asked:
            time.sleep(TICK_SECONDS)
            return
        came, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=TICK_SECONDS)
        for reference in came:
            hand, unit = self._asked[reference]
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:  # nothing of ours gets this far
                raise RuntimeError(f"a worker on {hand.host} failed: {error}") from error
            except self._ray.exceptions.RayError as error:
                self._lose(hand, error)
                continue
            del self._asked[reference]
            if unit is not None:
                hand.units.remove(unit)
            yield hand, unit, answer

    def _lose(self, hand: Hand, error: Exception) -> None:
        """Lets a worker go, and puts its units first in line again."""
        words = str(error).strip().splitlines()
        if not hand.ready and "creation task" in str(error):
            raise ToolError(
                f"no worker can start on {hand.host}: {words[-1] if words else error!r}; install "
                "the same unmask there as here"
            ) from error
        del self._hands[hand.place]
        self._asked = {one: asked for one, asked in self._asked.items() if asked[0] is not hand}
        with suppress(Exception):  # it may only have been out of reach
            self._ray.kill(hand.actor)
        if hand.ready:
            self._report.lost += 1
        units, hand.units = hand.units, deque()
        for number, unit in reversed(list(enumerate(units))):
            if number:  # it was not begun
                self.waiting.appendleft(unit)
                self._report.repeated += 1
            else:
                self.again(unit, "its worker was lost")

    def again(self, unit: Unit, reason: str) -> None:
        """Puts a unit first in line again; one that was lost often, video by video.

        So the one video that ends every worker is found, and the others are done.

        Raises:
            ToolError: it had its chances.
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

    def dismiss(self) -> None:
        """Ends all workers, whatever they are at."""
        for hand in self._hands.values():
            with suppress(Exception):  # it is gone already
                self._ray.kill(hand.actor)
        self._hands.clear()
        self._asked.clear()


def rooms(node: dict[str, Any]) -> list[tuple[float, int]]:
    """Cores and GPUs of each worker that a node has room for, out of `ray.nodes()`."""
    resources = node["Resources"] if node["Alive"] else {}
    cpus, gpus = float(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if not cpus:
        return []
    if not gpus:
        return [(cpus, 0)]
    share = cpus / gpus
    return [(float(int(share)) if share >= 1 else share, 1)] * gpus
