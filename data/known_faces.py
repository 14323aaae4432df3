"""Faces of an original, for its forgeries: where frames correspond, so do the faces' places.

A forgery of the kind that the field's data sets hold shows its original frame by frame, but for the
face. So the face is looked for once, in the original, and both are cropped alike: no forgery can be
told from its original by how its crops shake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAME_SECONDS = 1e-3
"""Containers round the times of the same frames to their own clocks."""
LOOKS = 3
"""Frames in which the forgery must show a face there, most of them: a data set may be mistaken
about what is whose original."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownFaces:
    """The face crops of an original.

    Attributes:
        timestamps_seconds: (T,) float64, of its chosen frames.
        boxes: (T, 4) float32, x0, y0, x1, y1 of each crop in pixels of the video as shown.
        found: (T,) bool; whether the detector saw the face in this very frame.
    """

    timestamps_seconds: NDArray[np.float64]
    boxes: NDArray[np.float32]
    found: NDArray[np.bool_]


class FaceLooker(Protocol):
    """What is needed of `data.faces.FaceFinder`."""

    def sees(self, frame: NDArray[np.uint8], box: NDArray[np.float32]) -> bool: ...


def correspond(
    known: KnownFaces,
    frames: NDArray[np.uint8],
    timestamps_seconds: NDArray[np.float64],
    *,
    scale: float,
    margin: float,
    faces: FaceLooker,
) -> bool:
    """Whether a video has its original's frames, and faces where that has them.

    Args:
        known: of the original, a video of the same size.
        frames: (T, H, W, 3) uint8 RGB, the video's chosen frames.
        timestamps_seconds: (T,), of them.
        scale: from pixels of the video as shown to pixels of `frames`.
        margin: side of a crop over side of the face.
        faces: looks into a few of the frames.
    """
    times = known.timestamps_seconds
    if len(times) != len(timestamps_seconds):
        return False
    if np.abs(times - timestamps_seconds).max() > SAME_SECONDS:
        return False
    where = np.flatnonzero(known.found)
    looked = where[np.linspace(0, len(where) - 1, LOOKS).round().astype(int)]
    centre = (known.boxes[:, :2] + known.boxes[:, 2:]) / 2
    half = (known.boxes[:, 2:] - known.boxes[:, :2]) / 2 / margin
    boxes = (np.concatenate([centre - half, centre + half], axis=1) * scale).astype(np.float32)
    seen = sum(faces.sees(frames[index], boxes[index]) for index in looked)
    return 2 * seen > LOOKS
