"""Threads that read videos ahead of the encoder, within a bound on what waits in memory.

Threads are enough: the work is done by ffmpeg, a process of its own, and by native code that lets
go of Python's lock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from data.faces.crops import Frames

AHEAD_BYTES = 256 << 20
"""Pixels that wait for the encoder; more only if one video has more."""
STOP_SECONDS = 5.0
"""How long the end of a broken-off run waits for videos in flight."""


Task = TypeVar("Task")


class Outcome(NamedTuple, Generic[Task]):
    """What became of one task: the frames of each view that was asked for, or a problem."""

    task: Task
    frames: tuple[Frames, ...]
    problem: BaseException | None

    @property
    def nbytes(self) -> int:
        """What its pixels take in memory."""
        return sum(one.pixels.nbytes for one in self.frames)


class Readers(Generic[Task]):
    """Reads files in threads; each thread holds one video, and as many may wait.

    Args:
        tasks: what to read, first to last.
        read: does a task: a file's frames, once for each view.
        workers: threads.

    Attributes:
        read_seconds: spent reading, all threads together.
        waited_seconds: spent by the consumer of `outcomes` for want of any.
    """

    def __init__(
        self, tasks: Sequence[Task], read: Callable[[Task], tuple[Frames, ...]], *, workers: int
    ) -> None:
        self.read_seconds = 0.0
        self.waited_seconds = 0.0
        self._tasks = iter(tasks)
        self._total = len(tasks)
        self._read = read
        self._limit = workers
        self._changed = threading.Condition()  # guards all below, and the tasks
        self._stopped = False
        self._waiting: deque[Outcome[Task]] = deque()
        self._waiting_bytes = 0
        # Daemons: after Ctrl-C nobody waits for the end of a long video.
        self._threads = [
            threading.Thread(target=self._run, name=f"reader-{number}", daemon=True)
            for number in range(min(workers, len(tasks)))
        ]
        for thread in self._threads:
            thread.start()

    def outcomes(self) -> Iterator[Outcome[Task]]:
        """Every task once, as they are finished."""
        for _ in range(self._total):
            clock = time.monotonic()
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                outcome = self._waiting.popleft()
                self._waiting_bytes -= outcome.nbytes
                self._changed.notify_all()
            self.waited_seconds += time.monotonic() - clock
            yield outcome

    def stop(self) -> None:
        """Lets no thread start another video, and waits a little for those in flight.

        A thread that is inside native code when Python ends can take the process down.
        """
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._changed:
                task = None if self._stopped else next(self._tasks, None)
            if task is None:
                return
            clock = time.monotonic()
            try:
                outcome = Outcome(task, self._read(task), None)
            except BaseException as error:  # noqa: BLE001 - handed over; the consumer judges it
                outcome = Outcome(task, (), error)
            with self._changed:
                self.read_seconds += time.monotonic() - clock
                while not self._stopped and not self._fits(outcome.nbytes):
                    self._changed.wait()
                self._waiting.append(outcome)
                self._waiting_bytes += outcome.nbytes
                self._changed.notify_all()

    def _fits(self, size_bytes: int) -> bool:
        """Whether one more may wait; a video larger than the limit waits alone."""
        if not self._waiting:
            return True
        room = self._waiting_bytes + size_bytes <= AHEAD_BYTES
        return room and len(self._waiting) < self._limit
