"""What a run of `extract` did, and the seconds of each phase."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from features.store.feature_set import Failure


@dataclass(kw_only=True)
class Phases:
    """Seconds by phase: `read` of all threads together, the others of the main thread.

    `faces` is the part of `read` that was spent on finding faces.
    """

    read: float = 0.0
    faces: float = 0.0
    backbone: float = 0.0
    write: float = 0.0
    waiting: float = 0.0

    def add(self, other: Phases) -> None:
        """Adds another worker's seconds."""
        for name, seconds in asdict(other).items():
            setattr(self, name, getattr(self, name) + seconds)


@dataclass(kw_only=True)
class ExtractSummary:
    """What a run of `extract` did."""

    done: int = 0  # videos embedded in this run, or some view of them
    reused: int = 0  # videos whose features were in the store, or those of a file of the same bytes
    augmented: int = 0  # augmented views embedded in this run
    kept_crops: int = 0  # videos of this run whose crops were in the store
    # Videos without features; the next run tries them again.
    failures: list[Failure] = field(default_factory=list)
    # Names of those embedded in this run whose picture changes its size.
    resized: list[str] = field(default_factory=list)
    frames: int = 0  # embedded in this run
    size_bytes: int = 0  # rows written in this run
    video_seconds: float = 0.0  # length of the videos embedded in this run
    wall_seconds: float = 0.0  # of the run
    phases: Phases = field(default_factory=Phases)  # seconds of each phase

    @property
    def failed_by_class(self) -> dict[str, int]:
        """Number of failures of each class."""
        return dict(sorted(Counter(failure.failure for failure in self.failures).items()))


def where_time_went(summary: ExtractSummary, workers: int) -> dict[str, Any]:
    """Seconds by phase, and the phase that limits the speed, for the summary line.

    Waiting for readers, the backbone and writing share one thread: the longest is the limit.
    """
    phases = summary.phases
    shares = {"reading": phases.waiting, "backbone": phases.backbone, "writing": phases.write}
    binding = max(shares, key=lambda name: shares[name])
    return {
        "decode_seconds": phases.read - phases.faces,
        "faces_seconds": phases.faces,
        "backbone_seconds": phases.backbone,
        "write_seconds": phases.write,
        "waiting_seconds": phases.waiting,
        "workers": workers,
        "binding": binding,
    }
