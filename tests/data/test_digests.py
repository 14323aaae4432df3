"""The memory of digests: right after any change and any damage, and fast for many files."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import data.digests
from data.digests import HEADER, DigestCache
from data.errors import VideoError
from data.probe import VideoInfo

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
        seen.append(Path(handle.name))
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


def test_any_damage_costs_time_but_never_truth(video: Path, tmp_path: Path) -> None:
    store = tmp_path / "digests"
    cache = DigestCache(store)
    cache.sha256(video)
    cache.save()
    whole = store.read_bytes()
    step = max(1, len(whole) // 40)
    damaged = [whole[:cut] for cut in range(0, len(whole), step)]
    for at in range(0, len(whole), 7):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    damaged += [b"\0" * 100, b"[]", b"\xff\xfe", HEADER.encode() + b"\n{}\n", whole + b"x"]
    for content in damaged:
        store.write_bytes(content)
        assert DigestCache(store).sha256(video) == digest(b"content")


@pytest.mark.parametrize("tree", [[], {}, {"files": []}, {"files": {"a": [1]}, "infos": {}}])
def test_a_well_formed_file_with_other_contents_is_passed_over(
    video: Path, tmp_path: Path, tree: object
) -> None:
    body = json.dumps(tree).encode()
    store = tmp_path / "digests"
    store.write_bytes(f"{HEADER} {hashlib.sha256(body).hexdigest()}\n".encode() + body + b"\n")
    assert DigestCache(store).sha256(video) == digest(b"content")


def test_headers_are_asked_once_for_equal_bytes(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def probe(path: Path) -> VideoInfo:
        asked.append(path)
        return INFO

    monkeypatch.setattr(data.digests, "probe", probe)
    store = tmp_path / "digests"
    copy = aged(tmp_path / "copy.mp4", b"content")
    for _ in range(2):
        cache = DigestCache(store)
        assert cache.probe(video) == cache.probe(copy) == (digest(b"content"), INFO)
        cache.save()
    assert asked == [video]
    monkeypatch.setattr(data.digests, "READER", "of another version")
    DigestCache(store).probe(video)
    assert asked == [video, video]


def test_a_failure_to_read_headers_is_not_remembered(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> VideoInfo:
        raise VideoError("timeout", "the machine was busy")

    cache = DigestCache()
    monkeypatch.setattr(data.digests, "probe", broken)
    with pytest.raises(VideoError):
        cache.probe(video)
    monkeypatch.setattr(data.digests, "probe", lambda path: INFO)
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


def test_many_threads_agree(tmp_path: Path) -> None:
    videos = [aged(tmp_path / f"{number}.mp4", bytes([number])) for number in range(100)]
    cache = DigestCache(tmp_path / "digests")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(cache.sha256, videos * 3))
    cache.save()
    assert found == [digest(bytes([number])) for number in range(100)] * 3
    assert DigestCache(tmp_path / "digests")._files == cache._files


def test_a_hundred_thousand_known_files_are_checked_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [tmp_path / f"fake/method/{number:06d}.mp4" for number in range(100_000)]
    facts = aged(tmp_path / "one.mp4", b"content").stat()
    cache = DigestCache(tmp_path / "digests")
    stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
    cache._files = {str(video): (stamp, digest(str(video).encode())) for video in videos}
    cache._changed = True
    start = time.process_time()
    cache.save()
    cache = DigestCache(tmp_path / "digests")
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path: facts)
        found = [cache.sha256(video) for video in videos]
    assert found[-1] == digest(str(videos[-1]).encode())
    assert time.process_time() - start < 3
