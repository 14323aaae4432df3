"""Thumbnails: the face crops of a video that was embedded before, read again for a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.crops import crop_faces, read_frames
from data.video.frames import FrameRecipe, read_whole
from data.video.picture import Pictures, whole_picture
from data.video.probe import probe

SAME_SECONDS = 1e-3
"""Two readings of one frame agree in time to this."""


def read_thumbnails(
    path: Path,
    recipe: FrameRecipe,
    boxes: NDArray[np.float32],
    timestamps_seconds: NDArray[np.float64],
    *,
    places: NDArray[np.int64],
    size: int,
) -> NDArray[np.uint8]:
    """Reads the crops of some embedded frames again, at the boxes found then.

    Args:
        path: the same video.
        recipe: with which it was embedded.
        boxes: (T, 4) float32, the crops of all its embedded frames, in pixels of each as shown.
        timestamps_seconds: (T,) of these frames.
        places: (K,) indices of the frames to read.
        size: S, side of a crop in pixels.

    Returns:
        (K, S, S, 3) uint8 RGB.

    Raises:
        VideoError: it cannot be read, or gives other frames than before.
    """
    if recipe.crop == "full":
        frames = read_frames(path, recipe)
        pictures: Pictures = frames.pixels
        times, scales = frames.timestamps_seconds, None
    else:
        info = probe(path)
        read = read_whole(path, info, recipe, whole_picture(info, recipe.max_side))
        pictures, times, scales = read.pictures, read.timestamps_seconds, read.scales
    if len(times) != len(boxes) or np.abs(times - timestamps_seconds).max() > SAME_SECONDS:
        raise VideoError("decode_error", "it gives other frames than when it was embedded")
    if scales is None:
        side = recipe.size
        taken = np.tile(np.asarray((0, 0, side, side), np.float32), (len(times), 1))
    else:
        taken = boxes * scales[:, None].astype(np.float32)
    chosen = [pictures[place] for place in places]
    return crop_faces(chosen, taken[places], margin=1.0, size=size)[0]
