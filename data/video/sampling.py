"""Chooses the frames of a video that are read, by their number or their times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def choose_uniform(timestamps_seconds: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Chooses frames evenly over the whole duration: by time, for videos of variable frame rate.

    The duration is divided into `count` equal parts; of each, the frame nearest to its middle is
    taken.

    Args:
        timestamps_seconds: (N,) ascending.
        count: frames wanted.

    Returns:
        Ascending frame numbers, (T,) int64, T = min(count, N).
    """
    total = len(timestamps_seconds)
    if total <= count:
        return np.arange(total)
    first, last = timestamps_seconds[0], timestamps_seconds[-1]
    duration = (last - first) * total / (total - 1)  # the last frame is shown for a while, too
    middles = first + (np.arange(count) + 0.5) * duration / count
    chosen = np.unique(nearest(timestamps_seconds, middles))
    # At a variable frame rate, one frame can be nearest for two parts: fill up with others.
    if len(chosen) < count:
        rest = np.setdiff1d(np.arange(total), chosen)
        filler = rest[np.linspace(0, len(rest) - 1, count - len(chosen)).round().astype(int)]
        chosen = np.union1d(chosen, filler)
    return chosen.astype(np.int64)


def nearest(
    timestamps_seconds: NDArray[np.float64], wanted_seconds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Finds the frame nearest to each wanted time; (K,) int64."""
    after = np.clip(
        np.searchsorted(timestamps_seconds, wanted_seconds), 1, len(timestamps_seconds) - 1
    )
    before = after - 1
    take_before = (
        wanted_seconds - timestamps_seconds[before] <= timestamps_seconds[after] - wanted_seconds
    )
    return np.where(take_before, before, after)


def choose_clips(total: int, count: int, clip_length: int) -> NDArray[np.int64]:
    """Chooses clips of consecutive frames, spread evenly over the whole video.

    Args:
        total: N, frames of the video.
        count: frames wanted, a multiple of `clip_length`.
        clip_length: frames of one clip.

    Returns:
        Ascending frame numbers, (T,) int64, T = min(count, N); each frame once.
    """
    if total <= count:
        return np.arange(total)
    runs = count // clip_length
    room = total - count
    # Equal gaps before, between and after the clips, so that they never overlap.
    starts = np.floor((np.arange(runs) + 0.5) * room / runs).astype(np.int64)
    starts += np.arange(runs) * clip_length
    return (starts[:, None] + np.arange(clip_length)).reshape(-1)
