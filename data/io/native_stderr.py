"""File descriptor 2, turned away from C++ libraries while they load: noise that nobody can act on.

The only owner of that descriptor. Blocks may overlap in many threads: the first one turns it away,
the last one turns it back. Two that each kept "what it was before" would give one another's
temporary file back, and all later messages would vanish.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from data.io.interrupts import held_back, redirect_line, was_pressed


class _Redirect:
    """The redirect of this process, shared by all blocks.

    Attributes:
        lock: of all below.
        blocks: that are open, of all threads.
        kept: a duplicate of what file descriptor 2 was; -1 while it is itself.
        held: what was written meanwhile, in memory.
        failed: a block ended by an error: what was held back is shown.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.kept = -1
        self.held = -1
        self.failed = False

    def enter(self) -> None:
        with self.lock:
            if not self.blocks:
                self._turn_away()
            self.blocks += 1
            _mine.blocks = getattr(_mine, "blocks", 0) + 1

    def leave(self, *, failed: bool) -> None:
        with self.lock:
            self.failed |= failed
            self.blocks -= 1
            _mine.blocks -= 1
            if not self.blocks:
                self._turn_back()

    def _turn_away(self) -> None:
        """Where it cannot be done, because there is no stderr for one, nothing is."""
        self.failed = False
        if sys.stderr is None:  # it was closed at the start: descriptor 2 may be any file by now
            return
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, ValueError):
            return
        try:
            self.held = os.memfd_create("unmask-stderr")
            os.dup2(self.held, 2)
        except OSError:
            os.close(kept)
            return
        self.kept = kept
        redirect_line(kept)

    def _turn_back(self) -> None:
        if self.kept < 0:
            return
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
        finally:
            os.dup2(self.kept, 2)
            redirect_line(2)
            os.close(self.kept)
            self.kept = -1
            if self.failed:
                os.lseek(self.held, 0, os.SEEK_SET)
                os.sendfile(2, self.held, 0, os.fstat(self.held).st_size)
            os.close(self.held)
            self.held = -1

    def after_fork(self) -> None:
        """In a forked child only the forking thread goes on, so only its blocks will ever end."""
        self.lock = threading.Lock()
        self.blocks = getattr(_mine, "blocks", 0)
        if not self.blocks:
            self._turn_back()


_mine = threading.local()  # `blocks`: how many of this thread are open
_redirect = _Redirect()
os.register_at_fork(
    before=lambda: _redirect.lock.acquire(),
    after_in_parent=lambda: _redirect.lock.release(),
    after_in_child=_redirect.after_fork,
)


@contextmanager
def hushed_stderr() -> Iterator[None]:
    """Turns file descriptor 2 away for the block; shows what came after all if the block fails.

    For the short time that a library takes to load: what other threads write is held back, too.
    """
    entered = failed = False
    try:
        with held_back():  # or Ctrl-C could leave the count wrong
            _redirect.enter()
            entered = True
        yield
    except Exception:
        failed = not was_pressed()
        raise
    finally:
        if entered:
            with held_back():
                _redirect.leave(failed=failed)


def discard_stderr() -> None:
    """Sends all that this process will ever write to stderr nowhere: for a child of its own."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
