"""`--help` reads as a manual page, completion answers, and the tables of exit codes agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.cli.help import pages
from pipeline.config import Params
from tests.pipeline.cli.test_cli import commands
from tests.requirements import missing

ROOT = Path(__file__).parents[3]
NAMES = sorted(commands())
COLUMNS = 80


def help_of(*words: str) -> str:
    """The help as a terminal of 80 columns shows it."""
    environ = {"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS)}
    done = CliRunner().invoke(app, [*words, "--help"], env=environ)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("name", ["", "store", "case", *NAMES])
def test_help_fits_80_columns(name: str) -> None:
    shown = help_of(*name.split())
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= COLUMNS
    assert "…" not in shown, "a name was cut"


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_examples_in_one_line_each_and_exit_codes(name: str) -> None:
    shown = help_of(*name.split())
    after = shown.split("╯")[-1]
    assert re.search(r"^ Examples? *$", after, re.MULTILINE)
    found = re.findall(r"^ +• (.+?) *$", after, re.MULTILINE)
    assert found
    for line in found:
        assert line.startswith(f"unmask {name} "[: len(line)]), "it can be copied whole"
    assert "Exit codes: 0 done" in " ".join(after.split())
    assert "Example: " not in shown, "what it does stands alone above the options"


def test_options_stand_in_groups() -> None:
    shown = help_of("extract")
    for panel in ("Arguments", "Options", "Parameters", "This machine", "What is shown"):
        assert f"─ {panel} ─" in shown
    assert "─ Case file ─" in help_of("predict")


def test_the_first_page_has_every_command_and_every_exit_code() -> None:
    shown = help_of()
    for name in get_command(app).commands:
        assert re.search(rf"│ {name} ", shown), name
    assert [int(code) for code in re.findall(r"• (\d+): ", shown)] == list(pages.EXIT_CODES)


@pytest.mark.parametrize("page", ["README.md", "docs/command-line.md"])
def test_the_tables_of_exit_codes_are_the_programs(page: str) -> None:
    table = re.findall(r"^\| (\d+) \| (.+?) \|$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert {int(code): words for code, words in table} == pages.EXIT_CODES


def complete(line: str, shell: str = "bash") -> list[str]:
    """What the shell is told for the end of a line."""
    words = line.split(" ")
    environ = os.environ | {
        "_UNMASK_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        (sys.executable, "-m", "pipeline"), cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert not done.stderr
    return done.stdout.split()


def test_completion_of_commands_and_values() -> None:
    assert complete("unmask ev") == ["evaluate"]
    assert complete("unmask store re") == ["repair"]
    assert complete("unmask extract m.csv -o out --set head.un") == ["head.units="]
    assert complete("unmask extract m.csv -o out --backbone resnet50-t") == ["resnet50-thin"]
    assert complete("unmask index videos --layout faceforen") == ["faceforensics"]
    assert complete("unmask evaluate b f -o out --split v") == ["val"]
    assert complete("unmask extract m.csv -o out --engine r") == ["ray"]
    assert complete("unmask extract m.csv -o out --runtime o") == ["openvino"]


def test_every_parameter_can_be_completed() -> None:
    from pipeline.cli.help.completion import parameters

    offered = parameters("")
    assert len(offered) == len(set(offered)) > 60
    for key in offered:
        tree = Params().model_dump()
        for name in key.removesuffix("=").split("."):
            tree = tree[name]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered(shell: str) -> None:
    assert "evaluate" in " ".join(complete("unmask ev", shell))


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", "source unmask.bash; COMP_WORDS=(unmask ev); COMP_CWORD=1; "
                 "_unmask_completion unmask; echo ${COMPREPLY[@]}"),
        ("fish", "source unmask.fish; complete --do-complete 'unmask ev'"),
        ("zsh", "autoload -U compinit; compinit -D; source ./unmask.zsh; which _unmask_completion"),
    ],
)  # fmt: skip
def test_the_script_of_a_shell_works_in_it(shell: str, script: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        missing(shell, f"{shell} is not installed")
    (tmp_path / "unmask").write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    (tmp_path / "unmask").chmod(0o755)
    environ = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)
    }  # fmt: skip
    source = subprocess.run(
        ("unmask",), env=environ | {"_UNMASK_COMPLETE": f"source_{shell}"}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    (tmp_path / f"unmask.{shell}").write_text(source.stdout)
    done = subprocess.run(
        (shell, "-c", script), cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
    )
    assert ("evaluate" if shell != "zsh" else "complete_zsh") in done.stdout
