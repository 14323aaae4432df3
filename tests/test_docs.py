"""Every command in README.md, docs, presets and the help parses: no option that is not there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from dvc.cli import parse_args
from dvc.cli.parser import DvcParserError
from typer.main import get_command

from pipeline.cli.app import app
from tests.commands import PAGES, ROOT, commands, in_text, indented

EXAMPLE = re.compile(r"^(?:#| +Example:) +(unmask .+)$", re.MULTILINE)
"""A command in a comment of a preset, or in a command's help."""
UsageError = typer.BadParameter.__mro__[1]
"""Of the click that this typer brings or uses."""


def parse(words: list[str]) -> None:
    """Parses a command of unmask as its own command line does, and runs nothing.

    Raises:
        UsageError: there is no such command or option, or a value does not fit.
    """
    command, context = get_command(app), None
    while True:
        context = command.make_context(words[0], list(words[1:]), parent=context)
        if not hasattr(command, "resolve_command"):
            return
        _, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        command, words = inner, [str(inner.name), *rest]


def found(program: str) -> Iterator[tuple[str, list[str], bool]]:
    """Page, words and whether the command stands in a line of its own, for one program."""
    others = (*(ROOT / "presets").glob("*.yaml"), *(ROOT / "pipeline" / "cli").rglob("*.py"))
    for page in (*PAGES, *sorted(others)):
        own = indented(page) if page.suffix == ".md" else EXAMPLE.findall(page.read_text("utf-8"))
        for line, alone in [(one, True) for one in own] + [(one, False) for one in in_text(page)]:
            for words in commands(line):
                if words[0] == program and len(words) > 1:
                    yield page.name, words, alone


@pytest.mark.parametrize(("page", "words", "alone"), list(found("unmask")), ids=str)
def test_a_command_parses(page: str, words: list[str], alone: bool) -> None:
    assert "--install-completion" not in words, "parsing it would run it"
    try:
        parse(words)
    except typer.Exit:
        assert words[-1] in ("--help", "--version")
    except UsageError as error:  # in a text, a part may be meant
        if alone or type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
            pytest.fail(f"{page}: {error}")


@pytest.mark.parametrize(("page", "words", "alone"), list(found("dvc")), ids=str)
def test_a_command_of_dvc_parses(page: str, words: list[str], alone: bool) -> None:
    try:
        parse_args(words[1:])
    except DvcParserError:
        pytest.fail(f"{page}: dvc knows no {' '.join(words)}")


@pytest.mark.parametrize(("page", "words", "alone"), list(found("make")), ids=str)
def test_a_target_of_make_exists(page: str, words: list[str], alone: bool) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^\.PHONY:.* {re.escape(words[1])}\b", makefile, re.MULTILINE), page


@pytest.mark.parametrize(("page", "words", "alone"), list(found("python")), ids=str)
def test_a_script_exists(page: str, words: list[str], alone: bool) -> None:
    assert words[1] == "-m" or (ROOT / words[1]).is_file(), page


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_a_module_that_is_named_exists(page: Path) -> None:
    """With its folder, as `data/video/frames.py`, or by its name alone, below a heading of its
    room."""
    room = "."
    for line in page.read_text("utf-8").splitlines():
        if heading := re.match(r"###? (\w+)", line):
            room = heading[1] if (ROOT / heading[1]).is_dir() else "."
        for name in re.findall(r"`([\w/]+\.py)`", line):
            if "/" not in name:
                assert [*(ROOT / room).glob(f"**/{name}")], f"{name} is not in {room}"
            elif (ROOT / name.split("/")[0]).is_dir():
                assert (ROOT / name).is_file(), name


def test_wrong_commands_are_found() -> None:
    for words in (
        ["unmask", "trian"],
        ["unmask", "extract", "a", "-o", "b", "--wokers", "2"],
        ["unmask", "sweep", "f", "--manifest", "m", "-o", "d", "--seeds", "none"],
        ["unmask", "store", "inpsect"],
    ):
        with pytest.raises(UsageError):
            parse(words)
    assert len(list(found("unmask"))) > 60
    pages = {page for page, _, _ in found("unmask")}
    assert pages >= {"README.md", "scale.md", "recipe.yaml", "training.py"}


def test_no_command_writes_to_a_folder_of_the_checkout() -> None:
    """`-o features` was the README's, and is refused where it is typed: features/ is code."""
    tracked = subprocess.run(("git", "ls-files"), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    taken = {name.split("/")[0] for name in tracked.stdout.decode().splitlines()}
    told = [words for _, words, _ in found("unmask")]
    for path in sorted((ROOT / "pipeline").rglob("*.py")):  # what is printed as the next command
        told += [
            one.split() for one in re.findall(r"unmask \w+ [^`\"\n]*", path.read_text("utf-8"))
        ]
    outs = {words[at + 1] for words in told for at in range(len(words) - 1) if words[at] == "-o"}
    assert {"embeddings", "bundle", "report"} <= outs
    assert not outs & taken


def test_lines_are_read_as_a_shell_would(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n    unmask a \\\n      b  # comment\n\n```\n    output\n```\n")
    assert [commands(line) for line in indented(page)] == [[["unmask", "a", "b"]]]
    assert commands("dvc x [--set a=b] && dvc repro") == [["dvc", "x", "--set", "a=b"],
                                                          ["dvc", "repro"]]  # fmt: skip
