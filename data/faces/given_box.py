"""A face that a person points at: a box on the picture, and when it is there.

Where several faces lie in the picture, or a poster is taken for a face, the largest lasting face
(`data.faces.tracker`) may be the wrong one. The given box names the right one. A face that the
detector finds in it is followed as any other, so that its crop has the place and size that crops
have in training; a face that the detector never finds is cropped where the box was drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, VideoError
from data.faces.tracks import FaceTrack, as_track, expected
from data.video.frames import WholeFrames

LEAST_SIDE = 8.0
"""Shortest side of a box in pixels of the video; less of a face shows nothing."""
MOST_PIXELS = 1e5
"""No coordinate of a video is larger."""
NEARBY_FRAMES = 3
"""Frames around the given time in which the face is looked for at the drawn place."""
_NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"
_FORM = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}(?:@{_NUMBER})?")

LookNear = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32] | None]
"""A frame (H, W, 3) and an expected box (4,) -> the box of the face that is there, or None."""


@dataclass(frozen=True, kw_only=True)
class GivenBox:
    """Where the face is, in pixels of the video as shown."""

    x: float  # of the left edge
    y: float  # of the upper edge
    width: float
    height: float
    # when it is there, on the stream's own clock; None: when a face fits the box best
    seconds: float | None = None

    def __post_init__(self) -> None:
        values = (self.x, self.y, self.width, self.height, self.seconds or 0.0)
        if not all(0 <= one <= MOST_PIXELS for one in values):
            raise ConfigError(f"a box must be of numbers from 0 to {MOST_PIXELS:.0f}, got {self}")
        if min(self.width, self.height) < LEAST_SIDE:
            raise ConfigError(
                f"a box must be at least {LEAST_SIDE:g} pixels wide and high, got {self}"
            )

    def __str__(self) -> str:
        """As `parse` reads it."""
        text = ",".join(f"{one:.6g}" for one in (self.x, self.y, self.width, self.height))
        return text if self.seconds is None else f"{text}@{self.seconds:.6g}"

    @classmethod
    def parse(cls, text: str) -> GivenBox:
        """Reads `X,Y,W,H` or `X,Y,W,H@SECONDS`.

        Raises:
            ConfigError: it is something else.
        """
        found = _FORM.fullmatch(text.replace(" ", ""))
        if found is None:
            raise ConfigError(
                "a box must be X,Y,WIDTH,HEIGHT or X,Y,WIDTH,HEIGHT@SECONDS, got "
                f"{text[:60]!r}; for example 320,80,140,180@2.5"
            )
        x, y, width, height = (float(one) for one in found.groups()[:4])
        seconds = None if found[5] is None else float(found[5])
        return cls(x=x, y=y, width=width, height=height, seconds=seconds)


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
