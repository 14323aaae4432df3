"""Stand-ins for the process that judges: they say what it says, and misbehave as it may."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.app.judging.worker import bound_memory


def say(link: Connection, **message: object) -> None:
    link.send_bytes(json.dumps(message).encode())


def work(link: Connection, bundle: str, memory_bytes: int) -> None:
    """Does what the name of the file says."""
    say(link, ready={"line": "trained on nobody", "warning": None, "minimum_frames": 1})
    job = json.loads(link.recv_bytes())
    name = Path(job["name"]).stem
    say(link, stage="decoding")
    if name.startswith("sleep"):
        # A program that was started stays as long as its starter: ffmpeg is one.
        child = subprocess.Popen(["sleep", "600"])
        Path(job["path"]).with_suffix(".child").write_text(str(child.pid))
        time.sleep(600)
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "exit":
        os._exit(3)
    if name == "garbage":
        link.send_bytes(b"\x80\x04no json")
        os._exit(0)
    if name == "memory":
        bound_memory(memory_bytes // 12)  # half a GiB
        try:
            bytearray(1 << 30)
        except MemoryError:
            say(link, failed="memory", message="it needs more than it may have")
        os._exit(0)
    if name == "fails":
        say(link, failed="no_face", message="no face in any frame")
        os._exit(0)
    say(link, stage="backbone")
    say(link, verdict="FAKE", probability_fake=0.9)
    say(link, stage="heat map")
    say(link, share=0.5)
    say(link, done=True)
    os._exit(0)


def broken(link: Connection, bundle: str, memory_bytes: int) -> None:
    say(link, broken="the backbone is missing")
    os._exit(0)


def dies(link: Connection, bundle: str, memory_bytes: int) -> None:
    os._exit(1)
