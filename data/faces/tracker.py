"""Follows faces through a video: detected on some frames, tracked on those between.

Searching a whole scene for faces costs 2 to 3 ms, looking again where one is expected 0.6 ms. So
the scene is searched every few frames, detections are linked into tracks (`data.faces.tracks`), and
on the frames between the face is looked for near its expected place only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.detector import (
    FAR,
    NEAR,
    WINDOW_MARGIN,
    WINDOW_SIDE,
    WINDOW_STEP,
    FaceDetector,
    Part,
    join_overlapping,
    overlap,
)
from data.faces.tracks import (
    SMOOTH_SECONDS,
    Detections,
    FaceTrack,
    as_track,
    expected,
    fits,
    is_continued,
    jumps,
    link,
)

ALGORITHM = 3
"""Raise it with any change that moves a box; it goes into the digest and so into every key."""
SEARCH_EVERY = 6
"""Frames from one search of the whole scene to the next."""
NEARBY = 2.5
"""Side of the part in which a followed face is looked for, over the side of the face."""
NEARER = 2.0
"""The same for a last look, at a larger scale, where none found it."""
LEAST_FOUND_SHARE = 0.25
"""A face seen in fewer of the frames is a passer-by or a false alarm: no_face."""
SURE = 0.75
"""At least once a face must score this much, in the scene or looked at closely. Measured: real
faces of 25 pixels reach 0.85, test patterns up to 0.69."""
TILE_SHARE = 0.6
"""Side of a tile over the side of the picture, when small faces are looked for."""
MOST_FACES = 8
"""Faces that `follow_all` follows: a crowd must not cost an hour."""
SAME_FACE_IOU = 0.3
"""A box that shares more than this (IoU) with a followed face is that face, not another one."""


class FaceFinder:
    """Follows the largest lasting face, or every one; usable from several threads.

    Attributes:
        digest: sha256 over the models and this algorithm's version and constants.
    """

    def __init__(self) -> None:
        self._far = FaceDetector(FAR)
        self._near = FaceDetector(NEAR)
        constants = (
            ALGORITHM,
            SEARCH_EVERY,
            NEARBY,
            NEARER,
            (WINDOW_SIDE, WINDOW_STEP, WINDOW_MARGIN),
            LEAST_FOUND_SHARE,
            SMOOTH_SECONDS,
            SURE,
            TILE_SHARE,
        )
        self.digest = hashlib.sha256(repr((FAR, NEAR, constants)).encode()).hexdigest()

    def detect(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Finds all faces in one frame (H, W, 3) uint8 RGB.

        Returns:
            (N, 5) float32: x0, y0, x1, y1 in pixels and a score; best first.
        """
        return self._search(frame)

    def follow(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> FaceTrack:
        """Follows the largest lasting face.

        Args:
            frames: (T, H, W, 3) uint8 RGB, in order.
            timestamps_seconds: (T,) ascending.

        Raises:
            VideoError: no_face, if no face is seen in a quarter of the frames.
        """
        tracks = self._linked(frames, timestamps_seconds)
        return self._largest(frames, tracks, timestamps_seconds)[0]

    def follow_all(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> list[FaceTrack]:
        """Follows every lasting face, at most MOST_FACES; the first is `follow`'s, bit for bit.

        The others count from the first to the last frame in which they are seen; after an absence a
        face is the same one only if it reappears in the same place. Where the first track jumps, to
        another place after a cut or to another person, each of its parts follows it as a face of
        its own. Arguments and errors as `follow`.
        """
        tracks = self._linked(frames, timestamps_seconds)
        first, left = self._largest(frames, tracks, timestamps_seconds)
        known = [first]
        if jumps(first.boxes):
            known, left = [], tracks
        others: list[FaceTrack] = []
        while left and len(others) < MOST_FACES - 1:
            seen, left = self._another(frames, left, [*known, *others], timestamps_seconds)
            if len(seen) >= max(min(2, len(frames)), LEAST_FOUND_SHARE * len(frames)):
                others.append(as_track(seen, len(frames), timestamps_seconds, span_only=True))
        return [first, *others]

    def look_near(
        self, frame: NDArray[np.uint8], box: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """The face at about an expected box (4,) of one frame (H, W, 3); None where none is."""
        return self._look_near(frame, box)

    def _linked(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> list[Detections]:
        """Searches every few frames and links the detections into tracks."""
        detections = {index: self._search(frames[index]) for index in _searched(len(frames))}
        return link(detections, timestamps_seconds)

    def _largest(
        self,
        frames: NDArray[np.uint8],
        tracks: list[Detections],
        timestamps_seconds: NDArray[np.float64],
    ) -> tuple[FaceTrack, list[Detections]]:
        """The largest lasting face, and the tracks that do not belong to it.

        Raises:
            VideoError: no_face.
        """
        seen: Detections = {}  # frame -> box of the face to follow
        left = []
        for track in tracks:
            # The best track first; others only where it is absent, as after a cut.
            if any(min(seen) < index < max(seen) or index in seen for index in track if seen):
                left.append(track)
            elif self._is_sure(track, frames):
                seen |= {index: face[:4] for index, face in track.items()}
        if not seen:
            raise VideoError("no_face", _no_face_message(len(frames), tracks))
        for index, frame in enumerate(frames):
            if index not in seen:
                box = self._look_near(frame, expected(seen, index, timestamps_seconds))
                if box is not None:
                    seen[index] = box
        if len(seen) < LEAST_FOUND_SHARE * len(frames):
            raise VideoError(
                "no_face",
                f"a face in only {len(seen)} of the {len(frames)} frames looked at; it must be "
                f"seen in {math.ceil(LEAST_FOUND_SHARE * len(frames))}",
            )
        return as_track(seen, len(frames), timestamps_seconds), left

    def _another(
        self,
        frames: NDArray[np.uint8],
        tracks: list[Detections],
        known: list[FaceTrack],
        timestamps_seconds: NDArray[np.float64],
    ) -> tuple[Detections, list[Detections]]:
        """The first of these tracks that is none of the known faces, and the tracks left then."""

        def is_known(index: int, box: NDArray[np.float32]) -> bool:
            there = [one.boxes[index] for one in known if one.start <= index < one.stop]
            return bool(there) and bool(overlap(box, np.stack(there)).max() > SAME_FACE_IOU)

        seen: Detections = {}
        left = []
        for track in tracks:
            new = {i: face[:4] for i, face in track.items() if not is_known(i, face[:4])}
            if 2 * len(new) < len(track) or not self._is_sure(track, frames):
                continue
            if not seen or is_continued(seen, new):
                seen |= new
            else:
                left.append(track)
        if not seen:
            return seen, left
        first, last = min(seen), max(seen)
        between = [index for index in range(first, last) if index not in seen]
        for indices, ends_when_lost in (
            (between, False),
            (range(first - 1, -1, -1), True),
            (range(last + 1, len(frames)), True),
        ):
            for index in indices:
                box = self._look_near(frames[index], expected(seen, index, timestamps_seconds))
                if box is not None and not is_known(index, box):
                    seen[index] = box
                elif ends_when_lost:
                    break
        return seen, left

    def _search(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Searches the whole scene; where nothing is found, in tiles, for small faces."""
        for trimmed in (True, False):  # a score just below the threshold may then be above it
            found = self._far.detect(frame, trimmed=trimmed)
            if len(found):
                return found
        height, width = frame.shape[:2]
        wide, high = width * TILE_SHARE, height * TILE_SHARE
        tiles = [
            self._far.detect(frame, (left, top, left + wide, top + high))
            for top in (0.0, height - high)
            for left in (0.0, width - wide)
        ]
        return join_overlapping(np.concatenate(tiles))

    def _is_sure(self, track: Detections, frames: NDArray[np.uint8]) -> bool:
        """Whether the detector is sure of this face at least once, if need be at a close look."""
        if max(face[4] for face in track.values()) >= SURE:
            return True
        return any(
            any(fits(face[:4], close[:4]) and close[4] >= SURE for close in found)
            for index, face in track.items()
            for found in [self._near.detect(frames[index], around(face[:4], frames[index], NEARBY))]
        )

    def _look_near(
        self, frame: NDArray[np.uint8], box: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """The face around the expected box; (4,) or None."""
        for found in self._looks(frame, box):
            fitting = found[[fits(box, face[:4]) for face in found]]
            if len(fitting):
                best: NDArray[np.float32] = fitting[overlap(box, fitting[:, :4]).argmax(), :4]
                return best
        return None

    def _looks(
        self, frame: NDArray[np.uint8], box: NDArray[np.float32]
    ) -> Iterator[NDArray[np.float32]]:
        """What is found by one look after the other, the cheapest first; (N, 5) each."""
        near = around(box, frame, NEARBY)
        yield self._near.look(frame, near, box)
        yield self._near.detect(frame, near)
        yield self._far.detect(frame, near, trimmed=False)
        yield self._far.detect(frame, trimmed=False)
        yield self._near.detect(frame, around(box, frame, NEARER))


def _searched(count: int) -> list[int]:
    """The frames, of `count`, on which the whole scene is searched."""
    return sorted({*range(0, count, SEARCH_EVERY), count - 1})


def _no_face_message(count: int, tracks: list[Detections]) -> str:
    """How many frames were searched in vain, and the most face-like detection."""
    searched = len(_searched(count))
    if count == 1 and not tracks:
        return "no face in the picture; the detector found nothing like one"
    message = f"no face in any of the {searched} frames searched, of {count} read from the video"
    if not tracks:
        return f"{message}; the detector found nothing like a face"
    face = max((one for track in tracks for one in track.values()), key=lambda one: one[4])
    return (
        f"{message}; the best detection is {face[2] - face[0]:.0f} pixels wide and scores "
        f"{face[4]:.2f} of 1, less than {SURE}"
    )


def around(box: NDArray[np.float32], frame: NDArray[np.uint8], sides: float) -> Part:
    """The part of a picture (H, W, 3) around a box (4,), a square of so many of its sides."""
    x0, y0, x1, y1 = box.tolist()
    reach = max(x1 - x0, y1 - y0) * sides / 2
    height, width = frame.shape[:2]
    left, top = (
        _bounded((x0 + x1) / 2 - reach, width - 1),
        _bounded((y0 + y1) / 2 - reach, height - 1),
    )
    right = min(max((x0 + x1) / 2 + reach, left + 1), width)
    bottom = min(max((y0 + y1) / 2 + reach, top + 1), height)
    return left, top, float(right), float(bottom)


def _bounded(value: float, most: float) -> float:
    return float(min(max(value, 0), most))
