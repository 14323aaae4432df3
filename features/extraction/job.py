"""One video to embed, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.faces.crops import Frames
from features.store.feature_set import Failure
from features.store.shard import StoredSequence


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to embed."""

    path: Path  # the file
    name: str  # as the manifest or the command line has it
    sha256: str  # of the file, hex
    duration_seconds: float  # for the progress bar
    views: tuple[int, ...] = (0,)  # which views of it; 0 is the video as it is


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Frames and features of one view of a job; or the failure of all its views."""

    job: Job
    view: int = 0
    frames: Frames | None = None
    features: NDArray[np.float32] | None = None  # (T, D)
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What the store keeps of one view of a job; or the failure of all its views."""

    job: Job
    view: int = 0
    sequence: StoredSequence | None = None
    failure: Failure | None = None
    sizes: int = 1  # of the video's picture, in the frames that were read
