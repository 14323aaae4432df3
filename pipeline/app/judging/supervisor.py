"""Starts, watches and ends the processes that judge, and tells the database what becomes of runs.

One thread does it all. While nothing is to do, one process waits with the detector loaded, so that
a verdict takes no longer than `unmask predict`. A process judges one video and ends; one that takes
too long, or whose run is cancelled, is ended with all that it started.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from data.io.progress import log
from pipeline.app.judging.process_group import end_group, end_orphans, start_process
from pipeline.app.judging.worker import MOST_LINE_BYTES, work
from pipeline.app.settings import GIB, AppSettings
from pipeline.app.store.models import Detector
from pipeline.app.store.runs import QueuedRun, Runs

TICK_SECONDS = 0.5
"""Longest time between two looks at the queue and the clocks."""
FEW_DEATHS = 3
"""Processes that end without a word while they load; then the detector counts as broken."""
Brief = Callable[[QueuedRun], dict[str, Any]]
"""What a process is told of a run: paths and options."""


@dataclass(kw_only=True)
class Worker:
    """A process, and the run that it has, if any."""

    process: BaseProcess
    link: Any  # a Connection; on Windows a PipeConnection
    ready: bool = False
    run: QueuedRun | None = None
    scored: bool = False  # its verdict is there, the heat map to come
    deadline: float = field(default=float("inf"))  # of `time.monotonic`
    reason: tuple[str, str, str] | None = None  # state, failure, message: why it is being ended


class Supervisor:
    """The processes of one server.

    Args:
        settings: bounds of a process, and how many.
        runs: the queue.
        brief: what a process is told.
        detector: what is known of the bundle so far.
        when_ended: is called with a run and its state when its process is gone.

    Attributes:
        detector: what is known of the bundle; replaced when a process has loaded it.
        shares: run -> how far its stage is.
    """

    def __init__(
        self,
        settings: AppSettings,
        runs: Runs,
        brief: Brief,
        detector: Detector,
        *,
        when_ended: Callable[[QueuedRun, str], None] = lambda _run, _state: None,
    ) -> None:
        self.detector = detector
        self.shares: dict[str, float] = {}
        self._settings = settings
        self._runs = runs
        self._brief = brief
        self._when_ended = when_ended
        self._workers: list[Worker] = []
        self._deaths = 0
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()  # guards `_cancelled`
        self._bell, self._ringer = Pipe(duplex=False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begins; what was running when the server ended is queued again."""
        if again := self._runs.queue_again():
            log.info(f"{again} runs of the last start are queued again")
        self._thread.start()

    def stop(self) -> None:
        """Ends all processes; what was running is queued again by the next start."""
        self._stopping.set()
        self.wake()
        self._thread.join(10)

    def wake(self) -> None:
        """Looks at the queue at once."""
        self._ringer.send_bytes(b".")

    def cancel(self, run: str) -> bool:
        """Cancels a queued or running run; False where it has ended before.

        A running one has ended when its process is gone, a moment later.
        """
        with self._lock:
            self._cancelled.add(run)
        row = self._runs.get(run)
        done = row["state"] == "queued" and self._runs.end(run, "cancelled")
        self.wake()
        return bool(done) or row["state"] == "running"

    def processes(self) -> list[int]:
        """Process ids of all workers, for tests."""
        return [one.process.pid for one in self._workers if one.process.pid is not None]

    def _watch(self) -> None:
        try:
            while not self._stopping.is_set():
                self._step()
        except Exception:  # noqa: BLE001 - a bug; nothing would say so
            log.exception("the queue of unmask app broke; nothing is judged until it is restarted")
            self.detector = self.detector.model_copy(
                update={"state": "broken", "problem": "a bug of unmask ended the queue; restart it"}
            )
        finally:
            for one in self._workers:
                end_group(one.process)
            for one in self._workers:
                one.process.join(5)

    def _step(self) -> None:
        self._fill()
        links: list[Any] = [one.link for one in self._workers]
        ended = [one.process.sentinel for one in self._workers]
        for event in wait([self._bell, *links, *ended], timeout=TICK_SECONDS):
            if event is self._bell:
                self._bell.recv_bytes()
        for one in list(self._workers):
            self._hear(one)
        self._check_cancelled()
        for one in list(self._workers):
            if time.monotonic() > one.deadline and one.reason is None:
                words = f"it took more than {self._settings.minutes:g} minutes"
                one.reason = ("failed", "timeout", f"{words}; give it more with --minutes")
                end_group(one.process)
            if one.process.exitcode is not None:
                self._hear(one)  # what it said last
                self._bury(one)

    def _fill(self) -> None:
        """Gives runs to processes, and keeps one process ahead."""
        busy = sum(one.run is not None for one in self._workers)
        for one in self._workers:
            if busy >= self._settings.workers:
                break
            if one.ready and one.run is None and one.reason is None:
                run = self._runs.take()
                if run is None:
                    break
                self._give(one, run)
                busy += 1
        # Loading takes all cores for seconds: no verdict is to wait for that.
        undecided = any(one.run is not None and not one.scored for one in self._workers)
        idle = any(one.run is None for one in self._workers)
        wanted = not idle and (not undecided or busy < self._settings.workers)
        if wanted and self.detector.state != "broken":
            self._workers.append(self._begin())

    def _begin(self) -> Worker:
        ours, theirs = Pipe()
        memory = int(self._settings.memory_gib * GIB)
        process = start_process(work, theirs, os.fspath(self._settings.bundle), memory)
        theirs.close()
        return Worker(process=process, link=ours)

    def _give(self, worker: Worker, run: QueuedRun) -> None:
        worker.run = run
        worker.deadline = time.monotonic() + 60 * self._settings.minutes
        try:
            worker.link.send_bytes(json.dumps(self._brief(run)).encode())
        except OSError:  # it died in this moment; `_bury` says so
            log.debug(f"the process for {run.id} is gone")

    def _hear(self, worker: Worker) -> None:
        """Takes all messages of a process."""
        while True:
            try:
                if not worker.link.poll():
                    return
                message = json.loads(worker.link.recv_bytes(MOST_LINE_BYTES))
            except (EOFError, OSError, ValueError):
                return
            if worker.reason is None:
                self._take(worker, message)

    def _take(self, worker: Worker, message: dict[str, Any]) -> None:
        if "ready" in message:
            worker.ready, self._deaths = True, 0
            facts = message["ready"]
            self.detector = self.detector.model_copy(update={"state": "ready", **facts})
        elif "broken" in message:
            self._break(str(message["broken"]))
        elif worker.run is None:
            return
        elif "stage" in message:
            self.shares.pop(worker.run.id, None)
            self._runs.enter_stage(worker.run.id, str(message["stage"]))
        elif "share" in message:
            self.shares[worker.run.id] = float(message["share"])
        elif "verdict" in message:
            worker.scored = True
            self._runs.score(
                worker.run.id,
                verdict=str(message["verdict"]),
                probability_fake=float(message["probability_fake"]),
                bundle_sha256=self.detector.bundle_sha256,
            )
        elif "done" in message:
            worker.reason = ("done", "", "")
        elif "failed" in message:
            worker.reason = ("failed", str(message["failed"]), str(message["message"]))

    def _check_cancelled(self) -> None:
        with self._lock:
            cancelled, self._cancelled = self._cancelled, set()
        for one in self._workers:
            if one.run is not None and one.run.id in cancelled and one.reason is None:
                one.reason = ("cancelled", "", "")
                end_group(one.process)

    def _bury(self, worker: Worker) -> None:
        """Removes a process that has ended, and ends its run."""
        self._workers.remove(worker)
        code = worker.process.exitcode
        end_orphans(worker.process)
        worker.process.join()
        worker.link.close()
        run = worker.run
        if run is None:
            if not worker.ready and self.detector.state != "broken":
                self._deaths += 1
                if self._deaths >= FEW_DEATHS:
                    self._break(
                        f"the process that loads it ended {FEW_DEATHS} times ({_why(code)})"
                    )
            return
        state, failure, message = worker.reason or (
            "failed", "process", f"the process that judged it ended: {_why(code)}"
        )  # fmt: skip
        self.shares.pop(run.id, None)
        self._runs.end(run.id, state, failure=failure or None, message=message or None)
        self._when_ended(run, state)

    def _break(self, problem: str) -> None:
        log.warning(f"the bundle cannot be loaded: {problem}")
        self.detector = self.detector.model_copy(update={"state": "broken", "problem": problem})


def _why(code: int | None) -> str:
    """An exit code in words."""
    if code is not None and code < 0:
        return f"signal {-code}, perhaps for want of memory"
    return f"exit code {code}"
