"""The commands run without what Linux alone has, and the types fit on other systems."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.operating_system import files, machine, processes

ROOT = Path(__file__).parents[3]
SMALL = {
    "demo": {"people": 6, "fps": 15, "seconds": 0.7, "width": 160, "height": 120},
    "frames": {"count": 8, "size": 64},
    "head": {"residual": False},
    "train": {"epochs": 2},
    "evaluate": {"rounds": 20},
}
COMMANDS = """
demo demo --workers 2
index demo -o manifest.csv
extract manifest.csv --root demo -o embeddings
extract manifest.csv --root demo -o embeddings
train embeddings --manifest manifest.csv -o bundle
evaluate bundle embeddings --manifest manifest.csv -o report
predict bundle demo/real/person_000.mp4 --report page.html --case case
scan bundle demo/real -o scan
"""
WITHOUT_PARAMS = """
case verify case --evidence demo/real/person_000.mp4
store verify embeddings
"""


def without_posix(folder: Path, *words: str) -> str:
    """Runs a command as a system without POSIX would; returns what it printed."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.without_posix", *words),
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_every_module_is_imported_without_posix() -> None:
    assert int(without_posix(ROOT)) > 350


@pytest.mark.slow
def test_a_detector_is_made_and_used_without_posix(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(SMALL))
    told = ""
    for line in COMMANDS.strip().splitlines():
        words = line.split()
        params = () if words[0] in ("predict", "scan") else ("--params", "params.yaml")
        told += without_posix(tmp_path, *words, *params)
    for line in WITHOUT_PARAMS.strip().splitlines():
        told += without_posix(tmp_path, *line.split())
    assert "12 videos done, 0 reused" in told
    assert "0 videos done, 12 reused" in told
    assert "case: intact" in told
    assert "embeddings: no damage" in told


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_types_fit_on_other_systems(platform: str, tmp_path: Path) -> None:
    """A call that a system lacks is an error of types there, unless it is asked for before."""
    done = subprocess.run(
        ("mypy", "--platform", platform, "--cache-dir", str(tmp_path)),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_one_package_alone_asks_which_system_this_is() -> None:
    """Elsewhere such a call would be missed on some system, and no test here would notice."""
    words = (
        "import fcntl", "import resource\n", "import pwd", "import termios", "os.killpg",
        "os.setsid",
        "os.pread", "os.pwrite", "os.sched_getaffinity", "os.memfd_create", "os.sendfile",
        "os.nice", "os.geteuid", "os.statvfs", "os.posix_", "signal.SIGKILL", "signal.setitimer",
        '"/proc', "os.O_NO", "os.O_DIR", "os.O_CLOEXEC", "0o444",
    )  # fmt: skip
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for package in ("data", "features", "models", "pipeline")
        for path in sorted((ROOT / package).rglob("*.py"))
        if "operating_system" not in path.parts
        for word in words
        if word in path.read_text("utf-8")
    ]
    assert found == ['data/io/reading.py: "/proc'], "a descriptor's name, which a user may type"


def test_reading_and_writing_at_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        with path.open("w+b", buffering=0) as file:
            assert files.pwrite(file.fileno(), b"abcdef", 4) == 6
            assert files.pwrite(file.fileno(), memoryview(b"xy"), 0) == 2
            assert files.pread(file.fileno(), 3, 5) == b"bcd"
            assert files.pread(file.fileno(), 9, 99) == b""
        assert path.read_bytes() == b"xy\0\0abcdef"
        monkeypatch.delattr(os, "pread", raising=False)
        monkeypatch.delattr(os, "pwrite", raising=False)


@pytest.mark.parametrize("way", ["relative to the folder", "part by part"])
def test_no_part_of_a_path_may_be_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "part by part":
        monkeypatch.setattr(files, "O_DIRECTORY", 0)
    (tmp_path / "case" / "faces").mkdir(parents=True)
    (tmp_path / "case" / "faces" / "1.png").write_bytes(b"face")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "case" / "linked").symlink_to(tmp_path)
    (tmp_path / "case" / "page").symlink_to(tmp_path / "secret")
    with os.fdopen(files.open_beneath(tmp_path / "case", ("faces", "1.png")), "rb") as file:
        assert file.read() == b"face"
    for parts in (("linked", "secret"), ("page",), ("missing",)):
        with pytest.raises(OSError, match=r".+"):
            files.open_beneath(tmp_path / "case", parts)


def test_this_machine() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
    everything = machine.all_memory_bytes()
    assert everything is not None
    assert 0 < (machine.free_memory_bytes() or 0) <= everything


def test_memory_where_proc_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    known = machine.all_memory_bytes()
    monkeypatch.setattr(machine, "MEMORY_FACTS", Path("/nowhere"))
    assert known is not None
    assert machine.all_memory_bytes() == pytest.approx(known, rel=0.02)
    monkeypatch.delattr(os, "sysconf")
    assert machine.free_memory_bytes() is None
    assert machine.processor_facts("no such fact") == ""


def test_how_a_child_ended() -> None:
    assert processes.violent_end(0) is None
    assert processes.violent_end(1) is None
    assert processes.violent_end(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert processes.violent_end(-99) == "was killed by signal 99"
    assert processes.violent_end(0xC0000005) == "crashed with code 0xc0000005"
    assert processes.ended_by_cpu_limit(-signal.SIGXCPU)


def test_two_paths_with_a_colon() -> None:
    assert files.split_pair("a:b.csv", drives=False) == ("a", "b.csv")
    assert files.split_pair("a:x:/b.csv", drives=False) == ("a:x", "/b.csv")
    assert files.split_pair("alone", drives=False)[0] == ""
    for first in ("a", "C:\\a", "c:/a b"):
        for second in ("b.csv", "D:\\b.csv", "..\\b.csv"):
            assert files.split_pair(f"{first}:{second}", drives=True) == (first, second)
    assert files.split_pair("C:\\alone", drives=True)[0] == ""


def test_a_finished_file_is_synced_and_protected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    files.protect(path)
    assert path.stat().st_mode & 0o777 == 0o444
    files.sync_file(path)
    monkeypatch.setattr(files, "IS_WINDOWS", True)
    files.sync_file(path)
    files.protect(path)
    assert files.open_folder(tmp_path) is None
    assert not files.lock_folder(None, wait=True)


def test_windows_keeps_caches_where_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert machine.user_cache_folder() == Path.home() / ".cache"
    monkeypatch.setattr(sys, "platform", "win32")
    assert machine.user_cache_folder() == Path("/local")
