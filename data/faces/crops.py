"""Face crops of one video: from a file to (T, S, S, 3) pixels.

A video's chosen frames (`data.video.frames`) are read, its face is followed (`data.faces.tracker`)
and cropped. Memory grows with the frames asked for, not with the length of the video.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.faces.resampling import resize
from data.faces.tracks import FaceTrack
from data.video.frames import FrameRecipe, WholeFrames, read_whole
from data.video.picture import Picture, Pictures, whole_picture
from data.video.probe import probe


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The chosen frames of one video, cropped."""

    pixels: NDArray[np.uint8]  # (T, S, S, 3) uint8 RGB
    timestamps_seconds: NDArray[np.float64]  # (T,) float64 on the stream's own clock, exact
    # (T, 4) float32, x0, y0, x1, y1 of each crop in pixels of its frame as shown.
    boxes: NDArray[np.float32]
    face_found: NDArray[np.bool_]  # (T,) bool; whether the detector saw the face in this very frame
    # (T, 2) int64, width and height of each frame as shown; None where they are not known, as for
    # crops out of the store.
    shown: NDArray[np.int64] | None = None


class FaceFollower(Protocol):
    """What `read_frames` needs of `data.faces.tracker.FaceFinder`."""

    def follow(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> FaceTrack: ...


def read_frames(path: Path, recipe: FrameRecipe, *, faces: FaceFollower | None = None) -> Frames:
    """Reads the chosen frames of one video as crops; `faces` is needed for the crop "face".

    Raises:
        VideoError: with the class of the failure.
    """
    info = probe(path)
    if recipe.crop == "full":
        picture = Picture(shortest=recipe.size, turned=info.turned)
        square = read_whole(path, info, recipe, picture)
        return Frames(
            pixels=square.pixels,
            timestamps_seconds=square.timestamps_seconds,
            boxes=square.boxes,
            face_found=np.zeros(len(square.pixels), bool),
            shown=square.shown,
        )
    if faces is None:
        raise ValueError("a face crop needs a face finder")
    read = read_whole(path, info, recipe, whole_picture(info, recipe.max_side))
    return crop_track(read, faces.follow(read.pixels, read.timestamps_seconds), recipe)


def crop_track(
    read: WholeFrames, track: FaceTrack, recipe: FrameRecipe, part: slice = slice(None)
) -> Frames:
    """Crops a face, followed in `read.pixels`, from each frame's own picture."""
    layout = read.layout
    boxes = track.boxes if layout is None else layout.to_pictures(track.boxes)
    pixels, taken = crop_faces(
        read.pictures[part], boxes[part], margin=recipe.margin, size=recipe.size
    )
    return Frames(
        pixels=pixels,
        timestamps_seconds=read.timestamps_seconds[part],
        boxes=np.asarray(taken / read.scales[part, None].astype(np.float32), np.float32),
        face_found=track.found[part],
        shown=read.shown[part],
    )


def crop_faces(
    frames: Pictures, boxes: NDArray[np.float32], *, margin: float, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops square boxes, widened by a margin, and scales them with antialiasing.

    A box across the picture's edge is shifted inside. One larger than the picture keeps its place
    and is filled by repeating the picture's edge, so that no shape is ever stretched.

    Args:
        frames: (T, H, W, 3) uint8 RGB; of several sizes, a list of (H, W, 3).
        boxes: (T, 4) float32, square, each in pixels of its frame.
        margin: side of the crop over side of the box.
        size: S, side of the result in pixels.

    Returns:
        (T, S, S, 3) uint8, and the cropped boxes, (T, 4) float32.
    """
    taken = np.empty_like(boxes)
    pixels = np.empty((len(frames), size, size, 3), np.uint8)
    for index, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        height, width = frame.shape[:2]
        centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * margin
        low = [
            _inside(float(c) - side / 2, side, extent)
            for c, extent in zip(centre, (width, height), strict=True)
        ]
        taken[index] = (*low, low[0] + side, low[1] + side)
        pad = max(0, *(int(np.ceil(-x)) for x in low))
        pad = max(pad, int(np.ceil(low[0] + side - width)), int(np.ceil(low[1] + side - height)))
        if pad:
            frame = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        # Rounding may leave an edge just outside, which is refused.
        left, top = max(0.0, low[0] + pad), max(0.0, low[1] + pad)
        right, bottom = min(left + side, frame.shape[1]), min(top + side, frame.shape[0])
        pixels[index] = resize(frame, (size, size), (left, top, right, bottom), "bicubic")
    return pixels, taken


def _inside(low: float, side: float, extent: int) -> float:
    """Shifts an interval into [0, extent] where it fits, else leaves it."""
    return min(max(low, 0.0), extent - side) if side <= extent else low
