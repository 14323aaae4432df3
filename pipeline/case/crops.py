"""The face crops of a case: which of the frames, and their files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data.faces.unscaled import Wanted, cut_faces
from data.video.frames import FrameRecipe
from pipeline.case.record import Crop
from pipeline.inference.verdict import Judged

CROPS = "crops"
MOST_OF_A_FACE = 8
"""Frames of each face, spread evenly over its time. There are eight faces at most."""


def cut_crops(path: Path, recipe: FrameRecipe, judged: Judged) -> Iterator[tuple[Crop, bytes]]:
    """Cuts the crops of a judged video: their record, and their PNG file.

    Raises:
        VideoError: the frames cannot be read again.
    """
    looked = judged.frames is not None and judged.frames.still is not None
    which: list[tuple[int, int]] = []  # face and frame of each wanted one
    wanted: list[Wanted] = []
    for face in judged.faces:
        frames = face.frames
        count = len(frames.timestamps_seconds)
        for at in np.unique(np.linspace(0, count - 1, min(count, MOST_OF_A_FACE)).round()):
            index = int(at)
            seconds = float(frames.timestamps_seconds[index])
            x0, y0, x1, y1 = (float(one) for one in frames.boxes[index])
            wanted.append(Wanted(seconds=seconds, box=(x0, y0, x1, y1)))
            which.append((face.verdict.face, index))
    for cut in cut_faces(path, recipe, wanted):
        (number, index), one = which[cut.index], wanted[cut.index]
        held = io.BytesIO()
        Image.fromarray(cut.pixels).save(held, "PNG")
        crop = Crop(
            file=f"{CROPS}/face-{number}-frame-{index + 1:04d}-at-{one.seconds:.3f}s.png",
            face=number,
            number=index + 1,
            seconds=one.seconds,
            box=one.box,
            pixels=cut.place,
            face_found=bool(judged.faces[number - 1].frames.face_found[index]) if looked else None,
        )
        yield crop, held.getvalue()


def crops_note(judged: Judged, count: int) -> str:
    """How many crops of how many frames, in a sentence."""
    used = sum(len(one.frames.timestamps_seconds) for one in judged.faces)
    return (
        f"{count} crops of the {used} that the network was given, at most {MOST_OF_A_FACE} of a "
        "face, spread evenly over its time; cut at whole pixels from frames as shown, not scaled."
    )
