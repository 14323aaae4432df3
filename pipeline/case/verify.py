"""`unmask case verify`: finds whatever was changed, taken away or added since a case was written.

The folder may come from a stranger: links are not followed, only files that the manifest names are
read, each no further than the size that it names, and the number of entries is bounded.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import InputError, VideoError
from data.images.identity import source_sha256
from data.io.reading import BAD_FACTS, CHUNK_BYTES, read_bytes, unreadable
from data.io.system_errors import cannot_read
from data.operating_system.files import open_beneath
from pipeline.case.manifest import (
    MANIFEST,
    MANIFEST_BYTES,
    MOST_FILES,
    SIGNATURES,
    Manifest,
    Sealed,
    unsealed,
)
from pipeline.case.write import PAGE, RECORD, SCHEMA

MOST_ENTRIES = 2 * MOST_FILES
"""Of files and folders that are looked at; a case has a hundred."""
RECORD_BYTES = 64 << 20
"""Of case.json; one with eight faces has 50 KB."""
NEEDED = (RECORD, SCHEMA, PAGE)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One file that is not as it was written."""

    # "changed": its bytes are others; "missing": it is not there, or not in the manifest; "added":
    # the manifest does not name it; "evidence": what was given is not the file that was judged
    kind: Literal["changed", "missing", "added", "evidence"]
    path: str  # in the case; of the evidence, as given
    why: str  # a phrase


@dataclass(frozen=True, kw_only=True)
class CaseCheck:
    """What was found in a case."""

    folder: str  # of the case, as given
    problems: tuple[Problem, ...]  # none where everything is as it was written
    seal: str | None  # None where the manifest cannot be read
    # sha256 of the file that was judged; None where the manifest cannot be read
    evidence_sha256: str | None
    files: int  # that are as they were written
    seal_given: bool  # whether the seal was compared with one that the user gave
    evidence_given: bool  # whether the evidence was read
    signatures: tuple[str, ...]  # files with signatures, which are not checked here
    # who made it, as the record says; None where the record cannot be read
    by: str | None = None
    at: str | None = None  # when

    @property
    def intact(self) -> bool:
        """Whether everything that was looked at is as it was written."""
        return not self.problems


def verify_case(
    folder: Path, *, evidence: Path | None = None, seal: str | None = None
) -> CaseCheck:
    """Reads a case and compares it with its manifest.

    Args:
        folder: of the case.
        evidence: the file that was judged, to be compared, too.
        seal: as it was written down when the case was made, to be compared, too.

    Raises:
        InputError: the folder, the evidence or a file in it cannot be read, or is no case.
        StoreError: it was written by a later version.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder of a case")
    found, problems = _entries(folder)
    if MANIFEST not in found:
        if not any(name in found for name in NEEDED):
            raise InputError(f"{folder} holds no {MANIFEST}; is it the folder of a case?")
        problems.append(Problem(kind="missing", path=MANIFEST, why="the list of all files"))
        return _checked(folder, problems, found)
    try:
        content = read_bytes(folder / MANIFEST, remedy="", most_bytes=MANIFEST_BYTES,
                             damaged=_TooLarge)  # fmt: skip
        manifest, own_seal = unsealed(content)
    except (_TooLarge, ValueError) as error:
        why = "it is too large" if isinstance(error, _TooLarge) else str(error)
        problems.append(Problem(kind="changed", path=MANIFEST, why=why))
        return _checked(folder, problems, found)
    if seal is not None and seal.strip().casefold() != own_seal:
        problems.append(
            Problem(kind="changed", path=MANIFEST, why="its seal is not the one that was given")
        )
    whole = 0
    for one in manifest.files:
        problem = _compare(folder, one, found)
        if problem is None:
            whole += 1
        else:
            problems.append(problem)
    known = {one.path for one in manifest.files}
    problems += [
        Problem(kind="missing", path=name, why="the manifest does not name it")
        for name in NEEDED
        if name not in known
    ]
    problems += [
        Problem(kind="added", path=name, why="the manifest does not name it")
        for name in sorted(found)
        if name not in known and name != MANIFEST and name not in SIGNATURES
    ]
    by, at = None, None
    if RECORD in known and not any(one.path == RECORD for one in problems):
        by, at, other = _record(folder, manifest)
        problems += other
    if evidence is not None:
        problems += _evidence(evidence, manifest)
    return CaseCheck(
        folder=str(folder),
        problems=tuple(problems),
        seal=own_seal,
        evidence_sha256=manifest.evidence.sha256,
        files=whole,
        seal_given=seal is not None,
        evidence_given=evidence is not None,
        signatures=tuple(name for name in SIGNATURES if name in found),
        by=by,
        at=at,
    )


class _TooLarge(InputError):
    """The manifest is larger than any that unmask writes."""


def _checked(folder: Path, problems: list[Problem], found: dict[str, int]) -> CaseCheck:
    """The result where there is no manifest to compare with."""
    return CaseCheck(
        folder=str(folder), problems=tuple(problems), seal=None, evidence_sha256=None, files=0,
        seal_given=False, evidence_given=False,
        signatures=tuple(name for name in SIGNATURES if name in found),
    )  # fmt: skip


def _entries(folder: Path) -> tuple[dict[str, int], list[Problem]]:
    """Size in bytes of each regular file, by its name in the case; and what is no such file.

    Raises:
        InputError: a folder cannot be read.
    """
    files: dict[str, int] = {}
    problems: list[Problem] = []
    seen = 0
    try:
        for name, facts in _walk(folder):
            seen += 1
            if seen > MOST_ENTRIES:
                why = f"there are more than {MOST_ENTRIES} files; the others were not looked at"
                problems.append(Problem(kind="added", path=name, why=why))
                break
            if stat.S_ISREG(facts.st_mode):
                files[name] = facts.st_size
            else:
                problems.append(Problem(kind="added", path=name, why=_what(facts)))
    except OSError as error:
        raise cannot_read(error.filename or folder, error) from error
    return files, problems


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Entries of the case and of the folders in it, one deep, by name; links are not followed.

    A folder that holds something is no entry itself.
    """
    for entry in _sorted(folder):
        facts = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(facts.st_mode):
            yield entry.name, facts
            continue
        inside = _sorted(Path(entry.path))
        if not inside:
            yield f"{entry.name}/", facts
        for one in inside:
            yield f"{entry.name}/{one.name}", one.stat(follow_symlinks=False)


def _sorted(folder: Path) -> list[os.DirEntry[str]]:
    """The first entries of a folder, by name."""
    entries = []
    with os.scandir(folder) as all_of_them:
        for entry in all_of_them:
            entries.append(entry)
            if len(entries) > MOST_ENTRIES:
                break
    return sorted(entries, key=lambda one: os.fsencode(one.name))


def _what(facts: os.stat_result) -> str:
    kinds = ((stat.S_ISLNK, "it is a link"), (stat.S_ISDIR, "it is a folder"))
    return next((words for is_kind, words in kinds if is_kind(facts.st_mode)), "it is no file")


def _compare(folder: Path, one: Sealed, found: dict[str, int]) -> Problem | None:
    """What is wrong with a file that the manifest names; None where nothing is."""
    if one.path not in found:
        return Problem(kind="missing", path=one.path, why="it is not there, or no file")
    if found[one.path] != one.size_bytes:
        why = f"it has {found[one.path]} bytes, and had {one.size_bytes}"
        return Problem(kind="changed", path=one.path, why=why)
    try:
        digest = _digest(folder, one)
    except OSError as error:
        raise cannot_read(folder / one.path, error) from error
    if digest != one.sha256:
        return Problem(kind="changed", path=one.path, why="its sha256 is another")
    return None


def _digest(folder: Path, one: Sealed) -> str:
    """sha256 of a file of the case, no more of it than the manifest says.

    No part of the path may be a link, whatever happened since the folder was listed.

    Raises:
        OSError: it cannot be read, or is a link.
    """
    descriptor = open_beneath(folder, one.path.split("/"))
    digest, left = hashlib.sha256(), one.size_bytes
    with os.fdopen(descriptor, "rb") as file:
        while left and (part_read := file.read(min(left, CHUNK_BYTES))):
            digest.update(part_read)
            left -= len(part_read)
        if left or file.read(1):
            return "of another size"  # changed while it was read
    return digest.hexdigest()


def _record(folder: Path, manifest: Manifest) -> tuple[str | None, str | None, list[Problem]]:
    """Who made the case and when, and whether it is about the manifest's evidence."""
    try:
        content = read_bytes(folder / RECORD, remedy="", most_bytes=RECORD_BYTES, damaged=_TooLarge)
        facts = json.loads(content)
        made, evidence = facts["made"], facts["evidence"]
        by, at = made["by"], str(made["at"])
        same = evidence["sha256"] == manifest.evidence.sha256
    except (_TooLarge, *BAD_FACTS):
        return None, None, [Problem(kind="changed", path=RECORD, why="it is no record of a case")]
    if not same:
        why = "it is about other evidence than the manifest"
        return by, at, [Problem(kind="changed", path=RECORD, why=why)]
    return None if by is None else str(by), at, []


def _evidence(path: Path, manifest: Manifest) -> list[Problem]:
    """Whether a file, or a folder of frames, is the one that was judged.

    Raises:
        InputError: it cannot be read.
    """
    try:
        digest = source_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except VideoError as error:
        raise InputError(f"{path}: {error}") from error
    if digest == manifest.evidence.sha256:
        return []
    return [Problem(kind="evidence", path=str(path), why="it is not the file that was judged")]
