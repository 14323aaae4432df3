"""`.dvc/unmask` finds the environment of unmask from any shell; its Pythons are stand-ins."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Machine:
    """A checkout in a folder, and environments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "check out"
        (self.checkout / ".dvc").mkdir(parents=True)
        shutil.copy(ROOT / ".dvc" / "unmask", self.checkout / ".dvc" / "unmask")

    def environment(self, name: str, *, unmask: bool = True) -> Path:
        """The `bin` of an environment whose Python says its name and what it is given."""
        home = self.folder / name / "bin"
        home.mkdir(parents=True)
        for program in ("python", "unmask") if unmask else ("python",):
            (home / program).write_text(f'#!/bin/sh\nprintf "%s|" "{name}" "$@"\n')
            (home / program).chmod(0o755)
        return home

    def stage(self, *, path: str = "", dvc: Path | None = None, folder: str = ".") -> str:
        """What a stage's command prints, started by DVC on a Python, with nothing above it.

        It is orphaned first, or the Python of these tests would be found.
        """
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        command = 'sh .dvc/unmask train "a b"'
        if dvc is not None:  # as the kernel starts a script: its interpreter is the first word
            inner = f"exec -a {dvc}/python sh -c {shlex.quote(f'{command}; :')}"
            command = f"bash -c {shlex.quote(inner)}"
        where = self.checkout / folder
        script = f"( sleep 0.3; {command} > {out}.new 2>&1; mv {out}.new {out} ) & exit 0"
        subprocess.run(
            ["sh", "-c", script], cwd=where, check=True, env={"PATH": f"{path}:/usr/bin:/bin"}
        )
        for _ in range(1500):
            if out.exists():
                return out.read_text().strip()
            time.sleep(0.02)
        raise AssertionError("it never ended")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One without any environment."""
    return Machine(tmp_path)


def test_the_environment_of_dvc_comes_first(machine: Machine) -> None:
    other, own = machine.environment("active"), machine.environment("own")
    told = machine.stage(path=str(other), dvc=own)
    assert told == "own|-m|pipeline|train|a b|"


def test_a_dvc_without_unmask_takes_the_active_one(machine: Machine) -> None:
    dvc, active = machine.environment("pipx", unmask=False), machine.environment("active")
    assert machine.stage(path=str(active), dvc=dvc) == "active|-m|pipeline|train|a b|"


def test_a_link_on_the_path_leads_to_its_environment(machine: Machine) -> None:
    home, links = machine.environment("tool"), machine.folder / "links"
    links.mkdir()
    (links / "unmask").symlink_to(home / "unmask")
    assert machine.stage(path=str(links)) == "tool|-m|pipeline|train|a b|"


def test_else_the_nearest_venv_above_is_taken(machine: Machine) -> None:
    machine.environment("check out/.venv")
    copy = machine.checkout / ".dvc" / "tmp" / "exps" / "copy"
    shutil.copytree(machine.checkout / ".dvc", copy / ".dvc")
    for folder in (".", ".dvc/tmp/exps/copy"):
        assert machine.stage(folder=folder) == "check out/.venv|-m|pipeline|train|a b|"


def test_without_any_one_line_tells_the_remedy(machine: Machine) -> None:
    told = machine.stage()
    assert told.startswith("unmask: not installed where DVC runs")
    assert "make demo" in told
    assert len(told.splitlines()) == 1
