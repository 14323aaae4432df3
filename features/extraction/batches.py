"""Batches of fixed size from frames of many videos; each video gets its own rows back.

So the encoder runs on full batches even where videos are short. Every call has the same size,
filled up with black frames at the very end, so a frame's embedding does not depend on its batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Tag = TypeVar("Tag")


class Encoder(Protocol):
    """A backbone as a function of a full batch: (batch_size, S, S, 3) uint8 -> (batch_size, D)."""

    digest: str  # sha256 over its weights
    dim: int  # D, length of one embedding
    batch_size: int  # rows of every call

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class LoadableEncoder(Encoder, Protocol):
    """An encoder whose network is loaded when it is needed, or ahead of that."""

    def load(self) -> Encoder: ...


@dataclass(kw_only=True)
class _Open(Generic[Tag]):
    """A video with frames that are not embedded yet."""

    tag: Tag
    pixels: NDArray[np.uint8]  # (T, S, S, 3)
    taken: int = 0
    parts: list[NDArray[np.float32]] = field(default_factory=list)  # (n, D)

    @property
    def left(self) -> int:
        return len(self.pixels) - self.taken


class Batcher(Generic[Tag]):
    """Collects videos and runs the encoder whenever a batch is full.

    Args:
        encoder: called with full batches only.

    Attributes:
        seconds: spent in the encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.seconds = 0.0
        self._encoder = encoder
        self._waiting: deque[_Open[Tag]] = deque()
        self._count = 0  # frames not embedded yet

    def add(self, tag: Tag, pixels: NDArray[np.uint8]) -> Iterator[tuple[Tag, NDArray[np.float32]]]:
        """Adds a video; yields those whose frames are all embedded now.

        Args:
            tag: is yielded with the embeddings.
            pixels: (T, S, S, 3), T at least 1.

        Yields:
            A tag and its (T, D) embeddings.
        """
        if not len(pixels):
            raise ValueError(f"there must be frames, got none of {tag}")
        self._waiting.append(_Open(tag=tag, pixels=pixels))
        self._count += len(pixels)
        while self._count >= self._encoder.batch_size:
            yield from self._run()

    def flush(self) -> Iterator[tuple[Tag, NDArray[np.float32]]]:
        """Embeds the remaining frames, the last batch filled up with black frames."""
        while self._count:
            yield from self._run()

    def _run(self) -> Iterator[tuple[Tag, NDArray[np.float32]]]:
        size, dim = self._encoder.batch_size, self._encoder.dim
        batch = np.zeros((size, *self._waiting[0].pixels.shape[1:]), np.uint8)
        shares: list[tuple[_Open[Tag], int, int]] = []  # video, rows of the batch
        row = 0
        while row < size and self._waiting:
            video = self._waiting[0]
            count = min(size - row, video.left)
            batch[row : row + count] = video.pixels[video.taken : video.taken + count]
            video.taken += count
            shares.append((video, row, row + count))
            row += count
            if not video.left:
                self._waiting.popleft()
        self._count -= row
        clock = time.monotonic()
        embeddings = self._encoder(batch)  # (batch_size, D)
        self.seconds += time.monotonic() - clock
        if embeddings.shape != (size, dim):
            raise ValueError(f"embeddings must be ({size}, {dim}), got {embeddings.shape}")
        for video, start, end in shares:
            video.parts.append(embeddings[start:end].copy())
            if not video.left:
                yield video.tag, np.concatenate(video.parts)
