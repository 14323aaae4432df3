"""Ctrl-C: one line, exit code 130, and no traceback, at any moment from the first import on.

Before a command runs, and in the middle of an import, the first Ctrl-C ends the process at once.
Else the first one raises `KeyboardInterrupt` in the main thread, as Python does; blocks that must
not be cut in two (starting a child, loading a library) defer it to their end. The second one ends
the process at once.

This is imported before everything else, so that no import is unguarded. So it imports only what
Python has loaded by then anyway: no `typing`, no `contextlib`.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C: finished work is kept."""
LINE = "unmask: interrupted; finished work is kept"
HAS_MASK = hasattr(signal, "pthread_sigmask")
"""Windows has no signal masks: Ctrl-C in a child's first moment ends it there."""


class _State:
    """State of this process; handlers run in the main thread alone."""

    installed = False  # unmask handles Ctrl-C
    running = False  # a command runs
    presses = 0  # how often Ctrl-C was pressed
    leaving = False  # the process is about to end
    line_written = False  # LINE was written
    depth = 0  # number of nested blocks that defer Ctrl-C
    starting = False  # a child process is being started
    pending = False  # Ctrl-C was pressed in such a block
    stderr = 2  # file descriptor for LINE


_state = _State()
IMPORTING = "<frozen importlib._bootstrap>"
"""Where Python's own code of an import is said to be."""


def install() -> None:
    """Handles Ctrl-C, unless whoever started the process ignores it (`nohup`, a shell's `&`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    _state.installed = True
    signal.signal(signal.SIGINT, _handle)
    sys.unraisablehook = _unraisable


class command_runs:
    """Marks the block in which a command runs: Ctrl-C raises `KeyboardInterrupt` there.

    When it leaves the block the process ends at once: threads and libraries that are still at work
    must not write any more, and an error that a library made of the interrupt is not shown. Without
    `install`, `KeyboardInterrupt` propagates.
    """

    def __enter__(self) -> None:
        self._before, _state.running = _state.running, True

    def __exit__(self, _class: object, error: object, _traceback: object) -> None:
        interrupted = _state.presses or isinstance(error, KeyboardInterrupt)
        if _state.installed and error is not None and interrupted:
            _leave()
        _state.running = self._before


def end() -> None:
    """Ignores Ctrl-C while Python shuts down, which would else end without its exit code."""
    if _state.installed:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def was_pressed() -> bool:
    """Whether Ctrl-C was pressed: errors of libraries are then of no interest."""
    return _state.presses > 0


def redirect_line(descriptor: int) -> None:
    """Sets where LINE goes while file descriptor 2 is redirected."""
    _state.stderr = descriptor


class defer_interrupt:
    """Defers Ctrl-C to the end of the block, which must be short; a second one ends the process.

    It has no effect in other threads than the main one: Ctrl-C is never raised there.
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


class block_interrupt(defer_interrupt):
    """Starts child processes that never get Ctrl-C, not even in their first moment.

    The signal is blocked while they start, and a child inherits its parent's mask. A spawned child
    reads its task from a pipe: its parent must not be interrupted before that is written.
    """

    def __enter__(self) -> None:
        super().__enter__()
        _state.starting = True
        if sys.platform != "win32" and HAS_MASK:
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        _state.starting = False
        if sys.platform != "win32" and HAS_MASK:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        super().__exit__()


class interruptible_threads:
    """A pool of threads for the block, which waits for them at its end, but not after Ctrl-C.

    `ThreadPoolExecutor` waits after Ctrl-C, too: as long as what they do takes, or for ever where
    Ctrl-C came in the middle of an import, since Python then keeps the lock of imports and they may
    need it. After another error what they have begun is waited for, and nothing more is begun.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(self._count)
        return self._pool

    def __exit__(self, _class: object, error: object, _traceback: object) -> None:
        wait = not isinstance(error, KeyboardInterrupt)
        self._pool.shutdown(wait=wait, cancel_futures=error is not None)


def _handle(_signal: int, frame: FrameType | None) -> None:
    _state.presses += 1
    if _state.depth and (_state.presses == 1 or _state.starting):
        _state.pending = True
    elif _in_import(frame):
        _leave()
    else:
        _interrupt()


def _in_import(frame: FrameType | None) -> bool:
    """Whether a module is being imported.

    Libraries go on after an import of theirs that failed, whatever it was (`except:` in OpenCV and
    others): of 643 interrupts in `train`'s first second five were lost so.
    """
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False


def _interrupt() -> None:
    if not _state.running or _state.presses > 1:
        _leave()
    raise KeyboardInterrupt


def _leave() -> None:
    """Writes LINE, once, and ends the process at once.

    Ctrl-C may come here again while the streams are flushed: that call neither flushes nor waits,
    and writes LINE in the place of the first one. Python runs no handler between the mark that LINE
    was written and its writing, as no call returns there.
    """
    line, write, descriptor = f"{LINE}\n".encode(), os.write, _state.stderr
    if not _state.leaving:
        _state.leaving = True
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, RuntimeError, AttributeError):
                continue  # closed, full, in the middle of a write, or not there
    if not _state.line_written:
        _state.line_written = True
        try:
            write(descriptor, line)
        except OSError:
            os._exit(INTERRUPTED)  # nobody is there to read it
    os._exit(INTERRUPTED)


def _unraisable(error: sys.UnraisableHookArgs) -> None:
    """Ends the process at once: a callback from C or a destructor cannot propagate Ctrl-C."""
    if isinstance(error.exc_value, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(error)
