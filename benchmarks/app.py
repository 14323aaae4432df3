"""How long until `unmask app` shows its page, answers while it judges, and gives a verdict?

    python benchmarks/app.py [--clip VIDEO] [--bundle BUNDLE] [--runs 3]

A server is started as a user does. Measured are the time from its start to the first answer, and to
the first paint in a headless Chromium that runs already (where one is on the PATH); the time from
the end of an upload to the verdict, which the page shows while the heat map is still computed,
against `unmask predict BUNDLE CLIP` from its start to its verdict, both with the network cached;
and how long the first page and the list of cases take meanwhile, asked every 50 ms.

The last line is one JSON object: start_seconds, paint_seconds, verdict_seconds, predict_seconds,
medians of the runs; answer_ms_median, answer_ms_slowest of all answers while videos were judged.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


class Server:
    """A running `unmask app`."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.begun = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "app", "--folder", folder, "--bundle", bundle,
             "--port", "0", "--no-browser"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        found = re.search(r"(http://\S+/)\?token=(\S+)", self._process.stdout.readline())
        assert found is not None
        self.base, self._token = found.groups()
        self.address = found[0]
        self.ask("")
        self.start_seconds = time.perf_counter() - self.begun

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """One answer."""
        request = urllib.request.Request(self.base + path, data=body)  # noqa: S310
        request.add_header("Authorization", f"Bearer {self._token}")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return bytes(answer.read())

    def json(self, path: str) -> Any:
        """One answer, parsed."""
        return json.loads(self.ask(path))

    def stop(self) -> None:
        """As Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


def first_paint(folder: Path, bundle: Path) -> float | None:
    """Seconds from the start of a server to the first paint in a browser that runs already."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return None
    if CHROMIUM is None:
        return None
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        server = Server(folder, bundle)
        before = time.perf_counter() - server.begun
        page.goto(server.address)
        while (paint := page.evaluate(PAINT)) is None:
            page.wait_for_timeout(5)
        server.stop()
        browser.close()
        return before + paint / 1000


def judge(server: Server, clip: Path, number: int) -> tuple[float, list[float]]:
    """Seconds to the verdict on a clip, and of each answer until its run has ended."""
    # Bytes after a video's end change its digest, not its pictures.
    content = clip.read_bytes() + number.to_bytes(8, "big") * 2
    case = json.loads(server.ask(f"api/cases?name={number}.mp4", content))["case"]["id"]
    begun, answers, stop = time.perf_counter(), list[float](), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for path in ("", "api/cases"):
                clock = time.perf_counter()
                server.ask(path)
                answers.append(time.perf_counter() - clock)
            stop.wait(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    told = None
    while True:
        run = server.json(f"api/cases/{case}")["run"]
        if told is None and run["verdict"] is not None:
            told = time.perf_counter() - begun
        if run["state"] not in ("queued", "running"):
            break
        time.sleep(0.02)
    stop.set()
    watcher.join()
    if told is None:
        raise SystemExit(f"no verdict: {run['message']}")
    return told, answers


def main() -> None:
    """Measures and prints."""
    from benchmarks.predict import UNMASK, make_bundle, make_clip, timed

    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        clip, bundle = given.clip or work / "clip.mp4", given.bundle or work / "bundle"
        if given.clip is None:
            make_clip(clip)
        if given.bundle is None:
            make_bundle(bundle)
        os.environ["UNMASK_CACHE_DIR"] = str(work / "cache")
        command = [*UNMASK, "predict", bundle, clip]
        timed(command, dict(os.environ), "P(fake)")  # fills the cache
        predicted = [timed(command, dict(os.environ), "P(fake)")[0] for _ in range(given.runs)]
        starts, paints = [], []
        for number in range(given.runs):
            paints.append(first_paint(work / f"paint-{number}", bundle))
        server = Server(work / "cases", bundle)
        starts.append(server.start_seconds)
        verdicts, answers = [], list[float]()
        for number in range(given.runs):
            while server.json("api/status")["detector"]["state"] == "loading":
                time.sleep(0.1)
            time.sleep(5)  # a person chooses a file; the next process loads meanwhile
            told, more = judge(server, clip, number)
            verdicts.append(told)
            answers += more
        server.stop()
    known = [one for one in paints if one is not None]
    found = {
        "start_seconds": statistics.median(starts),
        "paint_seconds": statistics.median(known) if known else None,
        "verdict_seconds": statistics.median(verdicts),
        "predict_seconds": statistics.median(predicted),
        "answer_ms_median": 1000 * statistics.median(answers),
        "answer_ms_slowest": 1000 * max(answers),
    }
    for name, value in found.items():
        print(f"{name:20} {'-' if value is None else f'{value:.2f}'}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
