"""Extractions that are killed at random moments: nothing finished is lost or made again."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from features.store.key import sequence_key
from features.store.store import FeatureStore
from features.store.verify import verify
from tests.data.hostile import make_seeds
from tests.features.killed_extract import (
    RECIPE,
    SHARD_BYTES,
    WORKERS,
    MeanColours,
    extract_all,
)

ROOT = Path(__file__).parents[3]
VIDEOS = 40
KILLS = 30
IN_FLIGHT = 2 * WORKERS + MeanColours.batch_size
"""Videos that are begun and not kept: in the readers' hands, waiting, or in an unfinished batch."""
DEADLINE_SECONDS = 30


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small videos, all of other bytes."""
    made = make_seeds(tmp_path_factory.mktemp("seeds"))
    folder = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        suffix = ("mp4", "avi")[number % 2]
        padding = b"\0\0\0\x10free" if suffix == "mp4" else b"JUNK\x08\0\0\0"
        content = made[suffix] + padding + number.to_bytes(8, "big")
        (folder / f"{number:02d}.{suffix}").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def plain(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], float]:
    """The shards of a run that was left alone, and its seconds."""
    root = tmp_path_factory.mktemp("plain")
    begun = time.monotonic()
    assert extract_all(videos, root, io.StringIO()) == 0
    names = sealed(root)
    assert len(names) > 3
    return names, time.monotonic() - begun


def sealed(root: Path) -> list[str]:
    """Names of shards: digests of their bytes."""
    return sorted(path.name for path in root.glob("*/shards/*"))


def start(videos: Path, root: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts an extraction in a group of its own; returns when its store is open."""
    log.write_text("")
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.features.killed_extract", videos, root, log],
        cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not log.stat().st_size:
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return child


def told(log: Path, what: str) -> list[str]:
    """Digests that a run wrote down, but for a line cut off."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [words[1] for words in lines if len(words) == 2 and words[0] == what]


def lost(root: Path, kept: set[str], look: Path) -> list[str]:
    """Videos that were kept, and that a writer who opens a copy of the store does not find."""
    shutil.copytree(root, look)
    with FeatureStore(look, RECIPE, versions={"test": "1"}, shard_bytes=SHARD_BYTES) as store:
        missing = [sha for sha in kept if not store.has(sequence_key(sha, RECIPE))]
    shutil.rmtree(look)
    return missing


class Round:
    """One store, killed again and again until it is full."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: set[str] = set()
        self.begun = 0
        self.kills = 0
        self.ended = False


def killed_runs(videos: Path, folder: Path, seconds: float, number: int) -> Iterator[Round]:
    """Gives the state after each of this many kills; stores that are full are checked and left."""
    draw = random.Random(7)
    kills, round_number = 0, 0
    while kills < KILLS:
        state = Round(folder / f"round-{round_number}")
        round_number += 1
        log = folder / "log"
        while True:
            with start(videos, state.root, log) as child:
                # Now and then a run is left alone from here on: rounds must end, too.
                if kills < KILLS and state.kills < 8:
                    time.sleep(draw.random() ** 2 * seconds * 0.6)
                    os.killpg(child.pid, number)
                child.wait(DEADLINE_SECONDS)
            begun, kept = told(log, "begun"), told(log, "kept")
            assert not state.kept & set(begun), "a finished video was read again"
            assert len(set(begun) - set(kept)) <= IN_FLIGHT or child.returncode == 0
            state.kept |= set(kept)
            state.begun += len(begun)
            if child.returncode == 0:
                break
            assert child.returncode == -number
            kills += 1
            state.kills += 1
            yield state
        state.ended = True  # a kill may come between keeping a video and saying so
        assert len(state.kept) + state.kills >= VIDEOS
        assert state.begun <= VIDEOS + state.kills * IN_FLIGHT
        yield state


def test_thirty_kills_lose_nothing_and_leave_no_trace(
    videos: Path, plain: tuple[list[str], float], tmp_path: Path
) -> None:
    names, seconds = plain
    finished = 0
    for state in killed_runs(videos, tmp_path, seconds, signal.SIGKILL):
        assert verify(state.root) == []
        assert lost(state.root, state.kept, tmp_path / "look") == []
        if state.ended:
            assert sealed(state.root) == names
            finished += 1
    assert finished >= KILLS // 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_other_signals_keep_what_is_finished(
    videos: Path, plain: tuple[list[str], float], tmp_path: Path, number: int
) -> None:
    names, seconds = plain
    kept: set[str] = set()
    for _ in range(3):
        with start(videos, tmp_path / "store", tmp_path / "log") as child:
            time.sleep(0.2 * seconds)
            # To the group: on a terminal Ctrl-C reaches every ffmpeg, too.
            os.killpg(child.pid, number)
            child.wait(DEADLINE_SECONDS)
        assert not kept & set(told(tmp_path / "log", "begun"))
        kept |= set(told(tmp_path / "log", "kept"))
        assert verify(tmp_path / "store") == []
    assert lost(tmp_path / "store", kept, tmp_path / "look") == []
    assert extract_all(videos, tmp_path / "store", io.StringIO()) == 0
    assert sealed(tmp_path / "store") == names


def test_a_worker_killed_alone_costs_its_own_video(
    videos: Path, plain: tuple[list[str], float], tmp_path: Path
) -> None:
    names, _ = plain
    with start(videos, tmp_path / "store", tmp_path / "log") as child:
        killed = 0
        while not told(tmp_path / "log", "kept") and child.poll() is None:
            time.sleep(0.002)  # past the probe of ffmpeg itself, which is no worker
        while killed < 5 and child.poll() is None:
            for worker in children_of(child.pid):
                with suppress(ProcessLookupError):  # it ended by itself just now
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
                    break
            time.sleep(0.05)
        child.wait(DEADLINE_SECONDS)
    failures = child.returncode  # the run went on to its end, and counted them
    assert 0 < failures <= killed
    assert len(told(tmp_path / "log", "kept")) == VIDEOS - failures
    assert verify(tmp_path / "store") == []
    log = io.StringIO()
    assert extract_all(videos, tmp_path / "store", log) == 0
    assert log.getvalue().count("begun") == failures
    assert len(names) <= len(sealed(tmp_path / "store"))


def children_of(pid: int) -> list[int]:
    """Processes that this one started and that have not ended, where the system tells."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += [int(word) for word in path.read_text().split() if is_running(word)]
    return found


def is_running(pid: str) -> bool:
    """Whether it is more than an exit code that nobody has asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
