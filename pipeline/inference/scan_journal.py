"""The journal of a scan: one line for each finished video, so that an interrupted scan resumes.

A video counts as finished while its path, size and time of change are the same. Lines are appended
and synced, never changed; a line that a crash cut short is dropped and its video scored again.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from data.errors import LockedError, OutputError, VideoError
from data.images import identity
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_versioned_json
from data.io.output_paths import check_out_folder, check_output
from data.io.reading import BAD_FACTS, open_file, unreadable
from data.io.system_errors import writing
from data.pixels_version import PIXELS_VERSION
from features.store.lock import hold_lock

RECORD = "scan.json"
JOURNAL = "journal.jsonl"
FILES = (RECORD, JOURNAL, "scores.csv", "failures.csv", "scan.html")
FORMAT = "unmask-scan"
VERSION = 1
LEFTOVER = re.compile(r"\.(scan\.json|scores\.csv|failures\.csv|scan\.html)\.[0-9a-f]{8}")
"""Temporary file that a kill left of an atomic write."""

Stamp = tuple[int, int]  # size in bytes, time of change in ns


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One video of a scan."""

    path: str  # below the scanned folder, POSIX
    stamp: Stamp | None  # size in bytes and time of change in ns; None for a file that is gone
    sha256: str | None = None  # of the file; None where it could not be read
    probability_fake: float | None = None  # calibrated; None after a failure
    frames_used: int = 0  # embedded frames
    faces_found: int = 0  # frames in which the detector saw the face
    # distance from the training videos; None where the bundle cannot tell
    novelty: float | None = None
    failure: str | None = None  # class of the failure, or None
    message: str | None = None  # of the failure, or None
    # that it was read with; a line without one is of version 1
    pixels_version: int = PIXELS_VERSION
    # whether its picture changes its size; known only if this scan read the video
    resized: bool = False
    image: bool = False  # whether it is a single image, judged as such


_KINDS = {name: kind for name, kind in get_type_hints(Row).items() if name != "stamp"}


def stamp_of(path: Path) -> Stamp | None:
    """Size and time of change of a file, or of all frames of a folder; None if it is gone."""
    try:
        found = identity.stamp_of(path)
    except (OSError, VideoError):
        return None
    return found.size_bytes, found.changed_ns


class Journal:
    """The journal in a scan's folder, open for one writer. A context manager.

    Args:
        out: the folder; new, empty, or of an earlier run of the same scan.
        inputs: of the scan, a name for each: the bundle's digest, the scanned folder.

    Attributes:
        rows: of all finished videos, by path.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        InputError: its journal may not be read.
        LockedError: another process scans into it.
        StoreError: its record is damaged, foreign or of a later version.
    """

    def __init__(self, out: Path, inputs: dict[str, str]) -> None:
        self._path = out / JOURNAL
        self.rows: dict[str, Row] = {}
        self._prepare(out, inputs)
        try:
            with writing(out):
                self._lock = hold_lock(out)
        except LockedError as error:
            raise LockedError(f"another scan is writing to {out}; wait for it to end") from error
        try:
            with writing(out):
                for path in leftovers(out):
                    path.unlink(missing_ok=True)
            try:
                whole = self._read()
            except OSError as error:
                raise unreadable(self._path, error) from error
            with writing(self._path):
                self._file = self._path.open("ab")
                self._file.truncate(whole)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._lock.close()

    def _prepare(self, out: Path, inputs: dict[str, str]) -> None:
        """Makes the folder, or checks that an existing one is of the same scan."""
        check_scan_folder(out)
        if (out / RECORD).exists():
            facts = read_versioned_json(out / RECORD, FORMAT, VERSION)
            for key, value in inputs.items():
                if facts.get(key) != value:
                    raise OutputError(
                        f"{out} holds a scan of another {key.partition('_')[0]}, says {RECORD}; "
                        "choose another folder to write to"
                    )
            return
        write_record(out, inputs)

    def _read(self) -> int:
        """Reads the whole lines; returns their length in bytes."""
        whole = 0
        try:
            with open_file(self._path) as handle:
                for line in handle:
                    row = _row(line)
                    if row is None:
                        break
                    self.rows[row.path] = row
                    whole += len(line)
        except FileNotFoundError:
            pass
        return whole

    def add(self, rows: Iterable[Row]) -> None:
        """Appends finished videos; when it returns, they are safe on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        rows = list(rows)
        text = "".join(json.dumps(asdict(row), sort_keys=True) + "\n" for row in rows)
        with writing(self._path):
            self._file.write(text.encode("ascii"))
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows |= {row.path: row for row in rows}


def leftovers(out: Path) -> list[Path]:
    """Temporary files of a killed scan; also those of a running one, so hold the lock."""
    return [path for path in out.iterdir() if LEFTOVER.fullmatch(path.name)]


def check_scan_folder(out: Path) -> None:
    """Raises OutputError where a folder cannot be written, or holds anything but a scan."""
    check_out_folder(out)
    for name in FILES:
        check_output(out / name)
    with writing(out):
        if not out.is_dir() or (out / RECORD).exists():
            return
        if set(out.iterdir()) - set(leftovers(out)):
            raise OutputError(f"{out} holds other files and no {RECORD}; choose an empty folder")


def write_record(out: Path, facts: dict[str, Any]) -> None:
    """Writes scan.json atomically.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(out / RECORD, as_json({"format": FORMAT, "version": VERSION, **facts}))


def _row(line: bytes) -> Row | None:
    """Parses a line; None if it is cut short or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        facts = {"pixels_version": 1} | json.loads(line)
        stamp = facts.pop("stamp")
        row = Row(**facts, stamp=None if stamp is None else (int(stamp[0]), int(stamp[1])))
        fits = all(isinstance(getattr(row, name), kind) for name, kind in _KINDS.items())
        return row if fits and math.isfinite(row.probability_fake or 0) else None
    except BAD_FACTS:
        return None
