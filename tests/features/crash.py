"""Simulates a crash: from a given step on, nothing is written to the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from data.io import atomic_folders

STEPS = ["replace", "rename", "link", "unlink", "rmdir", "mkdir", "fsync", "chmod"]


class Killed(BaseException):
    """The process ends here: what `except` and `finally` would still change, it does not."""


@contextmanager
def killed_at(step: int) -> Iterator[Callable[[], bool]]:
    """Lets `step` changes through and ends the block at the next one.

    Gives a function that tells, afterwards, whether the block was ended so.
    """
    done = 0

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise Killed
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(atomic_folders, "exchange", counted(atomic_folders.exchange))
        with suppress(Killed):
            yield lambda: done > step
