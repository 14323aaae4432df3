"""A child process that leads a process group, so that it is ended with all that it started.

Spawned, not forked: the server has threads. Not daemonic: it may have children of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Any

from data.io.interrupts import block_interrupt
from data.io.processes import depend_on_parent, start_tracker
from data.operating_system.processes import kill_group, lead_group

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
        kill_group(process.pid)
    process.kill()  # in its first moment it leads no group yet, and on Windows never


def end_orphans(process: BaseProcess) -> None:
    """Ends what a process that has just ended left behind, as when it was killed itself."""
    if process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            kill_group(process.pid)


@atexit.register  # runs before multiprocessing waits for its children
def _end_all() -> None:
    for process in list(_started):
        with suppress(ValueError):  # closed
            end_group(process)


def _lead(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Makes the process the leader of a group and runs its task."""
    lead_group()
    depend_on_parent(_end_own_group)
    target(*arguments)


def _end_own_group() -> None:
    """Ends this process and what it started; on Windows, itself alone: what it started then finds
    its pipes closed."""
    if not kill_group(0):
        os._exit(1)
