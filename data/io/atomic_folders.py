"""Folders of results: written whole or not at all, read with their format checked.

A new folder grows beside the old one and takes its place in one step; a failure on the way leaves
the old one as it was (the habit of borg's `platform/base.py`, for a folder). `data.io.siblings`
does the steps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import OutputError, StoreError
from data.io.atomic_files import as_json, make_folder, sync_folder, sync_tree, write_plain
from data.io.output_paths import (
    check_folder_writable,
    check_out_folder,
    check_output,
    follow,
    is_mount_point,
    refuse_other_kind,
)
from data.io.reading import read_json as read_any_json
from data.io.siblings import make_sibling, recover, swap
from data.io.system_errors import cannot_read, cannot_write, is_of_writing, writing


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
    target = follow(folder)  # the link is the user's own
    recover(target)
    check_replaceable(folder, marker=marker)
    with writing(folder):
        new, lock = make_sibling(target)
    try:
        yield new
        sync_tree(new)
        swap(new, target)
        sync_folder(target.parent)
    except OSError as error:
        if not is_of_writing(error, new):
            raise cannot_read(error.filename, error) from error
        raise cannot_write(folder, error) from error
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
    target = follow(folder)
    refuse_other_kind(folder, target)
    _refuse_foreign(folder, target, marker)
    if target.is_dir() and (target.name in ("", "..") or is_mount_point(target)):
        raise OutputError(
            f"{folder} is a mount point or the current folder, which cannot be replaced; "
            "give a folder inside it"
        )
    with writing(folder):
        make_folder(target.parent)
    check_folder_writable(target.parent, what=folder)


def check_fillable(folder: Path, *, marker: str, files: Iterable[str]) -> None:
    """The same for a folder that is not replaced but filled, or gone on with; makes nothing.

    Args:
        folder: where the files go.
        marker: as in `replace_folder`.
        files: that are written there.

    Raises:
        OutputError: the path is taken by something else, or cannot be written.
    """
    target = check_out_folder(folder)
    _refuse_foreign(folder, target, marker)
    for name in files:
        check_output(folder / name)


def _refuse_foreign(folder: Path, target: Path, marker: str) -> None:
    """Refuses a folder with other files: a mistyped path must not cost a user's files."""
    with writing(folder):
        if target.is_dir() and not (target / marker).exists() and any(target.iterdir()):
            raise OutputError(f"{folder} holds other files and no {marker}; choose an empty folder")


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Writes plain facts into a folder that is still hidden; a NaN is our bug and raises."""
    write_plain(path, as_json(facts))


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
