"""Scans that are ended at any moment: what is finished stays, and the next run leaves no trace."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from data.io.interrupts import INTERRUPTED
from features.store.feature_set import verify
from features.store.key import sequence_key
from features.store.shard import Shard
from pipeline.cli.options import PARTLY_FAILED
from pipeline.inference.scan_journal import JOURNAL
from tests.pipeline.killed_scan import RECIPE

ROOT = Path(__file__).parents[3]
BAD = ("v07.mp4", "v23.mp4")
COPY, ORIGINAL = "v28.mp4", "v02.mp4"
VIDEOS = 31

MOMENTS = [
    "before anything is staged",
    "a staged file half written",
    "a video staged",
    "a shard half written",
    "a shard named, its videos still staged",
    "a shard's videos half unstaged",
    "a chunk scored, not in the journal",
    "a line of the journal half written",
    "a chunk in the journal",
    "digests half saved",
    "before the last shard",
    "after the last shard",
    *(
        f"{when} {name} is replaced"
        for name in ("scan.json", "scores.csv", "scan.html")
        for when in ("before", "after")
    ),
]
SOONER_AND_LATER = {
    "before anything is staged": (1,),
    "digests half saved": (1, 4),
    "before the last shard": (1,),
    "after the last shard": (1,),
}
"""How many times a moment comes before the kill; 1 and 3 where nothing else stands here."""

Scan = Callable[..., int]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that stand for videos: two are bad, two are the same."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        path = folder / f"v{number:02d}.mp4"
        path.write_bytes(bytes([(number * 37) % 251]) + b"%d" % number)
        if path.name in BAD:
            path.write_bytes(b"bad %d" % number)
        if path.name == COPY:
            path.write_bytes((folder / ORIGINAL).read_bytes())
        os.utime(path, (1e9, 1e9))
    return folder


@pytest.fixture(scope="module")
def scan(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scan]:
    """Runs a scan in a folder, in a process of its own; returns how it ended."""
    bundle = tmp_path_factory.mktemp("bundle")
    (bundle / "bundle.json").write_text("{}")
    command = [sys.executable, "-m", "tests.pipeline.killed_scan", str(bundle), str(videos)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["moments"] == MOMENTS

        def run(folder: Path, **request: Any) -> int:
            folder.mkdir(exist_ok=True)
            log, told = folder / "log", folder / "told"
            log.write_text("")
            told.write_text("")
            facts = {"cwd": str(folder), "log": str(log), "told": str(told), **request}
            print(json.dumps(facts), file=server.stdin, flush=True)
            code = int(json.loads(server.stdout.readline())["code"])
            assert "Traceback" not in told.read_text()
            return code

        yield run
        server.stdin.close()
        assert server.wait(30) == 0


@pytest.fixture(scope="module")
def plain(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a scan leaves that nobody disturbed."""
    folder = tmp_path_factory.mktemp("plain")
    assert scan(folder) == PARTLY_FAILED
    assert len(begun(folder)) == VIDEOS - 1  # the copy is not read
    return outcome(folder)


def outcome(folder: Path) -> dict[str, bytes]:
    """All files that are there, by path; what they hold, but for locks and digests."""
    untold = ("lock", "digests.sqlite")
    return {
        str(path.relative_to(folder)): b"" if path.name in untold else path.read_bytes()
        for part in ("scan", ".unmask")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def begun(folder: Path) -> list[str]:
    """Videos that the last run read."""
    return [line.split()[1] for line in (folder / "log").read_text().splitlines()]


def finished(folder: Path, videos: Path) -> set[str]:
    """Videos whose features are on the disk, or that are in the journal."""
    staged = {path.stem for path in folder.glob(".unmask/store/*/staging/*.h5")}
    sealed = list(folder.glob(".unmask/store/*/shards/shard-*.h5"))
    keys = staged.union(*(Shard(path).keys for path in sealed))
    found = {
        path.name
        for path in videos.iterdir()
        if sequence_key(sha256(path.read_bytes()).hexdigest(), RECIPE) in keys
    }
    journal = folder / "scan" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    return found | {json.loads(line)["path"] for line in lines if line.endswith(b"\n")}


def goes_on(scan: Scan, folder: Path, videos: Path, plain: dict[str, bytes], **more: Any) -> None:
    """The next run reads nothing that was finished, and ends as if nothing had happened."""
    store = folder / ".unmask" / "store"
    assert not store.exists() or verify(store) == []
    before = finished(folder, videos)
    assert scan(folder, **more) == PARTLY_FAILED
    assert not before & set(begun(folder))
    assert outcome(folder) == plain


def test_shards_are_cut_by_size_wherever_chunks_end(
    scan: Scan, plain: dict[str, bytes], tmp_path: Path
) -> None:
    assert sum("/shard-" in name for name in plain) == 4  # of eight videos, not of five
    for chunk in (1, 3, 100):
        assert scan(tmp_path / str(chunk), chunk=chunk) == PARTLY_FAILED
        assert outcome(tmp_path / str(chunk)) == plain


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_this_moment_leaves_no_trace(
    scan: Scan, videos: Path, plain: dict[str, bytes], tmp_path: Path, moment: str
) -> None:
    for count in SOONER_AND_LATER.get(moment, (1, 3)):
        folder = tmp_path / str(count)
        request = {"moment": moment, "count": count, "signal": signal.SIGKILL}
        assert scan(folder, **request) == -signal.SIGKILL
        goes_on(scan, folder, videos, plain, workers=3)


def test_a_scan_that_is_killed_again_and_again_comes_to_its_end(
    scan: Scan, videos: Path, plain: dict[str, bytes], tmp_path: Path
) -> None:
    draw = random.Random(3)
    kills = 0
    for _ in range(40):
        before = finished(tmp_path, videos)
        count = draw.randrange(1, 60)
        code = scan(tmp_path, moment="any step", count=count, signal=signal.SIGKILL)
        assert not before & set(begun(tmp_path))
        if code == PARTLY_FAILED:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills >= 5
    goes_on(scan, tmp_path, videos, plain)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "moment", ["a video staged", "a shard half written", "a chunk scored, not in the journal"]
)
def test_other_signals_keep_what_is_finished(
    scan: Scan,
    videos: Path,
    plain: dict[str, bytes],
    tmp_path: Path,
    moment: str,
    number: signal.Signals,
) -> None:
    code = scan(tmp_path, moment=moment, count=2, signal=number)
    assert code == (INTERRUPTED if number == signal.SIGINT else -number)
    goes_on(scan, tmp_path, videos, plain)


def test_a_finished_scan_is_only_written_again(
    scan: Scan, plain: dict[str, bytes], tmp_path: Path
) -> None:
    for workers in (1, 4):
        assert scan(tmp_path, workers=workers) == PARTLY_FAILED
        assert outcome(tmp_path) == plain
    assert begun(tmp_path) == []
