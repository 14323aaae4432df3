"""Finds the commands in README.md and docs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")


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
