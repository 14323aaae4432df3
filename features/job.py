"""A video to embed, and what it is called in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.known_faces import KnownFaces
from features.shard import StoredSequence


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to embed.

    Attributes:
        path: the file.
        name: as the manifest or the command line has it.
        sha256: of the file, hex.
        duration_seconds: for the progress bar.
        views: which views of it; 0 is the video as it is.
        original: sha256 of the real video that it was made from, if its faces are to be taken from
            there; else "".
        faces: of the original, once they are known.
    """

    path: Path
    name: str
    sha256: str
    duration_seconds: float
    views: tuple[int, ...] = (0,)
    original: str = ""
    faces: KnownFaces | None = None

    @property
    def identity(self) -> str:
        """What stands for the sha256 of the file in the store.

        Where faces are taken from an original, the crops depend on that file, too. So they stand
        under a digest of both, as a further video would, and never pass for the video's own.
        """
        if not self.original:
            return self.sha256
        return hashlib.sha256(f"{self.sha256} faces of {self.original}".encode()).hexdigest()

    def has_faces(self, boxes: NDArray[np.float32]) -> bool:
        """Whether these boxes are those of the original's faces."""
        return self.faces is not None and np.array_equal(boxes, self.faces.boxes)


def faces_of(original: StoredSequence) -> KnownFaces:
    """The faces of an original that was embedded, in memory of their own."""
    return KnownFaces(
        timestamps_seconds=np.array(original.timestamps_seconds),
        boxes=np.array(original.boxes),
        found=np.array(original.face_found),
    )


def stand_for(jobs: Iterable[Job]) -> dict[str, str]:
    """What stands in the store for a file's sha256 -> that sha256, where they differ."""
    return {job.identity: job.sha256 for job in jobs if job.original}
