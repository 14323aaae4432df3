"""`make` builds another environment beside the one in use; pip and venv are stand-ins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/bash
# A Python whose venv holds itself, and whose pip logs, and waits as long as the file `wait` exists.
case "$*" in
  "-m venv "*)
    new="${@: -1}"; rm -rf "$new"; mkdir -p "$new/bin"; cp "$0" "$new/bin/python" ;;
  "-m pip "*)
    echo "$(readlink .venv || echo none) ${@: -1}" >> pip.log
    touch "$(dirname "$0")/half"
    while [ -e wait ]; do sleep 0.02; done
    [ ! -e broken ] ;;
esac
"""


class Checkout:
    """A folder with what `make environment` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        for name in ("Makefile", ".ci/environment"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "requirements.lock").write_text("numpy==2.0\n")
        (folder / "pyproject.toml").write_text("[project]\n")
        (folder / "stand-in").write_text(PYTHON)
        (folder / "stand-in").chmod(0o755)

    def start(self, *targets: str) -> subprocess.Popen[str]:
        """Starts make in a process group of its own."""
        return subprocess.Popen(
            ("make", "PYTHON=./stand-in", *targets), cwd=self.folder, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def make(self, *targets: str, code: int = 0) -> str:
        """Runs make to its end; returns what it printed."""
        process = self.start(*targets)
        told, _ = process.communicate(timeout=60)
        assert process.returncode == code, told
        return told

    def change(self) -> None:
        """Changes what the environment is made of."""
        with (self.folder / "pyproject.toml").open("a") as file:
            file.write("# another dependency\n")

    @property
    def environments(self) -> set[str]:
        """Names of the folders of environments."""
        return {path.name for path in (self.folder / ".venvs").iterdir() if path.is_dir()}

    @property
    def current(self) -> str:
        """Name of the environment that .venv is."""
        assert (self.folder / ".venv" / "installed").is_file()
        return Path(os.readlink(self.folder / ".venv")).name

    @property
    def log(self) -> list[str]:
        """Each call of pip: where .venv pointed to then, and the last argument."""
        return (self.folder / "pip.log").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """One with an environment."""
    made = Checkout(tmp_path)
    made.make("environment")
    return made


def wait_for(happened: Callable[[], bool]) -> None:
    """Until something is so, for 30 seconds at most."""
    for _ in range(1500):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


def test_an_environment_is_built_once(checkout: Checkout) -> None:
    assert checkout.log == ["none requirements.lock", "none ."]
    checkout.make("environment")
    (checkout.folder / "pyproject.toml").touch()
    checkout.make("environment")
    assert len(checkout.log) == 2


def test_the_old_one_stays_until_the_new_one_is_whole(checkout: Checkout) -> None:
    old = checkout.current
    checkout.change()
    checkout.make("environment")
    assert checkout.log[2:] == [f".venvs/{old} requirements.lock", f".venvs/{old} ."]
    assert checkout.current != old
    assert checkout.environments == {checkout.current}, "the old one, unused, is gone"


def test_a_build_that_is_killed_or_fails_changes_nothing(checkout: Checkout) -> None:
    old = checkout.current
    checkout.change()
    (checkout.folder / "wait").touch()
    process = checkout.start("environment")
    wait_for(lambda: len(checkout.log) == 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (checkout.folder / "wait").unlink()
    assert checkout.current == old
    (checkout.folder / "broken").touch()
    checkout.make("environment", code=2)
    assert checkout.current == old
    (checkout.folder / "broken").unlink()
    checkout.make("environment")
    assert checkout.current != old


@pytest.mark.parametrize("way", ["active in a shell", "started from it"])
def test_one_in_use_is_kept_until_it_is_not(checkout: Checkout, way: str) -> None:
    old = checkout.current
    home = (checkout.folder / ".venvs" / old).resolve()
    if way == "active in a shell":
        environ, command = os.environ | {"PATH": f"{home}/bin:{os.environ['PATH']}"}, ["sleep"]
    else:
        shutil.copy(shutil.which("sleep") or "", home / "bin" / "sleep")
        environ, command = dict(os.environ), [str(home / "bin" / "sleep")]
    user = subprocess.Popen([*command, "600"], env=environ)
    try:
        wait_for(lambda: b"600" in Path(f"/proc/{user.pid}/cmdline").read_bytes())
        checkout.change()
        checkout.make("environment")
        assert checkout.current != old
        assert checkout.environments == {old, checkout.current}
    finally:
        user.kill()
        user.wait()
    checkout.make("environment")
    assert checkout.environments == {checkout.current}


def test_two_makes_build_one_environment(checkout: Checkout) -> None:
    checkout.change()
    (checkout.folder / "wait").touch()
    first = checkout.start("environment")
    wait_for(lambda: len(checkout.log) == 3)
    second = checkout.start("environment")
    (checkout.folder / "wait").unlink()
    for process in (first, second):
        assert process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(checkout.log) == 4


def test_a_folder_of_an_earlier_make_is_moved_aside(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    checkout.make("environment")
    assert (tmp_path / ".venv").is_symlink()
    assert checkout.environments == {checkout.current}


def test_without_a_python_one_line_says_which(tmp_path: Path) -> None:
    told = Checkout(tmp_path).make("environment", "PYTHON=", code=2)
    assert "unmask needs Python 3.11 to 3.13" in told
    assert not (tmp_path / ".venv").exists()


def test_clean_leaves_no_environment(checkout: Checkout) -> None:
    checkout.make("clean")
    left = {path.name for path in checkout.folder.iterdir() if path.name.startswith(".")}
    assert left == {".ci"}
