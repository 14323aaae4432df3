"""One face in two videos as vectors: traces of the pixels, and a backbone's embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.alignment.aligned_frames import AlignedFrames, FacePair, crop_track
from data.alignment.traces import measure_traces
from data.video.frames import FrameRecipe
from features.extraction.batches import Batcher, Encoder

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Described:
    """One face in one of the two videos."""

    vector: NDArray[np.float64]  # (P + 2 D,) traces; embeddings' mean; how they change
    features: Floats  # (T, D) embeddings of one frame of each run, as a head reads them


def describe(
    frames: AlignedFrames, pair: FacePair, recipe: FrameRecipe, encoder: Encoder, *, dtype: str
) -> tuple[Described, Described]:
    """Describes a face that both videos show.

    Args:
        frames: of both videos.
        pair: the face.
        recipe: size and margin of the crops that the backbone reads.
        encoder: the backbone.
        dtype: to which embeddings are rounded, as in the store.
    """
    crops = crop_track(frames, pair.boxes, side=recipe.size, margin=recipe.margin)
    batcher: Batcher[int] = Batcher(encoder)
    found: dict[int, Floats] = {}
    for number, pixels in enumerate((crops.one, crops.two)):
        for tag, embeddings in batcher.add(number, pixels):
            found[tag] = embeddings.astype(dtype)
    for tag, embeddings in batcher.flush():
        found[tag] = embeddings.astype(dtype)
    traces = measure_traces(pair, frames.consecutive)
    one, two = (
        Described(
            vector=np.concatenate([traces[number], pooled(found[number], frames.consecutive)]),
            features=found[number][starts(frames.consecutive)],
        )
        for number in (0, 1)
    )
    return one, two


def pooled(embeddings: Floats, consecutive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean, and mean absolute change from frame to next frame, (T, D) -> (2 D,)."""
    exact = embeddings.astype(np.float64)
    changes = np.abs(np.diff(exact, axis=0))[consecutive]
    change = changes.mean(0) if len(changes) else np.zeros(exact.shape[1])
    return np.concatenate([exact.mean(0), change])


def starts(consecutive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First frames of the runs: spread over the video, as a head was trained."""
    return np.flatnonzero(np.append(True, ~consecutive))
