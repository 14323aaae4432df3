"""Folders of results are whole at every moment, and killed runs leave nothing for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data.errors import OutputError
from data.io import atomic_folders
from data.io.atomic_folders import replace_folder

ROOT = Path(__file__).parents[3]
MARKER = "marker.json"


class Killed(BaseException):
    """The process ends here."""


def fill(folder: Path, text: str) -> None:
    with replace_folder(folder, marker=MARKER) as new:
        (new / MARKER).write_text(text)
        (new / "inner").mkdir()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cannot(*_: Any) -> None:
    raise OSError(errno.EINVAL, "Invalid argument")


@pytest.fixture(params=["exchange", "two steps"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two steps":
        monkeypatch.setattr(atomic_folders, "exchange", cannot)
    return str(request.param)


def test_a_folder_is_made_and_replaced(tmp_path: Path, either_way: str) -> None:
    for text in ("one", "two", "three"):
        fill(tmp_path / "out", text)
        assert (tmp_path / "out" / MARKER).read_text() == text
        assert names(tmp_path) == ["out"]


def test_this_system_exchanges_folders_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    atomic_folders.exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "file").read_text() == "b"
    assert (tmp_path / "b" / "file").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        atomic_folders.exchange(tmp_path / "a", tmp_path / "none")


STEPS = ["rename", "rmdir", "unlink", "mkdir", "fsync", "link"]


@pytest.mark.parametrize("step", range(30))
def test_killed_at_any_step_it_is_the_old_one_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either_way: str, step: int
) -> None:
    out = tmp_path / "out"
    fill(out, "old")
    done = 0

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(atomic_folders, "exchange", counted(atomic_folders.exchange))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        try:
            fill(out, "new")
        except Killed:
            pass
        else:
            assert done <= step
    if either_way == "exchange":
        assert (out / MARKER).read_text() in {"old", "new"}
    atomic_folders.recover(out)
    assert (out / MARKER).read_text() in {"old", "new"}
    assert names(tmp_path) == ["out"]
    assert names(out) == ["inner", MARKER]


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    ours = [".out.0123abcd", ".out.ffffffff", ".out.00000000.old"]
    others = [".out.0123abc", ".out.0123ABCD", ".out2.0123abcd", ".other.0123abcd", "out.0123abcd",
              ".out.0123abcd.txt"]  # fmt: skip
    for name in (*ours, *others):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "file").write_text(name)
    (tmp_path / ".out.11111111").write_text("a file")
    (tmp_path / ".out.22222222").symlink_to(tmp_path / "out.0123abcd")
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", "new")
    assert names(tmp_path) == sorted([*others, ".out.11111111", ".out.22222222", "out"])
    assert (tmp_path / "out.0123abcd" / "inner" / "file").exists()


def test_what_a_living_process_fills_is_left_alone(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from data.io.atomic_folders import replace_folder
with replace_folder(Path(sys.argv[1]), marker="marker.json") as new:
    (new / "marker.json").write_text("theirs")
    print(new.name, flush=True)
    time.sleep(60)
"""
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        theirs = child.stdout.readline().strip()
        fill(out, "mine")
        assert names(tmp_path) == sorted([theirs, "out"])
        child.kill()
        child.wait()
    fill(out, "mine again")
    assert names(tmp_path) == ["out"]


def test_where_there_are_no_locks_leftovers_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".out.0123abcd").mkdir()
    monkeypatch.setattr(fcntl, "flock", cannot)
    fill(tmp_path / "out", "new")
    assert names(tmp_path) == [".out.0123abcd", "out"]


def test_a_sibling_that_was_taken_for_a_leftover_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    removed = []

    def slow(handle: int, how: int) -> None:
        if not removed:
            (path,) = tmp_path.glob(".out.*")
            shutil.rmtree(path)
            removed.append(path)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    fill(tmp_path / "out", "new")
    assert removed
    assert names(tmp_path) == ["out"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "real")
    for text in ("one", "two"):
        fill(tmp_path / "out", text)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "real" / MARKER).read_text() == "two"
    assert names(tmp_path / "disk") == ["real"]


def test_a_failure_leaves_the_old_one(tmp_path: Path, either_way: str) -> None:
    fill(tmp_path / "out", "old")

    def fill_half() -> None:
        with replace_folder(tmp_path / "out", marker=MARKER) as new:
            (new / MARKER).write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        fill_half()
    assert (tmp_path / "out" / MARKER).read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_without_locks_a_swap_that_was_cut_in_two_is_still_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where folders cannot be locked."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for name in (".out.0123abcd.old", ".out.0123abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MARKER).write_text(name)
    atomic_folders.recover(tmp_path / "out")
    assert names(tmp_path) == [".out.0123abcd", "out"]
    assert (tmp_path / "out" / MARKER).read_text() == ".out.0123abcd.old"
    fill(tmp_path / "out", "new")
    assert names(tmp_path) == [".out.0123abcd", "out"], "what may be another's is left alone"
