"""Every lasting face of a video, each with its own crops: for a verdict on one video.

Training takes the largest lasting face alone (`data.faces.crops`). Here it comes first, with the
same pixels bit for bit, and the others follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.faces.crops import Frames, crop_track, read_frames
from data.faces.follow_given import follow_given
from data.faces.given_box import GivenBox
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe, least_frames, read_whole
from data.video.picture import whole_picture
from data.video.probe import probe

STILL_SIDE = 960
"""The longer side of the picture that shows where the faces are, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """One whole frame of the video."""

    pixels: NDArray[np.uint8]  # (H, W, 3) uint8 RGB, scaled down to STILL_SIDE
    scale: float  # its pixels over the frame's as shown
    timestamp_seconds: float  # when it is shown


@dataclass(frozen=True, kw_only=True)
class FacesFrames(Frames):
    """The faces of one video; its own arrays hold the crops of all faces, one after the other."""

    # Each face's own frames, the largest lasting one first; with `crop: full` one entry, the middle
    # square.
    faces: tuple[Frames, ...]
    still: Still | None  # the frame that shows the most of them; None with `crop: full`


def read_every_face(
    path: Path,
    recipe: FrameRecipe,
    *,
    finder: FaceFinder | None = None,
    box: GivenBox | None = None,
    when_read: Callable[[float], None] | None = None,
    when_decoded: Callable[[], None] = lambda: None,
) -> FacesFrames:
    """Reads the chosen frames of one video as crops of every lasting face.

    A further face with fewer frames than `recipe.minimum_frames` is left out: too few for the head.

    Args:
        path: of the video.
        recipe: which frames, which crops.
        finder: of faces; needed for the crop "face".
        box: a face that a person pointed at; it alone is read then. Not for the crop "full".
        when_read: called with the share of the chosen frames that are decoded, from 0 to 1.
        when_decoded: called when the frames are there, before faces are looked for.

    Raises:
        VideoError: with the class of the failure.
    """
    if recipe.crop == "full":
        return joined([read_frames(path, recipe)], None)
    if finder is None:
        raise ValueError("a face crop needs a face finder")
    info = probe(path)
    least = least_frames(info, recipe)
    whole = whole_picture(info, recipe.max_side)
    read = read_whole(path, info, recipe, whole, when_read=when_read)
    when_decoded()
    timestamps = read.timestamps_seconds
    faces: list[Frames] = []
    seen = np.zeros(len(timestamps), int)
    for track in (
        finder.follow_all(read.pixels, timestamps)
        if box is None
        else [follow_given(finder.look_near, read, box, minimum_frames=least)]
    ):
        part = slice(track.start, track.stop)
        if faces and track.stop - track.start < least:
            continue
        faces.append(crop_track(read, track, recipe, part))
        seen += track.found
        if not track.found.any():  # a given box in which the detector sees no face
            seen[part] += 1
    at = int(seen.argmax())
    still = still_of(read.pictures[at], float(read.scales[at]), float(timestamps[at]))
    return joined(faces, still)


def joined(faces: list[Frames], still: Still | None) -> FacesFrames:
    """Concatenates the frames of several faces."""
    shown = [one.shown for one in faces if one.shown is not None]
    return FacesFrames(
        pixels=np.concatenate([one.pixels for one in faces]),
        timestamps_seconds=np.concatenate([one.timestamps_seconds for one in faces]),
        boxes=np.concatenate([one.boxes for one in faces]),
        face_found=np.concatenate([one.face_found for one in faces]),
        shown=np.concatenate(shown) if shown else None,
        faces=tuple(faces),
        still=still,
    )


def still_of(frame: NDArray[np.uint8], scale: float, timestamp_seconds: float) -> Still:
    """Scales a frame (H, W, 3), itself `scale` of its size as shown, down for a page."""
    image = Image.fromarray(frame)
    image.thumbnail((STILL_SIDE, STILL_SIDE))
    return Still(
        pixels=np.asarray(image),
        scale=scale * image.width / frame.shape[1],
        timestamp_seconds=timestamp_seconds,
    )
