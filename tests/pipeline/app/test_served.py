"""The whole page, with a real bundle: verdicts, kills, large files, limits."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path

import httpx
import pytest

from data.errors import InputError, LockedError, OutputError
from pipeline.case.verify import verify_case
from tests.pipeline.app.served import Served, alive, until

LARGE_BYTES = 2 << 30


@pytest.fixture(scope="module")
def served(world, tmp_path_factory):
    """One server for the tests that leave it alive."""
    with Served(tmp_path_factory.mktemp("app") / "cases", world.bundle) as made:
        yield made


def video(world, number: int = 0, kind: str = "fake") -> Path:
    return sorted((world.demo / kind).glob("*.mp4"))[number]


@pytest.mark.slow
def test_the_page_says_what_predict_says(served, world, run, tmp_path):
    path = video(world)
    found = served.ended(served.add(path))
    assert found["state"] == "done", found
    (told,) = json.loads(run("predict", world.bundle, path, "--json").stdout)
    assert found["verdict"] == told["verdict"]
    assert found["probability_fake"] == told["probability_fake"]
    run("predict", world.bundle, path, "--report", tmp_path / "page.html")
    page = served.client.get(f"/api/runs/{found['id']}/page").text
    assert without_names(page) == without_names((tmp_path / "page.html").read_text())
    status = served.client.get("/api/status").json()["detector"]
    assert status["state"] == "ready"
    assert status["line"] == told["training"]


def without_names(page: str) -> str:
    """A page without what the two must say differently: the file's name, the command."""
    page = re.sub(r"<dt>command</dt><dd>.*?</dd>", "", page, flags=re.DOTALL)
    page = re.sub(r"<dt>name</dt><dd>.*?</dd>", "", page)
    return re.sub(r"unmask predict [^<]*", "", page)


@pytest.mark.slow
def test_a_box_is_judged_as_on_the_command_line(served, world, run):
    path = video(world, 1)
    case = served.add(path)
    served.ended(case)
    run_id = served.run(case)["id"]
    timeline = served.client.get(f"/api/runs/{run_id}/timeline").json()
    assert (timeline["width"], timeline["height"]) == (160, 120)
    x0, y0, x1, y1 = timeline["faces"][0]["boxes"][3]
    box = f"{x0 + 8:.0f},{y0 + 8:.0f},{x1 - x0 - 16:.0f},{y1 - y0 - 16:.0f}@0.2"
    assert served.client.post(f"/api/cases/{case}/runs", json={"box": box}).status_code == 201
    found = served.ended(case)
    (told,) = json.loads(run("predict", world.bundle, path, "--box", box, "--json").stdout)
    assert found["probability_fake"] == told["probability_fake"]
    assert told["given_box"] == found["box"] == box


@pytest.mark.slow
def test_the_case_file_is_sealed_and_holds_what_people_wrote(served, world, tmp_path):
    case = served.add(video(world, 2))
    served.ended(case)
    client = served.client
    client.post(f"/api/cases/{case}/notes", json={"author": "Ann", "text": "from a <b>chat</b>"})
    client.post(f"/api/cases/{case}/readings", json={"reader": "Bob", "verdict": "UNSURE"})
    made = client.post(f"/api/cases/{case}/export", json={"by": "Ann"}).json()
    until(lambda: client.get(f"/api/runs/{made['id']}/case.zip").status_code == 200)
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/api/runs/{made['id']}/case.zip").content))
    archive.extractall(tmp_path)
    checked = verify_case(tmp_path / "case")
    assert checked.problems == ()
    record = json.loads((tmp_path / "case" / "case.json").read_text())
    assert record["made"]["by"] == "Ann"
    assert [(one["by"], one["text"], one["verdict"]) for one in record["notes"]] == [
        ("Ann", "from a <b>chat</b>", None),
        ("Bob", "", "UNSURE"),
    ]
    assert record["judgement"]["probability_fake"] == served.run(case)["probability_fake"]
    assert "&lt;b&gt;chat" in (tmp_path / "case" / "verdict.html").read_text()


@pytest.mark.slow
def test_what_is_no_video_fails_with_ffmpegs_reason(served, tmp_path):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    found = served.ended(served.add(tmp_path / "text.mp4"))
    assert (found["state"], found["failure"]) == ("failed", "unreadable")
    assert found["message"]


@pytest.mark.slow
def test_the_page_answers_while_a_video_is_judged(served, world):
    """In 100 ms on a machine that does nothing else (docs/app.md); here, it does not wait."""
    case, slowest, asked = served.add(video(world, 3)), 0.0, 0
    while served.run(case)["state"] in ("queued", "running"):
        begun = time.monotonic()
        assert served.client.get("/").status_code == 200
        slowest, asked = max(slowest, time.monotonic() - begun), asked + 1
    assert asked > 3
    assert slowest < 2


@pytest.mark.slow
def test_a_large_file_takes_little_memory_and_comes_whole(served, tmp_path):
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(LARGE_BYTES)
    before = served.peak_bytes

    def parts():
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                yield part

    answer = served.client.post(
        "/api/cases",
        params={"name": "large.mp4"},
        content=parts(),
        headers={"Content-Length": str(LARGE_BYTES)},
        timeout=500,
    )
    assert answer.status_code == 201
    assert answer.json()["case"]["size_bytes"] == LARGE_BYTES
    assert served.peak_bytes < before + (64 << 20)
    case = answer.json()["case"]
    assert served.ended(case["id"])["state"] == "failed"  # zeros are no video
    served.client.delete(f"/api/cases/{case['id']}", params={"confirm": case["sha256"][:8]})


@pytest.mark.slow
def test_an_upload_that_breaks_off_leaves_nothing(served):
    host = served.client.base_url

    with socket.create_connection((host.host, host.port)) as link:
        token = served.address.split("token=")[1]
        link.sendall(
            f"POST /api/cases?name=half.mp4 HTTP/1.1\r\nHost: {host.host}:{host.port}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n".encode()
            + b"x" * 5000
        )
        until(lambda: list((served.folder / "incoming").iterdir()))
    until(lambda: not list((served.folder / "incoming").iterdir()))
    assert served.client.get("/api/cases", params={"query": "half"}).json()["total"] == 0


@pytest.mark.slow
def test_thirty_files_at_once_a_kill_and_a_new_start_lose_nothing(world, tmp_path):
    """Files that ffmpeg refuses at once, between videos: what is told of each is kept."""
    folder = tmp_path / "cases"
    with Served(folder, world.bundle) as first:
        names = []

        def send(number: int) -> None:
            path = tmp_path / f"{number}.mp4"
            good = number in (0, 15)
            path.write_bytes(video(world, number // 15).read_bytes() if good
                             else b"\0\0\0\x18ftypmp42" + bytes([number]) * 500)  # fmt: skip
            while first.client.post("/api/cases", params={"name": path.name},
                                    content=path.read_bytes()).status_code == 429:  # fmt: skip
                time.sleep(0.1)
            names.append(path.name)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(30)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(names) == 30
        until(lambda: first.client.get("/api/status").json()["running"])
        children = first.children
        assert children
        first.kill()
        until(lambda: not any(alive(one) for one in children), 30)
    with Served(folder, world.bundle) as again:
        listed = again.client.get("/api/cases").json()
        assert listed["total"] == 30
        assert listed["active"] > 0
        until(lambda: again.client.get("/api/cases").json()["active"] <= 24)
        listed = again.client.get("/api/cases").json()["cases"]
        waiting = [one["run"]["id"] for one in listed if one["run"]["state"] == "queued"]
        assert len(waiting) >= 20
        for run in waiting:
            again.client.post(f"/api/runs/{run}/cancel")
        until(lambda: again.client.get("/api/cases").json()["active"] == 0)
        found = again.client.get("/api/cases").json()["cases"]
        states = Counter(one["run"]["state"] for one in found)
        assert states.total() == 30
        assert states["cancelled"] >= 20
        ended = [one for one in found if one["run"]["state"] in ("done", "failed")]
        assert len(ended) >= 5
        for one in ended:
            good = one["name"] in ("0.mp4", "15.mp4")
            assert one["run"]["state"] == ("done" if good else "failed")
            assert one["run"]["failure"] == (None if good else "unreadable")


def test_a_second_server_and_a_wrong_bundle_are_one_line(world, tmp_path):
    def refused(*arguments: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "app", "--no-browser", *map(str, arguments)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stderr.strip()

    code, words = refused("--folder", tmp_path / "c", "--bundle", tmp_path / "none")
    assert (code, words.count("\n")) == (InputError.exit_code, 0)
    with Served(tmp_path / "cases", world.bundle) as first:
        port = str(first.client.base_url.port)
        code, words = refused("--folder", tmp_path / "cases", "--bundle", world.bundle)
        assert code == LockedError.exit_code
        assert "another page has" in words
        code, words = refused("--folder", tmp_path / "d", "--bundle", world.bundle, "--port", port)
        assert code == OutputError.exit_code
        assert f"port {port} is taken" in words
        begun = time.monotonic()
        first.process.send_signal(signal.SIGINT)
        _, told = first.process.communicate(timeout=30)
        assert time.monotonic() - begun < 20
        assert first.process.returncode == 130
        assert told.strip() == "unmask: interrupted; finished work is kept"


def test_the_server_loads_neither_tensorflow_nor_openvino(world, tmp_path):
    with Served(tmp_path / "cases", world.bundle) as made:
        assert made.client.get("/").status_code == 200
        maps = Path(f"/proc/{made.process.pid}/maps").read_text()
        assert "tensorflow" not in maps
        assert "openvino" not in maps
        assert made.peak_bytes < 250 << 20


def test_nobody_else_may_read_the_folder(world, tmp_path):
    with Served(tmp_path / "cases", world.bundle):
        assert (tmp_path / "cases").stat().st_mode & 0o077 == 0


def test_the_port_is_open_on_this_machine_alone(world, tmp_path):
    with Served(tmp_path / "cases", world.bundle) as made:
        port = made.client.base_url.port
        lines = Path("/proc/net/tcp").read_text().splitlines()
        addresses = {line.split()[1] for line in lines[1:] if line.split()[3] == "0A"}
        assert f"0100007F:{port:04X}" in addresses
        assert f"00000000:{port:04X}" not in addresses
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://[::1]:{port}/")
