"""A published folder of features: what `extract` hands on, what training and evaluation read.

It holds hard links to the store's shards (copies where links fail), `features.json` that lists
them, and `failures.csv`. Publishing builds the new folder beside the old one and swaps them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import InputError, OutputError, StoreError
from data.folders import read_json, replace_folder, write_json
from features.recipe import Recipe
from features.shard import Shard, StoredSequence, file_sha256

FORMAT = "unmask-features"
VERSION = 1
INDEX = "features.json"
FAILURES = "failures.csv"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that gave no features: a row of failures.csv.

    Attributes:
        path: as the manifest or the command line has it.
        failure: one of `data.errors.FAILURE_CLASSES`.
        message: what happened, one line.
        stderr_tail: the last lines that ffmpeg wrote.
    """

    path: str
    failure: str
    message: str
    stderr_tail: str


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Writes failures.csv; with no failure, its header alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "message", "stderr"])
    for row in sorted(failures, key=lambda failure: failure.path):
        cells = (row.path, row.failure, row.message, row.stderr_tail)
        writer.writerow([_printable(cell) for cell in cells])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def _printable(text: str) -> str:
    """Text that any CSV reader takes: what UTF-8 cannot hold is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def publish(
    out: Path,
    shards: Iterable[Shard],
    recipe: Recipe,
    *,
    dim: int,
    failures: Sequence[Failure],
    provenance: dict[str, Any],
    attach: Callable[[Path], None] | None = None,
) -> None:
    """Writes a published folder, whole or not at all; an older one is replaced.

    Args:
        out: the folder.
        shards: of the store, each once.
        recipe: of all of them.
        dim: D, length of one embedding.
        failures: of this run.
        provenance: what the backbone was trained on; it travels with its features.
        attach: writes what else belongs there into the new folder: weights of one's own.

    Raises:
        OutputError: it cannot be written.
    """
    with replace_folder(out, marker=INDEX) as new:
        listed = []
        for shard in sorted(shards, key=lambda shard: shard.path.name):
            target = new / shard.path.name
            try:
                os.link(shard.path, target)
            except OSError:
                shutil.copyfile(shard.path, target)
            listed.append(
                {
                    "file": target.name,
                    "sha256": file_sha256(target),
                    "size_bytes": target.stat().st_size,
                    "videos": len(shard),
                    "frames": int(shard.offsets[-1]),
                }
            )
        write_failures(new / FAILURES, failures)
        if attach is not None:
            attach(new)
        write_json(
            new / INDEX,
            {
                "format": FORMAT,
                "version": VERSION,
                "recipe": recipe.to_json(),
                "recipe_digest": recipe.digest,
                "dim": dim,
                "shards": listed,
                "provenance": provenance,
            },
        )


class Features:
    """A published folder, opened for reading.

    Attributes:
        folder: where.
        recipe: of all sequences in it.
        dim: D, length of one embedding.
        provenance: what the backbone was trained on; empty for a public one.
        listed: the shards as features.json lists them.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the index and the shards' headers.

        Raises:
            InputError: it is no folder of features.
            StoreError: damaged, foreign, or of a later version.
        """
        self.folder = folder
        facts = read_json(folder / INDEX, FORMAT, VERSION)
        try:
            self.recipe = Recipe.from_json(facts["recipe"])
            self.dim = int(facts["dim"])
            self.provenance: dict[str, Any] = dict(facts["provenance"])
            self.listed: list[dict[str, Any]] = list(facts["shards"])
            names = [str(entry["file"]) for entry in self.listed]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{folder / INDEX} is damaged; extract again") from error
        self._places: dict[str, tuple[Shard, int]] = {}
        for name in names:
            shard = self._shard(name)
            self._places |= {sha: (shard, n) for n, sha in enumerate(shard.sha256s)}

    def _shard(self, name: str) -> Shard:
        path = self.folder / name
        if Path(name).name != name:
            raise StoreError(f"{self.folder / INDEX} names a shard outside its folder: {name!r}")
        if not path.is_file():
            raise StoreError(f"{path} is missing; extract again, finished videos are reused")
        shard = Shard(path)
        if shard.recipe.digest != self.recipe.digest or shard.dim != self.dim:
            raise StoreError(f"{path} is of another recipe than {INDEX}; extract again")
        return shard

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def sha256s(self) -> tuple[str, ...]:
        """Digests of all videos in it."""
        return tuple(self._places)

    def sequence(self, sha256: str) -> StoredSequence:
        """The features of the video with this digest; arrays are views of memory maps.

        Raises:
            InputError: there are none.
        """
        place = self._places.get(sha256)
        if place is None:
            raise InputError(f"{self.folder} has no features of the video {sha256[:12]}")
        shard, number = place
        return shard.sequence(number)

    @property
    def shards(self) -> list[Shard]:
        """The shards in it, each once."""
        return list({id(shard): shard for shard, _ in self._places.values()}.values())

    def failures(self) -> list[dict[str, str]]:
        """The rows of failures.csv."""
        path = self.folder / FAILURES
        try:
            with path.open(encoding="utf-8", newline="") as handle:
                return list(csv.DictReader(handle))
        except FileNotFoundError:
            return []


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One damage that `verify` found.

    Attributes:
        file: the file that is damaged.
        problem: "missing", "changed", "damaged", "foreign" or "sequence".
        message: what is wrong, one line.
    """

    file: str
    problem: str
    message: str


def verify(folder: Path) -> list[Problem]:
    """Reads every byte of a published folder, or of a working store, and reports all damage.

    Raises:
        InputError: it is neither.
    """
    if (folder / INDEX).exists():
        return _verify_published(folder)
    shards = sorted(folder.glob("**/shards/shard-*.h5"))
    if not shards and not list(folder.glob("*/shards")):
        raise InputError(f"{folder} is neither a folder of features nor a store")
    problems = []
    for path in shards:
        told = path.stem.removeprefix("shard-")
        problems += _verify_shard(path, told, None)
    return problems


def _verify_published(folder: Path) -> list[Problem]:
    try:
        facts = read_json(folder / INDEX, FORMAT, VERSION)
        recipe = Recipe.from_json(facts["recipe"])
        if recipe.digest != facts["recipe_digest"]:
            raise StoreError("the recipe does not fit its digest")
        listed = [(str(entry["file"]), str(entry["sha256"])) for entry in facts["shards"]]
    except (StoreError, KeyError, TypeError, json.JSONDecodeError) as error:
        return [Problem(file=INDEX, problem="damaged", message=str(error))]
    problems = []
    for name, sha256 in listed:
        path = folder / Path(name).name
        if path.is_file():
            problems += _verify_shard(path, sha256, recipe)
        else:
            problems.append(Problem(file=name, problem="missing", message="the shard is not there"))
    return problems


def _verify_shard(path: Path, sha256: str, recipe: Recipe | None) -> list[Problem]:
    """All that is wrong with one shard, `sha256` being its digest or the start of it."""
    problems = []
    if not file_sha256(path).startswith(sha256):
        problems.append(
            Problem(file=path.name, problem="changed", message="its bytes do not fit their sha256")
        )
    try:
        shard = Shard(path)
        if recipe is not None and shard.recipe.digest != recipe.digest:
            problems.append(
                Problem(file=path.name, problem="foreign", message="it is of another recipe")
            )
        for number in shard.damaged():
            problems.append(
                Problem(
                    file=path.name,
                    problem="sequence",
                    message=f"the features of {shard.paths[number]} are damaged",
                )
            )
    except (StoreError, OutputError) as error:
        problems.append(Problem(file=path.name, problem="damaged", message=str(error)))
    return problems
