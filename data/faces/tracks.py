"""Boxes over time: links detections into tracks, interpolates gaps, smooths. No pictures."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMOOTH_SECONDS = 0.12
"""Standard deviation of the smoothing kernel: 3 frames at 25 frames/s, and next to nothing where
frames are 0.3 s apart, so that a box never lags behind a moving head."""

Detections = dict[int, NDArray[np.float32]]
"""Frame number -> box (4,); in `link`'s tracks -> box and score (5,)."""


@dataclass(frozen=True, kw_only=True)
class FaceTrack:
    """One face over time."""

    boxes: NDArray[np.float32]  # (T, 4) float32, x0, y0, x1, y1, square, smoothed, without margin
    found: NDArray[np.bool_]  # (T,) bool, whether the detector saw the face in this very frame
    start: int  # the first frame that counts; 0 for the largest lasting face
    stop: int  # the one after the last; T for the largest lasting face


def as_track(
    seen: Detections,
    count: int,
    timestamps_seconds: NDArray[np.float64],
    *,
    span_only: bool = False,
) -> FaceTrack:
    """Extends boxes to a smooth track over all `count` frames.

    Args:
        seen: boxes where the face was seen.
        count: T, number of frames.
        timestamps_seconds: (T,).
        span_only: the track counts from the first to the last seen frame only.
    """
    found = np.zeros(count, bool)
    found[list(seen)] = True
    boxes = np.stack([expected(seen, index, timestamps_seconds) for index in range(count)])
    return FaceTrack(
        boxes=smooth(square(boxes), timestamps_seconds),
        found=found,
        start=min(seen) if span_only else 0,
        stop=max(seen) + 1 if span_only else count,
    )


def link(
    detections: dict[int, NDArray[np.float32]], timestamps_seconds: NDArray[np.float64]
) -> list[Detections]:
    """Links detections over time into tracks, the nearest pairs first.

    Args:
        detections: frame number -> (N, 5) boxes with scores.
        timestamps_seconds: (T,) of all frames.

    Returns:
        Tracks, frame number -> box and score (5,); sorted by the sum of score times area, the
        largest lasting face first.
    """
    tracks: list[Detections] = []
    weights: list[float] = []
    for index in sorted(detections):
        pairs = []
        for number, track in enumerate(tracks):
            last = track[max(track)][:4]
            gap = timestamps_seconds[index] - timestamps_seconds[max(track)]
            reach = 0.6 + 0.4 * min(gap, 1.0)
            pairs += [
                (float(np.abs(face[:4] - last).sum()), number, at)
                for at, face in enumerate(detections[index])
                if gap < 2.0 and fits(last, face[:4], reach)
            ]
        linked_tracks: set[int] = set()
        linked_faces: set[int] = set()
        for _, number, at in sorted(pairs):
            if number in linked_tracks or at in linked_faces:
                continue
            linked_tracks.add(number)
            linked_faces.add(at)
            face = detections[index][at]
            tracks[number][index] = face
            weights[number] += weight(face)
        for at, face in enumerate(detections[index]):
            if at not in linked_faces:
                tracks.append({index: face})
                weights.append(weight(face))
    order = sorted(range(len(tracks)), key=lambda number: -weights[number])
    return [tracks[number] for number in order]


def weight(face: NDArray[np.float32]) -> float:
    """Score times area of one detection (5,)."""
    return float(face[4] * (face[2] - face[0]) * (face[3] - face[1]))


def fits(box: NDArray[np.float32], other: NDArray[np.float32], reach: float = 1.0) -> bool:
    """Whether two boxes (4,), some frames apart, can be of one face: near and of similar size.

    `reach` is the largest shift of the centre over the longer of the two sides.
    """
    x0, y0, x1, y1 = box.tolist()
    u0, v0, u1, v1 = other.tolist()
    side, other_side = max(x1 - x0, y1 - y0), max(u1 - u0, v1 - v0)
    shift = max(abs(x0 + x1 - u0 - u1), abs(y0 + y1 - v0 - v1)) / 2
    return bool(shift < reach * max(side, other_side) and 0.5 * side < other_side < 2.0 * side)


def is_continued(seen: Detections, later: Detections) -> bool:
    """Whether one track continues another after an absence: it starts where that one ended."""
    if min(later) > max(seen):
        return fits(seen[max(seen)], later[min(later)])
    if max(later) < min(seen):
        return fits(later[max(later)], seen[min(seen)])
    return False


def jumps(boxes: NDArray[np.float32]) -> int:
    """How often a track (T, 4) jumps to another place from one frame to the next."""
    return sum(not fits(one, other) for one, other in itertools.pairwise(boxes))


def expected(
    seen: Detections, index: int, timestamps_seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The expected box on a frame: interpolated between its neighbours in time, or the nearest one.

    Across a jump, such as a cut, nothing is interpolated.
    """
    if index in seen:
        return seen[index]
    before = max((at for at in seen if at < index), default=None)
    after = min((at for at in seen if at > index), default=None)
    if before is None or after is None:
        return seen[after if before is None else before]  # type: ignore[index]
    start, now, end = timestamps_seconds[[before, index, after]]
    share = float((now - start) / max(end - start, 1e-9))
    if not fits(seen[before], seen[after]):
        return seen[before] if share < 0.5 else seen[after]
    between: NDArray[np.float32] = (1 - share) * seen[before] + share * seen[after]
    return between.astype(np.float32)


def square(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Makes boxes (T, 4) square around their centres, by their longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


def smooth(
    boxes: NDArray[np.float32], timestamps_seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Smooths square boxes (T, 4) by a symmetric Gaussian over time, never across a jump."""
    kernel = gaussian_kernel(timestamps_seconds, SMOOTH_SECONDS)
    shot = np.cumsum([False, *(not fits(*pair) for pair in itertools.pairwise(boxes))])
    kernel *= shot[:, None] == shot[None, :]
    kernel /= kernel.sum(1, keepdims=True)
    return np.asarray(kernel @ boxes, np.float32)


def gaussian_kernel(
    timestamps_seconds: NDArray[np.float64], sigma_seconds: float
) -> NDArray[np.float64]:
    """Gaussian weights (T, T) of each frame for each other, not normalised."""
    gaps = timestamps_seconds[:, None] - timestamps_seconds[None, :]
    kernel: NDArray[np.float64] = np.exp(-0.5 * (gaps / sigma_seconds) ** 2)
    return kernel
