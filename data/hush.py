"""Holds back what C++ libraries write to stderr while they load: noise that nobody can act on."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed_stderr() -> Iterator[None]:
    """Turns file descriptor 2 away for the block; shows what came after all if the block fails.

    For the short time that a library takes to load: what other threads write is held back, too.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
