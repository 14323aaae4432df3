"""The working store: finished videos survive anything, and the same input gives the same shards.

Each finished video is at once a file of its own in `staging`; a run joins staged files into shards
in the order of the manifest, so that a killed and resumed run ends with the same bytes as one that
was left alone. The habits are borg's: temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import StoreError
from data.io.atomic_files import make_folder, name_file, sync_file
from data.io.reading import file_sha256
from features.store.feature_set import link_or_copy
from features.store.key import Recipe, sequence_key
from features.store.layout import OURS, SHARDS, STAGING, sha256_of
from features.store.lock import hold_lock, writing
from features.store.preamble import LaterVersionError
from features.store.shard import Shard, StoredSequence, write_shard
from features.store.verify import shard_problems

SHARD_BYTES = 256 << 20
"""A shard is closed when its rows reach this."""


class Staged(NamedTuple):
    """A finished video's own file."""

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
        """Takes over what earlier runs finished and drops what they left half done."""
        opened = []
        for path in sorted(self._sealed.iterdir()):
            if OURS.fullmatch(path.name):
                path.unlink()
            elif path.match("shard-*.h5"):
                try:
                    opened.append(Shard(path))
                except LaterVersionError:
                    raise
                except StoreError:  # `store repair` mends it; its videos are embedded anew
                    continue
        for shard in opened:
            self._know(shard)
        for path in sorted(self._staging.iterdir()):
            if not OURS.fullmatch(path.name):
                continue
            staged = self._whole(path) if path.suffix == ".h5" else None
            if staged is None or path.stem in self.shards:
                path.unlink()
            else:
                self._staged[path.stem] = staged

    def take(self, path: Path) -> bool:
        """Makes a shard that was made elsewhere its own, if every byte is as it was written.

        Args:
            path: of the shard, under its own name; it may be linked.

        Raises:
            OutputError: it cannot be written.
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
            temporary.chmod(0o444)
            sync_file(temporary)
            name_file(temporary, target)
        self._know(Shard(target))
        return True

    def _know(self, shard: Shard) -> None:
        """Takes its videos from this shard, but for those that a larger one has.

        A killed `compact` leaves videos in two shards: the larger one counts, so that what is
        published is never a mixture.
        """
        if shard.recipe.digest != self.recipe.digest:
            return
        rank = _size_and_name(shard)
        for key in shard.keys:
            known = self.shards.get(key)
            if known is None or _size_and_name(known) <= rank:
                self.shards[key] = shard

    def _whole(self, path: Path) -> Staged | None:
        """What a staged file holds, if every byte of it is as it was written."""
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
            raise StoreError(f"{shard.path} is damaged; mend it with `unmask store repair`")
        return shard.sequence(number)

    def begin(self, keys: Iterable[str] = (), apart: Iterable[str] = ()) -> None:
        """Starts a run; says which sequences it wants, in the manifest's order: see `want`."""
        self._order.clear()
        self._settled.clear()
        self._queued.clear()
        self._pending, self._pending_bytes = [], 0
        self.want(keys, apart)

    def want(self, keys: Iterable[str], apart: Iterable[str] = ()) -> None:
        """Adds to the run's order what is not sealed yet and not in it.

        A run may tell its order part by part: it is cut into shards as if it had been told at once.

        Args:
            keys: of the next ones.
            apart: of those after them, which never share a shard with them.
        """
        for ends_before, group in ((False, keys), (True, apart)):
            known = (self.shards, self._queued)
            fresh = [key for key in dict.fromkeys(group) if not any(key in one for one in known)]
            if fresh and ends_before:
                self._order.append(None)
            self._order += fresh
            self._queued.update(fresh)
            self._settled.update(key for key in fresh if key in self._staged)
        self._advance()

    def stage(self, sequence: StoredSequence) -> None:
        """Keeps a finished sequence: after this returns, no crash loses it.

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
        """Says that this sequence will not come; the shards go on without it."""
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
        """Closes a shard whenever the settled front of the order is large enough.

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
        """Joins the pending sequences into one shard, then drops their staged files.

        Raises:
            OutputError: it cannot be written.
            StoreError: a staged file was damaged behind our back.
        """
        staged = [self._staged[key] for key in self._pending]
        with writing(self.folder):
            path = seal_shard(
                self._sealed,
                (_read_staged(one.path) for one in staged),
                self.recipe,
                self._versions,
                frame_counts=[one.frames for one in staged],
                leftover=self._pending[0],
            )
            self._know(Shard(path))
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
    leftover: str,
) -> Path:
    """Writes a shard into a folder, durable when this returns; returns its path.

    Args:
        folder: where.
        sequences: as `write_shard` takes them.
        recipe: of all of them.
        versions: of the programs that made them.
        frame_counts: T of each of them.
        leftover: 64 hex digits that name the temporary file: the first key.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = folder / f".{leftover}"
    write_shard(temporary, sequences, recipe, versions, frame_counts=frame_counts)
    path = folder / f"shard-{file_sha256(temporary)}.h5"
    temporary.chmod(0o444)  # it may be linked into a DVC cache: never written again
    name_file(temporary, path)
    return path
