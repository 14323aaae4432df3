"""The memory of digests: right after any change and any damage, and fast for many files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import data.datasets.digests
import data.images.identity
import data.io.digest_table
from data.datasets.digests import DigestCache
from data.errors import VideoError
from data.io.digest_table import SCHEMA, SUPER_JOURNAL, DigestTable
from data.video.probe import VideoInfo

INFO = VideoInfo(
    stream_index=0,
    codec="h264",
    pixel_format="yuv420p",
    width=320,
    height=240,
    rotation_degrees=0,
    fps=29.97,
    duration_seconds=2.5,
    frame_count=None,
    promised_seconds=2.5,
    bit_rate=1000,
    size_bytes=7,
)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A file that was changed long enough ago to be remembered."""
    return aged(tmp_path / "ann.mp4", b"content")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read whole, in order."""
    seen: list[Path] = []
    real = hashlib.file_digest

    def watch(handle, name):  # type: ignore[no-untyped-def]
        seen.append(Path(os.readlink(f"/proc/self/fd/{handle.fileno()}")))
        return real(handle, name)

    monkeypatch.setattr(hashlib, "file_digest", watch)
    return seen


def aged(path: Path, content: bytes, *, seconds: float = 60) -> Path:
    path.write_bytes(content)
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_unchanged_file_is_read_once_ever(
    video: Path, tmp_path: Path, reads: list[Path]
) -> None:
    store = tmp_path / ".unmask" / "digests"
    for _ in range(2):
        cache = DigestCache(store)
        assert cache.sha256(video) == cache.sha256(video) == digest(b"content")
        cache.save()
    assert reads == [video]


def test_a_relative_and_an_absolute_path_are_one_file(
    video: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DigestCache()
    cache.sha256(video)
    monkeypatch.chdir(video.parent)
    cache.sha256(Path("ann.mp4"))
    assert len(reads) == 1


@pytest.mark.parametrize("change", ["content", "time", "replaced"])
def test_any_change_is_seen(video: Path, change: str, reads: list[Path]) -> None:
    cache = DigestCache()
    cache.sha256(video)
    facts = video.stat()
    if change == "content":
        aged(video, b"content, longer")
    elif change == "time":
        aged(video, b"CONTENT", seconds=30)
    else:  # another file of the same size and time under the same name
        aged(video.with_name("new"), b"CONTENT").replace(video)
        os.utime(video, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert cache.sha256(video) == digest(video.read_bytes())
    assert len(reads) == 2


def test_a_file_changed_a_moment_ago_is_not_trusted(tmp_path: Path, reads: list[Path]) -> None:
    video = tmp_path / "ann.mp4"
    video.write_bytes(b"content")
    facts = video.stat()
    cache = DigestCache()
    cache.sha256(video)
    video.write_bytes(b"CONTENT")
    os.utime(video, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as within one tick of the clock
    assert cache.sha256(video) == digest(b"CONTENT")


def saved(store: Path, video: Path) -> bytes:
    """The bytes of a file that remembers one video."""
    cache = DigestCache(store)
    cache.sha256(video)
    cache.save()
    return store.read_bytes()


def begins_anew(store: Path, video: Path, reads: list[Path]) -> None:
    """Whatever is there, the truth is told, and remembered again."""
    for _ in range(2):
        cache = DigestCache(store)
        assert cache.sha256(video) == digest(b"content")
        cache.save()
    before = len(reads)
    assert DigestCache(store).sha256(video) == digest(b"content")
    assert len(reads) == before


def test_any_damage_costs_time_but_never_truth(
    video: Path, tmp_path: Path, reads: list[Path]
) -> None:
    store = tmp_path / "digests"
    whole = saved(store, video)
    step = max(1, len(whole) // 40)
    damaged = [whole[:cut] for cut in range(0, len(whole), step)]
    for at in (*range(100), *range(0, len(whole), 97)):
        for flipped in (1, 0xFF):
            damaged.append(whole[:at] + bytes([whole[at] ^ flipped]) + whole[at + 1 :])
    damaged += [b"\0" * 100, b"[]", b"\xff\xfe", b"SQLite format 3\0", whole + b"x", whole * 2]
    for content in damaged:
        store.write_bytes(content)
        begins_anew(store, video, reads)


def foreign(*statements: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return make


ROW = "(1, CAST('%s' AS BLOB), x'31', x'32', x'33')"


@pytest.mark.parametrize(
    "make",
    [
        foreign("CREATE TABLE thesis (words TEXT)"),
        foreign(*SCHEMA.values(), "PRAGMA user_version = 2"),
        foreign(
            "CREATE VIEW files AS SELECT 1 number, x'61' name, zeroblob(999999999) stamp,"
            " x'32' value, x'33' checksum",
            SCHEMA["headers"],
            "PRAGMA user_version = 1",
        ),
        foreign(
            *SCHEMA.values(),
            "CREATE TRIGGER evil AFTER INSERT ON files BEGIN DELETE FROM files; END",
            "PRAGMA user_version = 1",
        ),
        foreign(
            *SCHEMA.values(),
            "INSERT INTO files SELECT 9223372036854775807, name, 7, 'text', NULL"
            " FROM (SELECT x'61' name)",
            "PRAGMA user_version = 1",
        ),
        foreign(*SCHEMA.values(), "PRAGMA user_version = 1", "PRAGMA journal_mode = WAL"),
    ],
    ids=["other", "later", "view", "trigger", "types", "wal"],
)
def test_a_database_of_somebody_elses_is_not_used(
    video: Path, tmp_path: Path, reads: list[Path], make: Callable[[Path], None]
) -> None:
    make(tmp_path / "digests")
    begins_anew(tmp_path / "digests", video, reads)
    assert sorted(os.listdir(tmp_path)) == ["ann.mp4", "digests"]


@pytest.mark.parametrize("value", ["zeroblob(30000000)", "'text'", "7", "NULL", "x'00'"], ids=str)
def test_a_value_that_is_not_ours_counts_as_none(
    video: Path, tmp_path: Path, reads: list[Path], value: str
) -> None:
    store = tmp_path / "digests"
    saved(store, video)
    foreign(f"UPDATE files SET value = {value}")(store)  # noqa: S608
    begins_anew(store, video, reads)


def test_a_journal_cannot_name_another_file_to_remove(video: Path, tmp_path: Path) -> None:
    store, thesis = tmp_path / "digests", tmp_path / "thesis.txt"
    saved(store, video)
    thesis.write_text("years of work")
    name = os.fsencode(thesis)
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 0, 1, 512, 4096)
    told = struct.pack(">I", (1 << 30) // 4096 + 1) + name
    told += struct.pack(">II", len(name), sum(name)) + SUPER_JOURNAL
    (tmp_path / "digests-journal").write_bytes(header.ljust(512, b"\0") + told)
    assert DigestCache(store).sha256(video) == digest(b"content")
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize("name", ["digests", "digests-journal"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(
    video: Path, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    saved(tmp_path / "digests", video)
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    cache = DigestCache(tmp_path / "digests")
    assert cache.sha256(video) == digest(b"content")
    cache.save()


def test_a_file_that_is_locked_costs_one_wait(
    video: Path, tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.io.digest_table, "WAIT_SECONDS", 0.1)
    store = tmp_path / "digests"
    whole = saved(store, video)
    others = [aged(tmp_path / f"{number}.mp4", b"content") for number in range(100)]
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    cache = DigestCache(store)
    assert {cache.sha256(one) for one in (*others, video)} == {digest(b"content")}
    cache.save()
    assert time.monotonic() - begun < 5
    holder.execute("ROLLBACK")
    holder.close()
    assert store.read_bytes() == whole  # a lock says nothing against a file
    cache.save()
    before = len(reads)
    assert {DigestCache(store).sha256(one) for one in others} == {digest(b"content")}
    assert len(reads) == before


WRITER = """
import sys
from pathlib import Path
from data.datasets.digests import DigestCache
store, first = Path(sys.argv[1]), int(sys.argv[2])
for number in range(first, first + 30):
    cache = DigestCache(store)
    cache.sha256(store.parent / f"{number}.mp4")
    cache.save()
"""


def test_several_processes_lose_nothing_of_each_others(tmp_path: Path, reads: list[Path]) -> None:
    for number in range(120):
        aged(tmp_path / f"{number}.mp4", b"%d" % number)
    store = tmp_path / "digests"
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, store, str(first)])
        for first in range(0, 120, 30)
    ]
    assert [one.wait(120) for one in running] == [0] * 4
    cache = DigestCache(store)
    assert [cache.sha256(tmp_path / f"{n}.mp4") for n in range(120)] == [
        digest(b"%d" % n) for n in range(120)
    ]
    assert reads == []


def test_a_kill_in_the_middle_of_saving_loses_nothing_older(
    tmp_path: Path, reads: list[Path]
) -> None:
    first, second = aged(tmp_path / "1.mp4", b"1"), aged(tmp_path / "2.mp4", b"2")
    store = tmp_path / "digests"
    saved(store, first)
    killed = """
import os, signal, sqlite3, sys
import data.io.digest_table
from pathlib import Path
from data.datasets.digests import DigestCache
data.io.digest_table.SETTINGS += ("PRAGMA cache_size = 1", "PRAGMA cache_spill = 1")
real = data.io.digest_table.DigestTable._connect
def connect(self, *, create):
    connection = real(self, create=create)
    if create:
        connection.set_trace_callback(
            lambda told: os.kill(os.getpid(), signal.SIGKILL) if told == "COMMIT" else None
        )
    return connection
data.io.digest_table.DigestTable._connect = connect
cache = DigestCache(Path(sys.argv[1]))
cache.sha256(Path(sys.argv[2]))
for number in range(3000):
    cache._table.put("headers", b"%d" % number, b"s", b"v" * 100)
cache.save()
"""
    assert subprocess.run([sys.executable, "-c", killed, store, second]).returncode == -9
    assert (tmp_path / "digests-journal").stat().st_size > 512  # pages were replaced already
    cache = DigestCache(store)
    assert [cache.sha256(first), cache.sha256(second)] == [digest(b"1"), digest(b"2")]
    assert reads == [first, second]  # one before the kill
    cache.save()
    assert sorted(os.listdir(tmp_path)) == ["1.mp4", "2.mp4", "digests"]


def test_the_oldest_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.io.digest_table, "KEPT_ROWS", 10)
    for start in range(0, 40, 4):
        table = DigestTable(tmp_path / "digests")
        for number in range(start, start + 4):
            table.put("files", b"%d" % number, b"s", b"v")
        table.save()
    table = DigestTable(tmp_path / "digests")
    kept = [n for n in range(40) if table.get("files", b"%d" % n, b"s") is not None]
    assert kept == list(range(30, 40))


def test_a_kill_loses_no_more_than_some_thousand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.io.digest_table, "SAVED_AT", 10)
    table = DigestTable(tmp_path / "digests")
    for number in range(25):
        table.put("files", b"%d" % number, b"s", b"v")
    found = DigestTable(tmp_path / "digests")
    assert sum(found.get("files", b"%d" % n, b"s") is not None for n in range(25)) == 20


def test_headers_are_asked_once_for_equal_bytes(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def probe(path: Path) -> VideoInfo:
        asked.append(path)
        return INFO

    monkeypatch.setattr(data.datasets.digests, "probe", probe)
    store = tmp_path / "digests"
    copy = aged(tmp_path / "copy.mp4", b"content")
    for _ in range(2):
        cache = DigestCache(store)
        assert cache.probe(video) == cache.probe(copy) == (digest(b"content"), INFO)
        cache.save()
    assert asked == [video]
    monkeypatch.setattr(data.datasets.digests, "READER", "of another version")
    DigestCache(store).probe(video)
    assert asked == [video, video]


def test_a_failure_to_read_headers_is_not_remembered(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> VideoInfo:
        raise VideoError("timeout", "the machine was busy")

    cache = DigestCache()
    monkeypatch.setattr(data.datasets.digests, "probe", broken)
    with pytest.raises(VideoError):
        cache.probe(video)
    monkeypatch.setattr(data.datasets.digests, "probe", lambda path: INFO)
    assert cache.probe(video)[1] == INFO


def test_odd_names_are_remembered(tmp_path: Path, reads: list[Path]) -> None:
    names = [b"line\nbreak.mp4", b'tab\tand,comma".mp4', "grün.mp4".encode(), b"bad\xff.mp4", b"\r"]
    videos = [aged(tmp_path / os.fsdecode(name), name) for name in names]
    cache = DigestCache(tmp_path / "digests")
    for video in videos:
        cache.sha256(video)
    cache.save()
    cache = DigestCache(tmp_path / "digests")
    assert [cache.sha256(video) for video in videos] == [digest(name) for name in names]
    assert len(reads) == len(names)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OSError, match="not a regular file"):
        DigestCache().sha256(tmp_path / "pipe.mp4")


def test_where_nothing_can_be_written_saving_is_no_error(video: Path) -> None:
    cache = DigestCache(video / "below a file")
    cache.sha256(video)
    cache.save()
    assert sorted(os.listdir(video.parent)) == ["ann.mp4"]


def test_many_threads_agree(tmp_path: Path, reads: list[Path]) -> None:
    videos = [aged(tmp_path / f"{number}.mp4", bytes([number])) for number in range(100)]
    cache = DigestCache(tmp_path / "digests")
    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(cache.sha256, videos * 3))
        assert found == [digest(bytes([number])) for number in range(100)] * 3
        cache.save()
    assert len(reads) < 300
    del reads[:]
    cache = DigestCache(tmp_path / "digests")
    assert [cache.sha256(video) for video in videos] == found[:100]
    assert reads == []


def test_a_hundred_thousand_files_are_remembered_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [tmp_path / f"fake/method/{number:06d}.mp4" for number in range(100_000)]
    facts = aged(tmp_path / "one.mp4", b"content").stat()
    stamp = b"%d %d %d" % (facts.st_size, facts.st_mtime_ns, facts.st_ino)
    start, written = time.process_time(), written_bytes()
    table = DigestTable(tmp_path / "digests")
    for number, video in enumerate(videos):
        table.put("files", os.fsencode(video), stamp, digest(bytes(video)).encode())
        if number % 256 == 255:  # as a scan saves them
            table.save()
    table.save()
    assert written_bytes() - written < 200e6  # the whole file each time: 3 GB
    cache = DigestCache(tmp_path / "digests")
    with monkeypatch.context() as patched:
        told = SimpleNamespace(stat=lambda path: facts, path=os.path, fsencode=os.fsencode)
        patched.setattr(data.images.identity, "os", told)
        found = [cache.sha256(video) for video in videos]
    assert found[-1] == digest(bytes(videos[-1]))
    assert time.process_time() - start < 6


def written_bytes() -> int:
    """What this process handed to the system."""
    told = Path("/proc/self/io").read_text()
    return int(told.partition("wchar: ")[2].split()[0])
