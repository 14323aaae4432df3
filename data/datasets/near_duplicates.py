"""Near-duplicates: the same pictures in other bytes, found by perceptual hashes of a few frames.

A hash keeps the signs of a frame's lowest frequencies (pHash, Zauner 2010), which survive another
encoder, another size and another container. Cut, mirrored or re-timed copies are not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.io.progress import map_videos
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import Picture
from data.video.probe import probe

FRAMES = 8
SIDE = 32
KEPT = 12
"""Frequencies each way: 143 bits a frame without the mean. With 8, videos of different people in
one setting collide."""
WORDS = 3
"""64-bit words that hold a frame's bits."""
ALIKE = 0.10
"""Share of bits in which copies may differ; docs/evaluation.md has the measured distances."""
RECIPE = FrameRecipe(count=FRAMES, size=SIDE, crop="full", minimum_frames=1)
BLOCK = 256

VideoHash = NDArray[np.uint64]
"""(FRAMES, WORDS) uint64."""

_COSINES = np.cos(np.pi * (np.arange(SIDE)[None] + 0.5) * np.arange(KEPT)[:, None] / SIDE)


def video_hash(path: Path) -> VideoHash:
    """The hash of a video, (FRAMES, WORDS) uint64; a video with fewer frames repeats its last.

    Raises:
        VideoError: it cannot be read.
    """
    info = probe(path)
    pixels, _ = read_pixels(path, info, RECIPE, Picture(fixed=SIDE))
    grey = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]  # (T, SIDE, SIDE)
    frequencies = (_COSINES @ grey @ _COSINES.T).reshape(len(grey), -1)[:, 1:]  # without the mean
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    if len(bits) < FRAMES:
        bits = np.concatenate([bits, np.repeat(bits[-1:], FRAMES - len(bits), axis=0)])
    padded = np.zeros((FRAMES, WORDS * 64), bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def video_hashes(
    paths: Sequence[Path],
    *,
    workers: int,
    failed: Callable[[Path, VideoError], None] | None = None,
) -> list[VideoHash | None]:
    """The hashes of many videos, None for one that cannot be read.

    Args:
        paths: of the files.
        workers: videos read at once.
        failed: called for each that cannot be read, from several threads.
    """

    def look(path: Path) -> VideoHash | None:
        try:
            return video_hash(path)
        except VideoError as error:
            if failed is not None:
                failed(path, error)
            return None

    return map_videos(look, paths, workers=workers, desc="hashes")


def near_duplicate_pairs(
    hashes: Sequence[VideoHash | None],
) -> list[tuple[int, int, float]]:
    """Pairs of near-duplicates: the two indices, lower first, and the share of differing bits."""
    readable = [index for index, one in enumerate(hashes) if one is not None]
    if len(readable) < 2:
        return []
    table = np.stack([one.ravel() for one in hashes if one is not None])  # (N, FRAMES * WORDS)
    total = FRAMES * (KEPT * KEPT - 1)
    pairs = []
    for start in range(0, len(table), BLOCK):
        some = table[start : start + BLOCK]
        differ = np.zeros((len(some), len(table)), np.uint16)
        for word in range(table.shape[1]):  # a column at a time: no (BLOCK, N, words) array
            differ += np.bitwise_count(some[:, word, None] ^ table[None, :, word])
        for row, column in np.argwhere(differ <= ALIKE * total):
            if start + row < column:
                share = float(differ[row, column] / total)
                pairs.append((readable[start + row], readable[column], share))
    return pairs
