"""Command lines to paste: a shell reads the words that were meant, whatever a name holds."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from data.errors import plain
from models.bundle import Bundle
from pipeline.cli.app import app
from pipeline.cli.options import PARTLY_FAILED
from pipeline.config import load_params
from pipeline.evaluation.model_card import report_commands
from pipeline.evaluation.robustness import robustness_command
from pipeline.extraction.extract import after_extraction
from pipeline.inference.predict import predict_command
from pipeline.reporting.page import environment
from pipeline.shell_commands import command_line
from pipeline.training.train import training_command
from tests.pipeline.conftest import SMALL
from tests.requirements import missing

PROJECT = Path(__file__).parents[2]
SHOWABLE = [
    "plain.mp4", "two  blanks.mp4", "it's.mp4", 'say "x".mp4', "$(touch pwned).mp4", "`id`.mp4",
    "a;b|c&d>e<f.mp4", "{a,b}*?[c]~!#.mp4", "$HOME\\n.mp4", "-rf", "--report", "-", "~", "=x",
    "höhle 日本.mp4", "<script>&amp;.mp4", "%s%n", "a=b:c",
]  # fmt: skip
UNSHOWABLE = [
    "two\nlines.mp4", "tab\t.mp4", "\x1b[31mred.mp4", "bell\a.mp4", "\u202egpj.exe",
    "no\u00a0break", "it's\n\\'$(id)", "caf\udce9.mp4", "\udcff\udcfe", "\u200bzero",
    "\U000e0001tag",
]  # fmt: skip
NAMES = SHOWABLE + UNSHOWABLE
BASH = shutil.which("bash")


@pytest.fixture(scope="session")
def bash() -> None:
    if BASH is None:
        missing("bash", "there is no bash")


def by_bash(line: str) -> list[bytes]:
    """The words that bash makes of a line."""
    told = subprocess.run([str(BASH), "-c", f"printf '%s\\0' {line}"], capture_output=True,
                          check=True, env={"HOME": "/nowhere", "PATH": ""})  # fmt: skip
    return told.stdout.split(b"\0")[:-1]


def meant(words) -> list[bytes]:
    """What a program should be given: a path may have ./ before it."""
    return [
        os.fsencode(f"./{one}" if isinstance(one, Path) and str(one).startswith("-") else str(one))
        for one in words
    ]


@pytest.mark.parametrize("name", SHOWABLE)
def test_shlex_reads_the_same_words(name):
    words = shlex.split(command_line("unmask", "predict", Path("bundle"), Path(name)))
    assert words[:3] == ["unmask", "predict", "bundle"]
    assert Path(words[3]) == Path(name)
    assert not words[3].startswith("-")  # it would be an option
    assert shlex.split(command_line("--set", name)) == ["--set", name]


@pytest.mark.usefixtures("bash")
@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_the_same_bytes(name):
    words = ["unmask", Path(name), "--set", f"x={name}"]
    assert by_bash(command_line(*words)) == meant(words)


@pytest.mark.parametrize("name", NAMES)
def test_a_line_can_be_shown_anywhere(name):
    line = command_line("unmask", Path(name))
    assert line.isprintable()
    line.encode("utf-8")
    assert plain(line) == line  # what a terminal shows
    shown = environment().from_string("{{ line }}").render(line=line)  # as on every page
    assert html.unescape(shown) == line


@pytest.mark.usefixtures("bash")
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
                min_size=1, max_size=3))  # fmt: skip
def test_any_text_comes_back(words):
    line = command_line(*words)
    assert line.isprintable()
    assert by_bash(line) == [os.fsencode(word) for word in words]
    if all(word.isprintable() for word in words):
        assert shlex.split(line) == words


def parsed(line: str) -> dict[str, object]:
    """The arguments as the command line reads them; an unknown or missing one fails."""
    first, *words = shlex.split(line)
    assert first == "unmask"
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.make_context("unmask", words).params


@pytest.mark.parametrize("name", [one for one in SHOWABLE if one not in ("-", "~")])
def test_every_command_of_pages_and_messages_parses_again(name):
    a, b, c, d = (Path(f"{name}{letter}") for letter in "abcd")
    params = load_params(None, ["evaluate.rounds=99", "evaluate.confidence=0.99", "seed=3"])
    facts = report_commands(a, b, c, "test", params, root=d, allow_seen=True)
    for words in facts.values():
        for line in words.split(" && "):
            parsed(line)
    found = parsed(facts["this report"])
    assert (found["sources"], found["manifest"], found["root"]) == ([a, b], c, d)
    assert found["allow_seen"]
    assert load_params(None, found["set_"]) == params
    found = parsed(predict_command(a, b, c))
    assert (found["bundle"], found["videos"], found["report"]) == (a, [b], c)
    found = parsed(training_command(a, b, params))
    assert (found["features"], found["manifest"]) == (a, b)
    found = parsed(robustness_command(a, b, root=c, split="all", rungs=[name], store=d,
                                    allow_seen=False, params=params))  # fmt: skip
    assert (found["bundle"], found["manifest"], found["root"]) == (a, b, c)
    assert (found["rungs"], found["store"], found["split"]) == ([name], d, "all")
    table = Path(f"{name}.csv")
    assert parsed(after_extraction(a, b, None))["features"] == b
    assert parsed(after_extraction(table, b, c))["sources"] == [c, b]
    assert parsed(after_extraction(table, b, None))["manifest"] == table


def test_no_command_is_put_together_by_hand():
    """A name in an f-string after "unmask" would reach the reader's shell unquoted."""
    names = "|".join(typer.main.get_command(app).commands)
    by_hand = re.compile(rf"unmask (?:{names})\b[^`\"]*\{{")
    found = [
        f"{path.name}:{number}"
        for room in ("data", "features", "models", "pipeline")
        for path in sorted((PROJECT / room).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if by_hand.search(line)
    ]
    assert found == []


class Cards(HTMLParser):
    """The facts on a page's cards."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.facts: list[list[str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._inside = tag
        if tag in ("dt", "pre"):
            self.facts.append(["", ""] if tag == "dt" else ["pre", ""])

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in ("dt", "dd", "pre"):
            self.facts[-1][0 if self._inside == "dt" else 1] += data

    @property
    def commands(self) -> list[str]:
        return [one for _, text in self.facts for one in text.split(" && ")
                if one.startswith("unmask ")]  # fmt: skip


HOSTILE = 'it\'s $(touch pwned);`touch pwned` "q"  -x'


def printed(text: str) -> list[str]:
    """The commands that a run says come next."""
    return re.findall(r"^.*?next: (unmask .+)$", text, flags=re.MULTILINE)


def test_commands_that_runs_print_and_pages_show(world, run, loaded, tmp_path, monkeypatch):
    """Through the commands themselves, everything below a folder with a hostile name."""
    monkeypatch.setattr("pipeline.inference.predict.heat_maps", lambda *_: {})  # they take seconds
    here = tmp_path / HOSTILE
    here.mkdir()
    for one in ("demo", "bundle", "features", "manifest.csv"):
        copy = shutil.copytree if (world.folder / one).is_dir() else shutil.copy
        copy(world.folder / one, here / one)
    told = run("index", here / "demo", "-o", here / "m.csv").output
    (line,) = printed(told)
    found = parsed(line)
    assert (found["source"], found["root"]) == (here / "m.csv", here / "demo")
    told = run("train", here / "features", "--manifest", here / "manifest.csv", "-o", here / "new",
               *SMALL).output  # fmt: skip
    (line,) = printed(told)
    assert parsed(line)["sources"] == [here / "new", here / "features"]
    assert parsed(Bundle.load(here / "new").command)["features"] == here / "features"
    run("evaluate", here / "new", here / "features", "--manifest", here / "manifest.csv",
        "-o", here / "report")  # fmt: skip
    shown = Cards((here / "report" / "report.html").read_text("utf-8")).commands
    assert len(shown) == 6
    for line in shown:
        if "OTHER.csv" not in line:
            paths = [
                p for one in parsed(line).values() for p in (one if type(one) is list else [one])
            ]
            assert any(str(here) in str(path) for path in paths)
    video = here / "demo" / "real" / "person_000.mp4"
    run("predict", here / "bundle", video, "--report", here / "page.html")
    (line,) = Cards((here / "page.html").read_text("utf-8")).commands
    found = parsed(line)
    assert (found["bundle"], found["videos"], found["report"]) == (
        here / "bundle", [video], here / "page.html"
    )  # fmt: skip
    (here / "demo" / "bad.mp4").write_bytes(b"none")
    run("scan", here / "bundle", here / "demo", "-o", here / "scan", "--store", world.store,
        code=PARTLY_FAILED)  # fmt: skip
    (line,) = Cards((here / "scan" / "scan.html").read_text("utf-8")).commands
    found = parsed(line)
    assert (found["bundle"], found["folder"]) == (here / "bundle", (here / "demo").resolve())
    assert (found["out"], found["store"]) == (here / "scan", world.store)
    told = run("sweep", here / "features", "--manifest", here / "manifest.csv", "-o",
               here / "sweep", "--seeds", "1", "--workers", "1", "--set", "train.epochs=1",
               "--json").output  # fmt: skip
    line = json.loads(told)["next"]
    assert parsed(line)["manifest"] == here / "manifest.csv"
    assert Cards((here / "sweep" / "sweep.html").read_text("utf-8")).commands == [line]
    matrix = ("--on", f"x={here / 'features'}:{here / 'manifest.csv'}")
    run("evaluate", here / "bundle", *matrix, "-o", here / "matrix")
    (line,) = Cards((here / "matrix" / "report.html").read_text("utf-8")).commands
    assert parsed(line)["on"] == [matrix[1]]
    for shard in (here / "features").glob("*.h5"):
        shard.write_bytes(b"broken")
    told = run("store", "verify", here / "features", code=5).stderr
    line = told.partition("run `")[2].partition("`: it keeps")[0]
    assert parsed(line)["features"] == here / "features"
    assert not list(tmp_path.rglob("pwned"))


def test_a_folder_whose_name_is_no_utf8(world, run, tmp_path):
    """Nothing that is printed ends in a traceback, and the command still names it."""
    out = tmp_path / "\udcff\x1b[31m.csv"
    told = run("index", world.demo, "-o", out).output
    (line,) = printed(told)
    assert line.isprintable()
    assert "\\377\\033[31m.csv'" in line
