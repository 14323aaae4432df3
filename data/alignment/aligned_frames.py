"""Simultaneous frames of two aligned videos, and the same face in both, cropped alike.

The faces are followed in the one video; where they lie in the other says the alignment. So both get
the same crop to a fraction of a pixel, and what differs between the crops is what they show.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from data.alignment.align_files import AlignedFiles, named
from data.alignment.in_place import rescaled, warp
from data.errors import VideoError
from data.faces.tracker import FaceFinder
from data.video.decoding import Decoded
from data.video.frame_reader import Choose, read_chosen
from data.video.picture import largest, lay_out, whole_picture
from data.video.sampling import nearest

RUNS = 16
"""Runs of consecutive frames, evenly over the common time."""
RUN_LENGTH = 3
"""Frames of a run: enough for a second difference over time."""
MAX_SIDE = 1280
"""Longer side in which frames are read, in pixels: 48 of them take 133 MB a video."""
LEAST_FRAMES = 8
SIDE = 320
"""Side of a crop in pixels: a face of 168 as a rule is neither enlarged nor shrunk much."""
MARGIN = 1.9
"""Side of a crop over side of the face: around it is as much that no face swap touches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFrames:
    """Whole simultaneous frames of two videos; the n-th of both belong together."""

    one: NDArray[np.uint8]  # (T, H, W, 3) uint8 RGB
    two: NDArray[np.uint8]  # (T, h, w, 3) uint8 RGB
    times_one: NDArray[np.float64]  # (T,) seconds on each video's own clock
    times_two: NDArray[np.float64]  # likewise
    # (2, 3) from places in frames of `one` as read to places in frames of `two` as read
    matrix: NDArray[np.float64]
    scale_one: float  # pixels as read over those as shown
    scale_two: float  # likewise
    consecutive: NDArray[np.bool_]  # (T - 1,) whether a frame and the next one follow each other


@dataclass(frozen=True, kw_only=True, eq=False)
class FacePair:
    """One face in two videos, cropped by the same squares."""

    one: NDArray[np.uint8]  # (T, SIDE, SIDE, 3) uint8 RGB
    two: NDArray[np.uint8]  # (T, SIDE, SIDE, 3) uint8 RGB, mirrored back where the video is
    shown: NDArray[np.bool_]  # (T, SIDE, SIDE) where both videos show something
    boxes: NDArray[np.float32]  # (T, 4) the face, without margin, in pixels of `one` as read
    found: int  # frames in which the detector saw the face


def read_aligned(files: AlignedFiles) -> AlignedFrames:
    """Reads simultaneous frames of two aligned files.

    Raises:
        VideoError: a video cannot be read, or they have too few frames in common.
    """
    paths, infos, alignment, span = files.paths, files.infos, files.alignment, files.span
    lag = alignment.lag_seconds
    # The video with fewer frames a second leads: each of its frames has one of the other.
    leader = 0 if infos[0].fps <= infos[1].fps else 1
    follower = 1 - leader
    shift = lag if leader == 0 else -lag
    start, stop = span if leader == 0 else (span[0] + lag, span[1] + lag)

    def lead(times: NDArray[np.float64]) -> NDArray[np.int64]:
        inside = np.flatnonzero((times >= start - 1e-6) & (times <= stop + 1e-6))
        return choose_runs(inside)

    def read(number: int, choose: Choose) -> Decoded:
        path, info = paths[number], infos[number]
        picture = whole_picture(info, MAX_SIDE)
        return named(path, partial(read_chosen, path, info, choose, picture))

    first = read(leader, lead)
    wanted = first.timestamps_seconds + shift
    second = read(follower, lambda times: np.unique(nearest(times, wanted)))
    rows, columns = pair_up(wanted, second.timestamps_seconds)
    if len(rows) < LEAST_FRAMES:
        raise VideoError("too_few_frames", f"the two have {len(rows)} frames in common")
    pixels = [lay_out(one.pixels)[0] for one in (first, second)]
    scales = [
        whole_picture(infos[number], MAX_SIDE).scale(*largest(read.shown))
        for number, read in ((leader, first), (follower, second))
    ]
    parts = [
        (pixels[0][rows], first.timestamps_seconds[rows], scales[0]),
        (pixels[1][columns], second.timestamps_seconds[columns], scales[1]),
    ]
    (one, times_one, scale_one), (two, times_two, scale_two) = parts[:: 1 if leader == 0 else -1]
    step = float(np.median(np.diff(first.timestamps_seconds)[: RUN_LENGTH - 1]))
    return AlignedFrames(
        one=one,
        two=two,
        times_one=times_one,
        times_two=times_two,
        matrix=rescaled(alignment.matrix, scale_one, scale_two),
        scale_one=scale_one,
        scale_two=scale_two,
        consecutive=np.diff(parts[0][1]) < 1.6 * step,
    )


def starts(consecutive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First frames of the runs, of (T - 1,): spread over the video."""
    return np.flatnonzero(np.append(True, ~consecutive))


def choose_runs(inside: NDArray[np.int64]) -> NDArray[np.int64]:
    """RUNS runs of RUN_LENGTH of these consecutive frame numbers, evenly spread; all of few."""
    if len(inside) <= RUNS * RUN_LENGTH:
        return inside
    starts = np.linspace(0, len(inside) - RUN_LENGTH, RUNS).round().astype(np.int64)
    return inside[np.unique((starts[:, None] + np.arange(RUN_LENGTH)).ravel())]


def pair_up(
    wanted: NDArray[np.float64], times: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of wanted times and of the frames nearest to them; each frame once, the nearest."""
    found = nearest(times, wanted) if len(times) > 1 else np.zeros(len(wanted), np.int64)
    distance = np.abs(times[found] - wanted)
    rows = [
        int(held[distance[held].argmin()])
        for frame in np.unique(found)
        for held in [np.flatnonzero(found == frame)]
    ]
    chosen = np.asarray(rows, np.int64)
    return chosen, found[chosen].astype(np.int64)


def face_pairs(frames: AlignedFrames, finder: FaceFinder) -> list[FacePair]:
    """Every lasting face, the largest first: as the first video shows them, else as the second.

    Raises:
        VideoError: no_face, in both.
    """
    try:
        tracks = finder.follow_all(frames.one, frames.times_one)
        placed = [(one.boxes, int(one.found.sum())) for one in tracks]
    except VideoError as error:
        if error.failure != "no_face":
            raise
        tracks = finder.follow_all(frames.two, frames.times_two)
        back = inverse(frames.matrix)
        placed = [(moved(one.boxes, back), int(one.found.sum())) for one in tracks]
    return [
        crop_track(frames, boxes, side=SIDE, margin=MARGIN, found=found) for boxes, found in placed
    ]


def moved(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Square boxes (T, 4) where an affine map (2, 3) takes them, square and upright again."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2 * scale
    return np.concatenate([centres - half, centres + half], 1).astype(np.float32)


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map (2, 3) back."""
    return np.asarray(np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2])


def crop_track(
    frames: AlignedFrames, boxes: NDArray[np.float32], *, side: int, margin: float, found: int = 0
) -> FacePair:
    """Crops a face from both videos.

    Args:
        frames: of both.
        boxes: (T, 4) square, the face without margin, in pixels of `frames.one`.
        side: of a crop, in pixels.
        margin: side of the crop over side of the face.
        found: frames in which the detector saw the face, for the record.
    """
    count = len(frames.one)
    crops = np.empty((2, count, side, side, 3), np.uint8)
    shown = np.empty((count, side, side), bool)
    full = [np.full(pixels.shape[1:3], 255, np.uint8) for pixels in (frames.one, frames.two)]
    for index, box in enumerate(boxes.astype(np.float64)):
        centre, length = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() * margin
        corner, step = centre - length / 2, length / side
        to_one = np.asarray([[step, 0, corner[0]], [0, step, corner[1]]])
        to_two = compose(frames.matrix, to_one)
        seen = [
            warp(picture, matrix, (side, side)) == 255
            for picture, matrix in zip(full, (to_one, to_two), strict=True)
        ]
        shown[index] = seen[0] & seen[1]
        crops[0, index] = warp(frames.one[index], to_one, (side, side))
        crops[1, index] = warp(frames.two[index], to_two, (side, side))
        crops[:, index, ~shown[index]] = (
            0  # what one of them does not show must not tell them apart
        )
    return FacePair(one=crops[0], two=crops[1], shown=shown, boxes=boxes, found=found)


def common_shares(frames: AlignedFrames) -> tuple[float, float]:
    """Share of the first picture that the second shows, and the other way round."""
    (height, width), (high, wide) = frames.one.shape[1:3], frames.two.shape[1:3]
    seen = warp(np.full((high, wide), 255, np.uint8), frames.matrix, (width, height))
    area = float(np.abs(np.linalg.det(frames.matrix[:, :2])))
    common = float((seen == 255).sum())
    return common / (width * height), min(1.0, common * area / (wide * high))


def compose(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map (2, 3) that applies `inner` first."""
    whole = [np.vstack([one, (0, 0, 1)]) for one in (outer, inner)]
    return np.asarray((whole[0] @ whole[1])[:2])


def ellipse(radius: float) -> NDArray[np.bool_]:
    """The middle of a crop: a face-shaped ellipse, `radius` in sides of the face, (SIDE, SIDE)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    reach = radius * SIDE / MARGIN
    axes = (round(reach * 0.85), round(reach))
    cv2.ellipse(mask, (SIDE // 2, SIDE // 2), axes, 0, 0, 360, 1, -1)
    return mask.astype(bool)
