"""Command lines for people to paste into a shell: quoted, printable, and on one line.

File names come from strangers. `shlex.join` keeps a shell from running what stands in one; two
more things can go wrong. A name that begins with a dash would be read as an option, so a path gets
`./` before it. A name with control characters, marks that turn the direction of writing, or bytes
that are no UTF-8 cannot be shown as it is: it is written as `$'...'` with octal escapes, which
bash, zsh, ksh and POSIX.1-2024 read back byte for byte (shlex does not).
"""

from __future__ import annotations

import shlex
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """Words as one line that a shell takes apart into the same words.

    Args:
        words: options and values as they are; a `Path` is a file of the user's.
    """
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str | Path) -> str:
    """One word for a shell."""
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if text.isprintable():  # of blanks, ASCII's alone is
        return shlex.quote(text)
    return f"$'{''.join(_escaped(sign) for sign in text)}'"


def _escaped(sign: str) -> str:
    """One character inside `$'...'`."""
    if sign in "\\'":
        return f"\\{sign}"
    if sign.isprintable():
        return sign
    # A byte of a file name that is no UTF-8 is one of these; other halves of pairs are from files.
    errors = "surrogateescape" if "\udc80" <= sign <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in sign.encode("utf-8", errors))
