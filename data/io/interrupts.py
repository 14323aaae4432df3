"""Ctrl-C: one line, exit code 130, and no traceback, at any moment from the first import on.

Before a command runs there is nothing to wind up: the first Ctrl-C ends the process at once. While
it runs, the first one raises `KeyboardInterrupt` in the main thread, as Python does; what must not
be cut in two (a child that starts, a library that loads) holds it back for that long. The second
one ends the process at once: whoever presses it does not want to wait.

This is imported before everything else, and what is imported before it knows nothing of Ctrl-C. So
it imports what Python has loaded by then anyway: no `typing`, no `contextlib`.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

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


class command_runs:
    """Says that a command runs in the block: Ctrl-C is raised, and what is half done is wound up.

    Once it is wound up the process ends at once: threads and libraries that are still at work have
    nothing to say any more, nor has an error that some library made of the interrupt. Where Ctrl-C
    was not taken over, `KeyboardInterrupt` goes on.
    """

    def __enter__(self) -> None:
        self._before, _state.running = _state.running, True

    def __exit__(self, _class: object, error: object, _traceback: object) -> None:
        interrupted = _state.presses or isinstance(error, KeyboardInterrupt)
        if _state.installed and error is not None and interrupted:
            _leave()
        _state.running = self._before


def end() -> None:
    """Says that all is done: Ctrl-C while Python winds itself up would end it without a word."""
    if _state.installed:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def was_pressed() -> bool:
    """Whether Ctrl-C was pressed: what a library says from then on is of no interest."""
    return _state.presses > 0


def redirect_line(descriptor: int) -> None:
    """Where the line goes while file descriptor 2 is turned away."""
    _state.stderr = descriptor


class held_back:
    """Ctrl-C waits for the end of the block, which must be short; a second one ends the process.

    In other threads than the main one it changes nothing: Ctrl-C is never raised there.
    """

    def __enter__(self) -> None:
        import threading

        self._ours = threading.current_thread() is threading.main_thread()
        if self._ours:
            _state.depth += 1

    def __exit__(self, *_: object) -> None:
        if not self._ours:
            return
        _state.depth -= 1
        if not _state.depth and _state.pending:
            _state.pending = False
            _interrupt()


class not_swallowed:
    """Ctrl-C that a library swallows in the block, as imports may, is raised again at its end."""

    def __enter__(self) -> None:
        self._presses = _state.presses

    def __exit__(self, _class: object, error: object, _traceback: object) -> None:
        if _state.presses > self._presses and error is None:
            raise KeyboardInterrupt


class kept_from_children(held_back):
    """For starting child processes: they never get Ctrl-C, not even in their first moment.

    The signal is blocked while they start, and a child is born with its parent's mask. A spawned
    child reads from a pipe what it is to do: its parent must not be torn away before that is said.
    """

    def __enter__(self) -> None:
        super().__enter__()
        _state.starting = True
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        _state.starting = False
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        super().__exit__()


def _handle(_signal: int, _frame: FrameType | None) -> None:
    _state.presses += 1
    if _state.depth and (_state.presses == 1 or _state.starting):
        _state.pending = True
    else:
        _interrupt()


def _interrupt() -> None:
    if not _state.running or _state.presses > 1:
        _leave()
    raise KeyboardInterrupt


def _leave() -> None:
    """Writes the line, once, and ends the process at once."""
    if not _state.told:
        _state.told = True
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, RuntimeError, AttributeError):
                continue  # closed, full, in the middle of a write, or not there
        try:
            os.write(_state.stderr, f"{LINE}\n".encode())
        except OSError:
            os._exit(INTERRUPTED)  # nobody is there to read it
    os._exit(INTERRUPTED)


def _unraisable(told: sys.UnraisableHookArgs) -> None:
    """A callback from C or a destructor cannot pass Ctrl-C on: then the process ends at once."""
    if isinstance(told.exc_value, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(told)
