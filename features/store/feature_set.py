"""The feature set: the folder that `extract -o` writes, and training and evaluation read.

It holds hard links to the store's shards (copies where links fail), the index `features.json`, and
`failures.csv`. A new one is built beside the old one, and the two are swapped.
docs/store-format.md is the specification.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from data.errors import InputError, StoreError
from data.io.atomic_files import as_csv, write_text
from data.io.atomic_folders import read_versioned_json, replace_folder, write_json
from data.io.reading import BAD_FACTS, file_sha256
from data.io.tables import Table
from data.operating_system.files import protect
from features.store.key import Recipe, canonical
from features.store.layout import FEATURES_FORMAT, INDEX, sha256_of
from features.store.shard import Shard, StoredSequence
from features.store.views import Views

FORMAT = FEATURES_FORMAT
VERSION = 1
FAILURES = "failures.csv"
SEEN_IN_VALIDATION: Final = "seen_in_validation"
"""Key of `provenance`: a note that validation videos trained the backbone; see pipeline.leakage."""
COLUMNS = ("path", "class", "message", "stderr")
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")  # ffmpeg's, other in each run: equal failures, equal bytes


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video without features: a row of failures.csv."""

    path: str  # as the manifest or the command line has it
    failure: str  # one of `data.errors.FAILURE_CLASSES`
    message: str  # what happened, one line
    stderr_tail: str  # the last lines that ffmpeg wrote


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Writes failures.csv; with no failure, its header alone.

    Raises:
        OutputError: it cannot be written.
    """
    rows = [
        (one.path, one.failure, one.message, _ADDRESS.sub("", one.stderr_tail))
        for one in sorted(failures, key=lambda failure: failure.path)
    ]
    # Carriage returns are escaped, so that any CSV reader takes it.
    write_text(path, as_csv(COLUMNS, [[cell.replace("\r", "\\r") for cell in row] for row in rows]))


def publish(
    out: Path,
    shards: Iterable[Shard],
    recipe: Recipe,
    *,
    dim: int,
    failures: Sequence[Failure],
    provenance: dict[str, Any],
    sha256s: Iterable[str] | None = None,
    attach: Callable[[Path], None] | None = None,
    views: Views | None = None,
) -> None:
    """Writes a feature set, whole or not at all; an older one is replaced.

    Args:
        out: the folder.
        shards: of the store, each once.
        recipe: of all of them.
        dim: D, length of one embedding.
        failures: of this run.
        provenance: what the backbone was trained on.
        sha256s: digests of the videos that were asked for; others in these shards are of other
            runs and are not shown. None shows all.
        attach: writes further files, such as weights, into the new folder.
        views: of the training videos; None is one each.

    Raises:
        OutputError: it cannot be written.
    """
    with replace_folder(out, marker=INDEX) as new:
        listed = []
        shards = sorted(shards, key=lambda shard: shard.path.name)
        held = {sha256 for shard in shards for sha256 in shard.sha256s}
        shown = held if sha256s is None else held.intersection(sha256s)
        for shard in shards:
            target = link_or_copy(shard.path, new / shard.path.name)
            listed.append(entry_of(target, shard))
        write_failures(new / FAILURES, failures)
        if attach is not None:
            attach(new)
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "recipe": recipe.to_json(),
            "recipe_digest": recipe.digest,
            "dim": dim,
            "shards": listed,
            "provenance": provenance,
            "failures_sha256": file_sha256(new / FAILURES),
        }
        if shown != held:
            facts["only"] = sorted(shown)
        if views is not None and views.count > 1:
            facts["views"] = views.to_json()
        write_index(new, facts)


def link_or_copy(source: Path, target: Path) -> Path:
    """Puts a shard into another folder; where links fail, a read-only copy. Returns `target`."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        protect(target)
    return target


def entry_of(path: Path, shard: Shard) -> dict[str, Any]:
    """The entry of a shard in the index."""
    return {
        "file": path.name,
        # From its name: the digest of the bytes as written, even if the disk has changed them
        # since. And nothing is read again.
        "sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
        "videos": len(shard),
        "frames": int(shard.offsets[-1]),
    }


def write_index(folder: Path, facts: dict[str, Any]) -> None:
    """Writes features.json with the checksum over it."""
    write_json(folder / INDEX, facts | {"sha256": _facts_sha256(facts)})


def _facts_sha256(facts: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(facts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Index:
    """Content of features.json."""

    recipe: Recipe  # of all sequences
    dim: int  # D, length of one embedding
    shards: dict[str, dict[str, Any]]  # file name -> entry, as `entry_of` makes it
    provenance: dict[str, Any]  # what the backbone was trained on; empty for a public one
    failures_sha256: str  # of failures.csv
    only: frozenset[str] | None  # sha256 of the videos that are shown; None shows all
    views: Views  # of the training videos
    # Digest in the store -> sha256 of the file, where earlier versions cropped a forgery at its
    # original's face.
    stand_for: dict[str, str]
    facts: dict[str, Any]  # the JSON as it was read, without its checksum


def read_index(folder: Path) -> Index:
    """Reads features.json and checks it against its checksum.

    Raises:
        InputError: it is no feature set.
        StoreError: damaged, foreign, or of a later version.
    """
    facts = read_versioned_json(folder / INDEX, FORMAT, VERSION)
    try:
        if facts.pop("sha256") != _facts_sha256(facts):
            raise ValueError("the index does not fit its checksum")
        return Index(
            recipe=Recipe.from_json(facts["recipe"]),
            dim=int(facts["dim"]),
            shards={
                str(one["file"]): dict(one, sha256=str(one["sha256"]), videos=int(one["videos"]))
                for one in facts["shards"]
            },
            provenance=dict(facts["provenance"]),
            failures_sha256=str(facts["failures_sha256"]),
            only=None if facts.get("only") is None else frozenset(facts["only"]),
            views=Views.from_json(facts.get("views")),
            stand_for={str(one): str(video) for one, video in facts.get("stand_for", {}).items()},
            facts=facts,
        )
    except BAD_FACTS as error:
        raise StoreError(
            f"{folder / INDEX} is damaged; extract again, finished videos are reused"
        ) from error


class Features:
    """A feature set, opened for reading.

    Attributes:
        folder: where.
        recipe: of all sequences in it.
        dim: D, length of one embedding.
        provenance: what the backbone was trained on; empty for a public one.
        views: of the training videos.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the index and the shards' headers.

        Raises:
            InputError: it is no feature set.
            StoreError: damaged, foreign, or of a later version.
        """
        self.folder = folder
        index = read_index(folder)
        self.recipe, self.dim = index.recipe, index.dim
        self.provenance, self.views = index.provenance, index.views
        places = {
            sha: (shard, number)
            for shard in map(self._shard, index.shards)
            for number, sha in enumerate(shard.sha256s)
            if index.only is None or sha in index.only
        }
        views = [
            self.views.sha256(video, number)
            for number in range(1, self.views.count)
            for video in places
        ]
        self._view_places = {sha: places[sha] for sha in views if sha in places}
        self._places = {sha: place for sha, place in places.items() if sha not in self._view_places}
        stand_for = {one: video for one, video in index.stand_for.items() if one in self._places}
        self._identities = {video: one for one, video in stand_for.items()}
        for one, video in stand_for.items():
            self._places[video] = self._places.pop(one)

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

    def view(self, sha256: str, number: int) -> StoredSequence | None:
        """An augmented view (from 1) of the video with this digest; None if there is none."""
        place = self._view_places.get(
            self.views.sha256(self._identities.get(sha256, sha256), number)
        )
        return None if place is None else place[0].sequence(place[1])

    @property
    def augmented(self) -> int:
        """Number of augmented views in it, view 0 not counted."""
        return len(self._view_places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def sha256s(self) -> tuple[str, ...]:
        """Digests of all videos in it."""
        return tuple(self._places)

    def sequence(self, sha256: str) -> StoredSequence:
        """The features of the video or view with this digest, as slices of memory maps.

        Raises:
            InputError: there are none.
        """
        place = self._places.get(sha256) or self._view_places.get(sha256)
        if place is None:
            raise InputError(f"{self.folder} has no features of the video {sha256[:12]}")
        shard, number = place
        return shard.sequence(number)

    @property
    def shards(self) -> list[Shard]:
        """The shards in it, each once."""
        places = (*self._places.values(), *self._view_places.values())
        return list({id(shard): shard for shard, _ in places}.values())

    def failures(self) -> list[dict[str, str]]:
        """The rows of failures.csv; none where the file is missing.

        Raises:
            InputError: it may not be read.
            StoreError: it is damaged.
        """
        path = self.folder / FAILURES
        if not path.exists():
            return []
        table = Table(path, COLUMNS, damaged=StoreError)
        if table.lacking():
            raise StoreError(f"{path} lacks the column {table.lacking()[0]}; extract again")
        return [row.cells for row in table]
