"""Alignment in place: a similarity (shift, scale, rotation), perhaps mirrored, from picture points.

Points are found and described by SIFT (Lowe, 2004), compared by his ratio test, and fitted by
RANSAC, over several simultaneous frames at once: a crop or a scale is one for a whole video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

POINTS = 600
"""Points of one frame."""
RATIO = 0.75
"""Distance of the best match over that of the second best, at most (Lowe)."""
TOLERANCE = 0.006
"""Distance of an inlier from its place, over the picture's longer side: 2 pixels of 320."""
LEAST_SCALE, MOST_SCALE = 0.2, 5.0
"""Scales beyond these are accidents of a few points."""
LEAST_POINTS = 4

Points = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Places (N, 2), in pixels from the picture's corner, and descriptors (N, 128)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where the one video's picture lies in the other's."""

    # (2, 3) float64: a place x, y of the one (times it, plus the last column) is one of the other,
    # which is mirrored first where `mirrored`
    matrix: NDArray[np.float64]
    mirrored: bool
    inliers: int  # points that agree, over all frames
    frames: int  # frames with at least LEAST_POINTS of them
    compared: int  # frames that were compared

    @property
    def scale(self) -> float:
        """Pixels of the other video over those of the one."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))


def find_points(grey: NDArray[np.uint8], *, mirrored: bool = False) -> Points:
    """SIFT's points of one frame (h, w) uint8."""
    if mirrored:
        grey = np.ascontiguousarray(grey[:, ::-1])
    found, described = cv2.SIFT.create(nfeatures=POINTS).detectAndCompute(grey, None)
    if described is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    places = np.asarray([one.pt for one in found], np.float32) + np.float32(0.5)
    # RootSIFT (Arandjelovic and Zisserman, 2012): more right matches at no cost
    described /= np.maximum(described.sum(1, keepdims=True), 1e-7)
    return places, np.sqrt(described)


def match_points(one: Points, two: Points) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places of points that are each other's best match and pass the ratio test, (K, 2) each."""
    empty = np.zeros((0, 2), np.float32)
    if min(len(one[0]), len(two[0])) < 2:
        return empty, empty
    likeness = one[1] @ two[1].T  # unit vectors: distance^2 = 2 - 2 likeness
    best = likeness.argmax(1)
    rows = np.arange(len(best))
    top = likeness[rows, best]
    second = np.partition(likeness, -2, axis=1)[:, -2]
    good = 2 - 2 * top < RATIO**2 * (2 - 2 * second)
    good &= likeness.argmax(0)[best] == rows
    return one[0][good], two[0][best[good]]


def place(
    pairs: Sequence[tuple[Points, Points]], *, mirrored: bool, longest: float
) -> Placement | None:
    """The similarity that most points of all pairs of frames agree with; None without one.

    Args:
        pairs: points of simultaneous frames; those of the other video from mirrored frames where
            `mirrored`.
        mirrored: for the record.
        longest: the longer side of the other video's frames, in pixels.
    """
    matched = [match_points(*pair) for pair in pairs]
    numbers = np.repeat(np.arange(len(matched)), [len(one) for one, _ in matched])
    if len(numbers) < LEAST_POINTS:
        return None
    ones = np.concatenate([one for one, _ in matched])
    twos = np.concatenate([two for _, two in matched])
    matrix, inliers = cv2.estimateAffinePartial2D(
        ones,
        twos,
        method=cv2.RANSAC,
        ransacReprojThreshold=TOLERANCE * longest,
        maxIters=2000,
        confidence=0.999,
        refineIters=10,
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None
    kept = inliers.ravel().astype(bool)
    counts = np.bincount(numbers[kept], minlength=len(matched))
    found = Placement(
        matrix=np.asarray(matrix, np.float64),
        mirrored=mirrored,
        inliers=int(kept.sum()),
        frames=int((counts >= LEAST_POINTS).sum()),
        compared=len(matched),
    )
    return found if LEAST_SCALE <= found.scale <= MOST_SCALE else None


def warp(
    picture: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Draws a picture as another sees it; what lies outside of it is black.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        matrix: (2, 3) from places of the result to places of the picture, from the corner.
        size: width w and height h of the result.

    Returns:
        (h, w) or (h, w, 3) uint8. Where the picture is finer than the result it is blurred first.
    """
    centred = matrix.copy()  # OpenCV counts from the middle of the first pixel
    centred[:, 2] += centred[:, :2].sum(1) / 2 - 0.5
    shrunk = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrunk > 1.2:  # antialiasing of the filter's other half is bilinear
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 * float(shrunk)), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, centred, size, flags=flags), np.uint8)


def rescaled(matrix: NDArray[np.float64], one: float, two: float) -> NDArray[np.float64]:
    """The same similarity (2, 3) for pictures enlarged by the factors `one` and `two`."""
    scaled = matrix * two
    scaled[:, :2] /= one
    return scaled


def unmirrored(matrix: NDArray[np.float64], *, width: float) -> NDArray[np.float64]:
    """A similarity (2, 3) to a mirrored picture, as an affine map to the picture as it is."""
    flipped = matrix.copy()
    flipped[0] *= -1
    flipped[0, 2] += width
    return flipped
