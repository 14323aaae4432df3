"""The database of cases: one SQLite file, its tables, and how it is opened.

Write-ahead logging with `synchronous=FULL`: what was answered is on the disk. Deleted rows are
overwritten (`secure_delete`), since cases are confidential.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.errors import OutputError, StoreError

NAME = "cases.sqlite"
APPLICATION_ID = 0x756E6D61
"""In the file's header: "unma"."""
VERSION = 1
BUSY_SECONDS = 10.0
SCHEMA = """
CREATE TABLE cases (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE,
  size_bytes INTEGER NOT NULL, media_type TEXT NOT NULL, created REAL NOT NULL,
  blind INTEGER NOT NULL
) STRICT;
CREATE INDEX cases_created ON cases (created DESC);
CREATE TABLE runs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  case_id TEXT NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  kind TEXT NOT NULL, box TEXT, by TEXT, state TEXT NOT NULL, stage TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  queued REAL NOT NULL, started REAL, ended REAL,
  failure TEXT, message TEXT, verdict TEXT, probability_fake REAL, bundle_sha256 TEXT
) STRICT;
CREATE INDEX runs_case ON runs (case_id, number);
CREATE INDEX runs_state ON runs (state, number);
CREATE TABLE notes (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  case_id TEXT NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  at REAL NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE INDEX notes_case ON notes (case_id, number);
CREATE TABLE readings (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  case_id TEXT NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  at REAL NOT NULL, reader TEXT NOT NULL, verdict TEXT NOT NULL, text TEXT NOT NULL,
  blind INTEGER NOT NULL
) STRICT;
CREATE INDEX readings_case ON readings (case_id, number);
CREATE TABLE events (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  case_id TEXT NOT NULL REFERENCES cases (id) ON DELETE CASCADE,
  at REAL NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE INDEX events_case ON events (case_id, number);
"""

Values = Sequence[str | int | float | None]


def new_id() -> str:
    """Sixteen random hexadecimal digits: of a case or a run."""
    return secrets.token_hex(8)


def now() -> float:
    """Seconds since 1970, UTC."""
    return time.time()


class Database:
    """The open database; usable from all threads of this process, one at a time.

    Raises:
        OutputError: it cannot be made or written.
        StoreError: it is damaged, another program's, or of a later version.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._open = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise OutputError(f"cannot open {path}: {error}; choose another folder") from error
        self._open.row_factory = sqlite3.Row
        try:
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            self._open.close()
            if isinstance(error, sqlite3.OperationalError):  # read-only, full, locked
                raise OutputError(f"cannot write {path}: {error}; choose another folder") from error
            raise StoreError(f"{path} is damaged ({error}); restore it from a copy") from error
        except BaseException:
            self._open.close()
            raise

    def _prepare(self, path: Path) -> None:
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
        ):
            self._open.execute(f"PRAGMA {setting}")
        found = self._open.execute("PRAGMA user_version").fetchone()[0]
        owner = self._open.execute("PRAGMA application_id").fetchone()[0]
        tables = self._open.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and owner != APPLICATION_ID:
            raise StoreError(f"{path} is another program's; choose another folder")
        if found > VERSION:
            raise StoreError(f"{path} is of a later version of unmask; update unmask")
        if not tables:
            with self.change():
                for statement in SCHEMA.split(";\n"):
                    self._open.execute(statement)
                self._open.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._open.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction: all of the block's changes are kept, or none."""
        with self._lock:
            if self._open.in_transaction:  # part of the caller's
                yield
                return
            self._open.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._open.execute("ROLLBACK")
                raise
            self._open.execute("COMMIT")

    def run(self, statement: str, values: Values = ()) -> int:
        """Executes one statement; returns how many rows it changed."""
        with self._lock:
            return self._open.execute(statement, values).rowcount

    def all(self, statement: str, values: Values = ()) -> list[dict[str, Any]]:
        """The rows that a query finds."""
        with self._lock:
            return [dict(row) for row in self._open.execute(statement, values)]

    def one(self, statement: str, values: Values = ()) -> dict[str, Any] | None:
        """The first row that a query finds, or None."""
        rows = self.all(statement, values)
        return rows[0] if rows else None

    def close(self) -> None:
        """Writes everything into the file itself and closes it."""
        with self._lock:
            self._open.close()
