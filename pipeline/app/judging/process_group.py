"""A child process that leads a process group, so that it is ended with all that it started.

Spawned, not forked: the server has threads. Not daemonic: it may have children of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

from data.io.interrupts import block_interrupt
from data.io.processes import depend_on_parent, start_tracker

_started: weakref.WeakSet[BaseProcess] = weakref.WeakSet()


def start_process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Starts a process that never gets Ctrl-C, and ends with its parent, however that ends."""
    start_tracker()
    process = multiprocessing.get_context("spawn").Process(target=_lead, args=(target, arguments))
    with block_interrupt():
        process.start()
    _started.add(process)
    return process


def end_group(process: BaseProcess) -> None:
    """Ends a process of `start_process` and all that it started, at once."""
    if process.pid is None or process.exitcode is not None:
        return  # its number may be another's by now
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # in its first moment it leads no group yet


def end_orphans(process: BaseProcess) -> None:
    """Ends what a process that has just ended left behind, as when it was killed itself."""
    if process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


@atexit.register  # runs before multiprocessing waits for its children
def _end_all() -> None:
    for process in list(_started):
        with suppress(ValueError):  # closed
            end_group(process)


def _lead(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Makes the process the leader of a group and runs its task."""
    os.setsid()
    depend_on_parent(partial(os.killpg, 0, signal.SIGKILL))
    target(*arguments)
