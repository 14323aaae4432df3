"""A cache of files' digests and video headers, so that an unchanged video is not read again.

A file counts as unchanged while its path, size, modification time and inode are the same. Its
sha256 is cached under these, and ffprobe's result under the sha256.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from dataclasses import asdict
from pathlib import Path

import data.video.probe
from data.io.digest_table import DigestTable
from data.io.reading import file_sha256
from data.video.probe import VideoInfo, probe

FRESH_SECONDS = 2.0
"""A file changed this lately may change again within the clock's tick: it is not cached."""

READER = hashlib.sha256(Path(data.video.probe.__file__).read_bytes()).hexdigest()
"""Digest of the module that reads headers: another version's results are not used."""


class DigestCache:
    """sha256 and headers of files, cached in one file; safe for many threads and processes.

    A lost or damaged cache costs time only: see `data.io.digest_table`.

    Args:
        path: of the cache; None keeps it in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._table = DigestTable(path)

    def sha256(self, path: Path) -> str:
        """The digest of a file, read only if it changed.

        Raises:
            OSError: it cannot be read, or is no regular file; a pipe would block for ever.
        """
        name = os.fsencode(os.path.abspath(path))
        facts = os.stat(path)
        stamp = b"%d %d %d" % (facts.st_size, facts.st_mtime_ns, facts.st_ino)
        known = self._table.get("files", name, stamp)
        if known is not None:
            return known.decode("ascii")
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        digest = file_sha256(path)
        if time.time() - facts.st_mtime > FRESH_SECONDS:
            self._table.put("files", name, stamp, digest.encode())
        return digest

    def probe(self, path: Path) -> tuple[str, VideoInfo]:
        """The digest of a file and ffprobe's result, run only if the bytes are new.

        Raises:
            OSError: as `sha256`.
            VideoError: as `data.video.probe.probe`; not cached.
        """
        digest = self.sha256(path)
        known = self._table.get("headers", digest.encode(), READER.encode())
        if known is not None:
            return digest, VideoInfo(**json.loads(known))
        info = probe(path)
        facts = json.dumps(asdict(info), sort_keys=True)
        self._table.put("headers", digest.encode(), READER.encode(), facts.encode("ascii"))
        return digest, info

    def save(self) -> None:
        """Writes new entries to the file; a failure is ignored."""
        self._table.save()
