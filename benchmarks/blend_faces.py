"""Prepares faces for benchmarks/blend_network.py, in unmask's environment.

    python benchmarks/blend_faces.py --faces ../shared/faces --out FOLDER [--photos FOLDER]

Of each clip the first seconds are read: 24 frames of 1.9 s of a real one, 12 of 1.3 s of a fake. A
photograph is one frame; those whose face is smaller than 80 px, or who appear in the clips of
../shared/faces, are left out. FOLDER gets

- `clips.json`: path, label, group of people, program, original and fold of each clip with a face;
- `frames/ROW.npz` of each: `pixels` (T, 304, 304, 3) uint8 RGB, in which the face's usual crop is
  the middle 256 px; `points` (T, 144, 2) float32, landmarks in their pixels; `masks`
  (T, 5, 152, 152) uint8, 0 or 255, regions that a forgery may replace;
- `resnet50-thin.npz`: that backbone's weights, by Keras's names.

No file holds pickled objects. About 0.6 GB for 174 clips and 459 photographs.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.blend_clips import Clip, assign_folds, write_clips
from data.errors import VideoError
from data.faces.crops import crop_faces
from data.faces.landmarks import (
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    LIPS,
    NOSE,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
    LandmarkFinder,
)
from data.faces.tracker import FaceFinder
from data.images.decoding import read_image
from data.video.frame_reader import read_chosen
from data.video.picture import whole_picture
from data.video.probe import probe
from data.video.sampling import choose_uniform
from models.network_weights import thin_weights

CANVAS, CROP = 304, 256
"""Sides in pixels of what is kept of a frame, and of the usual crop in its middle: room to move."""
MARGIN = 1.3
"""Side of the usual crop over side of the face, as `frames.margin`."""
MAX_SIDE = 1280
FRAMES = {"real": 24, "fake": 12}
SECONDS = {"real": 1.9, "fake": 1.3}
LEAST_PHOTO_FACE = 80
"""Side in pixels of a face in a photograph."""
# fmt: off
SHOWN = frozenset((
    "A000368", "B000953", "C000141", "G000555", "L000582", "M000133", "M000639", "N000184",
    "O000172", "S001193", "S001194", "T000250",
))
# fmt: on
"""Politicians who are in the clips, by their Bioguide ID (US Congress): stems of their photos."""

EYES, BROWS = (*LEFT_EYE, *RIGHT_EYE), (*LEFT_BROW, *RIGHT_BROW)
CHIN = OVAL[12:25]
REGIONS = (
    OVAL,
    (*JAW, *EYES, *BROWS, *LIPS, *NOSE),
    (*EYES, *BROWS, *LIPS, *NOSE),
    (*CHIN, *LIPS, *NOSE),
    (*EYES, *BROWS, *NOSE[:9]),
)
"""Landmarks whose convex hulls are the masks: the face, the same without the forehead, its inner
part, the lower part, the eyes with the bridge of the nose."""
POINTS = (*OVAL, *EYES, *BROWS, *LIPS, *NOSE)
"""Landmarks that are kept."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """What is kept of one clip; shapes stand in the module's docstring."""

    pixels: NDArray[np.uint8]
    points: NDArray[np.float32]
    masks: NDArray[np.uint8]


def first_frames(times: NDArray[np.float64], *, count: int, seconds: float) -> NDArray[np.int64]:
    """Numbers of frames evenly over the first seconds, for `read_chosen`."""
    return choose_uniform(times[times < times[0] + seconds], count)


def read_face(clip: Clip, path: Path, finder: FaceFinder, landmarks: LandmarkFinder) -> Face | None:
    """Reads a clip or a photograph; None where it shows no face, or a photograph a small one."""
    try:
        if clip.label == "photo":
            frames, times = read_image(path)[None], np.zeros(1)
        else:
            info = probe(path)
            choose = partial(first_frames, count=FRAMES[clip.label], seconds=SECONDS[clip.label])
            read = read_chosen(path, info, choose, whole_picture(info, MAX_SIDE))
            frames, times = np.asarray(read.pixels), read.timestamps_seconds
        boxes = finder.follow(frames, times).boxes
        points = landmarks.find(frames, boxes, times).points
    except VideoError as error:
        print(f"{clip.path}: left out ({error})", file=sys.stderr)
        return None
    if clip.label == "photo" and np.ptp(boxes[0, ::2]) < LEAST_PHOTO_FACE:
        return None
    pixels, taken = crop_faces(frames, boxes, margin=MARGIN * CANVAS / CROP, size=CANVAS)
    scale = CANVAS / (taken[:, 2] - taken[:, 0])
    points = (points - taken[:, None, :2]) * scale[:, None, None]
    masks = np.stack([[draw_region(one[[*region]]) for region in REGIONS] for one in points])
    return Face(pixels=pixels, points=points[:, POINTS].astype(np.float32), masks=masks)


def draw_region(points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The convex hull of points (K, 2) in a canvas, as a mask of half its side."""
    mask = np.zeros((CANVAS // 2, CANVAS // 2), np.uint8)
    return np.asarray(cv2.fillConvexPoly(mask, cv2.convexHull((points / 2).astype(np.int32)), 255))


def list_clips(faces: Path, photos: Path | None) -> list[tuple[Clip, Path]]:
    """All clips and photographs, and where they are."""
    with (faces / "labels.csv").open(encoding="utf-8", newline="") as handle:
        rows = sorted(csv.DictReader(handle), key=lambda one: one["path"])
    kept = ("path", "label", "group", "method", "original")
    found = [
        (Clip(**{name: row[name] for name in kept}, fold=fold), faces / row["path"])
        for row, fold in zip(rows, assign_folds([row["group"] for row in rows]), strict=True)
    ]
    for path in sorted(photos.glob("*.jpg")) if photos else ():
        if path.stem not in SHOWN:
            facts = {"group": path.stem, "method": "", "original": "", "fold": -1}
            found.append((Clip(path=path.name, label="photo", **facts), path))
    return found


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--photos", type=Path, help="folder of portraits, *.jpg")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    frames = arguments.out / "frames"
    shutil.rmtree(frames, ignore_errors=True)  # of an earlier run, whose rows were others
    frames.mkdir(parents=True)
    finder, landmarks = FaceFinder(), LandmarkFinder()
    listed = list_clips(arguments.faces, arguments.photos)
    clips: list[Clip] = []
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda one: read_face(*one, finder, landmarks), listed)
        for (clip, _), face in zip(listed, found, strict=True):
            if face is not None:
                np.savez_compressed(frames / f"{len(clips)}.npz", **vars(face))
                clips.append(clip)
    write_clips(arguments.out / "clips.json", clips)
    np.savez(arguments.out / "resnet50-thin.npz", **thin_weights())
    print({label: sum(one.label == label for one in clips) for label in ("real", "fake", "photo")})


if __name__ == "__main__":
    main()
