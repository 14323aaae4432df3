"""Remembers the sha256 of files that have not changed, so that no video is read twice.

A file counts as unchanged while its path, size, time of change and inode are the same.
"""

from __future__ import annotations

import csv
import hashlib
import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

FRESH_SECONDS = 2.0
"""A file changed this lately may change again within the clock's tick: not remembered."""

Stamp = tuple[int, int, int]  # size, mtime_ns, inode


class DigestCache:
    """sha256 by path and stamp; kept in a small CSV. Damage to it costs time, never truth.

    Args:
        path: of the CSV; None remembers nothing beyond this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._changed = False
        if path is None:
            return
        with suppress(OSError, ValueError, csv.Error), path.open(encoding="utf-8") as handle:
            for name, size, mtime_ns, inode, sha256 in csv.reader(handle):
                if len(sha256) == 64:
                    self._known[name] = ((int(size), int(mtime_ns), int(inode)), sha256)

    def sha256(self, path: Path) -> str:
        """The digest of a file, read only if it changed.

        Raises:
            OSError: it cannot be read.
        """
        name = os.path.abspath(path)
        facts = os.stat(path)
        stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if time.time() - facts.st_mtime > FRESH_SECONDS:
            with self._lock:
                self._known[name] = (stamp, digest)
                self._changed = True
        return digest

    def save(self) -> None:
        """Writes the CSV, if there is anything new; a failure is no error: it is only a cache."""
        if self._path is None or not self._changed:
            return
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        with suppress(OSError, UnicodeEncodeError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="") as handle:
                writer = csv.writer(handle, lineterminator="\n")
                for name, (stamp, sha256) in sorted(self._known.items()):
                    writer.writerow([name, *stamp, sha256])
            os.replace(temporary, self._path)
            self._changed = False
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
