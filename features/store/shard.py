"""One shard: an immutable HDF5 file of many videos' sequences. The only module that knows HDF5.

docs/store-format.md is the specification. Rows of all videos lie one after the other, uncompressed
and contiguous, so that a shard is read as a memory map. Equal content gives equal bytes, and a
shard is named by the sha256 of its bytes.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError
from data.io.reading import BAD_FACTS, open_file, unreadable
from data.io.system_errors import cannot_write
from data.operating_system.files import pwrite
from features.store.key import Recipe, canonical
from features.store.preamble import (
    FORMAT,
    REMEDY,
    SIZE_BYTES,
    VERSION,
    Preamble,
    header_sha256,
    read_preamble,
)
from features.store.sink import Sink

ROWS = {"features": "<f2", "timestamps_seconds": "<f8", "boxes": "<f4", "face_found": "|u1"}
"""Data sets with a row for each frame, and their types; that of `features` is the recipe's."""
VIDEOS = {"sha256": "S64", "key": "S64", "frame_count": "<i4", "crc32": "<u4"}
"""Data sets with an entry for each video; so has `path`, as wide as its longest entry."""
ALIGNMENT_BYTES = 64
"""Each object starts at a multiple of it, so that mapped rows fill whole cache lines."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSequence:
    """One video's features with the frames' timestamps, crops and detections."""

    sha256: str  # of the video file, hex
    key: str  # of this sequence, hex
    path: str  # of the video when it was extracted; for people
    features: NDArray[np.floating[Any]]  # (T, D) float16 or float32, T at least 1
    timestamps_seconds: NDArray[np.float64]  # (T,) float64
    boxes: NDArray[np.float32]  # (T, 4) float32, crops in pixels of the video as shown
    face_found: NDArray[np.bool_]  # (T,) bool

    @property
    def nbytes(self) -> int:
        """Size of its rows in a shard."""
        return sum(row.nbytes for row in self.rows().values())

    def rows(self) -> dict[str, NDArray[Any]]:
        """Its rows of each data set of `ROWS`."""
        return {
            "features": self.features,
            "timestamps_seconds": self.timestamps_seconds,
            "boxes": self.boxes,
            "face_found": self.face_found.view(np.uint8),
        }

    def crc32(self) -> int:
        """CRC-32 over its rows, data set by data set."""
        crc = 0
        for row in self.rows().values():
            crc = zlib.crc32(np.ascontiguousarray(row).data, crc)
        return crc


def write_shard(
    path: Path,
    sequences: Iterable[StoredSequence],
    recipe: Recipe,
    versions: dict[str, str],
    *,
    frame_counts: Sequence[int],
) -> None:
    """Writes a shard and flushes it to disk; the caller renames it afterwards.

    Args:
        path: a new file.
        sequences: at least one, all of one D and of the recipe's dtype; an iterator keeps one at a
            time in memory.
        recipe, versions: of all of them, and of the programs that made them.
        frame_counts: T of each of them.

    Raises:
        OutputError: it cannot be written; nothing is left.
        ValueError: shapes or types do not fit the format: our bug.
    """
    try:
        with path.open("w+b", buffering=0) as handle:
            sink = Sink(handle.fileno())
            # In a thread of its own, since HDF5 calls back into Python: Ctrl-C is raised in the
            # main thread alone, so it can never interrupt HDF5 and leave it half closed.
            with ThreadPoolExecutor(1) as pool:
                rows = pool.submit(
                    _fill, sink, sequences, recipe, versions, np.asarray(frame_counts, "<i4")
                ).result()
            sink.check()
            size_bytes = os.fstat(handle.fileno()).st_size
            preamble = Preamble(
                size_bytes=size_bytes,
                rows=rows,
                header_sha256=header_sha256(handle.fileno(), size_bytes, rows),
            )
            pwrite(handle.fileno(), preamble.to_bytes(), 0)
            os.fsync(handle.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_write(path.parent, error, then="; finished videos are kept") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _fill(
    sink: Sink,
    sequences: Iterable[StoredSequence],
    recipe: Recipe,
    versions: dict[str, str],
    counts: NDArray[np.int32],
) -> dict[str, tuple[int, int]]:
    """Writes all but the user block; returns offset and length of the rows in bytes."""
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype("<i8")
    types = _row_types(recipe)
    others: dict[str, list[NDArray[Any]]] = {name: [] for name in ROWS if name != "features"}
    videos: dict[str, list[Any]] = {"sha256": [], "key": [], "crc32": [], "path": []}  # in order
    # The oldest layout that suffices: readable by every HDF5, and without timestamps.
    with h5py.File(
        sink,
        "w",
        libver=("earliest", "v110"),
        userblock_size=SIZE_BYTES,
        alignment_threshold=1,
        alignment_interval=ALIGNMENT_BYTES,
    ) as file:
        for number, sequence in enumerate(sequences):
            _check(sequence, types, int(counts[number]))
            if not number:
                shape = (int(offsets[-1]), sequence.features.shape[1])
                file.create_dataset("features", shape, types["features"], track_times=False)
            file["features"][offsets[number] : offsets[number + 1]] = sequence.features
            sink.check()
            for name, parts in others.items():
                parts.append(sequence.rows()[name].copy())
            videos["sha256"].append(sequence.sha256)
            videos["key"].append(sequence.key)
            videos["crc32"].append(sequence.crc32())
            videos["path"].append(sequence.path.encode("utf-8", "backslashreplace") or b"?")
        if len(videos["key"]) != len(counts):
            raise ValueError(f"must have {len(counts)} sequences, got {len(videos['key'])}")
        for name, parts in others.items():
            file.create_dataset(name, data=np.concatenate(parts), track_times=False)
        types = VIDEOS | {"path": f"S{max(map(len, videos['path']))}"}
        columns = {"offsets": offsets, "frame_count": counts}
        columns |= {name: np.asarray(values, types[name]) for name, values in videos.items()}
        for name, column in columns.items():
            if column.dtype.kind == "S":  # text is marked as UTF-8
                column = column.astype(h5py.string_dtype("utf-8", column.dtype.itemsize))
            file.create_dataset(name, data=column, track_times=False)
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["recipe"] = canonical(recipe.to_json())
        file.attrs["recipe_digest"] = recipe.digest
        file.attrs["backbone_digest"] = recipe.backbone_digest
        file.attrs["versions"] = canonical(versions)
        return {name: (file[name].id.get_offset(), file[name].nbytes) for name in ROWS}


def _row_types(recipe: Recipe) -> dict[str, str]:
    return ROWS | {"features": np.dtype(recipe.dtype).newbyteorder("<").str}


def _check(sequence: StoredSequence, types: dict[str, str], count: int) -> None:
    """Raises ValueError where a sequence does not fit the format."""
    rows = sequence.rows()
    found = {name: row.dtype.newbyteorder("<").str for name, row in rows.items()}
    if found != types:
        raise ValueError(f"the rows of {sequence.path} must be {types}, got {found}")
    shapes = (rows["timestamps_seconds"].shape, rows["boxes"].shape, rows["face_found"].shape)
    if sequence.features.ndim != 2 or shapes != ((count,), (count, 4), (count,)) or count < 1:
        raise ValueError(f"{sequence.path} must have {count} rows, at least one, got {shapes}")
    if len(sequence.features) != count or not sequence.features.shape[1]:
        raise ValueError(
            f"the features of {sequence.path} must be ({count}, D), got {sequence.features.shape}"
        )
    if not np.isfinite(sequence.features).all():
        raise ValueError(f"the features of {sequence.path} must be finite")


class Shard:
    """A shard opened for reading; its rows are memory maps.

    Attributes:
        path: the file.
        recipe: of every sequence in it.
        versions: of the programs that made it.
        sha256s: of the videos, in order.
        keys: of the sequences.
        paths: of the videos when they were extracted.
        offsets: (N + 1,) int64, first row of each video.
    """

    def __init__(self, path: Path) -> None:
        """Reads the header.

        Raises:
            StoreError: damaged or foreign.
            LaterVersionError: of a later version.
        """
        preamble = read_preamble(path)
        self.path = path
        self._numbers: dict[str, int] | None = None
        try:
            # Immutable, so there is nothing to lock; some network file systems cannot.
            with h5py.File(path, "r", locking=False) as file:
                self._read_header(file)
        except (OSError, RuntimeError, *BAD_FACTS) as error:
            raise StoreError(f"{path} is damaged: {error}; {REMEDY}") from error
        for name, (dtype, shape, place) in self._places.items():
            nbytes = np.dtype(dtype).itemsize * math.prod(shape)
            if preamble.rows.get(name) != (place, nbytes):
                raise StoreError(
                    f"{path} is damaged: {name} is not where its preamble says; {REMEDY}"
                )

    def _read_header(self, file: Any) -> None:
        attributes = dict(file.attrs)
        self.recipe = Recipe.from_json(json.loads(attributes["recipe"]))
        if self.recipe.digest != attributes["recipe_digest"]:
            raise StoreError(
                f"{self.path} is damaged: the recipe does not fit its digest; {REMEDY}"
            )
        self.versions: dict[str, str] = json.loads(attributes["versions"])
        self.sha256s = tuple(value.decode("ascii") for value in file["sha256"][()])
        self.keys = tuple(value.decode("ascii") for value in file["key"][()])
        self.paths = tuple(value.decode("utf-8", "replace") for value in file["path"][()])
        self.offsets: NDArray[np.int64] = file["offsets"][()]
        self._crcs = file["crc32"][()]
        self._places: dict[str, tuple[str, tuple[int, ...], int]] = {}
        for name, dtype in _row_types(self.recipe).items():
            data = file[name]
            place = data.id.get_offset()
            if data.dtype.str != dtype or len(data) != self.offsets[-1]:
                raise StoreError(
                    f"{self.path} is damaged: {name} is not as the format says; {REMEDY}"
                )
            self._places[name] = (dtype, data.shape, place)

    def __len__(self) -> int:
        return len(self.keys)

    def place(self, key: str) -> int:
        """The number of the sequence with this key.

        Raises:
            KeyError: it is not in here.
        """
        if self._numbers is None:
            self._numbers = {key: number for number, key in enumerate(self.keys)}
        return self._numbers[key]

    @property
    def nbytes(self) -> int:
        """Size of all rows, which decides when a shard is closed."""
        places = self._places.values()
        return sum(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape, _ in places)

    @property
    def dim(self) -> int:
        """D, length of one embedding."""
        return int(self._places["features"][1][1])

    @cached_property
    def rows(self) -> dict[str, NDArray[Any]]:
        """The data sets with a row for each frame, read-only, all in one memory map."""
        try:
            with open_file(self.path) as handle:
                mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
            return {
                name: np.ndarray(shape, dtype, mapped, offset)
                for name, (dtype, shape, offset) in self._places.items()
            }
        except OSError as error:
            raise unreadable(self.path, error) from error
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: {error}; {REMEDY}") from error

    def sequence(self, number: int) -> StoredSequence:
        """The sequence with this number; its arrays are views of the memory map."""
        part = slice(int(self.offsets[number]), int(self.offsets[number + 1]))
        return StoredSequence(
            sha256=self.sha256s[number],
            key=self.keys[number],
            path=self.paths[number],
            features=self.rows["features"][part],
            timestamps_seconds=self.rows["timestamps_seconds"][part],
            boxes=self.rows["boxes"][part],
            face_found=self.rows["face_found"][part].view(np.bool_),
        )

    def intact(self, number: int) -> bool:
        """Whether the rows of this sequence fit their checksum."""
        return self.sequence(number).crc32() == int(self._crcs[number])

    def damaged(self) -> list[int]:
        """Numbers of the sequences whose rows do not fit their checksum; reads every byte."""
        return [number for number in range(len(self)) if not self.intact(number)]
