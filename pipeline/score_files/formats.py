"""Which format a file of scores has, and what is done about those that are not read.

A pickle runs the code that is written in it when it is opened, and score files come from
strangers: it is refused, whatever its name. Other binary formats are named with what turns them
into a CSV.
"""

from __future__ import annotations

from pathlib import Path

from data.errors import InputError
from data.io.reading import open_file, unreadable

DOCS = "docs/detectors.md"
HEAD_BYTES = 4096
PICKLES = (".pickle", ".pkl", ".p", ".pt", ".pth", ".joblib")
"""Endings of files that are pickles, or have one inside."""
EXPORT = f"export its scores as a CSV with the columns path,score ({DOCS}, has the lines)"


def format_of(path: Path) -> str:
    """Reads the first bytes of a file.

    Returns:
        "json" or "csv".

    Raises:
        InputError: it is not there, or of a format that is not read.
    """
    try:
        with open_file(path) as handle:
            if not handle.seekable():
                raise InputError(f"{path} is a pipe; write the scores to a file first")
            return _format_of(path, handle.read(HEAD_BYTES))
    except OSError as error:
        missing = f"the scores {path} do not exist; check the path"
        raise unreadable(path, error, missing=missing) from error


def _format_of(path: Path, head: bytes) -> str:
    suffix = path.suffix.casefold()
    if suffix in PICKLES or (head[:1] == b"\x80" and head[1:2] in b"\x01\x02\x03\x04\x05"):
        raise InputError(f"{path} is a pickle, which runs code when it is opened; {EXPORT}")
    if suffix == ".npz" or head.startswith(b"\x93NUMPY"):
        raise InputError(f"{path} holds numbers without the videos that they belong to; {EXPORT}")
    if head.startswith(b"PAR1"):
        raise InputError(
            f"{path} is a Parquet file; write it as a CSV: pandas.read_parquet(...).to_csv(...)"
        )
    if head.startswith(b"\x1f\x8b"):
        raise InputError(f"{path} is compressed; unpack it with gunzip")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise InputError(f"{path} is an HDF5 file; {EXPORT}")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if text[:1] in (b"{", b"[") else "csv"
