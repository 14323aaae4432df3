"""Files that only save time, in a cache folder of the user's own; it may be deleted at any moment.

`UNMASK_CACHE_DIR`, or `unmask` in `XDG_CACHE_HOME`, `~/.cache` or Windows' `LOCALAPPDATA`. A file
is a sha256 and what it is of: what is damaged is a file that is not there. Files are replaced
whole, so many processes may read and write at once. The folder is used only if it belongs to this
user and nobody else may write to it, since what comes out of it decides results.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from data.errors import OutputError
from data.io.atomic_files import atomic_file
from data.io.progress import log
from data.operating_system.files import is_private
from data.operating_system.machine import user_cache_folder

MOST_BYTES = 1 << 30
"""Of all files together; ten networks of a ResNet50's size. The least recently used go first."""
LEFTOVER_SECONDS = 3600.0
"""A temporary file of this age was left by a killed process."""
DIGEST_BYTES = 32


class UserCache:
    """Named files in one folder of the cache.

    Args:
        name: of the folder.
    """

    def __init__(self, name: str) -> None:
        self.folder = cache_folder() / name

    def read(self, key: str) -> bytes | None:
        """What `write` wrote; None where there is nothing, or nothing whole."""
        path = self.folder / key
        try:
            if not _is_private(self.folder):
                return None
            content = path.read_bytes()
        except OSError:
            return None
        whole = memoryview(content)[DIGEST_BYTES:]
        if hashlib.sha256(whole).digest() != content[:DIGEST_BYTES]:
            log.debug(f"{path} is damaged; it is made again")
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return content[DIGEST_BYTES:]

    def write(self, key: str, content: bytes) -> None:
        """Keeps a file; where that is impossible, nothing is kept and a debug line says so."""
        try:
            self.folder.parent.parent.mkdir(parents=True, exist_ok=True)
            for made in (self.folder.parent, self.folder):
                made.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(self.folder):
                log.debug(f"{self.folder} is not this user's alone; nothing is cached there")
                return
            with atomic_file(self.folder / key) as temporary, temporary.open("wb") as handle:
                handle.write(hashlib.sha256(content).digest())
                handle.write(content)
            self._shrink(keep=key)
        except (OSError, OutputError) as error:
            log.debug(f"nothing is cached in {self.folder}: {error}")

    def _shrink(self, *, keep: str) -> None:
        """Removes the least recently used files beyond MOST_BYTES, and old temporary ones."""
        files = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process removed it
                facts = path.stat()
                if not path.name.startswith("."):
                    files.append((path.name != keep, -facts.st_mtime, path, facts.st_size))
                elif facts.st_mtime < time.time() - LEFTOVER_SECONDS:
                    path.unlink(missing_ok=True)
        total = 0
        for other, _, path, size_bytes in sorted(files):
            total += size_bytes
            if total > MOST_BYTES and other:
                path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where this user's caches are."""
    if own := os.environ.get("UNMASK_CACHE_DIR"):
        return Path(own)
    return user_cache_folder() / "unmask"


def _is_private(folder: Path) -> bool:
    """Whether this user owns a folder and the one it is in, and nobody else may write to them."""
    return is_private((folder, folder.parent))
