"""Verdicts and evaluations need no TensorFlow, which takes seconds to import.

Each command runs in a process of its own, in which importing TensorFlow fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import requirements
from tests.pipeline.conftest import World

WITHOUT = """
import sys
for name in ("tensorflow", "keras", *sys.argv.pop(1).split()):
    sys.modules[name] = None
from pipeline.entry import main
main()
"""


def run(*arguments: object, without: str | None) -> str:
    """The command's stdout; `without` are further modules that cannot be imported."""
    start = ["-m", "pipeline"] if without is None else ["-c", WITHOUT, without]
    command = [sys.executable, *start, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd())
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_predict_and_scan(world: World, tmp_path: Path) -> None:
    requirements.module("openvino")
    clip = next((world.demo / "real").glob("*.mp4"))
    first = run("predict", world.bundle, clip, without=None)  # fills the cache
    assert "P(fake)" in first
    assert run("predict", world.bundle, clip, without="sklearn onnx optuna") == first
    page = tmp_path / "page.html"
    run("predict", world.bundle, clip, "--report", page, without="sklearn onnx optuna")
    assert "<svg" in page.read_text()
    scanned = run(
        "scan", world.bundle, world.demo / "real", "-o", tmp_path / "scan",
        "--store", tmp_path / "store", without="onnx optuna",
    )  # fmt: skip
    assert "12 videos" in scanned


def test_evaluate(world: World, tmp_path: Path) -> None:
    evaluate = ("evaluate", world.bundle, world.features, "--manifest", world.manifest)
    run(*evaluate, "-o", tmp_path / "report", without="onnx optuna")
    tables = [folder / "predictions.csv" for folder in (tmp_path / "report", world.report)]
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_reports_are_listed(world: World) -> None:
    found = run("results", world.report, without="sklearn onnx optuna openvino")
    assert "AUC" in found
