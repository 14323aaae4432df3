"""The face through a video: found on some frames, followed between them, smoothed, cropped.

Looking for faces in a whole scene costs 3 ms, looking again where one is expected costs 1 ms. So
every few frames the scene is searched, detections are linked into tracks, and on the frames between
the face is looked for near its expected place only.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import VideoError
from data.faces.detector import FAR, NEAR, FaceDetector, join_overlapping, overlap
from data.video.picture import Pictures

ALGORITHM = 1
"""Raise it with any change that moves a box; it goes into the digest and so into every key."""
SEARCH_EVERY = 6
"""Frames from one search of the whole scene to the next."""
NEARBY = 2.5
"""Side of the part in which a followed face is looked for, over the side of the face."""
LEAST_FOUND_SHARE = 0.25
"""A face seen in fewer of the frames is a passer-by or a false alarm: no_face."""
SMOOTH_SECONDS = 0.12
"""Standard deviation of the smoothing kernel: 3 frames at 25 frames/s, and next to nothing where
frames are 0.3 s apart, so that a box never lags behind a moving head."""
SURE = 0.75
"""At least once a face must score this much, in the scene or looked at closely. Measured: real
faces of 25 pixels reach 0.85, test patterns up to 0.69."""
TILE_SHARE = 0.6
"""Side of a tile over the side of the picture, when small faces are looked for."""
MOST_FACES = 8
"""Faces that `follow_all` follows: a crowd must not cost an hour."""
ANOTHER = 0.3
"""A box that shares more than this (IoU) with a followed face is that face, not another one."""


Detections = dict[int, NDArray[np.float32]]
"""Frame number -> box (4,), in `link`'s tracks with its score (5,)."""


@dataclass(frozen=True, kw_only=True)
class FaceTrack:
    """One face over time.

    Attributes:
        boxes: (T, 4) float32, x0, y0, x1, y1, square, smoothed, without margin.
        found: (T,) bool, whether the detector saw it in this very frame.
        start: the first frame that counts; 0 for the largest lasting face.
        stop: the one after the last; T for the largest lasting face.
    """

    boxes: NDArray[np.float32]
    found: NDArray[np.bool_]
    start: int
    stop: int


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
            LEAST_FOUND_SHARE,
            SMOOTH_SECONDS,
            SURE,
            TILE_SHARE,
        )
        self.digest = hashlib.sha256(repr((FAR, NEAR, constants)).encode()).hexdigest()

    def detect(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Finds all faces in one frame.

        Args:
            frame: (H, W, 3) uint8 RGB.

        Returns:
            (N, 5) float32: x0, y0, x1, y1 in pixels and a score; best first.
        """
        return self._search(Image.fromarray(frame))

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
        images, tracks = self._linked(frames, timestamps_seconds)
        return self._largest(images, tracks, timestamps_seconds)[0]

    def follow_all(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> list[FaceTrack]:
        """Follows every lasting face, at most MOST_FACES; the first is `follow`'s, to the bit.

        The others are followed where they are, from the first frame to the last in which they
        are seen; only a face that goes on in the same place is the same after an absence. Where
        the first one jumps, to another place after a cut or to another person, what it is made
        of comes after it, each part as a face of its own.

        Args:
            frames: (T, H, W, 3) uint8 RGB, in order.
            timestamps_seconds: (T,) ascending.

        Raises:
            VideoError: no_face, as `follow`.
        """
        images, tracks = self._linked(frames, timestamps_seconds)
        first, left = self._largest(images, tracks, timestamps_seconds)
        known = [first]
        if jumps(first.boxes):
            known, left = [], tracks
        others: list[FaceTrack] = []
        while left and len(others) < MOST_FACES - 1:
            seen, left = self._another(images, left, [*known, *others], timestamps_seconds)
            if len(seen) >= max(2, LEAST_FOUND_SHARE * len(images)):
                others.append(_as_track(seen, len(images), timestamps_seconds, span_only=True))
        return [first, *others]

    def _linked(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> tuple[list[Image.Image], list[Detections]]:
        """Searches every few frames and links what is found; the frames as images, the tracks."""
        images = [Image.fromarray(frame) for frame in frames]
        searched = sorted({*range(0, len(images), SEARCH_EVERY), len(images) - 1})
        detections = {index: self._search(images[index]) for index in searched}
        return images, link(detections, timestamps_seconds)

    def _largest(
        self,
        images: list[Image.Image],
        tracks: list[Detections],
        timestamps_seconds: NDArray[np.float64],
    ) -> tuple[FaceTrack, list[Detections]]:
        """The largest lasting face, and the tracks that are not of it.

        Raises:
            VideoError: no_face.
        """
        seen: Detections = {}  # frame -> box of the face to follow
        left = []
        for track in tracks:
            # The best track first; others only where it is absent: after a cut, for one.
            if any(min(seen) < index < max(seen) or index in seen for index in track if seen):
                left.append(track)
            elif self._is_sure(track, images):
                seen |= {index: face[:4] for index, face in track.items()}
        if not seen:
            raise VideoError("no_face", self._nothing(len(images), tracks))
        for index, image in enumerate(images):
            if index not in seen:
                box = self._look_near(image, expected(seen, index, timestamps_seconds))
                if box is not None:
                    seen[index] = box
        if len(seen) < LEAST_FOUND_SHARE * len(images):
            raise VideoError(
                "no_face",
                f"a face in only {len(seen)} of the {len(images)} frames looked at; it must be "
                f"seen in {math.ceil(LEAST_FOUND_SHARE * len(images))}",
            )
        return _as_track(seen, len(images), timestamps_seconds), left

    @staticmethod
    def _nothing(count: int, tracks: list[Detections]) -> str:
        """What was looked at where no face was found, and what was most like one."""
        searched = len({*range(0, count, SEARCH_EVERY), count - 1})
        told = f"no face in any of the {searched} frames searched, of {count} read from the video"
        if not tracks:
            return f"{told}; nothing in them is like one"
        face = max((one for track in tracks for one in track.values()), key=lambda one: one[4])
        return (
            f"{told}; what is most like one is {face[2] - face[0]:.0f} pixels wide and scores "
            f"{face[4]:.2f} of 1, {SURE} is wanted"
        )

    def _another(
        self,
        images: list[Image.Image],
        tracks: list[Detections],
        known: list[FaceTrack],
        timestamps_seconds: NDArray[np.float64],
    ) -> tuple[Detections, list[Detections]]:
        """The first of these tracks that is none of the known faces, and the tracks left then."""

        def is_known(index: int, box: NDArray[np.float32]) -> bool:
            there = [one.boxes[index] for one in known if one.start <= index < one.stop]
            return bool(there) and bool(overlap(box, np.stack(there)).max() > ANOTHER)

        seen: Detections = {}
        left = []
        for track in tracks:
            new = {i: face[:4] for i, face in track.items() if not is_known(i, face[:4])}
            if 2 * len(new) < len(track) or not self._is_sure(track, images):
                continue
            if not seen or _goes_on(seen, new):
                seen |= new
            else:
                left.append(track)
        if not seen:
            return seen, left
        first, last = min(seen), max(seen)
        between = [index for index in range(first, last) if index not in seen]
        for indices, to_the_end in (
            (between, False),
            (range(first - 1, -1, -1), True),
            (range(last + 1, len(images)), True),
        ):
            for index in indices:
                box = self._look_near(images[index], expected(seen, index, timestamps_seconds))
                if box is not None and not is_known(index, box):
                    seen[index] = box
                elif to_the_end:
                    break
        return seen, left

    def _search(self, image: Image.Image) -> NDArray[np.float32]:
        """Searches the whole scene; in tiles, for small faces, where nothing is found at once."""
        found = self._far.detect(image)
        if len(found):
            return found
        width, height = image.width * TILE_SHARE, image.height * TILE_SHARE
        tiles = [
            self._far.detect(image, (left, top, left + width, top + height))
            for top in (0.0, image.height - height)
            for left in (0.0, image.width - width)
        ]
        return join_overlapping(np.concatenate(tiles))

    def _is_sure(self, track: dict[int, NDArray[np.float32]], images: list[Image.Image]) -> bool:
        """Whether the detector is sure of this face at least once, if need be at a close look."""
        if max(face[4] for face in track.values()) >= SURE:
            return True
        return any(
            any(fits(face[:4], close[:4]) and close[4] >= SURE for close in found)
            for index, face in track.items()
            for found in [self._near.detect(images[index], around(face[:4], images[index]))]
        )

    def _look_near(
        self, image: Image.Image, box: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """Looks around the expected box, by the finer model too, then everywhere; (4,) or None."""
        near = around(box, image)
        for detector, part in ((self._near, near), (self._far, near), (self._far, None)):
            found = detector.detect(image, part)
            fitting = found[[fits(box, face[:4]) for face in found]]
            if len(fitting):
                best: NDArray[np.float32] = fitting[overlap(box, fitting[:, :4]).argmax(), :4]
                return best
        return None


def _as_track(
    seen: Detections,
    count: int,
    timestamps_seconds: NDArray[np.float64],
    *,
    span_only: bool = False,
) -> FaceTrack:
    """Boxes where the face was seen, as a smooth track over all `count` frames."""
    found = np.zeros(count, bool)
    found[list(seen)] = True
    boxes = np.stack([expected(seen, index, timestamps_seconds) for index in range(count)])
    return FaceTrack(
        boxes=smooth(square(boxes), timestamps_seconds),
        found=found,
        start=min(seen) if span_only else 0,
        stop=max(seen) + 1 if span_only else count,
    )


def _goes_on(seen: Detections, later: Detections) -> bool:
    """Whether a track is the same face before or after an absence: near the place it had."""
    if min(later) > max(seen):
        return fits(seen[max(seen)], later[min(later)])
    if max(later) < min(seen):
        return fits(later[max(later)], seen[min(seen)])
    return False


def jumps(boxes: NDArray[np.float32]) -> int:
    """How often a track (T, 4) leaves its place from one frame to the next."""
    return sum(not fits(one, other) for one, other in itertools.pairwise(boxes))


def around(box: NDArray[np.float32], image: Image.Image) -> tuple[float, float, float, float]:
    """The part of a picture in which a face with this box is looked for."""
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    low = np.clip(centre - side * NEARBY / 2, 0, (image.width - 1, image.height - 1))
    high = np.clip(centre + side * NEARBY / 2, low + 1, (image.width, image.height))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def fits(box: NDArray[np.float32], other: NDArray[np.float32], reach: float = 1.0) -> bool:
    """Whether two boxes, some frames apart, can be of one face: near each other, of like size."""
    side, other_side = (box[2:] - box[:2]).max(), (other[2:] - other[:2]).max()
    shift = np.abs((box[:2] + box[2:]) - (other[:2] + other[2:])).max() / 2
    return bool(shift < reach * max(side, other_side) and 0.5 < other_side / side < 2.0)


def link(
    detections: dict[int, NDArray[np.float32]], timestamps_seconds: NDArray[np.float64]
) -> list[dict[int, NDArray[np.float32]]]:
    """Links detections over time into tracks.

    Args:
        detections: frame number -> (N, 5) boxes with scores.
        timestamps_seconds: (T,) of all frames.

    Returns:
        Tracks, frame number -> box and score (5,), the largest lasting face first: by the sum of
        score times area.
    """
    tracks: list[dict[int, NDArray[np.float32]]] = []
    weights: list[float] = []
    previous: int | None = None
    for index in sorted(detections):
        pairs = []
        if previous is not None:
            for number, track in enumerate(tracks):
                last = track[max(track)][:4]
                gap = timestamps_seconds[index] - timestamps_seconds[max(track)]
                reach = 0.6 + 0.4 * min(gap, 1.0)
                pairs += [
                    (float(np.abs(face[:4] - last).sum()), number, at)
                    for at, face in enumerate(detections[index])
                    if gap < 2.0 and fits(last, face[:4], reach)
                ]
        taken_tracks: set[int] = set()
        taken_faces: set[int] = set()
        for _, number, at in sorted(pairs):
            if number in taken_tracks or at in taken_faces:
                continue
            taken_tracks.add(number)
            taken_faces.add(at)
            face = detections[index][at]
            tracks[number][index] = face
            weights[number] += weight(face)
        for at, face in enumerate(detections[index]):
            if at not in taken_faces:
                tracks.append({index: face})
                weights.append(weight(face))
        previous = index
    order = sorted(range(len(tracks)), key=lambda number: -weights[number])
    return [tracks[number] for number in order]


def weight(face: NDArray[np.float32]) -> float:
    """How much one detection (5,) speaks for its track: score times area."""
    return float(face[4] * (face[2] - face[0]) * (face[3] - face[1]))


def expected(
    seen: dict[int, NDArray[np.float32]], index: int, timestamps_seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Where the face should be on a frame: between its neighbours in time, or at the nearest one.

    Across a jump, a cut for one, nothing is interpolated.
    """
    if index in seen:
        return seen[index]
    before = max((at for at in seen if at < index), default=None)
    after = min((at for at in seen if at > index), default=None)
    if before is None or after is None:
        return seen[after if before is None else before]  # type: ignore[index]
    start, now, end = timestamps_seconds[[before, index, after]]
    share = float((now - start) / max(end - start, 1e-9))
    if not fits(seen[before], seen[after]):
        return seen[before] if share < 0.5 else seen[after]
    between: NDArray[np.float32] = (1 - share) * seen[before] + share * seen[after]
    return between.astype(np.float32)


def square(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (T, 4) made square around their centres by their longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


def smooth(
    boxes: NDArray[np.float32], timestamps_seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Smooths square boxes by a symmetric Gaussian over time, never across a jump. (T, 4)."""
    gaps = timestamps_seconds[:, None] - timestamps_seconds[None, :]
    kernel = np.exp(-0.5 * (gaps / SMOOTH_SECONDS) ** 2)  # (T, T)
    jumps = [not fits(one, other) for one, other in itertools.pairwise(boxes)]
    shot = np.concatenate([[0], np.cumsum(jumps)])
    kernel *= shot[:, None] == shot[None, :]
    kernel /= kernel.sum(1, keepdims=True)
    return np.asarray(kernel @ boxes, np.float32)


def crop_faces(
    frames: Pictures, boxes: NDArray[np.float32], *, margin: float, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops square boxes, widened by a margin, and scales them with antialiasing.

    A box over the picture's edge is shifted inside; one larger than the picture keeps its place
    and the rest repeats the picture's edge, so that no shape is ever stretched.

    Args:
        frames: (T, H, W, 3) uint8 RGB; of several sizes, a list of (H, W, 3).
        boxes: (T, 4) float32, square, each in pixels of its frame.
        margin: side of the crop over side of the box.
        size: S, side of the result in pixels.

    Returns:
        (T, S, S, 3) uint8, and the boxes that were taken, (T, 4) float32.
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
        # Rounding may leave a hair outside, which Pillow refuses.
        left, top = max(0.0, low[0] + pad), max(0.0, low[1] + pad)
        right, bottom = min(left + side, frame.shape[1]), min(top + side, frame.shape[0])
        pixels[index] = np.asarray(
            Image.fromarray(frame).resize(
                (size, size),
                Image.Resampling.BICUBIC,
                (left, top, right, bottom),
                reducing_gap=3.0,
            )
        )
    return pixels, taken


def _inside(low: float, side: float, extent: int) -> float:
    """Shifts an interval into [0, extent] where it fits, else leaves it."""
    return min(max(low, 0.0), extent - side) if side <= extent else low
