"""Conditioned features: embeddings on their main directions, few and well scaled, to train on.

An embedding has a thousand or two thousand dimensions, most of which vary together, and a
recurrence over them costs in proportion. `Conditioning` maps a frame to some 128 numbers by one
linear map, fitted once on the frames of the training split. NumPy and SciPy alone; the head keeps
the map as a layer (`models.heads.architectures.Condition`), so that it reads embeddings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from data.errors import DatasetError
from data.io.interrupts import interruptible_threads
from data.operating_system.machine import cores
from features.sequences.padded import Padded, Rows
from models.configs import ConditionConfig
from models.principal_axes import largest_eigenvectors

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

BLOCK_FRAMES = 4096
"""Frames of one matrix product: 32 MB of D = 2048. The sums of a fixed size give fixed bytes."""
CACHED_FRAMES = 128
"""1 MB of D = 2048."""
MOST_THREADS = 8
"""That multiply a block each: 32 MB of frames and 16 MB of products."""
FLAT = 1e-8
"""A dimension of less variance is constant: float16 features carry about three digits."""
FLOOR = 1e-6
"""Directions of less variance than this share of the largest are rounding, and are left out."""
NOT_FINITE = (
    "a feature of the training split is not a number; check them with `unmask store verify`"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditioning:
    """A map of frames: (x - mean) @ matrix, where each frame x may be normalised first.

    `pca` and `pca_whiten` standardise each dimension and project on the directions of most
    variance; `pca_whiten` also divides by each direction's deviation. `layernorm_l2` normalises
    each frame (its own mean subtracted, then length 1: what layer normalisation without gain and
    then L2 give) before it is projected; the result is scaled to a mean square of 1.
    """

    kind: str  # of `models.configs.ConditionConfig`
    mean: NDArray[np.float32]  # (D,) subtracted
    matrix: NDArray[np.float32]  # (D, E) standardising, projection and scale in one
    # (E,) how large noise as large as one dimension of the standardised embedding, the root mean
    # square of all of them, is in each direction after the map
    spread: NDArray[np.float32]
    explained: float  # share of the frames' variance that the E directions have

    @property
    def normalises_frames(self) -> bool:
        """Whether each frame is normalised first."""
        return self.kind == "layernorm_l2"

    @property
    def dimensions(self) -> int:
        """E, length of a transformed frame."""
        return int(self.matrix.shape[1])

    @classmethod
    def fit(cls, features: Rows, mask: NDArray[np.bool_], config: ConditionConfig) -> Self:
        """Fits the map on all frames that exist, read once in blocks.

        Args:
            features: (N, T, D) of the training split; may be memory maps larger than memory.
            mask: (N, T).
            config: the kind, which is not "none", and E at most; fewer where the frames vary in
                fewer directions.

        Raises:
            DatasetError: a feature is not a number.
        """
        normalise = config.kind == "layernorm_l2"
        mean, covariance = _moments(features, mask, normalise=normalise)
        if not np.isfinite(covariance).all():
            raise DatasetError(NOT_FINITE)
        variance = np.diag(covariance).copy()
        varies = variance > (0 if normalise else FLAT)
        if normalise:
            deviation = np.ones_like(variance)
        else:  # correlations: no dimension counts for more because its numbers are larger
            deviation = np.where(varies, np.sqrt(np.maximum(variance, FLAT)), 1.0)
            covariance /= np.outer(deviation, deviation)
            covariance[~varies] = 0
            covariance[:, ~varies] = 0
        diagonal, dim = np.diag(covariance).copy(), len(variance)
        wanted = min(config.dimensions, dim)
        # float32 is enough for directions of more than FLOOR, and twice as fast: 1.1 s of D = 2048
        values, vectors = largest_eigenvectors(covariance.astype(np.float32), wanted)
        total = float(diagonal.sum())
        values = values[::-1].astype(np.float64)
        vectors = vectors[:, ::-1].astype(np.float64)
        kept = max(1, int(np.sum(values > FLOOR * max(values[0], 0))))
        values, vectors = np.maximum(values[:kept], 0), vectors[:, :kept]
        # A direction's sign is arbitrary: its largest entry is made positive.
        largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)]
        vectors = vectors * np.where(largest < 0, -1.0, 1.0)
        scale = np.ones(kept)
        if config.kind == "pca_whiten":
            scale = 1 / np.sqrt(np.where(values > 0, values, 1.0))
        elif normalise:
            scale /= np.sqrt(max(values.mean(), 1e-30))
        size = np.sqrt(total / max(int(varies.sum()), 1))
        return cls(
            kind=config.kind,
            mean=mean.astype(np.float32),
            matrix=(vectors / deviation[:, None] * scale).astype(np.float32),
            spread=(scale * size).astype(np.float32),
            explained=float(values.sum() / total) if total else 1.0,
        )

    def transform(self, frames: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(..., D) of any real type -> (..., E) float32."""
        flat = np.asarray(frames, np.float32).reshape(-1, len(self.mean))
        if self.normalises_frames:
            flat = normalised(flat)
        found = (flat - self.mean) @ self.matrix
        return np.asarray(found.reshape(*frames.shape[:-1], self.dimensions))

    def transform_sequences(self, sequences: Sequences) -> Sequences:
        """The same videos with transformed frames, float32 in memory, and their views."""
        views = sequences.views
        if views is not None:
            of_views = np.tile(sequences.mask, (len(views) // len(sequences), 1))
            views = self.transform_rows(views, of_views)
        features = self.transform_rows(sequences.features, sequences.mask)
        return replace(sequences, features=features, views=views)

    def transform_rows(self, features: Rows, mask: NDArray[np.bool_]) -> Padded:
        """(N, T, D), (N, T) -> (N, T, E) float32; zeros where the mask is false."""
        rows: list[NDArray[np.floating[Any]]] = []
        for block in _blocks(features):
            small = self.transform(np.concatenate(block))
            rows += np.split(small, np.cumsum([len(one) for one in block])[:-1])
        for row, exists in zip(rows, mask, strict=True):
            row[~exists[: len(row)]] = 0
        found = Padded(rows, dim=self.dimensions, dtype="float32")
        found.shape = (len(rows), features.shape[1], self.dimensions)
        return found


def normalised(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each frame without its mean over dimensions, and of length 1: (F, D) -> (F, D).

    A few frames at a time, which stay in the processor's cache: half the time, the same bytes.
    """
    found = np.empty(frames.shape, np.result_type(frames.dtype, np.float32))
    for start in range(0, len(frames), CACHED_FRAMES):
        block = frames[start : start + CACHED_FRAMES]
        centred = found[start : start + CACHED_FRAMES]
        np.subtract(block, block.mean(axis=1, keepdims=True), out=centred)
        length = np.sqrt(np.square(centred).sum(axis=1, keepdims=True))
        centred /= np.maximum(length, np.float32(1e-6))
    return found


def _blocks(
    features: Rows | list[NDArray[np.floating[Any]]],
) -> Iterator[list[NDArray[np.floating[Any]]]]:
    """The frames of some videos at a time, (T, D) each, about BLOCK_FRAMES together."""
    block: list[NDArray[np.floating[Any]]] = []
    held = 0
    for one in features.sequences if isinstance(features, Padded) else features:
        block.append(one)
        held += len(one)
        if held >= BLOCK_FRAMES:
            yield block
            block, held = [], 0
    if block:
        yield block


def _moments(
    features: Rows, mask: NDArray[np.bool_], *, normalise: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and covariance (D, D) of all frames that exist, float64.

    One block after the other is added up, whichever thread has multiplied it, so the sums have the
    same bytes with any number of threads.
    """
    dim = features.shape[-1]
    count, shift = 0, np.zeros(dim, np.float32)
    total, products = np.zeros(dim), np.zeros((dim, dim))
    threads = min(MOST_THREADS, cores())
    with interruptible_threads(threads) as pool:
        coming: deque[Future[tuple[NDArray[np.float64], NDArray[np.float32]]]] = deque()
        for frames in _existing(features, mask, normalise=normalise):
            if not count and len(frames):
                shift = frames.mean(axis=0)  # against cancellation
            count += len(frames)
            if len(coming) == threads:
                sums, squares = coming.popleft().result()
                total += sums
                products += squares
            coming.append(pool.submit(_sums, frames, shift))
        for one in coming:
            sums, squares = one.result()
            total += sums
            products += squares
    offset = total / max(count, 1)
    return shift + offset, products / max(count, 1) - np.outer(offset, offset)


def _existing(
    features: Rows, mask: NDArray[np.bool_], *, normalise: bool
) -> Iterator[NDArray[np.float32]]:
    """Frames that exist, (F, D) float32 in each block."""
    first = 0
    for block in _blocks(features):
        masks = mask[first : first + len(block)]
        first += len(block)
        exist = [one[exists[: len(one)]] for one, exists in zip(block, masks, strict=True)]
        frames = np.concatenate(exist).astype(np.float32)
        yield normalised(frames) if normalise else frames


def _sums(
    frames: NDArray[np.float32], shift: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Sum (D,) and products (D, D) of shifted frames (F, D), which are changed in place."""
    frames -= shift
    return frames.sum(axis=0, dtype=np.float64), frames.T @ frames
