"""Finds all damage in a feature set, a store, or one recipe's part of a store.

`Shard` checks the header alone, so that opening a store reads no rows; here every byte is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import StoreError
from data.io.reading import file_sha256, unreadable
from features.store.feature_set import FAILURES, read_index
from features.store.key import sequence_key
from features.store.layout import (
    INDEX,
    SHARDS,
    is_feature_set,
    parts_of,
    recipe_of,
    sealed_in,
    sha256_of,
    staged_in,
)
from features.store.preamble import LaterVersionError
from features.store.shard import Shard

ProblemClass = Literal["missing", "changed", "damaged", "foreign", "later", "sequence", "unlisted"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding of `verify`."""

    file: str  # relative to the folder that was verified
    # "missing": listed and not there; "changed": its bytes are not those that were written;
    # "damaged": its header or index cannot be trusted, so nothing in it can; "sequence": one
    # video's rows are damaged; "foreign": of another recipe; "later": of a later version of unmask;
    # "unlisted": the index does not list it.
    problem: ProblemClass
    message: str  # what is wrong, one line


def verify(folder: Path) -> list[Problem]:
    """Reads every byte of a feature set, of a store, or of one recipe's part of a store.

    Temporary files of a killed writer are no damage: the next writer removes them.

    Raises:
        InputError: it is none of them, or a file may not be read.
    """
    if is_feature_set(folder):
        return _verify_feature_set(folder)
    problems = []
    for part in parts_of(folder):
        for path in (*sealed_in(part), *staged_in(part)):
            sha256 = sha256_of(path) if path.parent.name == SHARDS else None
            name = path.relative_to(folder).as_posix()
            problems += shard_problems(path, name, sha256, recipe_of(part))
    return problems


def _verify_feature_set(folder: Path) -> list[Problem]:
    try:
        index = read_index(folder)
    except StoreError as error:
        return [Problem(file=INDEX, problem="damaged", message=str(error))]
    problems = []
    for name, entry in index.shards.items():
        path = folder / Path(name).name
        if path.is_file():
            problems += shard_problems(path, name, entry["sha256"], index.recipe.digest)
        else:
            problems.append(Problem(file=name, problem="missing", message="it is not there"))
    for path in sorted(folder.glob("*.h5")):
        if path.name not in index.shards:
            message = f"{INDEX} does not list it"
            problems.append(Problem(file=path.name, problem="unlisted", message=message))
    if not (folder / FAILURES).is_file():
        problems.append(Problem(file=FAILURES, problem="missing", message="it is not there"))
    elif file_sha256(folder / FAILURES) != index.failures_sha256:
        problems.append(Problem(file=FAILURES, problem="changed", message="not as it was written"))
    return problems


def shard_problems(path: Path, name: str, sha256: str | None, recipe_digest: str) -> list[Problem]:
    """All problems of one shard.

    Args:
        path: the file.
        name: its name in the problems.
        sha256: of the bytes that were written; None where it is unknown, as of a staged file.
        recipe_digest: of the recipe that it must have, or the first digits of it.

    Raises:
        InputError: it may not be read, which is no damage.
    """
    problems: list[Problem] = []

    def add(problem: ProblemClass, message: str) -> None:
        problems.append(Problem(file=name, problem=problem, message=message))

    try:
        unchanged = sha256 is not None and file_sha256(path) == sha256
        if sha256 is not None and not unchanged:
            add("changed", "its bytes are not those that were written")
        shard = Shard(path)
        if not shard.recipe.digest.startswith(recipe_digest):
            add("foreign", "it is of another recipe")
        for number, (key, video) in enumerate(zip(shard.keys, shard.sha256s, strict=True)):
            if key != sequence_key(video, shard.recipe):
                add("sequence", f"the key of {shard.paths[number]} does not fit its digest")
        for number in [] if unchanged else shard.damaged():
            add("sequence", f"the features of {shard.paths[number]} are damaged")
    except LaterVersionError as error:
        add("later", str(error))
    except (StoreError, OSError) as error:
        if isinstance(error, PermissionError):
            raise unreadable(path, error) from error
        if sha256 is not None or path.exists():  # a writer may seal a staged file meanwhile
            add("damaged", str(error))
    return problems


def intact_sequences(shard: Shard) -> list[int]:
    """Numbers of the sequences whose key fits their digest, and whose rows fit their checksum."""
    damaged = set(shard.damaged())
    return [
        number
        for number, (key, sha256) in enumerate(zip(shard.keys, shard.sha256s, strict=True))
        if number not in damaged and key == sequence_key(sha256, shard.recipe)
    ]
