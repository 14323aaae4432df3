"""How a shard gets into the store for good, and how one leaves it: in steps that a kill may part.

Temporary file, fsync, read-only, rename to the sha256 of its bytes, fsync of the folder: the habits
of borg. What replaces something is durable before the other is removed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data.errors import OutputError
from data.reading import file_sha256
from features.recipe import Recipe
from features.shard import StoredSequence, write_shard


def seal_shard(
    folder: Path,
    sequences: Iterable[StoredSequence],
    recipe: Recipe,
    versions: dict[str, str],
    *,
    frame_counts: Sequence[int],
    leftover: str,
) -> Path:
    """Writes a shard into a folder, durable when this returns; returns its path.

    Args:
        folder: where.
        sequences: as `write_shard` takes them.
        recipe: of all of them.
        versions: of the programs that made them.
        frame_counts: T of each of them.
        leftover: 64 hex digits that name the temporary file: the first key.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = folder / f".{leftover}"
    write_shard(temporary, sequences, recipe, versions, frame_counts=frame_counts)
    path = folder / f"shard-{file_sha256(temporary)}.h5"
    temporary.chmod(0o444)  # it may be linked into a DVC cache: never written again
    name_file(temporary, path)
    return path


def name_file(temporary: Path, path: Path) -> None:
    """Gives a finished file its name, for good."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Forces a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse, and keep it anyway
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns what the system says against writing into one line with a remedy."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write the store {folder}: {error.strerror or error}; free some space or "
            "choose another by --store, finished videos are kept"
        ) from error
