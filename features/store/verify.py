"""All that can be wrong with one shard, told byte for byte.

Apart from the reader, which trusts the header's checksum alone so that it can map rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import StoreError
from data.io.reading import file_sha256, unreadable
from features.store.key import sequence_key
from features.store.preamble import LaterVersionError
from features.store.shard import Shard

ProblemClass = Literal["missing", "changed", "damaged", "foreign", "later", "sequence", "unlisted"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One damage.

    Attributes:
        file: relative to the folder that was verified.
        problem: "missing": listed and not there; "changed": its bytes are not those that were
            written; "damaged": its header or index cannot be trusted, so nothing in it can;
            "sequence": one video's rows are damaged; "foreign": of another recipe; "later": of a
            later version of unmask; "unlisted": it does not belong there.
        message: what is wrong, one line.
    """

    file: str
    problem: ProblemClass
    message: str


def shard_problems(path: Path, name: str, sha256: str | None, recipe_digest: str) -> list[Problem]:
    """All that is wrong with one shard.

    Args:
        path: the file.
        name: to tell it by.
        sha256: of its bytes, if that is known.
        recipe_digest: of the recipe that it must have, or the start of it.

    Raises:
        InputError: it may not be read, which is no damage.
    """
    problems = []
    try:
        whole = sha256 is not None and file_sha256(path) == sha256
        if sha256 is not None and not whole:
            message = "its bytes are not those that were written"
            problems.append(Problem(file=name, problem="changed", message=message))
        shard = Shard(path)
        if not shard.recipe.digest.startswith(recipe_digest):
            problems.append(
                Problem(file=name, problem="foreign", message="it is of another recipe")
            )
        for number, key in enumerate(shard.keys):
            if key != sequence_key(shard.sha256s[number], shard.recipe):
                message = f"the key of {shard.paths[number]} does not fit its digest"
                problems.append(Problem(file=name, problem="sequence", message=message))
        for number in [] if whole else shard.damaged():
            message = f"the features of {shard.paths[number]} are damaged"
            problems.append(Problem(file=name, problem="sequence", message=message))
    except LaterVersionError as error:
        problems.append(Problem(file=name, problem="later", message=str(error)))
    except (StoreError, OSError) as error:
        if isinstance(error, PermissionError):
            raise unreadable(path, error) from error
        if sha256 is not None or path.exists():  # a staged file may be sealed while we look
            problems.append(Problem(file=name, problem="damaged", message=str(error)))
    return problems
