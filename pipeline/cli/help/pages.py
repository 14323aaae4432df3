"""What `--help` says beside a command's options: examples and exit codes, below them.

A command's docstring ends with lines "Example: unmask ..."; they become a list of their own, so
that the first lines of the help say what the command does, as in a manual page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "another error of unmask",
    2: "a parameter or option is unknown, ill-typed or out of range",
    3: "a path is missing, empty or of a kind that the command cannot read",
    4: "the data set cannot be used: one class only, too few videos, one video under both labels",
    5: "features are damaged, of another recipe, or of a later version",
    6: "features, backbone and bundle do not belong together",
    7: "a requirement is missing: ffmpeg, a decoder for every video, a model file, a download, "
    "a Ray cluster; `doctor`: something that unmask needs does not work here",
    8: "the output cannot be written",
    9: "more videos failed than `--max-failures` allows; the rest is kept",
    10: "a video or a person to measure, or to choose by, was seen in training; `audit --strict`: "
    "something is in two splits",
    11: "another process is writing to the same store, or has the same folder of cases",
    12: "a video gave no verdict; the verdicts of the others are printed",
    13: "`pair`: the two videos do not show one scene",
    14: "`case verify`: something is not as it was written",
    130: "interrupted; finished work is kept",
}
"""Exit code -> what it means; docs/exit-codes.md has the same table, and a test compares them."""

_EXAMPLE = re.compile(r"^\s*Example: (unmask .+)$", re.MULTILINE)


def description(function: Callable[..., object]) -> str:
    """What a command does: its docstring without the examples."""
    return _EXAMPLE.sub("", function.__doc__ or "").strip()


def examples(function: Callable[..., object]) -> list[str]:
    """The commands in its docstring."""
    return _EXAMPLE.findall(function.__doc__ or "")


def command_epilog(function: Callable[..., object], codes: Sequence[int]) -> str:
    """Examples and exit codes of one command, in Markdown.

    Args:
        function: with the docstring.
        codes: those that are its own, beside what every command may end with.
    """
    own = ", ".join(f"{code} {_own_words(code)}" for code in (0, *codes))
    return (
        _listed("Examples" if len(examples(function)) > 1 else "Example", examples(function))
        + f"\n\n**Exit codes:** {own}, 130 interrupted. `unmask --help` lists the others."
    )


def main_epilog() -> str:
    """Examples of the usual way, and all exit codes, in Markdown."""
    usual = (
        "unmask index videos -o manifest.csv",
        "unmask extract manifest.csv --root videos -o embeddings",
        "unmask train embeddings --manifest manifest.csv -o bundle",
        "unmask evaluate bundle embeddings --manifest manifest.csv -o report",
        "unmask predict bundle interview.mp4 --report interview.html",
    )
    codes = "\n".join(f"- {code}: {words}" for code, words in EXIT_CODES.items())
    return (
        f"{_listed('From videos to a verdict', usual)}\n\n**Exit codes**\n\n{codes}\n\n"
        "`--help` after a command has its examples, and the option `--install-completion` sets up "
        "completion in your shell."
    )


def _listed(heading: str, lines: Sequence[str]) -> str:
    return f"**{heading}**\n\n" + "\n".join(f"- `{line}`" for line in lines)


def _own_words(code: int) -> str:
    """The words of a code that are meant for one command, where it has several."""
    words = EXIT_CODES[code].split("; ")[0]
    return re.sub(r"^`[^`]+`: ", "", words)
