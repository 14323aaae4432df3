"""Threads that prefetch videos for the encoder, within a bound on memory.

Threads suffice: the work is done by ffmpeg, a process of its own, and by native code that releases
Python's lock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from data.faces.crops import Frames

AHEAD_BYTES = 256 << 20
"""Of pixels that are prefetched; more only if one video has more."""
STOP_SECONDS = 5.0
"""How long the end of an interrupted run waits for videos that are being read."""


Task = TypeVar("Task")


class Outcome(NamedTuple, Generic[Task]):
    """Result of one task: the frames of each view, or the exception that was raised."""

    task: Task
    frames: tuple[Frames, ...]
    problem: BaseException | None

    @property
    def nbytes(self) -> int:
        """Size of its pixels in memory."""
        return sum(one.pixels.nbytes for one in self.frames)


class Readers(Generic[Task]):
    """Reads files in threads; each thread holds one video, and as many are prefetched.

    Args:
        tasks: what to read, first to last.
        read: returns the frames of a task, once for each view.
        workers: threads.

    Attributes:
        read_seconds: spent reading, all threads together.
        waited_seconds: spent by the consumer of `outcomes` waiting.
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
        # Daemons: Ctrl-C does not wait for the end of a long video.
        self._threads = [
            threading.Thread(target=self._run, name=f"reader-{number}", daemon=True)
            for number in range(min(workers, len(tasks)))
        ]
        for thread in self._threads:
            thread.start()

    def outcomes(self) -> Iterator[Outcome[Task]]:
        """Yields each task's outcome as it is finished."""
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
        """Starts no further video, and waits up to `STOP_SECONDS` for those that are being read.

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
            except BaseException as error:  # noqa: BLE001 - the consumer raises it
                outcome = Outcome(task, (), error)
            with self._changed:
                self.read_seconds += time.monotonic() - clock
                while not self._stopped and not self._fits(outcome.nbytes):
                    self._changed.wait()
                self._waiting.append(outcome)
                self._waiting_bytes += outcome.nbytes
                self._changed.notify_all()

    def _fits(self, size_bytes: int) -> bool:
        """Whether one more may be prefetched; a video above the bound only if it is alone."""
        if not self._waiting:
            return True
        room = self._waiting_bytes + size_bytes <= AHEAD_BYTES
        return room and len(self._waiting) < self._limit
