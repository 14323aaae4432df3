"""The working store: finished videos survive anything, and the same input gives the same shards.

Each finished video is at once a file of its own in `staging`; a run joins staged files into shards
in the order of the manifest, so that a killed and resumed run ends with the same bytes as one that
was left alone. The habits are borg's: temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from data.errors import LockedError, OutputError, StoreError
from features.recipe import Recipe
from features.shard import NAME_DIGITS, Shard, StoredSequence, file_sha256, write_shard

SHARD_BYTES = 256 << 20
"""A shard is closed when its rows reach this."""


class FeatureStore:
    """The sequences of one recipe, open for one writer. A context manager.

    Args:
        root: folder of all recipes, `.unmask/store`.
        recipe: whose sequences.
        versions: of the programs that make them, for the shards' headers.
        shard_bytes: size at which a shard is closed.

    Raises:
        LockedError: another process writes to it.
        OutputError: the folder cannot be written.
    """

    def __init__(
        self,
        root: Path,
        recipe: Recipe,
        *,
        versions: dict[str, str],
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.recipe = recipe
        self.folder = root / recipe.digest[:16]
        self._versions = versions
        self._shard_bytes = shard_bytes
        self._staging = self.folder / "staging"
        self._shards = self.folder / "shards"
        self._order: list[str] = []
        self._settled: set[str] = set()
        self._failed: set[str] = set()
        self._cursor = 0
        self._pending: list[str] = []
        self._pending_bytes = 0
        try:
            for folder in (self._staging, self._shards):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.folder / "lock")
        except OSError as error:
            raise OutputError(
                f"cannot write the store {root}: {error.strerror}; choose another by --store"
            ) from error
        try:
            self._adopt()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _adopt(self) -> None:
        """Takes over what earlier runs finished and drops what they left half done."""
        self.shards: dict[str, Shard] = {}
        for path in sorted(self._shards.iterdir()):
            if path.suffix == ".h5" and not path.name.startswith("."):
                with contextlib.suppress(StoreError):  # `store verify` tells; its videos come anew
                    self._know(path)
            elif path.name.startswith("."):
                path.unlink()
        self._staged: dict[str, Path] = {}
        for path in sorted(self._staging.iterdir()):
            try:
                shard = Shard(path)
                whole = len(shard) == 1 and not shard.damaged() and shard.keys[0] == path.stem
            except StoreError:
                whole = False
            if whole and shard.keys[0] not in self.shards:
                self._staged[shard.keys[0]] = path
            else:
                path.unlink()

    def _know(self, path: Path) -> None:
        shard = Shard(path)
        if shard.recipe.digest == self.recipe.digest:
            self.shards |= dict.fromkeys(shard.keys, shard)

    def has(self, key: str) -> bool:
        """Whether the store holds this sequence, sealed or staged."""
        return key in self.shards or key in self._staged

    def begin(self, keys: Sequence[str]) -> None:
        """Says which sequences this run wants, in the manifest's order; each once."""
        self._order = [key for key in dict.fromkeys(keys) if key not in self.shards]
        self._settled = {key for key in self._order if key in self._staged}
        self._cursor = 0
        self._advance()

    def stage(self, sequence: StoredSequence) -> None:
        """Keeps a finished sequence: after this returns, no crash loses it.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._staging / f"{sequence.key}.h5"
        temporary = self._staging / f".{sequence.key}"
        write_shard(temporary, [sequence], self.recipe, self._versions)
        _publish_file(temporary, path)
        self._staged[sequence.key] = path
        self._settled.add(sequence.key)
        self._advance()

    def fail(self, key: str) -> None:
        """Says that this sequence will not come in this run; the shards go on without it."""
        self._settled.add(key)
        self._advance()

    def finish(self) -> None:
        """Seals what is staged of this run into a last shard."""
        if self._pending:
            self._seal()

    def _advance(self) -> None:
        """Closes a shard whenever the settled front of the order is large enough."""
        while self._cursor < len(self._order) and self._order[self._cursor] in self._settled:
            key = self._order[self._cursor]
            self._cursor += 1
            if key in self._staged:
                self._pending.append(key)
                self._pending_bytes += Shard(self._staged[key]).sequence(0).nbytes
                if self._pending_bytes >= self._shard_bytes:
                    self._seal()

    def _seal(self) -> None:
        """Joins the pending sequences into one shard, then drops their staged files."""
        sequences = [Shard(self._staged[key]).sequence(0) for key in self._pending]
        temporary = self._shards / f".{self._pending[0]}"
        write_shard(temporary, sequences, self.recipe, self._versions)
        path = self._shards / f"shard-{file_sha256(temporary)[:NAME_DIGITS]}.h5"
        temporary.chmod(0o444)  # it may be linked into a DVC cache: never written again
        _publish_file(temporary, path)
        self._know(path)
        for key in self._pending:
            self._staged.pop(key).unlink()
        self._pending, self._pending_bytes = [], 0


def _publish_file(temporary: Path, path: Path) -> None:
    """Gives a finished file its name, for good."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Forces a folder's entries to disk; some file systems refuse, and then keep them anyway."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _lock(path: Path) -> IO[str]:
    """Takes the writer's lock, which the system drops when its holder dies.

    Raises:
        LockedError: another process holds it.
    """
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        holder = handle.read(4096)
        handle.close()
        try:
            facts = json.loads(holder)
            told = f"process {facts['pid']} on {facts['host']} since {facts['since']}"
        except (ValueError, KeyError, TypeError):
            told = "another process"
        raise LockedError(
            f"{told} is writing to {path.parent}; wait for it, or choose another by --store"
        ) from error
    since = datetime.now(UTC).isoformat(timespec="seconds")
    handle.truncate(0)
    json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, handle)
    handle.flush()
    return handle
