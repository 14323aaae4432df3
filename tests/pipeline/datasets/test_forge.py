"""`unmask forge` as a user meets it, and its stage under DVC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from data.datasets.manifest import Manifest
from data.demo import DemoConfig, write_demo

ROOT = Path(__file__).parents[3]
SHORT = ("--set", "forge.seconds=0.4", "--workers", "1")


@pytest.fixture(scope="module")
def reals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered people, real only."""
    folder = tmp_path_factory.mktemp("reals")
    settings = DemoConfig(people=2, seconds=0.4, width=200, height=160)
    write_demo(folder / "demo", settings, workers=1)
    return folder / "demo" / "real"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # .unmask grows here


@pytest.fixture
def manifest(run: Callable[..., Result], reals: Path, tmp_path: Path) -> Manifest:
    """Copies and forgeries of the two, indexed."""
    run("forge", reals, tmp_path / "out", *SHORT)
    run("index", tmp_path / "out", "-o", tmp_path / "m.csv")
    return Manifest.read(tmp_path / "m.csv", root=tmp_path / "out")


def test_forge_then_index(run: Callable[..., Result], reals: Path, tmp_path: Path) -> None:
    output = run("forge", reals, tmp_path / "out", *SHORT).output
    assert "2 real copies, 2 self-made forgeries" in output
    assert "next: unmask index" in output
    assert (tmp_path / "out" / "failures.csv").read_text().startswith("path,class")
    output = run("forge", reals, tmp_path / "out", *SHORT).output
    assert "0 videos made now" in output
    run("index", tmp_path / "out", "-o", tmp_path / "m.csv")
    assert "real/person_000.mp4" in (tmp_path / "m.csv").read_text().splitlines()[1]
    # The manifest can be forged again: only its real videos are.
    output = run("forge", tmp_path / "m.csv", tmp_path / "again", "--root", tmp_path / "out",
               *SHORT).output  # fmt: skip
    assert "passed over: 2 fakes" in output


def test_too_many_failures_keep_the_rest(
    run: Callable[..., Result], reals: Path, tmp_path: Path
) -> None:
    shutil.copytree(reals, tmp_path / "mixed")
    (tmp_path / "mixed" / "broken.mp4").write_bytes(b"no video")
    result = run("forge", tmp_path / "mixed", tmp_path / "out", *SHORT, code=9)
    assert "1 of 3 videos failed" in result.stderr
    assert "broken.mp4,unreadable" in (tmp_path / "out" / "failures.csv").read_text()
    assert len(list((tmp_path / "out" / "fake").glob("*.mp4"))) == 2
    run("forge", tmp_path / "mixed", tmp_path / "out", *SHORT, "--set", "forge.max_failures=0.5")


def test_mistakes_end_in_one_line(run: Callable[..., Result], reals: Path, tmp_path: Path) -> None:
    assert "another folder" in run("forge", reals, reals, code=3).stderr
    assert "does not exist" in run("forge", tmp_path / "no", tmp_path / "out", code=3).stderr
    assert "forge.copies" in run("forge", reals, "x", "--set", "forge.copies=0", code=2).stderr
    assert "must be among" in run("forge", reals, "x", "--set", "forge.methods={a: 1}",
                                  code=2).stderr  # fmt: skip


def test_the_stage_is_off_until_reals_are_named(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def dvc(*arguments: str) -> str:
        result = subprocess.run(
            ("dvc", *arguments),
            env=os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    dvc("init", "--no-scm", "--quiet")
    assert "forge" not in dvc("stage", "list", "--name-only")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params |= {"reals": {"mine": "clips"}, "videos": "artifacts/forged/mine"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())
    assert "forge@mine" in dvc("stage", "list", "--name-only")
    assert stages["stages"]["forge"]["do"]["outs"] == [
        {"artifacts/forged/${key}": {"persist": True}}
    ]
    drawn = dvc("dag", "index", "--mermaid")
    assert "forge@mine" in drawn, "index waits for the forge"
