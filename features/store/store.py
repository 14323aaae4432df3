"""The store of one recipe: finished videos survive a crash, and equal input gives equal shards.

Each finished video is written to a file of its own in `staging`; a run seals staged files into
shards in the order of the manifest, so that a killed and resumed run ends with the same bytes as
one without interruption. Writes are temporary file, fsync, rename, fsync of the folder, as in borg.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import StoreError
from data.io.atomic_files import make_folder, name_file
from data.io.reading import file_sha256
from data.operating_system.files import protect, sync_file
from features.store.feature_set import link_or_copy
from features.store.key import Recipe, sequence_key
from features.store.layout import OURS, SHARDS, STAGING, sha256_of
from features.store.lock import hold_lock, writing
from features.store.preamble import REMEDY, LaterVersionError
from features.store.shard import Shard, StoredSequence, write_shard
from features.store.verify import shard_problems

SHARD_BYTES = 256 << 20
"""A shard is closed when its rows reach this."""


class Staged(NamedTuple):
    """The file of one finished video."""

    path: Path
    frames: int
    nbytes: int


class FeatureStore:
    """The sequences of one recipe, open for one writer. A context manager.

    Attributes:
        recipe: of all sequences.
        folder: where they lie.
        shards: the sealed shard of each key.

    Args:
        root: folder of all recipes, `.unmask/store`.
        recipe: whose sequences.
        versions: of the programs that make them, for the shards' headers.
        shard_bytes: size at which a shard is closed.

    Raises:
        LockedError: another process writes to it.
        OutputError: the folder cannot be written.
        LaterVersionError: a later unmask wrote to it.
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
        self.shards: dict[str, Shard] = {}
        self._versions = versions
        self._shard_bytes = shard_bytes
        self._staging = self.folder / STAGING
        self._sealed = self.folder / SHARDS
        self._staged: dict[str, Staged] = {}
        self._order: deque[str | None] = deque()  # None: a shard ends here in any case
        self._settled: set[str] = set()  # of the order: staged or failed
        self._pending: list[str] = []  # staged, next to be sealed
        self._queued: set[str] = set()  # in the order, or pending
        self._pending_bytes = 0
        with writing(self.folder):
            make_folder(self._staging)
            make_folder(self._sealed)
            self._lock = hold_lock(self.folder)
        try:
            with writing(self.folder):
                self._adopt()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _adopt(self) -> None:
        """Opens what earlier runs finished and removes their temporary files."""
        opened = []
        for path in sorted(self._sealed.iterdir()):
            if OURS.fullmatch(path.name):
                path.unlink()
            elif path.match("shard-*.h5"):
                try:
                    opened.append(Shard(path))
                except LaterVersionError:
                    raise
                except StoreError:  # its videos are embedded again; `store repair` removes it
                    continue
        for shard in opened:
            self._add_shard(shard)
        for path in sorted(self._staging.iterdir()):
            if not OURS.fullmatch(path.name):
                continue
            staged = self._read_if_intact(path) if path.suffix == ".h5" else None
            if staged is None or path.stem in self.shards:
                path.unlink()
            else:
                self._staged[path.stem] = staged

    def take(self, path: Path) -> bool:
        """Links or copies a shard of another folder, if every byte is as it was written.

        Raises:
            OutputError: the store cannot be written.
        """
        sha256 = sha256_of(path)
        temporary, target = self._sealed / f".{sha256}", self._sealed / path.name
        with writing(self.folder):
            temporary.unlink(missing_ok=True)
            link_or_copy(path, temporary)
            # Read under its new name: a copy may have gone wrong, too.
            if shard_problems(temporary, path.name, sha256, self.recipe.digest):
                temporary.unlink()
                return False
            protect(temporary)
            sync_file(temporary)
            name_file(temporary, target)
        self._add_shard(Shard(target))
        return True

    def _add_shard(self, shard: Shard) -> None:
        """Adds a shard's videos, except those that a larger one has.

        One video may be in two shards; the larger one counts, so that a feature set is no mixture.
        """
        if shard.recipe.digest != self.recipe.digest:
            return
        rank = _size_and_name(shard)
        for key in shard.keys:
            known = self.shards.get(key)
            if known is None or _size_and_name(known) <= rank:
                self.shards[key] = shard

    def _read_if_intact(self, path: Path) -> Staged | None:
        """A staged file, if every byte of it is as it was written; else None."""
        try:
            shard = Shard(path)
        except LaterVersionError:
            raise
        except StoreError:
            return None
        keys = tuple(sequence_key(sha256, self.recipe) for sha256 in shard.sha256s)
        if keys != shard.keys or keys != (path.stem,) or shard.damaged():
            return None
        return Staged(path, int(shard.offsets[-1]), shard.sequence(0).nbytes)

    def has(self, key: str) -> bool:
        """Whether the store holds this sequence, sealed or staged."""
        return key in self.shards or key in self._staged

    def sequence(self, key: str) -> StoredSequence:
        """A sequence that the store holds; arrays may be views of a memory map.

        Raises:
            KeyError: it does not hold it.
            StoreError: it was damaged since it was written.
        """
        if key in self._staged:
            return _read_staged(self._staged[key].path)
        shard = self.shards[key]
        number = shard.place(key)
        if not shard.intact(number):
            raise StoreError(f"{shard.path} is damaged; {REMEDY}")
        return shard.sequence(number)

    def begin(self, keys: Iterable[str] = ()) -> None:
        """Starts a run with these keys, as `want` adds them."""
        self._order.clear()
        self._settled.clear()
        self._queued.clear()
        self._pending, self._pending_bytes = [], 0
        self.want(keys)

    def want(self, keys: Iterable[str], apart: Iterable[str] = ()) -> None:
        """Adds sequences that are not sealed yet to the run's order.

        A run may add its order in parts: it is cut into shards as if it had been added at once.

        Args:
            keys: of the next sequences, in the manifest's order.
            apart: of those after them, which never share a shard with them.
        """
        for ends_before, group in ((False, keys), (True, apart)):
            fresh = [key for key in dict.fromkeys(group) if key not in self._queued]
            fresh = [key for key in fresh if key not in self.shards]
            if fresh and ends_before:
                self._order.append(None)
            self._order += fresh
            self._queued.update(fresh)
            self._settled.update(key for key in fresh if key in self._staged)
        self._advance()

    def stage(self, sequence: StoredSequence) -> None:
        """Writes a finished sequence: after this returns, no crash loses it.

        Raises:
            OutputError: it cannot be written.
        """
        frames = len(sequence.features)
        path = self._staging / f"{sequence.key}.h5"
        temporary = self._staging / f".{sequence.key}"
        with writing(self.folder):
            write_shard(temporary, [sequence], self.recipe, self._versions, frame_counts=[frames])
            name_file(temporary, path)
        self._staged[sequence.key] = Staged(path, frames, sequence.nbytes)
        self._settle(sequence.key)

    def fail(self, key: str) -> None:
        """Marks a sequence as failed; the shards are sealed without it."""
        self._settle(key)

    def _settle(self, key: str) -> None:
        if key in self._queued:
            self._settled.add(key)
            self._advance()

    def finish(self) -> None:
        """Seals what is staged of this run into a last shard.

        Raises:
            OutputError: it cannot be written.
        """
        if self._pending:
            self._seal()

    def _advance(self) -> None:
        """Seals a shard whenever the settled sequences at the front of the order are large enough.

        Where shards are cut depends on the order alone, never on which video was ready first.
        """
        while self._order and (self._order[0] is None or self._order[0] in self._settled):
            key = self._order.popleft()
            if key is None:
                self.finish()
                continue
            self._settled.discard(key)
            if key not in self._staged:
                self._queued.discard(key)
                continue
            self._pending.append(key)
            self._pending_bytes += self._staged[key].nbytes
            if self._pending_bytes >= self._shard_bytes:
                self._seal()

    def _seal(self) -> None:
        """Writes the pending sequences to one shard, then removes their staged files.

        Raises:
            OutputError: it cannot be written.
            StoreError: a staged file was damaged since it was written.
        """
        staged = [self._staged[key] for key in self._pending]
        with writing(self.folder):
            path = seal_shard(
                self._sealed,
                (_read_staged(one.path) for one in staged),
                self.recipe,
                self._versions,
                frame_counts=[one.frames for one in staged],
                first_key=self._pending[0],
            )
            self._add_shard(Shard(path))
            for key in self._pending:
                self._staged.pop(key).path.unlink()
        self._queued.difference_update(self._pending)
        self._pending, self._pending_bytes = [], 0


def _size_and_name(shard: Shard) -> tuple[int, str]:
    """Of two shards with one video, the later in this order counts."""
    return len(shard), shard.path.name


def _read_staged(path: Path) -> StoredSequence:
    shard = Shard(path)
    if shard.damaged():
        raise StoreError(f"{path} was damaged since it was written; run again, and check the disk")
    return shard.sequence(0)


def seal_shard(
    folder: Path,
    sequences: Iterable[StoredSequence],
    recipe: Recipe,
    versions: dict[str, str],
    *,
    frame_counts: Sequence[int],
    first_key: str,
) -> Path:
    """Writes a shard into a folder, durable when this returns; returns its path.

    Arguments are those of `write_shard`; the temporary file is named by the first key.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = folder / f".{first_key}"
    write_shard(temporary, sequences, recipe, versions, frame_counts=frame_counts)
    path = folder / f"shard-{file_sha256(temporary)}.h5"
    protect(temporary)  # it may be linked into a DVC cache: never written again
    name_file(temporary, path)
    return path
