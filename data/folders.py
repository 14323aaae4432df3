"""Folders of results: written whole or not at all, read with their format checked.

A new folder grows beside the old one and takes its place in one step; a failure on the way leaves
the old one as it was (the habit of borg's `platform/base.py`, for a folder). `data.siblings` does
the steps.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import OutputError, StoreError
from data.reading import read_json as read_any_json
from data.siblings import make_sibling, recover, swap


@contextmanager
def replace_folder(folder: Path, *, marker: str) -> Iterator[Path]:
    """Gives a temporary folder to fill, which becomes `folder` when the block ends well.

    Args:
        folder: where the result goes. An older one is replaced only if it holds `marker`
            or nothing at all: a mistyped path must not cost a user's files.
        marker: name of the file that tells such a folder from any other.

    Raises:
        OutputError: the path is taken by something else, or cannot be written.
    """
    folder = folder.resolve() if folder.is_symlink() else folder  # the link is the user's own
    recover(folder)
    check_replaceable(folder, marker=marker)
    try:
        new, lock = make_sibling(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; choose another") from error
    try:
        yield new
        for path in sorted(new.iterdir()):
            _sync(path)
        _sync(new)
        swap(new, folder)
        _sync(folder.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot write {folder}: {reason}; free some space or choose another"
        ) from error
    finally:
        try:
            shutil.rmtree(new, ignore_errors=True)
        finally:
            os.close(lock)


def check_replaceable(folder: Path, *, marker: str) -> None:
    """Refuses early what `replace_folder` would refuse after hours of work; makes the parent.

    Raises:
        OutputError: the path is taken by something else, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another place to write to")
    if folder.is_dir() and not (folder / marker).exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} holds other files and no {marker}; choose an empty folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; choose another") from error


def _sync(path: Path) -> None:
    """Forces a file or folder to disk; some file systems refuse it for folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Writes plain facts, sorted, one newline at the end; a NaN is our bug and raises."""
    path.write_text(json.dumps(facts, indent=2, sort_keys=True, allow_nan=False) + "\n", "utf-8")


def read_json(path: Path, wanted: str, version: int) -> dict[str, Any]:
    """Reads facts and refuses what is not of this format or of a later version.

    Args:
        path: the JSON file.
        wanted: name of the format that it must declare.
        version: the latest version that this program reads.

    Raises:
        InputError: there is no such file, or it may not be read.
        StoreError: damaged, foreign or later.
    """
    there = path.parent.is_dir() or not path.parent.exists()
    missing = f"{path.parent} holds no {path.name}; is it the right folder?"
    facts = read_any_json(
        path,
        remedy="it is damaged, or another program's; write it anew",
        missing=missing if there else f"{path.parent} is not a folder",
        damaged=StoreError,
    )
    if not isinstance(facts, dict) or facts.get("format") != wanted:
        raise StoreError(f"{path} is not of the format {wanted}; give another, or write it anew")
    told = facts.get("version")
    if not isinstance(told, int) or isinstance(told, bool) or told < 1:
        raise StoreError(f"{path} has no valid version; write it anew")
    if facts["version"] > version:
        raise StoreError(
            f"{path} is of version {facts['version']}, this unmask reads up to {version}; "
            "use a later unmask"
        )
    return facts
