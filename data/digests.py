"""Remembers what files hold, so that a video that has not changed is not read again.

A file counts as unchanged while its path, size, time of change and inode are the same. Its sha256
is remembered by that stamp, and what ffprobe told of it by its sha256.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import data.probe
from data.probe import VideoInfo, probe
from data.reading import BAD_FACTS, open_file

HEADER = "unmask digests 1"
FRESH_SECONDS = 2.0
"""A file changed this lately may change again within the clock's tick: not remembered."""

READER = hashlib.sha256(Path(data.probe.__file__).read_bytes()).hexdigest()
"""The module that reads headers: what another version of it told is asked anew."""

Stamp = tuple[int, int, int]  # size, mtime_ns, inode


class DigestCache:
    """sha256 and headers of files, kept in one small file; safe to use from many threads.

    The file is a line with the format and the sha256 of what follows, and JSON. A damaged one is
    as good as none: damage costs time, never truth.

    Args:
        path: of the file; None remembers nothing beyond this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._files: dict[str, tuple[Stamp, str]] = {}
        self._infos: dict[str, VideoInfo] = {}
        self._changed = False
        if path is not None:
            with suppress(OSError, *BAD_FACTS):
                self._load(path)

    def sha256(self, path: Path) -> str:
        """The digest of a file, read only if it changed.

        Raises:
            OSError: it cannot be read, or is no regular file: a pipe would be waited for for ever.
        """
        name = os.path.abspath(path)
        facts = os.stat(path)
        stamp = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
        known = self._files.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if time.time() - facts.st_mtime > FRESH_SECONDS:
            with self._lock:
                self._files[name] = (stamp, digest)
                self._changed = True
        return digest

    def probe(self, path: Path) -> tuple[str, VideoInfo]:
        """The digest of a file and what ffprobe says of it, asked only if the bytes are new.

        Raises:
            OSError: as `sha256`.
            VideoError: as `data.probe.probe`; not remembered.
        """
        digest = self.sha256(path)
        known = self._infos.get(digest)
        if known is None:
            known = probe(path)
            with self._lock:
                self._infos[digest] = known
                self._changed = True
        return digest, known

    def save(self) -> None:
        """Writes the file, if there is anything new; a failure is no error: it is only a cache."""
        if self._path is None or not self._changed:
            return
        with self._lock:
            files = {name: [*stamp, digest] for name, (stamp, digest) in self._files.items()}
            infos = {digest: asdict(info) for digest, info in self._infos.items()}
        # ASCII: names that are no UTF-8 come back as they were.
        tree = {"files": files, "infos": infos, "reader": READER}
        body = json.dumps(tree, sort_keys=True).encode("ascii")
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(b"%s %s\n%s\n" % (HEADER.encode(), _checksum(body), body))
            os.replace(temporary, self._path)
            self._changed = False
        with suppress(OSError):
            temporary.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        """Reads the file; raises one of many errors if it is damaged."""
        with open_file(path) as handle:
            head, _, body = handle.read().partition(b"\n")
        body = body.removesuffix(b"\n")
        if head != b"%s %s" % (HEADER.encode(), _checksum(body)):
            raise ValueError("damaged, or of another version")
        tree = json.loads(body)
        if tree["reader"] == READER:
            self._infos = {digest: VideoInfo(**facts) for digest, facts in tree["infos"].items()}
        self._files = {
            name: ((size, mtime_ns, inode), digest)
            for name, (size, mtime_ns, inode, digest) in tree["files"].items()
        }


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
