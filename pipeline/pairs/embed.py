"""One face in two videos as a backbone's embeddings, for what a head says of each video alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.alignment.aligned_frames import AlignedFrames, FacePair, crop_track, starts
from data.video.frames import FrameRecipe
from features.extraction.batches import Batcher, Encoder

Floats = NDArray[np.floating[Any]]


def embed(
    frames: AlignedFrames, pair: FacePair, recipe: FrameRecipe, encoder: Encoder, *, dtype: str
) -> tuple[Floats, Floats]:
    """Embeds a face that both videos show, in the first frame of each run.

    Args:
        frames: of both videos.
        pair: the face.
        recipe: size and margin of the crops that the backbone reads.
        encoder: the backbone.
        dtype: to which embeddings are rounded, as in the store.

    Returns:
        (T, D) of each video, as a head reads them.
    """
    crops = crop_track(frames, pair.boxes, side=recipe.size, margin=recipe.margin)
    chosen = starts(frames.consecutive)
    batcher: Batcher[int] = Batcher(encoder)
    found: dict[int, Floats] = {}
    for number, pixels in enumerate((crops.one[chosen], crops.two[chosen])):
        for tag, embeddings in batcher.add(number, pixels):
            found[tag] = embeddings.astype(dtype)
    for tag, embeddings in batcher.flush():
        found[tag] = embeddings.astype(dtype)
    return found[0], found[1]
