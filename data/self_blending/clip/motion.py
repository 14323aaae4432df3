"""Time in a self-made forgery: how its values change, and which moment each frame shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.faces.landmarks import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS,
    NOSE,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
    roll,
)
from data.self_blending.clip.parameters import Eyes, Pace

CONTROL = (
    *(*OVAL[::2], *LIPS[:20:2], *LIPS[20::3], *LEFT_EYE[::3], *RIGHT_EYE[::3]),
    *(*LEFT_BROW[::3], *RIGHT_BROW[::3], *NOSE[::2]),
)
"""Points that define a warp; all 468 would cost much and add nothing."""
RIGID = (*NOSE, 33, 133, 362, 263, 234, 454, 127, 356, 10, 151)
"""Points that expressions hardly move: they show the head's pose."""
SPARSE_SECONDS = 0.1
"""Frames further apart than this are single pictures: there is no lag, hold or memory."""
LIKE_POSE = 0.03
"""Root mean square distance of normalised rigid points up to which two poses are similar. Measured:
neighbouring poses of a clip are 0.001 to 0.02 apart, a profile and a face ahead 0.1 to 0.2."""
APART_SECONDS = 0.35
"""A reenacted expression comes from a moment at least this far away, where the clip has one."""


def face_sizes(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The larger of a face's height and width, (T,) float32 pixels, of points (T, 468, 2)."""
    height = np.linalg.norm(points[:, 10] - points[:, 152], axis=1)
    width = np.linalg.norm(points[:, 234] - points[:, 454], axis=1)
    return np.asarray(np.maximum(np.maximum(height, width), 4.0), np.float32)


def normalised(points: NDArray[np.float32], which: tuple[int, ...]) -> NDArray[np.float32]:
    """Chosen points without place, size and roll, (T, K, 2): pose and expression remain."""
    centred = points[:, which] - points[:, RIGID].mean(1, keepdims=True)
    angles = np.asarray([roll(one) for one in points])
    cosine, sine = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    sized = np.einsum("tkx,txy->tky", centred, turn) / face_sizes(points)[:, None, None]
    return np.asarray(sized, np.float32)


def series(
    rng: np.random.Generator, times: NDArray[np.float64], pace: Pace, count: int
) -> NDArray[np.float32]:
    """Values that vary about 0 with a standard deviation of about 1, (T, count) float32.

    Args:
        rng: source.
        times: (T,) seconds.
        pace: "smooth" swings at 0.3 to 1.8 Hz, "jittery" jumps from frame to frame, "both" adds.
        count: of independent values.
    """
    rates = rng.uniform(0.3, 1.8, (3, count))
    phases = rng.uniform(0, 2 * np.pi, (3, count))
    swing = np.sin(2 * np.pi * rates * times[:, None, None] + phases).sum(1) / np.sqrt(1.5)
    jump = np.clip(rng.standard_normal((len(times), count)), -2.5, 2.5)
    mixed = {"smooth": swing, "jittery": jump, "both": (swing + jump) / np.sqrt(2)}
    return np.asarray(mixed[pace], np.float32)


def late(times: NDArray[np.float64], lag: float, hold: float) -> NDArray[np.int64]:
    """The frame whose face each frame shows, with a lag and a hold in seconds, (T,) int64."""
    wanted = times - lag
    if hold > 0:
        wanted = times[0] + np.floor((wanted - times[0]) / hold + 1e-6) * hold
    found = np.searchsorted(times, wanted + 1e-6, side="right") - 1
    return np.clip(found, 0, len(times) - 1)


def other_moments(points: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each frame another moment of the clip with the head in a similar pose, (T,) int64."""
    pose = normalised(points, RIGID)
    gaps = np.abs(times[:, None] - times[None, :])
    apart = min(APART_SECONDS, (times[-1] - times[0]) / 3)
    cost = root_mean_squares(pose, pose) + np.where(gaps < apart, 1.0, 0.0)
    return smooth_path(cost, 0.002)


def fitting_moments(
    points: NDArray[np.float32],
    source: NDArray[np.float32],
    moments: NDArray[np.int64],
    instead: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Moments of a source (T,), replaced by `instead` where its head has another pose.

    Nobody would publish a profile warped onto a frontal face.
    """
    pose, wanted = normalised(source, RIGID), normalised(points, RIGID)
    gap = np.sqrt(((pose[moments] - wanted) ** 2).mean((1, 2)))
    return np.asarray(np.where(gap <= LIKE_POSE, moments, instead))


def like_moments(points: NDArray[np.float32], donor: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each frame the moment of the donor's clip most like it in pose and face, (T,) int64."""
    weight = 0.4  # of the mouth: a wrong opening is seen less than a wrong pose
    pose = root_mean_squares(normalised(points, RIGID), normalised(donor, RIGID))
    mouth = root_mean_squares(normalised(points, LIPS), normalised(donor, LIPS))
    return smooth_path(pose + weight * mouth, 0.002)


def smooth_path(cost: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    """The cheapest path through time (Viterbi): cost (T, S) plus `step` for each frame skipped.

    To stay, or to go on by one frame either way, is free; a jump never costs more than 20 steps,
    so that a cut in the clip can be crossed.
    """
    count, states = cost.shape
    jump = np.abs(np.arange(states)[:, None] - np.arange(states)[None, :])
    price = step * np.minimum(np.maximum(jump - 1, 0), 20)
    best = cost[0]
    came = np.zeros((count, states), np.int64)
    for index in range(1, count):
        total = best[:, None] + price  # from, to
        came[index] = total.argmin(0)
        best = total.min(0) + cost[index]
    path = np.empty(count, np.int64)
    path[-1] = best.argmin()
    for index in range(count - 1, 0, -1):
        path[index - 1] = came[index, path[index]]
    return path


def eye_moments(
    rng: np.random.Generator, points: NDArray[np.float32], times: NDArray[np.float64], eyes: Eyes
) -> NDArray[np.int64] | None:
    """The frame whose eyes each frame shows, (T,) int64; None: its own."""
    if eyes == "own":
        return None
    opened = np.linalg.norm(points[:, 159] - points[:, 145], axis=1)
    opened += np.linalg.norm(points[:, 386] - points[:, 374], axis=1)
    start = int(np.argmax(opened / face_sizes(points)))
    if eyes == "frozen":
        return np.full(len(times), start)
    length = rng.uniform(0.25, 0.8)
    # Forwards and backwards, so that the loop has no jump.
    phase = np.abs((times - times[start] + length) % (2 * length) - length)
    found = np.searchsorted(times, times[start] + phase - 1e-6)
    return np.asarray(np.clip(found, 0, len(times) - 1))


def missing_frames(
    rng: np.random.Generator, times: NDArray[np.float64], share: float
) -> NDArray[np.bool_]:
    """Frames in which the forgery fails, (T,) bool: short runs, never more than a fifth."""
    missing = np.zeros(len(times), bool)
    wanted = min(round(share * len(times)), len(times) // 5)
    while missing.sum() < wanted:
        start = int(rng.integers(len(times)))
        rest = wanted - int(missing.sum())
        missing[start : start + int(rng.integers(1, min(3, rest) + 1))] = True
    return missing


def root_mean_squares(
    one: NDArray[np.floating], other: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Root mean square distance of each pair of rows (T, ...) and (S, ...), (T, S)."""
    one, other = (rows.reshape(len(rows), -1).astype(np.float64) for rows in (one, other))
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None, :] - 2 * one @ other.T
    return np.asarray(np.sqrt(np.maximum(squares, 0) / one.shape[1]))
