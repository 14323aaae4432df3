"""The local page without processes: a folder of cases, and a client that may do everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.records import FORMAT, VERSION
from pipeline.app.settings import AppSettings
from pipeline.app.store.models import FaceTimeline, Timeline, Window

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from pipeline.app.web.context import Context
    from pipeline.app.web.security import Guard

LACKING = [name for name in ("fastapi", "uvicorn", "httpx") if find_spec(name) is None]
# test_installed.py says which is missing.
collect_ignore_glob = ["test_[!i]*.py", "test_interface.py"] if LACKING else []

PORT, TOKEN = 8765, "the-token-of-the-address"
HOST = f"127.0.0.1:{PORT}"
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8
"""Begins as MP4 does; nobody decodes it here."""


@pytest.fixture
def settings(tmp_path: Path) -> AppSettings:
    """A folder of cases, and a bundle that is never loaded."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    record = {"format": FORMAT, "version": VERSION}
    (bundle / "bundle.json").write_text(json.dumps(record))
    return AppSettings(folder=tmp_path / "cases", bundle=bundle, upload_gib=0.001)


@pytest.fixture
def context(settings: AppSettings) -> Iterator[Context]:
    """The open folder; its supervisor is not started, so what is queued stays so."""
    from pipeline.app.web.context import open_context
    from pipeline.app.web.server import detector_of

    opened = open_context(settings, detector_of(settings.bundle))
    yield opened
    opened.database.close()


@pytest.fixture
def guarded(context: Context) -> Guard:
    """The application as it is served."""
    from pipeline.app.web.security import Guard
    from pipeline.app.web.server import make_app

    return Guard(make_app(context), port=PORT, token=TOKEN)


@pytest.fixture
def client(guarded: Guard) -> TestClient:
    """The person who started it, by a program."""
    from fastapi.testclient import TestClient

    return TestClient(
        guarded,
        base_url=f"http://{HOST}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        follow_redirects=False,
    )


@pytest.fixture
def add(client: TestClient) -> Callable[..., str]:
    """Receives a file; returns the id of its case."""

    def receive(content: bytes = VIDEO, name: str = "a.mp4", **more: object) -> str:
        answer = client.post("/api/cases", params={"name": name, **more}, content=content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["case"]["id"])

    return receive


@pytest.fixture
def judged(context: Context, add: Callable[..., str]) -> Callable[..., str]:
    """Receives a file and has it judged, as a process would."""

    def receive(verdict: str = "FAKE", **more: object) -> str:
        case = add(**more)
        run = context.runs.take()
        assert run is not None
        judge(context, run.id, verdict)
        return case

    return receive


def judge(context: Context, run: str, verdict: str = "FAKE", probability: float = 0.9876) -> None:
    """Does what a process does with a run: writes its files and tells the verdict."""
    folder = context.results(run)
    folder.mkdir(exist_ok=True)
    told = f"<h1>Verdict on x</h1>\n<p id='told'>{verdict} {probability}</p>"
    (folder / "page.html").write_text(f"<html><main>\n{told}</main></html>")
    face = FaceTimeline(
        face=1,
        times=[0.0, 1.0],
        boxes=[(0.0, 0.0, 9.0, 9.0)] * 2,
        found=[True, True],
        windows=[
            Window(start_seconds=0, end_seconds=1, probability_fake=probability, verdict=verdict)  # type: ignore[arg-type]
        ],
        axis=(0.0, 1.0),
    )
    timeline = Timeline(width=32, height=24, faces=[face])
    (folder / "verdict.json").write_text(timeline.model_dump_json())
    context.runs.score(
        run,
        verdict=verdict,
        probability_fake=probability,
        bundle_sha256=context.supervisor.detector.bundle_sha256,
    )
    context.runs.end(run, "done")
