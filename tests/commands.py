"""Finds the commands in README.md and docs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
LANGUAGES = ("sh", "console", "python")
"""Of fenced blocks that a reader is to run; others show files, or what is printed."""


@dataclass(frozen=True)
class Example:
    """A block of a page that a reader is to run."""

    text: str
    language: str  # "sh" for indented blocks
    line: int  # of its first line in the page, from 1
    reason: str | None  # why no test runs it, from the comment `<!-- not run: ... -->` before it


def examples(page: Path) -> list[Example]:
    """Blocks of commands and of Python in a page, in order."""
    found: list[Example] = []
    lines = [*page.read_text("utf-8").splitlines(), ""]
    before, at = "", 0  # the last line of text above
    while at < len(lines):
        line, begun = lines[at], at
        marked = NOT_RUN.fullmatch(before)
        reason = marked[1] if marked else None
        if line.startswith("```"):
            while not lines[at := at + 1].startswith("```"):
                pass
            if line[3:] in LANGUAGES:
                text = "\n".join(lines[begun + 1 : at])
                found.append(Example(text, line[3:], begun + 2, reason))
        elif line.startswith("    ") and (begun == 0 or not lines[begun - 1]):
            while lines[at + 1].startswith("    ") or (
                not lines[at + 1] and at + 2 < len(lines) and lines[at + 2].startswith("    ")
            ):
                at += 1
            text = "\n".join(one.removeprefix("    ") for one in lines[begun : at + 1])
            found.append(Example(text, "sh", begun + 1, reason))
        if line:
            before = line
        at += 1
    return found


def indented(page: Path) -> list[str]:
    """The lines of a page's indented blocks, in order; one that goes on after a `\\` is joined.

    Fenced blocks hold what a command prints, never one.
    """
    text = FENCE.sub("", page.read_text("utf-8")).replace("\\\n", "")
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def in_text(page: Path) -> list[str]:
    """What stands between backquotes in a page's text."""
    return CODE.findall(FENCE.sub("", page.read_text("utf-8")))


def commands(line: str) -> list[list[str]]:
    """The words of each command of a line, without its comment and the signs of a usage line."""
    try:
        words = shlex.split(re.sub(r"[\[\]]|\.\.\.", " ", line), comments=True)
    except ValueError:  # a lone quote: no command
        return []
    found: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            found.append([])
        else:
            found[-1].append(word)
    return [one for one in found if one]
