"""A video on disk, whether a file or a folder of frames: its digest, size and last change."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from data.images.frame_folders import RATE_FILE, frames_sha256, open_frames
from data.io.reading import file_sha256


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """By which it is noticed that a file or folder changed, without reading it."""

    size_bytes: int  # of a folder, of all its frames
    changed_ns: int  # of a folder, of the last change of any of its frames, or of the folder
    text: bytes  # more exact: changes with any frame's name, size, time or inode


def source_sha256(path: Path) -> str:
    """The sha256 of a file, or the digest of a folder of frames.

    Raises:
        OSError: it cannot be read, or is neither.
        VideoError: unreadable: a folder that holds no frames.
    """
    return frames_sha256(open_frames(path)) if path.is_dir() else file_sha256(path)


def source_size(path: Path) -> int:
    """Size in bytes; of a folder, of all its frames.

    Raises:
        OSError, VideoError: as `source_sha256`.
    """
    return stamp_of(path).size_bytes


def stamp_of(path: Path) -> Stamp:
    """Size and time of change.

    Raises:
        OSError, VideoError: as `source_sha256`.
    """
    facts = os.stat(path)
    if not stat.S_ISDIR(facts.st_mode):
        if not stat.S_ISREG(facts.st_mode):  # a pipe would block for ever
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        text = b"%d %d %d" % (facts.st_size, facts.st_mtime_ns, facts.st_ino)
        return Stamp(size_bytes=facts.st_size, changed_ns=facts.st_mtime_ns, text=text)
    folder = open_frames(path)
    size, changed = 0, facts.st_mtime_ns
    made = hashlib.sha256()
    more = [path / RATE_FILE] if folder.rate_given else []
    for file in (*folder.files(), *more):
        one = os.stat(file)
        size += one.st_size if file.name != RATE_FILE else 0
        changed = max(changed, one.st_mtime_ns)
        made.update(os.fsencode(file.name))
        made.update(b" %d %d %d\n" % (one.st_size, one.st_mtime_ns, one.st_ino))
    return Stamp(size_bytes=size, changed_ns=changed, text=b"frames " + made.digest())
