"""Jobs in several processes: errors arrive whole, a process that was ended is one line."""

from __future__ import annotations

import os
import pickle

import pytest

from data.errors import NoDecoderError, ToolError, VideoError
from data.io.processes import job_runner


@pytest.mark.parametrize("workers", [1, 2])
def test_each_job_gives_its_key_and_result(workers: int) -> None:
    with job_runner(workers, what="counted") as run:
        found = dict(run(divmod, {"a": (7, 2), "b": (9, 4)}))
    assert found == {"a": (3, 1), "b": (2, 1)}


def test_a_process_that_was_ended_is_one_line_with_the_remedy() -> None:
    with (
        pytest.raises(ToolError, match=r"^a process that counted was ended .* run the same"),
        job_runner(2, what="counted") as run,
    ):
        list(run(os._exit, {"a": (1,)}))


def test_a_video_error_survives_the_way_between_processes() -> None:
    for error in (
        VideoError("timeout", "too slow", stderr_tail="frame 3"),
        NoDecoderError("no decoder for AV1"),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is type(error)
        assert (str(again), again.failure, again.stderr_tail) == (
            str(error),
            error.failure,
            error.stderr_tail,
        )
