"""A cache of files' digests and video headers, so that an unchanged video is not read again.

A file counts as unchanged while its path, size, modification time and inode are the same, a folder
of frames while those of all its frames are. The digest is cached under these, and what the header
says under the digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import data.images.decoding
import data.images.frame_folders
import data.video.probe
from data.images.identity import source_sha256, stamp_of
from data.io.digest_table import DigestTable
from data.video.probe import VideoInfo, probe

FRESH_SECONDS = 2.0
"""A file changed this lately may change again within the clock's tick: it is not cached."""

READERS = (data.video.probe, data.images.decoding, data.images.frame_folders)
READER = hashlib.sha256(
    b"".join(Path(str(one.__file__)).read_bytes() for one in READERS)
).hexdigest()
"""Digest of the modules that read headers: another version's results are not used."""


class DigestCache:
    """sha256 and headers of files, cached in one file; safe for many threads and processes.

    A lost or damaged cache costs time only: see `data.io.digest_table`.

    Args:
        path: of the cache; None keeps it in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._table = DigestTable(path)

    def sha256(self, path: Path) -> str:
        """The digest of a file or of a folder of frames, read only if it changed.

        Raises:
            OSError: it cannot be read, or is no regular file; a pipe would block for ever.
            VideoError: unreadable: a folder that holds no frames.
        """
        name = os.fsencode(os.path.abspath(path))
        stamp = stamp_of(path)
        known = self._table.get("files", name, stamp.text)
        if known is not None:
            return known.decode("ascii")
        digest = source_sha256(path)
        if time.time() - stamp.changed_ns / 1e9 > FRESH_SECONDS:
            self._table.put("files", name, stamp.text, digest.encode())
        return digest

    def probe(self, path: Path) -> tuple[str, VideoInfo]:
        """The digest of a video and what its header says, read only if the bytes are new.

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
