"""Pools of child processes that never get Ctrl-C and end with their parent.

Spawned, not forked: a fork does not survive the caller's threads, such as TensorFlow's.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from data.errors import ToolError
from data.io.interrupts import block_interrupt
from data.operating_system.processes import has_fork, limit_this_process

Run = Callable[[Callable[..., Any], Mapping[Any, Sequence[Any]]], Iterator[tuple[Any, Any]]]
"""`run(function, {key: arguments})` gives (key, result) of each, as they end."""


ENDED_SECONDS = 5.0
"""In which children that were ended are gone."""


class Pool(ProcessPoolExecutor):
    """A pool whose children leave Ctrl-C to the parent, which lets their work end or ends them."""

    # which `shutdown` forgets
    _children: tuple[BaseProcess, ...] = ()
    _manager: threading.Thread | None = None

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `ProcessPoolExecutor.submit`, which starts a child where none is idle."""
        with block_interrupt():
            submitted = super().submit(function, *args, **kwargs)
            self._children = tuple(self._processes.values())
            self._manager = self._executor_manager_thread  # type: ignore[assignment]
            return submitted

    def end(self) -> None:
        """Ends the children at once: their unfinished work is lost."""
        self.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.terminate()
        if self._manager is not None:  # Python's end would write to the pipe that it closes
            self._manager.join(ENDED_SECONDS)


def process_pool(
    workers: int, initializer: Callable[..., None] | None = None, *arguments: Any
) -> Pool:
    """Makes a pool of `workers` processes, each of which calls `initializer(*arguments)` first."""
    start_tracker()
    return Pool(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(initializer, arguments),
    )


@contextmanager
def job_runner(workers: int, *, what: str) -> Iterator[Run]:
    """Runs functions in this process, or in a pool of several.

    Args:
        workers: processes; 1 and less is this one.
        what: the job, for a message: "rendered the demo".

    Raises:
        ToolError: a process of the pool was ended from outside.
    """
    if workers <= 1:
        yield lambda function, jobs: ((key, function(*given)) for key, given in jobs.items())
        return
    pool = process_pool(workers)

    def run(
        function: Callable[..., Any], jobs: Mapping[Any, Sequence[Any]]
    ) -> Iterator[tuple[Any, Any]]:
        waiting = {pool.submit(function, *given): key for key, given in jobs.items()}
        for job in as_completed(waiting):
            yield waiting[job], job.result()

    try:
        yield run
    except BrokenProcessPool as error:
        raise ToolError(
            f"a process that {what} was ended from outside; run the same command again to go on, "
            "with fewer workers if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


OUT_OF_MEMORY = 3
"""Exit code of a child of `call_in_child` that wanted more memory than it may have."""


class ChildEnded(Exception):
    """A child gave no result; the message says why, a phrase with a verb: "took too long"."""


def call_in_child(
    function: Callable[..., Any], *arguments: Any, seconds: float, memory_bytes: int
) -> Any:
    """Calls a function in a child process with limits: for native code that reads strangers' files.

    A daemonic process may have no children; there the function is called directly.

    Args:
        function: of a module, which the child imports; an exception in it ends the child.
        arguments: of it.
        seconds: after which the child is ended.
        memory_bytes: of its address space.

    Raises:
        ChildEnded: it took too long, raised, crashed, or wanted more memory.
    """
    if multiprocessing.current_process().daemon:
        return function(*arguments)
    start_tracker()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(
        target=_answer, args=(theirs, memory_bytes, seconds, function, arguments), daemon=True
    )
    with ours:
        with theirs, block_interrupt():
            child.start()
        try:
            if not ours.poll(seconds):
                raise ChildEnded(f"took more than {seconds:.0f} s")
            return ours.recv()
        except EOFError as error:
            child.join()
            if child.exitcode == OUT_OF_MEMORY:
                raise ChildEnded(f"took more than {memory_bytes >> 20} MiB") from error
            raise ChildEnded(f"ended with code {child.exitcode}") from error
        finally:
            child.kill()
            child.join()


def _answer(
    pipe: Connection,
    memory_bytes: int,
    seconds: float,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """In the child: takes the limits, calls the function and sends what it returns."""
    _begin(None, ())
    limit_this_process(address_bytes=memory_bytes, cpu_seconds=int(2 * seconds) + 5)
    try:
        pipe.send(function(*arguments))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # without a traceback on the user's terminal


def start_tracker() -> None:
    """Starts multiprocessing's resource tracker before any child: starting it unblocks SIGINT.

    After a second Ctrl-C it removes leaked semaphores; its warning about them is silenced.
    Windows has neither.
    """
    if not has_fork():
        return
    quiet = "ignore::UserWarning:multiprocessing.resource_tracker"
    sys.warnoptions.append(quiet)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(quiet)


def _begin(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Initialises a child; Ctrl-C is blocked in it already."""
    depend_on_parent(partial(os._exit, 1))
    if initializer is not None:
        initializer(*arguments)


def depend_on_parent(end: Callable[[], Any]) -> None:
    """In a child: leaves Ctrl-C to the parent, and calls `end` when that was killed.

    Nobody would collect its work.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent.sentinel, end), daemon=True).start()


def _wait_for(sentinel: int, end: Callable[[], Any]) -> None:
    wait([sentinel])
    end()
