"""A cache of values in SQLite, each valid while its stamp is the same, shared by processes.

Several commands may read and write the file at once; each save adds new rows. The file may be
damaged, foreign, of another version, locked or not writable: that costs time, but gives no wrong
value and ends no run. Each row has a checksum, a foreign schema is not used, and a file that SQLite
finds damaged is begun anew.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VERSION = 1
TABLES = ("files", "headers")
COLUMNS = "(number INTEGER PRIMARY KEY, name BLOB UNIQUE, stamp BLOB, value BLOB, checksum BLOB)"
SCHEMA = {table: f"CREATE TABLE {table} {COLUMNS}" for table in TABLES}
SETTINGS = (
    "PRAGMA trusted_schema = OFF",  # sqlite.org/security.html: files of unknown origin
    "PRAGMA cell_size_check = ON",
    "PRAGMA journal_mode = DELETE",  # WAL needs shared memory, which network file systems lack
    "PRAGMA synchronous = OFF",  # a kill loses nothing, a power cut the cache at worst
)
LONGEST_BYTES = 1 << 20
"""Longest value; SQLite refuses to read a longer one."""
KEPT_ROWS = 1_000_000
"""Rows of a table, some 300 MB; the oldest are dropped first."""
LAST_NUMBER = 1 << 53
"""Rows are numbered in the order of insertion; a higher number is not ours."""
SAVED_AT = 4096
"""New rows after which they are saved, so that a kill loses no more than these."""
WAIT_SECONDS = 5.0
"""Waits for another process that is writing."""

# Errors that do not mean a damaged file; after any other it is begun anew.
TRANSIENT = {
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_AUTH,
}  # fmt: skip
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""Ends a rollback journal that names a further file, which SQLite would remove. Ours never do."""


class ForeignSchemaError(sqlite3.DatabaseError):
    """The file is a database, but not one that this module made."""


class DigestTable:
    """name, stamp -> value, in memory and in a file; safe to use from many threads.

    Args:
        path: of the file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._new: dict[tuple[str, bytes], tuple[bytes, bytes]] = {}
        self._save_at = SAVED_AT
        self._opened: sqlite3.Connection | None = None
        self._unusable = False  # until the next save: reading it failed

    def __del__(self) -> None:
        self._close()

    def get(self, table: str, name: bytes, stamp: bytes) -> bytes | None:
        """The value of a name, if it was put with this stamp."""
        with self._lock:
            known = self._new.get((table, name))
            if known is None:
                known = self._read(table, name)
        return known[1] if known is not None and known[0] == stamp else None

    def put(self, table: str, name: bytes, stamp: bytes, value: bytes) -> None:
        """Sets the value of a name."""
        with self._lock:
            self._new[table, name] = stamp, value
            if len(self._new) >= self._save_at:
                self.save()
                self._save_at = len(self._new) + SAVED_AT  # not each time where it failed

    def save(self) -> None:
        """Adds new rows to the file and closes it; a failure is ignored."""
        with self._lock:
            if self._path is None:
                return
            self._unusable = False
            try:
                for _ in range(2):  # once more after a damaged file
                    if not self._new or self._succeeds(self._write) or self._unusable:
                        break
            finally:
                self._close()
                self._unusable = False

    def _read(self, table: str, name: bytes) -> tuple[bytes, bytes] | None:
        """Stamp and value in the file, if their checksum matches."""
        found: list[tuple[object, ...]] = []

        def select() -> None:
            connection = self._connect(create=False)
            if connection is not None:
                query = f"SELECT stamp, value, checksum FROM {table} WHERE name = ?"  # noqa: S608
                found.extend(connection.execute(query, (name,)).fetchall())

        if self._unusable or not self._succeeds(select) or not found:
            return None
        stamp, value, checksum = found[0]
        if not isinstance(stamp, bytes) or not isinstance(value, bytes):
            return None
        return (stamp, value) if checksum == _checksum(table, name, stamp, value) else None

    def _write(self) -> None:
        connection = self._connect(create=True)
        if connection is None:
            return
        connection.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            (top,) = connection.execute(f"SELECT max(number) FROM {table}").fetchone()  # noqa: S608
            if (top or 0) > LAST_NUMBER:
                raise ForeignSchemaError("rows are not numbered as ours are")
            connection.executemany(
                f"INSERT OR REPLACE INTO {table} (name, stamp, value, checksum) "  # noqa: S608
                "VALUES (?, ?, ?, ?)",
                [
                    (name, stamp, value, _checksum(table, name, stamp, value))
                    for (which, name), (stamp, value) in self._new.items()
                    if which == table
                ],
            )
            connection.execute(
                f"DELETE FROM {table} "  # noqa: S608
                f"WHERE number <= (SELECT max(number) FROM {table}) - ?",
                (KEPT_ROWS,),
            )
        connection.execute("COMMIT")
        self._new.clear()

    def _succeeds(self, step: Callable[[], None]) -> bool:
        """Runs a step; after a failure closes the file, or removes it if damaged."""
        try:
            step()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: of an error's own text
            self._close()
            if self._path is not None and _is_damaged(self._path, error):
                _discard(self._path)
            else:
                self._unusable = True
            return False
        except OSError:
            self._close()
            self._unusable = True
            return False
        except BaseException:
            self._close()
            raise
        return True

    def _connect(self, *, create: bool) -> sqlite3.Connection | None:
        """Opens and checks the file; None where it does not exist and `create` is False."""
        if self._opened is not None or self._path is None:
            return self._opened
        if create:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        elif not self._path.exists():
            return None
        if self._path.exists() and not self._path.is_file():
            raise FileExistsError(f"{self._path} is no regular file")  # a pipe would be waited for
        _drop_foreign_journal(self._path)
        self._opened = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # a lock of ours is held
        )
        self._opened.text_factory = bytes
        self._opened.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_BYTES)
        for setting in SETTINGS:
            self._opened.execute(setting).fetchall()
        if not _is_ours(self._opened):
            _make(self._opened)
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            with suppress(sqlite3.Error):
                self._opened.close()
            self._opened = None


def _make(connection: sqlite3.Connection) -> None:
    """Creates the tables in an empty file; two processes may do so at once.

    Raises:
        ForeignSchemaError: it is not empty.
    """
    connection.execute("BEGIN IMMEDIATE")
    if not _is_ours(connection):
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise ForeignSchemaError("not a table of digests, or of another version")
        for statement in SCHEMA.values():
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the file has these tables and nothing else: no view, no trigger."""
    if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
        return False
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = dict(rows.fetchall())
    return found == {name.encode(): sql.encode() for name, sql in SCHEMA.items()}


def _is_damaged(path: Path, error: Exception) -> bool:
    """Whether an error comes from the file's content, not from the disk, a lock or a permission."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_READONLY:  # also SQLite's code for an unknown format
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code & 0xFF not in TRANSIENT


def _journal(path: Path) -> Path:
    """SQLite's rollback journal."""
    return path.with_name(f"{path.name}-journal")


def _drop_foreign_journal(path: Path) -> None:
    """Removes a journal that is no file, or would have SQLite remove yet another file."""
    journal = _journal(path)
    try:
        facts = journal.stat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(facts.st_mode):
        with journal.open("rb") as content:
            content.seek(max(0, facts.st_size - len(SUPER_JOURNAL)))
            if content.read() != SUPER_JOURNAL:
                return
    journal.unlink(missing_ok=True)


def _discard(path: Path) -> None:
    """Removes a file that cannot be used, if possible."""
    for one in (_journal(path), path):
        with suppress(OSError):
            one.unlink(missing_ok=True)


def _checksum(table: str, name: bytes, stamp: bytes, value: bytes) -> bytes:
    whole = b"\0".join((table.encode(), name, stamp, value))
    return hashlib.blake2b(whole, digest_size=8).digest()
