"""The user's cache: what comes out of it is what went in, or nothing."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models import user_cache
from models.user_cache import UserCache, cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UserCache:
    monkeypatch.setenv("UNMASK_CACHE_DIR", str(tmp_path / "cache"))
    return UserCache("networks")


def test_gives_back_what_it_was_given(cache: UserCache) -> None:
    assert cache.read("a") is None
    cache.write("a", b"")
    cache.write("b", b"second")
    assert (cache.read("a"), cache.read("b"), cache.read("c")) == (b"", b"second", None)
    for folder in (cache.folder, cache.folder.parent):
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("where", [0, 31, 32, -1])
def test_a_damaged_file_is_no_file(cache: UserCache, where: int) -> None:
    cache.write("a", b"content")
    content = bytearray((cache.folder / "a").read_bytes())
    content[where] ^= 1
    (cache.folder / "a").write_bytes(content)
    assert cache.read("a") is None
    assert not (cache.folder / "a").exists()
    cache.write("a", b"content")
    for cut in (0, 10, 35):
        (cache.folder / "a").write_bytes((cache.folder / "a").read_bytes()[:cut])
        assert cache.read("a") is None
        cache.write("a", b"content")


def test_a_folder_that_others_may_write_to_is_not_used(cache: UserCache) -> None:
    cache.write("a", b"content")
    for folder in (cache.folder, cache.folder.parent):
        folder.chmod(0o770)
        assert cache.read("a") is None
        cache.write("b", b"content")
        assert not (cache.folder / "b").exists()
        folder.chmod(0o755)
        assert cache.read("a") == b"content"


def test_a_folder_of_another_user_is_not_used(
    cache: UserCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write("a", b"content")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.read("a") is None


def test_where_nothing_can_be_written_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNMASK_CACHE_DIR", str(tmp_path / "file"))
    cache = UserCache("networks")
    cache.write("a", b"content")
    assert cache.read("a") is None


def test_the_least_recently_used_go_first(
    cache: UserCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_cache, "MOST_BYTES", 3 * (1000 + 32))
    now = time.time()
    for age, key in ((300, "a"), (200, "b"), (100, "c")):
        cache.write(key, bytes(1000))
        os.utime(cache.folder / key, (now - age, now - age))
    assert cache.read("a") is not None  # it is the last used now
    leftover = cache.folder / ".d.0123abcd"
    leftover.touch()
    fresh = cache.folder / ".e.0123abcd"
    fresh.touch()
    os.utime(leftover, (now - 7200, now - 7200))
    cache.write("d", bytes(1000))
    assert sorted(path.name for path in cache.folder.iterdir()) == [".e.0123abcd", "a", "c", "d"]
    cache.write("large", bytes(10_000))
    assert [path.name for path in cache.folder.iterdir() if path != fresh] == ["large"]


def test_many_may_write_at_once(cache: UserCache) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: cache.write("a", content), contents * 4))
        assert cache.read("a") in contents
    assert [path.name for path in cache.folder.iterdir()] == ["a"]


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNMASK_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "unmask"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "unmask"
