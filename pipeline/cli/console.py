"""The terminal: messages of a running command, results, tables, errors. All printing is here.

Results go to stdout. Messages and errors go to stderr, so that `--json` leaves nothing but JSON on
stdout. Text of files and file names is escaped (`data.errors.plain`).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import typer

from data.errors import UnmaskError, plain
from data.io.progress import log

WIDE = 100_000
"""Columns of a table where stdout is no terminal: no cell is wrapped or cut for a program."""


class _Handler(logging.Handler):
    """Writes each record to stderr as one line, above a progress bar where one is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        with tqdm.external_write_mode(file=sys.stderr):
            typer.echo(plain(prefix + record.getMessage()), err=True)


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Chooses what `data.io.progress.log` and progress bars show.

    `quiet` leaves warnings alone, and no bars; `verbose` shows details, too.
    """
    if not any(isinstance(handler, _Handler) for handler in log.handlers):
        log.addHandler(_Handler())
    log.propagate = False
    log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def show(*lines: str) -> None:
    """Prints lines of a result to stdout."""
    for line in lines:
        typer.echo(plain(line))


def show_json(result: Any, *, sort_keys: bool = True) -> None:
    """Prints a result object as JSON to stdout."""
    typer.echo(json.dumps(to_json(result), indent=2, sort_keys=sort_keys, allow_nan=False))


def to_json(value: Any) -> Any:
    """Plain JSON values of a result: dataclasses, pydantic models, paths, NumPy's types.

    Raises:
        TypeError: JSON has nothing for the type.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_json(getattr(value, one.name)) for one in fields(value)}
    if hasattr(value, "model_dump"):
        return to_json(value.model_dump())
    if isinstance(value, dict):
        return {str(key): to_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(to_json(one) for one in value)
    if isinstance(value, Path):
        return plain(str(value))
    if hasattr(value, "tolist"):  # NumPy's; also its float64, which is a float
        return to_json(value.tolist())
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"no JSON for {type(value).__name__}")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table to stdout; numbers are aligned to the right, as the caller formatted them."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[plain(str(cell)) for cell in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        numeric = all(row[at][:1].isdigit() or row[at][:1] in "-+." for row in cells)
        table.add_column(Text(column), justify="right" if cells and numeric else "left")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


def complain(error: UnmaskError) -> None:
    """Prints an error and its notes to stderr, each on one line."""
    typer.echo(f"unmask: {plain(str(error))}", err=True)
    for note in getattr(error, "__notes__", []):
        typer.echo(f"  {plain(note)}", err=True)
