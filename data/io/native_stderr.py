"""Silences file descriptor 2 while C++ libraries load, whose messages a user cannot act on.

The only owner of that descriptor. Blocks may overlap in many threads: the first one redirects it,
the last one restores it. If each block restored what it had found, one could restore another's
temporary file, and all later messages would vanish.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from data.io.interrupts import defer_interrupt, redirect_line, was_pressed
from data.operating_system.files import copy_to, memory_file


class _Redirect:
    """The redirect of this process, shared by all blocks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # of all below
        self.blocks = 0  # number of open blocks, of all threads
        self.original = -1  # duplicate of the original descriptor 2; -1 while it is not redirected
        self.captured = -1  # a file without a name with what was written meanwhile
        self.failed = False  # a block ended by an error, so that what was captured is shown

    def enter(self) -> None:
        with self.lock:
            if not self.blocks:
                self._redirect()
            self.blocks += 1
            _thread.blocks = getattr(_thread, "blocks", 0) + 1

    def leave(self, *, failed: bool) -> None:
        with self.lock:
            self.failed |= failed
            self.blocks -= 1
            _thread.blocks -= 1
            if not self.blocks:
                self._restore()

    def _redirect(self) -> None:
        """Where it is impossible, for lack of a stderr for example, nothing is redirected."""
        self.failed = False
        if sys.stderr is None:  # it was closed at the start: descriptor 2 may be any file by now
            return
        try:
            sys.stderr.flush()
            original = os.dup(2)
        except (OSError, ValueError):
            return
        try:
            self.captured = memory_file("unmask-stderr")
            os.dup2(self.captured, 2)
        except OSError:
            os.close(original)
            return
        self.original = original
        redirect_line(original)

    def _restore(self) -> None:
        if self.original < 0:
            return
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
        finally:
            os.dup2(self.original, 2)
            redirect_line(2)
            os.close(self.original)
            self.original = -1
            if self.failed:
                copy_to(2, self.captured)
            os.close(self.captured)
            self.captured = -1

    def after_fork(self) -> None:
        """In a forked child only the forking thread goes on, so only its blocks will ever end."""
        self.lock = threading.Lock()
        self.blocks = getattr(_thread, "blocks", 0)
        if not self.blocks:
            self._restore()


_thread = threading.local()  # `blocks`: number of open blocks of this thread
_redirect = _Redirect()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _redirect.lock.acquire(),
        after_in_parent=lambda: _redirect.lock.release(),
        after_in_child=_redirect.after_fork,
    )


@contextmanager
def silenced_native_stderr() -> Iterator[None]:
    """Captures file descriptor 2 for the block; shows what was captured if the block fails.

    For the short time that a library takes to load: what other threads write is captured, too.
    """
    entered = failed = False
    try:
        with defer_interrupt():  # or Ctrl-C could leave the count wrong
            _redirect.enter()
            entered = True
        yield
    except Exception:
        failed = not was_pressed()
        raise
    finally:
        if entered:
            with defer_interrupt():
                _redirect.leave(failed=failed)
