"""Statistics of a clip: what its frames are on average and how much they vary. NumPy alone.

A forged face often flickers: its embeddings vary over the clip in other directions, and more, than
those of a real face. `mean` is the average of the frames, `deviation` their standard deviation over
the clip, `steps` the mean absolute difference of neighbouring frames, which alone depends on their
order. The same three in Keras are `models.layers.statistics.ClipStatistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from features.sequences.padded import Rows
from models.conditioning.linear_map import normalised
from models.configs import FrameNorm, Statistic

BLOCK_VIDEOS = 64
"""Videos whose frames are in memory at once."""

MEAN_SHARE = 0.5
"""Of the mean beside what varies over a clip: a penalised model gives it a quarter of the weight.
People and scenes differ in it most. On ../shared/faces, people and programs held out, the AUC over
programs with three clips or more rose from 0.74 to 0.77 so (docs/transfer.md); and a single
frame, which does not vary, still has a score."""

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def clip_statistics(
    x: Array, mask: Mask, *, statistics: Sequence[str], frame_norm: str = "none"
) -> tuple[Array, Mask]:
    """The statistics of padded clips.

    Args:
        x: (B, T, D) float32; anything where there is no frame.
        mask: (B, T).
        statistics: K names.
        frame_norm: "layernorm_l2" makes each frame's own mean 0 and its length 1, first.

    Returns:
        (B, K D), and which of them exist, (B, K): deviation needs two frames, steps two that are
        neighbours. Those that do not are 0.
    """
    x = np.where(mask[..., None], x, np.float32(0))
    if frame_norm == "layernorm_l2":
        x = normalised(x.reshape(-1, x.shape[-1])).reshape(x.shape)
    found = [STATISTICS[name](x, mask) for name in statistics]
    return np.concatenate([one for one, _ in found], 1), np.stack([one for _, one in found], 1)


def _mean(x: Array, mask: Mask) -> tuple[Array, Mask]:
    count = mask.sum(1)
    total = (x * mask[..., None]).sum(1)
    return total / np.maximum(count, 1)[:, None].astype(np.float32), count > 0


def _deviation(x: Array, mask: Mask) -> tuple[Array, Mask]:
    centred = (x - _mean(x, mask)[0][:, None]) * mask[..., None]
    count = mask.sum(1)
    freedom = np.maximum(count - 1, 1)[:, None].astype(np.float32)
    return np.sqrt(np.square(centred).sum(1) / freedom), count > 1


def _steps(x: Array, mask: Mask) -> tuple[Array, Mask]:
    both = mask[:, 1:] & mask[:, :-1]
    count = both.sum(1)
    total = (np.abs(x[:, 1:] - x[:, :-1]) * both[..., None]).sum(1)
    return total / np.maximum(count, 1)[:, None].astype(np.float32), count > 0


STATISTICS: dict[str, Callable[[Array, Mask], tuple[Array, Mask]]] = {
    "mean": _mean,
    "deviation": _deviation,
    "steps": _steps,
}
"""(B, T, D), (B, T) -> (B, D), and (B,) whether a clip has enough frames."""


def statistics_of(
    features: Rows, mask: Mask, *, statistics: Sequence[Statistic], frame_norm: FrameNorm
) -> Array:
    """`clip_statistics` of many videos, (N, T, D), (N, T) -> (N, K D) float32; NaN for none."""
    found = np.zeros((len(mask), len(statistics) * features.shape[-1]), np.float32)
    for start in range(0, len(mask), BLOCK_VIDEOS):
        rows = slice(start, start + BLOCK_VIDEOS)
        block = np.asarray(features[rows], np.float32)
        values, exist = clip_statistics(
            block, mask[rows], statistics=statistics, frame_norm=frame_norm
        )
        exists = np.repeat(exist, features.shape[-1], axis=1)
        found[rows] = np.where(exists, values, np.nan)
    return found


def statistic_shares(statistics: Sequence[str], dim: int) -> NDArray[np.float64]:
    """(K dim,) of each statistic, for `models.linear.fit.fit_linear_model`; 1 for a mean alone."""
    share = MEAN_SHARE if len(statistics) > 1 else 1.0
    return np.repeat([share if name == "mean" else 1.0 for name in statistics], dim)


def frame_statistics(
    features: Rows, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance, each (D,) float64, over all frames that exist; one video at a time.

    Args:
        features: (N, T, D), may be a memory map larger than memory.
        mask: (N, T).
    """
    count = max(int(mask.sum()), 1)
    total, squares = np.zeros((2, features.shape[-1]))
    shift = np.asarray(features[0][mask[0]], np.float64).mean(axis=0)  # against cancellation
    for frames, exists in zip(features, mask, strict=True):
        centred = np.asarray(frames[exists], np.float64) - shift
        total += centred.sum(axis=0)
        squares += np.square(centred).sum(axis=0)
    mean = total / count
    return mean + shift, np.maximum(squares / count - np.square(mean), 0)
