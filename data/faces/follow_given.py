"""Follows the face that a person points at (`data.faces.given_box`) through a video's frames.

A face that the detector finds in the box is followed as any other, so that its crop has the place
and size that crops have in training; one that the detector never finds is cropped where the box
was drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.given_box import GivenBox
from data.faces.tracks import FaceTrack, as_track, expected
from data.video.frames import WholeFrames

NEARBY_FRAMES = 3
"""Frames around the given time in which the face is looked for at the drawn place."""

LookNear = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32] | None]
"""A frame (H, W, 3) and an expected box (4,) -> the box of the face that is there, or None."""


def follow_given(
    look_near: LookNear, read: WholeFrames, given: GivenBox, *, minimum_frames: int
) -> FaceTrack:
    """Follows the face in a given box through the frames that were read.

    It counts from the first to the last frame in which it is seen. Where the detector sees it in no
    frame, the box stays where it was drawn, in all of them.

    Args:
        look_near: finds a face near an expected box, as `FaceFinder` does.
        read: frames of the video.
        given: the box.
        minimum_frames: that the head needs.

    Raises:
        VideoError: no_face: the box is outside the picture, or its face is seen too briefly.
    """
    places = on_canvas(given, read)
    times, count = read.timestamps_seconds, len(read.pixels)
    at, first = start_of(look_near, read, given, places)
    if first is None:
        track = as_track({at: places[at]}, count, times)
        return FaceTrack(boxes=track.boxes, found=np.zeros(count, bool), start=0, stop=count)
    seen = {at: first}
    for indices in (range(at - 1, -1, -1), range(at + 1, count)):
        for index in indices:
            box = look_near(read.pixels[index], expected(seen, index, times))
            if box is not None:
                seen[index] = box
    track = as_track(seen, count, times, span_only=True)
    if track.stop - track.start < minimum_frames:
        raise VideoError(
            "no_face",
            f"the face in the box {given} is there in only {track.stop - track.start} of the "
            f"{count} frames that were read; the detector needs {minimum_frames}",
        )
    return track


def on_canvas(given: GivenBox, read: WholeFrames) -> NDArray[np.float32]:
    """The box on each of the frames as faces are followed on them, (T, 4) float32.

    Raises:
        VideoError: no_face: its middle is outside the picture.
    """
    box = np.asarray((given.x, given.y, given.x + given.width, given.y + given.height), np.float64)
    centre = (box[:2] + box[2:]) / 2
    if not (centre < read.shown).all(1).any():
        width, height = read.shown.max(0)
        raise VideoError(
            "no_face", f"the box {given} lies outside the picture of {width}x{height} pixels"
        )
    boxes = (box * read.scales[:, None]).astype(np.float32)
    return boxes if read.layout is None else read.layout.to_canvas(boxes)


def start_of(
    look_near: LookNear, read: WholeFrames, given: GivenBox, places: NDArray[np.float32]
) -> tuple[int, NDArray[np.float32] | None]:
    """The frame at which to begin and the face's box there; None where none is seen.

    With a time, the frame nearest to it comes first, then the ones nearest to that, since the
    detector may miss a face that blinks or turns. Without, the frame whose face fits best.
    """
    if given.seconds is not None:
        order = np.argsort(np.abs(read.timestamps_seconds - given.seconds), kind="stable")
        for index in order[:NEARBY_FRAMES]:
            box = look_near(read.pixels[index], places[index])
            if box is not None:
                return int(index), box
        return int(order[0]), None
    best: tuple[float, int, NDArray[np.float32] | None] = (np.inf, len(places) // 2, None)
    for index, place in enumerate(places):
        box = look_near(read.pixels[index], place)
        if box is not None and (gap := float(np.abs(box - place).sum())) < best[0]:
            best = (gap, index, box)
    return best[1], best[2]
