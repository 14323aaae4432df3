"""Batches of a fine-tuning epoch: drawn, forged and augmented.

All draws of a batch are made first, in order; its clips are then made from them by threads, and are
the same for any number of these. Most of the work is in OpenCV, Pillow and NumPy without Python's
lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.io.interrupts import interruptible_threads
from models.finetuning.clips import Clips, balanced_batches
from models.finetuning.forging import Forger
from models.finetuning.geometric_augmentation import draw_transforms, transform_clip
from models.finetuning.photometric_augmentation import Distortion, distort, draw_distortion

if TYPE_CHECKING:
    from models.configs import FinetuneConfig


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The input of one step."""

    videos: NDArray[np.int64]  # (B,) indices of clips, real and fake in turn
    clips: NDArray[np.uint8]  # (B, F, S, S, 3) uint8, augmented


@dataclass(frozen=True, kw_only=True)
class _ClipDraw:
    """What was drawn for one clip of a batch."""

    video: int
    rows: NDArray[np.int64]  # (F,) its frames
    # the clip, its frames and the seed of a forgery that replaces it, where a face was seen there
    forgery: tuple[int, NDArray[np.int64], int] | None
    distortion: Distortion
    noise_seed: int
    transform: NDArray[np.float32]  # (2, 3)


def clip_batches(
    train: Clips,
    config: FinetuneConfig,
    draw: np.random.Generator,
    forger: Forger | None = None,
    *,
    workers: int = 1,
) -> Iterator[ClipBatch]:
    """The batches of one epoch.

    Args:
        train: training clips.
        config: sizes and strengths.
        draw: source of all randomness.
        forger: replaces `config.forge` of the fakes by forgeries of their real partners.
        workers: threads that make a batch's clips.
    """
    size = train.pixels.shape[2]

    def make(one: _ClipDraw) -> NDArray[np.uint8]:
        clip = None
        if one.forgery is not None and forger is not None:
            clip = forger.forge(*one.forgery)
        if clip is None:
            clip = train.pixels[one.video, one.rows]
        return transform_clip(distort(clip, one.distortion, one.noise_seed), one.transform)

    with interruptible_threads(workers) as pool:
        for videos in balanced_batches(
            train, config.pairs_per_batch, draw, by_scene=config.pairs == "scene"
        ):
            drawn = _draw_batch(train, videos, config, draw, forges=forger is not None)
            clips = np.empty((len(videos), config.frames_per_clip, size, size, 3), np.uint8)
            for row, clip in enumerate(pool.map(make, drawn)):
                clips[row] = clip
            yield ClipBatch(videos=videos, clips=clips)


def _draw_batch(
    train: Clips,
    videos: NDArray[np.int64],
    config: FinetuneConfig,
    draw: np.random.Generator,
    *,
    forges: bool,
) -> list[_ClipDraw]:
    """The draws of a batch's clips, (B,) real and fake in turn."""
    transforms = draw_transforms(draw, len(videos), config, size=train.pixels.shape[2])
    drawn: list[_ClipDraw] = []
    scenes = train.scenes
    for row in range(0, len(videos), 2):
        real, fake = (int(video) for video in videos[row : row + 2])
        rows, of_fake = (
            train.draw_frames(video, config.frames_per_clip, draw) for video in (real, fake)
        )
        seed, *noise_seeds = (int(one) for one in draw.integers(2**31, size=3))
        forged = forges and draw.random() < config.forge
        if config.pairs == "scene" and (forged or scenes[real] == scenes[fake]):
            transforms[row + 1] = transforms[row]
            if train.counts[real] == train.counts[fake]:
                of_fake = rows
        distortion = draw_distortion(draw, config)
        for video, which, forgery in (
            (real, rows, None),
            (fake, of_fake, (real, rows, seed) if forged else None),
        ):
            drawn.append(
                _ClipDraw(
                    video=video,
                    rows=which,
                    forgery=forgery,
                    distortion=distortion,
                    noise_seed=noise_seeds[len(drawn) % 2],
                    transform=transforms[len(drawn)],
                )
            )
    return drawn
