"""A real `unmask app` in a process of its own, for slow tests."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

WAIT_SECONDS = 240
"""The first verdict loads TensorFlow, on a machine that is busy with other tests."""


def until(happened: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What the function returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
    return found


class Served:
    """A server, its address, and a client with its token."""

    def __init__(self, folder: Path, bundle: Path, *options: str) -> None:
        self.folder = folder
        begun = time.monotonic()
        self.process = subprocess.Popen(
            (sys.executable, "-m", "pipeline", "app", "--folder", folder, "--bundle", bundle,
             "--port", "0", "--no-browser", *options),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.address = re.search(r"http://\S+", line)[0]  # type: ignore[index]
        self.start_seconds = time.monotonic() - begun
        base, token = self.address.split("/?token=")
        self.client = httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As the system does where memory is short."""
        self.process.kill()
        self.process.communicate()

    def add(self, path: Path, **more: Any) -> str:
        """Sends a file; returns the id of its case."""
        query = {"name": path.name, **more}
        answer = self.client.post("/api/cases", params=query, content=path.read_bytes())
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["case"]["id"])

    def run(self, case: str) -> dict[str, Any]:
        """Its newest run."""
        return dict(self.client.get(f"/api/cases/{case}").json()["run"])

    def ended(self, case: str) -> dict[str, Any]:
        """Its newest run when that has ended."""
        until(lambda: self.run(case)["state"] not in ("queued", "running"))
        return self.run(case)

    @property
    def children(self) -> list[int]:
        """Processes that it started."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        listed = [int(one) for one in found.read_text().split()]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            listed += [int(one) for one in (task / "children").read_text().split()]
        return sorted(set(listed))

    @property
    def peak_bytes(self) -> int:
        """Most memory that the server itself has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
    except OSError:
        return False
    return state not in "ZX"
