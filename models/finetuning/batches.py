"""Batches of a fine-tuning epoch: drawn, forged and augmented.

`models.prefetch` makes one batch ahead in a thread. Without forgeries that takes 4 CPU ms a frame
of 224 pixels, the step 18 or more on two cores; most of it is in Pillow and NumPy without Python's
lock, so the step hardly ever waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.finetuning.clips import Clips, balanced_batches
from models.finetuning.forging import Forger
from models.finetuning.geometric_augmentation import draw_transforms, transform_clips
from models.finetuning.photometric_augmentation import distort, draw_distortion

if TYPE_CHECKING:
    from models.configs import FinetuneConfig


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The input of one step."""

    videos: NDArray[np.int64]  # (B,) indices of clips, real and fake in turn
    clips: NDArray[np.uint8]  # (B, F, S, S, 3) uint8, augmented


def clip_batches(
    train: Clips,
    config: FinetuneConfig,
    draw: np.random.Generator,
    forger: Forger | None = None,
) -> Iterator[ClipBatch]:
    """The batches of one epoch.

    Args:
        train: training clips.
        config: sizes and strengths.
        draw: source of all randomness.
        forger: replaces `config.forge` of the fakes by forgeries of their real partners.
    """
    size = train.pixels.shape[2]
    for videos in balanced_batches(train, config.pairs_per_batch, draw):
        clips = np.empty((len(videos), config.frames_per_clip, size, size, 3), np.uint8)
        for row in range(0, len(videos), 2):
            real, fake = (int(video) for video in videos[row : row + 2])
            rows = train.draw_frames(real, config.frames_per_clip, draw)
            clips[row] = train.pixels[real, rows]
            forged = None
            if forger is not None and draw.random() < config.forge:
                forged = forger.forge(real, rows, int(draw.integers(2**32)))
            if forged is None:
                rows = train.draw_frames(fake, config.frames_per_clip, draw)
                forged = train.pixels[fake, rows]
            clips[row + 1] = forged
            distortion = draw_distortion(draw, config)
            for at in (row, row + 1):
                clips[at] = distort(clips[at], distortion, draw)
        transforms = draw_transforms(draw, len(videos), config, size=size)
        yield ClipBatch(videos=videos, clips=transform_clips(clips, transforms))
