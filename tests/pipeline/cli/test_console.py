"""What the terminal shows: verbosity, tables, JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from data.io.progress import log, progress
from pipeline.cli import console
from tests import footage


@pytest.fixture(autouse=True)
def same_log_afterwards():
    state = log.level, log.propagate, list(log.handlers)
    yield
    log.level, log.propagate, log.handlers = state


@pytest.mark.parametrize(
    ("quiet", "verbose", "expected"),
    [
        (False, False, ["a note", "warning: beware"]),
        (True, False, ["warning: beware"]),
        (False, True, ["a detail", "a note", "warning: beware"]),
    ],
)
def test_verbosity(quiet: bool, verbose: bool, expected: list[str], capsys) -> None:
    for _ in range(2):  # the second command of a process shows nothing twice
        console.set_verbosity(quiet=quiet, verbose=verbose)
        log.debug("a detail")
        log.info("a note")
        log.warning("beware")
        shown = capsys.readouterr()
        assert shown.err.splitlines() == expected
        assert not shown.out
    assert progress(range(3), desc="x").disable  # stderr is no terminal here


def test_a_message_is_one_line_whatever_a_file_is_called(capsys) -> None:
    console.set_verbosity(quiet=False, verbose=False)
    log.warning("a\nb\x1b[31m")
    assert capsys.readouterr().err == "warning: a\\nb\\x1b[31m\n"


def test_a_table_is_cut_nowhere_and_escaped(capsys) -> None:
    console.show_table(("video", "AUC"), [("[red]" + "x" * 300 + "\n", "0.5"), ("b", "0.25")])
    head, _, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["video", "AUC"]
    assert first.split() == ["[red]" + "x" * 300 + "\\n", "0.5"]
    assert second.endswith("0.25")


def test_a_result_is_plain_json(capsys) -> None:
    @dataclass(frozen=True)
    class Result:
        path: Path
        numbers: tuple[np.float32, ...]
        names: frozenset[str]

    console.show_json(
        Result(path=Path("a"), numbers=(np.float32(0.5),), names=frozenset({"b", "a"}))
    )
    assert json.loads(capsys.readouterr().out) == {
        "path": "a", "numbers": [0.5], "names": ["a", "b"],
    }  # fmt: skip
    with pytest.raises(TypeError, match="no JSON for object"):
        console.show_json(object())


def test_verbose_shows_each_video_and_command(run, tmp_path) -> None:
    clip = footage.clip("head-pose-face-detection-male.gif")
    arguments = ("extract", clip, "-o", tmp_path / "a", "--store", tmp_path / "store",
                 "--set", "frames.count=2", "--set", "frames.minimum_frames=2",
                 "--backbone", "resnet50-thin")  # fmt: skip
    shown = run(*arguments, "--verbose")
    assert "2 frames embedded" in shown.stderr
    assert "ffprobe" in shown.stderr
    again = run(*arguments, "--quiet")
    assert not again.stderr
