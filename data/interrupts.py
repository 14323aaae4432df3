"""Ctrl-C: one line, exit code 130, and no traceback, at any moment from the first import on.

Before a command runs there is nothing to wind up: the first Ctrl-C ends the process at once. While
it runs, the first one raises `KeyboardInterrupt` in the main thread, as Python does; what must not
be cut in two (a child that starts, a library that loads) holds it back for that long. The second
one ends the process at once: whoever presses it does not want to wait.

Imports nothing but the smallest of the standard library: this runs before everything else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

INTERRUPTED = 130
"""Exit code after Ctrl-C: finished work is kept."""
LINE = "unmask: interrupted; finished work is kept"


class _State:
    """Of this process; handlers run in the main thread alone.

    Attributes:
        installed: Ctrl-C was taken over.
        running: a command runs, so that there is something to wind up.
        presses: how often Ctrl-C was pressed.
        told: the line was written.
        depth: blocks that hold it back, one in another.
        starting: a child process starts.
        pending: it was pressed in such a block.
        stderr: where the line goes.
    """

    installed = False
    running = False
    presses = 0
    told = False
    depth = 0
    starting = False
    pending = False
    stderr = 2


_state = _State()


def install() -> None:
    """Takes over Ctrl-C, unless whoever started the process ignores it (`nohup`, a shell's `&`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    _state.installed = True
    signal.signal(signal.SIGINT, _handle)
    sys.unraisablehook = _unraisable


@contextmanager
def command_runs() -> Iterator[None]:
    """Says that a command runs in the block: Ctrl-C is raised, and what is half done is wound up.

    Once it is wound up the process ends at once: threads and libraries that are still at work have
    nothing to say any more, nor has an error that some library made of the interrupt. Where Ctrl-C
    was not taken over, `KeyboardInterrupt` goes on.
    """
    before, _state.running = _state.running, True
    try:
        yield
    except BaseException as error:
        if _state.installed and (_state.presses or isinstance(error, KeyboardInterrupt)):
            _leave()
        raise
    finally:
        _state.running = before


def _leave() -> None:
    """Writes the line, once, and ends the process at once."""
    if not _state.told:
        _state.told = True
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, RuntimeError, AttributeError):
                stream.flush()
        with suppress(OSError):
            os.write(_state.stderr, f"{LINE}\n".encode())
    os._exit(INTERRUPTED)


def redirect_line(descriptor: int) -> None:
    """Where the line goes while file descriptor 2 is turned away."""
    _state.stderr = descriptor


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, which must be short; a second one ends the process.

    In other threads than the main one it changes nothing: Ctrl-C is never raised there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
        if not _state.depth and _state.pending:
            _state.pending = False
            _interrupt()


@contextmanager
def kept_from_children() -> Iterator[None]:
    """For starting child processes: they never get Ctrl-C, not even in their first moment.

    The signal is blocked while they start, and a child is born with its parent's mask. A spawned
    child reads from a pipe what it is to do: its parent must not be torn away before that is said.
    """
    with held_back():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        _state.starting = True
        try:
            yield
        finally:
            _state.starting = False
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(_signal: int, _frame: Any) -> None:
    _state.presses += 1
    if _state.depth and (_state.presses == 1 or _state.starting):
        _state.pending = True
    else:
        _interrupt()


def _interrupt() -> None:
    if not _state.running or _state.presses > 1:
        _leave()
    raise KeyboardInterrupt


def _unraisable(told: Any) -> None:
    """A callback from C or a destructor cannot pass Ctrl-C on: then the process ends at once."""
    if isinstance(told.exc_value, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(told)
