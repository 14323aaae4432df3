"""One shard: an immutable HDF5 file of many videos' sequences. The only module that knows HDF5.

docs/store-format.md is the specification. Rows of all videos lie one after the other, uncompressed
and contiguous, so that a shard is read as a memory map. Equal content gives equal bytes, and a
shard is named by the sha256 of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from data.errors import OutputError, StoreError
from features.recipe import Recipe, canonical

FORMAT = "unmask-shard"
VERSION = 1
NAME_DIGITS = 32
"""Hexadecimal digits of the file's sha256 in its name."""

ROWS = {"features": "<f2", "timestamps_seconds": "<f8", "boxes": "<f4", "face_found": "|u1"}
"""Data sets with a row for each frame, and their types; that of `features` is the recipe's."""
VIDEOS = {"sha256": "S64", "key": "S64", "frame_count": "<i4", "crc32": "<u4"}
"""Data sets with an entry for each video; `path` is one, too, as wide as its longest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSequence:
    """One video's features with all that was recorded beside them.

    Attributes:
        sha256: of the video file, hex.
        key: of this sequence, hex.
        path: of the video when it was extracted; for people.
        features: (T, D) float16 or float32.
        timestamps_seconds: (T,) float64.
        boxes: (T, 4) float32, crops in pixels of the video as shown.
        face_found: (T,) bool.
    """

    sha256: str
    key: str
    path: str
    features: NDArray[np.floating[Any]]
    timestamps_seconds: NDArray[np.float64]
    boxes: NDArray[np.float32]
    face_found: NDArray[np.bool_]

    @property
    def nbytes(self) -> int:
        """What its rows take in a shard."""
        return sum(row.nbytes for row in _rows(self))

    def crc32(self) -> int:
        """CRC-32 over its rows, data set by data set."""
        crc = 0
        for row in _rows(self):
            crc = zlib.crc32(np.ascontiguousarray(row).data, crc)
        return crc


def _rows(sequence: StoredSequence) -> list[NDArray[Any]]:
    return [
        sequence.features,
        sequence.timestamps_seconds,
        sequence.boxes,
        sequence.face_found.view(np.uint8),
    ]


def write_shard(
    path: Path, sequences: Sequence[StoredSequence], recipe: Recipe, versions: dict[str, str]
) -> None:
    """Writes a shard and forces it to disk; the caller gives it its name afterwards.

    Args:
        path: a new file.
        sequences: at least one, all of one D and of the recipe's dtype.
        recipe: of all of them.
        versions: of the programs that made them.

    Raises:
        OutputError: it cannot be written; nothing is left.
    """
    counts = np.asarray([len(sequence.features) for sequence in sequences], "<i4")
    paths = [sequence.path.encode("utf-8", "backslashreplace") or b"?" for sequence in sequences]
    rows = list(zip(*(_rows(sequence) for sequence in sequences), strict=True))
    columns: dict[str, NDArray[Any]] = {
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype("<i8"),
        "sha256": np.asarray([sequence.sha256 for sequence in sequences], "S64"),
        "key": np.asarray([sequence.key for sequence in sequences], "S64"),
        "frame_count": counts,
        "crc32": np.asarray([sequence.crc32() for sequence in sequences], "<u4"),
        "path": np.asarray(paths, f"S{max(map(len, paths))}"),
    }
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "recipe": canonical(recipe.to_json()),
        "recipe_digest": recipe.digest,
        "backbone_digest": recipe.backbone_digest,
        "versions": canonical(versions),
    }
    try:
        # The oldest layout that holds this: readable by every HDF5, and without times of day.
        with h5py.File(path, "w", libver=("earliest", "v110")) as file:
            for name, parts in zip(ROWS, rows, strict=True):
                _write(file, name, np.concatenate(parts))
            for name, column in columns.items():
                _write(file, name, column)
            for name, value in attributes.items():
                file.attrs[name] = value
            file.attrs["header_sha256"] = _header_digest(attributes, columns)
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path.parent}: {error.strerror or error}; free some space and run again"
        ) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    """One contiguous, uncompressed data set; text is marked as UTF-8."""
    if values.dtype.kind == "S":
        values = values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))
    file.create_dataset(name, data=values, track_times=False)


def _header_digest(attributes: dict[str, Any], columns: dict[str, NDArray[Any]]) -> str:
    """sha256 over the attributes and the data sets that say where each video lies."""
    digest = hashlib.sha256(canonical(attributes).encode())
    for name in sorted(columns):
        values = np.ascontiguousarray(columns[name])
        digest.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


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
            StoreError: damaged, foreign, or of a later version.
        """
        self.path = path
        try:
            with h5py.File(path, "r") as file:
                self._read_header(file)
        except (OSError, KeyError, ValueError, TypeError, UnicodeError) as error:
            raise StoreError(f"{path} is damaged: {error}") from error

    def _read_header(self, file: h5py.File) -> None:
        attributes = {name: _plain(file.attrs[name]) for name in file.attrs}
        if attributes.get("format") != FORMAT:
            raise StoreError(f"{self.path} is not a shard of unmask")
        version = attributes.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise StoreError(
                f"{self.path} is of version {version}, this unmask reads up to {VERSION}; "
                "use a later unmask"
            )
        columns = {name: _column(file[name]) for name in ("offsets", *VIDEOS, "path")}
        told = attributes.pop("header_sha256", None)
        if told != _header_digest(attributes, columns):
            raise StoreError(f"{self.path} is damaged: its header does not fit its checksum")
        self.recipe = Recipe.from_json(json.loads(attributes["recipe"]))
        if self.recipe.digest != attributes["recipe_digest"]:
            raise StoreError(f"{self.path} is damaged: the recipe does not fit its digest")
        self.versions: dict[str, str] = json.loads(attributes["versions"])
        self.sha256s = tuple(value.decode("ascii") for value in columns["sha256"])
        self.keys = tuple(value.decode("ascii") for value in columns["key"])
        self.paths = tuple(value.decode("utf-8", "replace") for value in columns["path"])
        self.offsets: NDArray[np.int64] = columns["offsets"]
        self._crcs = columns["crc32"]
        types: dict[str, str] = ROWS | {
            "features": np.dtype(self.recipe.dtype).newbyteorder("<").str
        }
        self._places: dict[str, tuple[int, str, tuple[int, ...]]] = {}
        for name, dtype in types.items():
            data = file[name]
            place = data.id.get_offset()
            if place is None or data.dtype.str != dtype or len(data) != self.offsets[-1]:
                raise StoreError(f"{self.path} is damaged: {name} is not as the format says")
            self._places[name] = (place, dtype, data.shape)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def dim(self) -> int:
        """D, length of one embedding."""
        return int(self._places["features"][2][1])

    @cached_property
    def rows(self) -> dict[str, NDArray[Any]]:
        """The data sets with a row for each frame, as memory maps."""
        try:
            return {
                name: np.memmap(self.path, dtype, "r", place, shape)
                for name, (place, dtype, shape) in self._places.items()
            }
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path} is damaged: {error}") from error

    def sequence(self, number: int) -> StoredSequence:
        """The sequence with this number; its arrays are views of the memory maps."""
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

    def damaged(self) -> list[int]:
        """Numbers of the sequences whose rows do not fit their checksum; reads every byte."""
        return [n for n in range(len(self)) if self.sequence(n).crc32() != self._crcs[n]]


def _column(data: Any) -> NDArray[Any]:
    """A whole data set; text as fixed bytes again, without h5py's mark."""
    values = np.asarray(data[()])
    return values.astype(f"S{values.dtype.itemsize}") if values.dtype.kind == "S" else values


def _plain(value: Any) -> Any:
    """An attribute as plain JSON value."""
    return int(value) if isinstance(value, np.integer) else value


def file_sha256(path: Path) -> str:
    """sha256 over a file's bytes, hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
