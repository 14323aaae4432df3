"""A child process with limits gives its result, or says why there is none."""

from __future__ import annotations

import os
import time

import pytest

from data.io.processes import ChildEnded, call_in_child

MEMORY_BYTES = 2 << 30


def test_a_result_comes_back() -> None:
    assert call_in_child(len, "four", seconds=30, memory_bytes=MEMORY_BYTES) == 4


def test_what_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(ChildEnded, match="took more than 1 s"):
        call_in_child(time.sleep, 600, seconds=1, memory_bytes=MEMORY_BYTES)
    assert time.monotonic() - began < 60


def test_a_crash_is_no_crash_of_ours() -> None:
    with pytest.raises(ChildEnded, match="ended with code -6"):
        call_in_child(os.abort, seconds=30, memory_bytes=MEMORY_BYTES)


def test_more_memory_than_allowed_ends_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildEnded, match="took more than 2048 MiB"):
        call_in_child(bytes, 3 << 30, seconds=30, memory_bytes=MEMORY_BYTES)
    assert "Traceback" not in capfd.readouterr().err
