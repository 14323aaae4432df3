"""Self-blended forgeries made while fine-tuning runs: a real clip gets a new one in each epoch.

Landmarks are found once for each cached real clip; forging then costs milliseconds a frame.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.landmarks import LandmarkFinder
from data.io.interrupts import interruptible_threads
from data.self_blending.clip import draw_parameters, forge_clip
from models.finetuning.clips import Clips, reserve

FACE_SHARE = 1 / 1.3
"""Side of the face over side of its crop, by the default `frames.margin`; the mesh takes faces half
as large or half again as large too."""
APART_SECONDS = 1.0
"""Cached frames are spread over a video: far apart, so that nothing is averaged over time."""


class Forger:
    """Forges cached real clips; `workers` threads look for landmarks.

    Attributes:
        points: landmarks (count, 468, 2) of each real clip in which a face was seen.
    """

    def __init__(self, clips: Clips, *, workers: int) -> None:
        self._pixels = clips.pixels
        finder = LandmarkFinder()
        size = clips.pixels.shape[2]
        inset = size * (1 - FACE_SHARE) / 2
        box = np.array([[inset, inset, size - inset, size - inset]], np.float32)

        def find(video: int) -> NDArray[np.float32] | None:
            count = int(clips.counts[video])
            try:
                found = finder.find(
                    clips.pixels[video, :count], np.repeat(box, count, axis=0), _times(count)
                )
            except VideoError:  # no face: it is not forged
                return None
            return found.points

        reals = [int(video) for video in np.flatnonzero(clips.labels == 0)]
        with interruptible_threads(workers) as pool:
            found = zip(reals, pool.map(find, reals), strict=True)
            self.points = {video: points for video, points in found if points is not None}

    def forge(self, video: int, rows: NDArray[np.int64], seed: int) -> NDArray[np.uint8] | None:
        """Some frames of a real clip with a forged face, the same for the same seed.

        Args:
            video: index of the clip.
            rows: (F,) which of its frames.
            seed: of the forgery, 0 to 2**32 - 1.

        Returns:
            (F, S, S, 3) uint8; None where no face was seen.
        """
        points = self.points.get(video)
        if points is None:
            return None
        return forge_clip(
            np.ascontiguousarray(self._pixels[video, rows]),
            points[rows],
            draw_parameters(seed),
            timestamps_seconds=_times(len(rows)),
        )

    def renumbered(self, pixels: NDArray[np.uint8], new: dict[int, int]) -> Forger:
        """The same landmarks for clips that lie elsewhere; `new` takes old indices to new ones.

        Clips that are not among them are dropped.
        """
        other = object.__new__(Forger)
        other._pixels = pixels
        other.points = {at: self.points[video] for video, at in new.items()}
        return other


@contextmanager
def with_forged_copies(
    clips: Clips, forger: Forger, *, seed: int, beside: Path
) -> Iterator[tuple[Clips, Forger]]:
    """Real clips and one forged copy of each, for data without fakes.

    Clips without landmarks are left out and listed as failures. The pixels are in a scratch folder
    that exists for the length of the block.

    Yields:
        the clips, real and forged in turn, and a forger for their new indices.
    """
    kept = sorted(forger.points)
    lost = [row for row in range(len(clips.labels)) if row not in forger.points]
    with tempfile.TemporaryDirectory(dir=beside, prefix=".forged-") as folder:
        path = Path(folder) / "pixels.npy"
        shape = (max(1, 2 * len(kept)), *clips.pixels.shape[1:])
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        reserve(path)
        for row, video in enumerate(kept):
            count = int(clips.counts[video])
            forged = forger.forge(video, np.arange(count), _seed(seed, row))
            pixels[2 * row] = clips.pixels[video]
            pixels[2 * row + 1, :count] = forged
        doubled = replace(
            clips,
            pixels=pixels[: 2 * len(kept)],
            counts=np.repeat(clips.counts[kept], 2),
            labels=np.tile(np.array([0, 1], np.int8), len(kept)),
            groups=_twice(clips.groups, kept),
            sha256s=_twice(clips.sha256s, kept),
            originals=np.where(np.arange(2 * len(kept)) % 2, np.arange(2 * len(kept)) - 1, -1),
            failures=clips.failures
            + tuple((clips.sha256s[row], "no landmarks of a face to forge") for row in lost),
        )
        yield doubled, forger.renumbered(doubled.pixels, {old: 2 * i for i, old in enumerate(kept)})


def _seed(seed: int, row: int) -> int:
    """A forgery's seed from the run's and the clip's place."""
    return int(np.random.default_rng((seed, row)).integers(2**32))


def _twice(values: Sequence[str], kept: Sequence[int]) -> tuple[str, ...]:
    return tuple(values[video] for video in kept for _ in range(2))


def _times(count: int) -> NDArray[np.float64]:
    return np.arange(count, dtype=np.float64) * np.float64(APART_SECONDS)
