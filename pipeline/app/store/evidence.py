"""Uploaded files: received within bounds, kept under their sha256, never under their own name.

A name that a browser sends is text for people. What a file is, is told by its first bytes, not by
its name; the types are a fixed list, and none of them is a page or a script.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from data.images.formats import image_format
from data.io.atomic_files import make_folder, sync_folder
from pipeline.app.settings import FREE_BYTES, MOST_UPLOADS

UNKNOWN = "application/octet-stream"
FIRST_BYTES = 64
"""By which a file's kind is told."""
EXTENSIONS = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpg",
    "video/mp2t": "ts",
    "video/ogg": "ogv",
    "image/gif": "gif",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/avif": "avif",
    UNKNOWN: "bin",
}
"""Types under which evidence is served, and the extension of its name then."""
REFUSED = ((b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"))
"""First bytes of pictures that are not read."""


class RefusedError(Exception):
    """A file is not taken; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def media_type(first: bytes) -> str:
    """The type of a file by its first bytes.

    Raises:
        RefusedError: it is a picture of a kind that is not read.
    """
    image = image_format(first)
    if image == "animated webp":
        raise not_read("an animated WebP", "a video")
    if image is not None:
        return f"image/{image}"
    for begin, kind in REFUSED:
        if first.startswith(begin):
            raise not_read(f"a picture of a kind that is not read ({kind})", "PNG or JPEG")
    if first[:4] == b"RIFF":
        return "video/x-msvideo"
    if first[4:8] == b"ftyp":
        return "video/quicktime" if first[8:12] == b"qt  " else "video/mp4"
    if first[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in first else "video/x-matroska"
    for begin, kind in (
        (b"GIF8", "image/gif"),
        (b"OggS", "video/ogg"),
        (b"\0\0\1\xba", "video/mpeg"),
        (b"\x47", "video/mp2t"),
    ):
        if first.startswith(begin):
            return kind
    return UNKNOWN


def not_read(what: str, instead: str) -> RefusedError:
    """Why a picture is refused."""
    return RefusedError(415, f"this is {what}. Save it as {instead}, or drop the original")


class Evidence:
    """The files of one folder, each under its sha256."""

    def __init__(self, folder: Path) -> None:
        self._kept, self._incoming = folder / "evidence", folder / "incoming"
        for place in (self._kept, self._incoming):
            make_folder(place)
        for left in self._incoming.iterdir():  # of a server that was killed
            left.unlink()
        self.lock = threading.Lock()  # held while a file and its case are matched
        self.places = threading.BoundedSemaphore(MOST_UPLOADS)  # of files that come in

    def path(self, sha256: str) -> Path:
        """Where the file with this digest lies."""
        return self._kept / sha256

    def receive(self, size_bytes: int | None, most_bytes: int) -> Incoming:
        """Begins to receive a file that is said to have this many bytes.

        Raises:
            RefusedError: it is too large, or the disk too full.
        """
        if size_bytes is not None and size_bytes > most_bytes:
            raise too_large(most_bytes)
        self.check_disk(size_bytes or 0)
        return Incoming(self, self._incoming / secrets.token_hex(8), most_bytes)

    def check_disk(self, more_bytes: int) -> None:
        """Raises RefusedError where the disk would be too full."""
        if shutil.disk_usage(self._incoming).free - more_bytes < FREE_BYTES:
            raise RefusedError(507, "the disk is nearly full; free some space, then drop it again")

    def remove(self, sha256: str) -> None:
        """Removes a file."""
        with suppress(FileNotFoundError):
            self.path(sha256).unlink()
            sync_folder(self._kept)


class Incoming:
    """A file while it comes in; what is not kept at the end of the block is removed."""

    def __init__(self, evidence: Evidence, path: Path, most_bytes: int) -> None:
        self.size_bytes = 0
        self.first = b""
        self._evidence = evidence
        self._path = path
        self._most_bytes = most_bytes
        self._digest = hashlib.sha256()
        self._file = path.open("xb")

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, part: bytes) -> None:
        """Takes the next bytes.

        Raises:
            RefusedError: it is too large, a picture that is not read, or the disk too full.
        """
        before = self.size_bytes
        self.size_bytes += len(part)
        if self.size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        if len(self.first) < FIRST_BYTES:
            self.first += part[: FIRST_BYTES - len(self.first)]
            if len(self.first) == FIRST_BYTES:
                media_type(self.first)
        if before >> 26 != self.size_bytes >> 26:  # every 64 MiB
            self._evidence.check_disk(0)
        self._digest.update(part)
        self._file.write(part)

    def keep(self) -> str:
        """Keeps the file durably; returns its sha256. The caller holds `Evidence.lock`.

        Raises:
            RefusedError: it is empty, or a picture that is not read.
        """
        if not self.size_bytes:
            raise RefusedError(422, "the file is empty")
        media_type(self.first)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()  # Windows moves no open file
        sha256 = self._digest.hexdigest()
        self._path.replace(self._evidence.path(sha256))
        self._evidence.path(sha256).chmod(0o600)
        sync_folder(self._evidence.path(sha256).parent)
        return sha256


def too_large(most_bytes: int) -> RefusedError:
    """Why a large file is refused."""
    return RefusedError(
        413,
        f"the file is larger than {most_bytes / (1 << 30):.3g} GiB; start unmask app with a larger "
        "--max-upload",
    )
