"""The first 512 bytes of a shard, a checksum that finds damage before HDF5 parses the file.

The HDF5 library does not survive damaged files: with one byte of an object header flipped it ends
the process with a segmentation fault. HDF5 leaves the start of a file, its user block, to the
writer; ours holds a checksum over all that HDF5 will parse, as one line of JSON that `head` shows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import StoreError
from data.io.reading import BAD_FACTS, open_file, unreadable
from data.operating_system.files import pread

FORMAT = "unmask-shard"
VERSION = 1
REMEDY = "`unmask store repair` removes damage and lists what to extract again"
SIZE_BYTES = 512
"""The smallest user block that HDF5 allows."""

_TEXT_BYTES = SIZE_BYTES - 64  # then the sha256 of the text, hex
_START = f'{{"format":"{FORMAT}","version":'.encode()
_PIECE_BYTES = 1 << 20


class LaterVersionError(StoreError):
    """A shard of a later version of unmask: not damaged, so never to be removed."""


@dataclass(frozen=True, kw_only=True)
class Preamble:
    """Content of the user block."""

    size_bytes: int  # of the whole file
    # Offset and length in bytes of each data set with a row for each frame.
    rows: dict[str, tuple[int, int]]
    header_sha256: str  # over all bytes after the user block that are not in `rows`, hex

    def to_bytes(self) -> bytes:
        """The user block."""
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "size_bytes": self.size_bytes,
            "rows": self.rows,
            "header_sha256": self.header_sha256,
        }
        text = json.dumps(facts, separators=(",", ":")).encode().ljust(_TEXT_BYTES - 1) + b"\n"
        if len(text) != _TEXT_BYTES:
            raise ValueError(f"the preamble must fit in {_TEXT_BYTES} bytes, got {len(text)}")
        return text + hashlib.sha256(text).hexdigest().encode()


def header_sha256(descriptor: int, size_bytes: int, rows: dict[str, tuple[int, int]]) -> str:
    """sha256 over what HDF5 parses: all but the user block and the rows.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for start, end in _gaps(size_bytes, rows):
        for at in range(start, end, _PIECE_BYTES):
            digest.update(pread(descriptor, min(_PIECE_BYTES, end - at), at))
    return digest.hexdigest()


def _gaps(size_bytes: int, rows: dict[str, tuple[int, int]]) -> Iterator[tuple[int, int]]:
    start = SIZE_BYTES
    for offset, length in sorted(rows.values()):
        yield start, offset
        start = offset + length
    yield start, size_bytes


def read_preamble(path: Path) -> Preamble:
    """Reads the user block and checks the header against it.

    Raises:
        StoreError: foreign, damaged, cut off, not there, or the disk fails to read it.
        InputError: it is not permitted to read it: that is no damage.
        LaterVersionError: of a later version.
    """
    try:
        with open_file(path) as handle:
            block = handle.read(SIZE_BYTES)
            preamble = _parse(block, path)
            size_bytes = os.fstat(handle.fileno()).st_size
            if size_bytes != preamble.size_bytes:
                raise StoreError(
                    f"{path} is damaged: it has {size_bytes} of {preamble.size_bytes} bytes; "
                    f"{REMEDY}"
                )
            found = header_sha256(handle.fileno(), size_bytes, preamble.rows)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise unreadable(path, error) from error
        raise StoreError(f"{path} cannot be read: {error.strerror or error}; {REMEDY}") from error
    if found != preamble.header_sha256:
        raise StoreError(f"{path} is damaged: its header does not fit its checksum; {REMEDY}")
    return preamble


def _parse(block: bytes, path: Path) -> Preamble:
    if not block.startswith(_START):
        raise StoreError(
            f"{path} is not a shard of unmask, or its first bytes are damaged; {REMEDY}"
        )
    text, digest = block[:_TEXT_BYTES], block[_TEXT_BYTES:]
    try:
        facts = json.loads(text)
        version = int(facts["version"])
        # Before the checksum: a later version may keep it elsewhere.
        if version > VERSION:
            raise LaterVersionError(
                f"{path} is of version {version}, this unmask reads up to {VERSION}; "
                "use a later unmask"
            )
        if version < 1 or hashlib.sha256(text).hexdigest().encode() != digest:
            raise ValueError("the preamble does not fit its checksum")
        return Preamble(
            size_bytes=int(facts["size_bytes"]),
            rows={str(name): (int(at), int(size)) for name, (at, size) in facts["rows"].items()},
            header_sha256=str(facts["header_sha256"]),
        )
    except BAD_FACTS as error:
        raise StoreError(
            f"{path} is damaged: its first bytes do not fit their checksum; {REMEDY}"
        ) from error
