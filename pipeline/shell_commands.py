"""Command lines to paste into a shell: quoted, printable, and on one line.

File names are untrusted. `shlex.quote` keeps a shell from running what is in one; two more things
can go wrong. A name that begins with a dash would be read as an option, so a path gets `./` before
it. A name with control characters, direction marks, or bytes that are no UTF-8 cannot be shown as
it is, so it is written as `$'...'` with octal escapes, which bash, zsh, ksh and POSIX.1-2024 read
back byte for byte (shlex does not).
"""

from __future__ import annotations

import shlex
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """One line that a shell splits into these words; a `Path` is a file name."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str | Path) -> str:
    """One word for a shell."""
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if text.isprintable():  # the only blank that is printable is ASCII's
        return shlex.quote(text)
    return f"$'{''.join(_escaped(sign) for sign in text)}'"


def _escaped(sign: str) -> str:
    """One character inside `$'...'`."""
    if sign in "\\'":
        return f"\\{sign}"
    if sign.isprintable():
        return sign
    # Python decodes a byte of a file name that is no UTF-8 to one of these surrogates; the others
    # come from the content of files.
    errors = "surrogateescape" if "\udc80" <= sign <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in sign.encode("utf-8", errors))
