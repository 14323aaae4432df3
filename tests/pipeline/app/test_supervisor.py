"""Processes that judge: cancelled, killed, too slow, broken; the server survives and says so."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.app.judging.supervisor import Supervisor
from pipeline.app.store.models import Detector
from pipeline.app.web.context import Context
from tests.pipeline.app import workers
from tests.pipeline.app.conftest import VIDEO

WAIT_SECONDS = 90
"""A busy machine takes its time to start processes."""


def until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] in "ZX"
    except OSError:
        return True


@pytest.fixture
def started(context: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """The supervisor at work, with stand-ins."""
    monkeypatch.setattr("pipeline.app.judging.supervisor.work", workers.work)
    context.supervisor.start()
    yield context
    context.supervisor.stop()


@pytest.fixture
def judge(started: Context, add: Callable[..., str]) -> Callable[..., Callable[[], object]]:
    """Receives a file of this name; returns what asks for its run."""
    count = iter(range(100))

    def receive(name: str) -> Callable[[], object]:
        case = add(VIDEO + bytes([next(count)]), f"{name}.mp4")
        return lambda: started.cases.get(case).run

    return receive


def test_a_video_is_judged_and_what_is_done_is_told(judge, started):
    run = judge("good")
    until(lambda: run().state == "done")
    assert (run().verdict, run().probability_fake) == ("FAKE", 0.9)
    assert run().started <= run().ended
    assert started.supervisor.detector.state == "ready"
    assert started.supervisor.detector.line == "trained on nobody"
    (found,) = started.cases.find().cases
    until(lambda: "verdict: done" in started.cases.details(found.id).events[-1].text)


@pytest.mark.parametrize(
    ("name", "failure", "words"),
    [
        ("crash", "process", "signal 11"),
        ("exit", "process", "exit code 3"),
        ("garbage", "process", "exit code 0"),
        ("memory", "memory", "more than it may have"),
        ("fails", "no_face", "no face in any frame"),
    ],
)
def test_one_that_fails_says_why_and_the_next_is_judged(judge, name, failure, words):
    run, following = judge(name), judge("good")
    until(lambda: following().state == "done")
    assert (run().state, run().failure) == ("failed", failure)
    assert words in run().message
    assert run().verdict is None


def test_a_cancelled_run_ends_with_all_that_it_started(judge, started):
    run, following = judge("sleep"), judge("good")
    until(lambda: run().stage == "decoding")
    child = started.evidence.path(started.cases.find(query="sleep").cases[0].sha256)
    until(lambda: child.with_suffix(".child").exists())
    pid = int(child.with_suffix(".child").read_text())
    assert not gone(pid)
    assert started.supervisor.cancel(run().id)
    until(lambda: run().state == "cancelled")
    until(lambda: gone(pid))
    until(lambda: following().state == "done")
    assert not started.supervisor.cancel(run().id)


def test_a_killed_process_is_a_failure_of_its_video_alone(judge, started):
    run = judge("sleep")
    until(lambda: run().stage == "decoding")
    path = started.evidence.path(started.cases.find().cases[0].sha256).with_suffix(".child")
    until(path.exists)
    for pid in started.supervisor.processes():
        os.kill(pid, signal.SIGKILL)
    until(lambda: run().state == "failed")
    until(lambda: gone(int(path.read_text())))  # the program that it had started
    assert "signal 9" in run().message
    following = judge("good")
    until(lambda: following().state == "done")


def test_one_that_takes_too_long_is_ended(judge, started, monkeypatch):
    brief = started.settings.replace(minutes=0.02)
    monkeypatch.setattr(started.supervisor, "_settings", brief)
    run = judge("sleep")
    until(lambda: run().state == "failed")
    assert run().failure == "timeout"
    assert "--minutes" in run().message


def test_many_files_at_once_are_all_judged_one_after_the_other(judge, started):
    runs = [judge(f"good-{number}") for number in range(6)] + [judge("crash"), judge("fails")]
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, started.runs.running())
        return not any(run().state in ("queued", "running") for run in runs)

    until(ended)
    assert [run().state for run in runs] == ["done"] * 6 + ["failed"] * 2
    assert most <= 1  # one at a time, unless --workers says otherwise


@pytest.mark.parametrize(
    ("work", "words"), [(workers.broken, "backbone is missing"), (workers.dies, "ended 3 times")]
)
def test_a_bundle_that_cannot_be_loaded_is_said_and_what_came_waits(
    context: Context, add, monkeypatch, work, words
):
    monkeypatch.setattr("pipeline.app.judging.supervisor.work", work)
    add()
    context.supervisor.start()
    until(lambda: context.supervisor.detector.state == "broken")
    assert words in context.supervisor.detector.problem
    assert context.runs.waiting() == 1
    context.supervisor.stop()


def test_a_server_that_stops_leaves_no_process_and_queues_again(context, add, monkeypatch):
    monkeypatch.setattr("pipeline.app.judging.supervisor.work", workers.work)
    case = add(VIDEO, "sleep.mp4")
    context.supervisor.start()
    until(lambda: context.cases.get(case).run.stage == "decoding")
    pids = context.supervisor.processes()
    context.supervisor.stop()
    assert all(gone(pid) for pid in pids)
    detector = Detector(state="loading", bundle="b", bundle_sha256="0" * 64)
    again = Supervisor(context.settings, context.runs, lambda _: {}, detector)
    assert context.cases.get(case).run.state == "running"
    again._runs.queue_again()
    assert context.cases.get(case).run.state == "queued"


def test_a_case_that_is_deleted_while_it_is_judged_leaves_nothing(judge, started, client):
    run = judge("sleep")
    until(lambda: run().stage == "decoding")
    (found,) = started.cases.find().cases
    pids = started.supervisor.processes()
    gone_now = client.delete(f"/api/cases/{found.id}", params={"confirm": found.sha256[:8]})
    assert gone_now.status_code == 200
    until(lambda: all(gone(pid) for pid in pids[:1]))
    assert started.cases.find().total == 0
    following = judge("good")
    until(lambda: following().state == "done")
