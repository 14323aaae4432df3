"""How a shard gets into the store for good, and how one leaves it: in steps that a kill may part.

Temporary file, fsync, read-only, rename to the sha256 of its bytes, fsync of the folder: the habits
of borg. What replaces something is durable before the other is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from data.io import system_errors
from data.io.atomic_files import name_file
from data.io.output_paths import check_out_folder
from data.io.reading import file_sha256
from features.store.key import Recipe
from features.store.shard import StoredSequence, write_shard

KEPT = ", or take another store by --store; finished videos are kept"
"""What a message about a store ends with."""


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


def writing(folder: Path) -> AbstractContextManager[None]:
    """Turns what the system says against writing a store into one line with a remedy."""
    return system_errors.writing(f"the store {folder}", then=KEPT)


def check_store(root: Path) -> None:
    """Refuses early a store that cannot be written; makes nothing.

    Raises:
        OutputError: it is no folder, or no file can be made there.
    """
    check_out_folder(root)
