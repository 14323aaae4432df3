"""A video to embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to embed.

    Attributes:
        path: the file.
        name: as the manifest or the command line has it.
        sha256: of the file, hex.
        duration_seconds: for the progress bar.
        views: which views of it; 0 is the video as it is.
    """

    path: Path
    name: str
    sha256: str
    duration_seconds: float
    views: tuple[int, ...] = (0,)
