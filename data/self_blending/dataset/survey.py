"""The survey of a real video before it is forged: the clip, its face, its landmarks.

It is kept in a small file, so that a second run finds no faces again.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import zipfile
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import VideoError
from data.faces.landmarks import MESH, OVAL, LandmarkFinder
from data.faces.tracker import FaceFinder
from data.io.atomic_files import atomic_file
from data.io.reading import BAD_FACTS, open_file
from data.self_blending.clip.motion import CONTROL, face_sizes, normalised
from data.self_blending.clip.shape import draw_mask, window_around
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import Picture
from data.video.probe import VideoInfo, probe

ALGORITHM = 3
"""Version of the survey; raise it with any change that moves a point."""
CLIP_BYTES = 400 << 20
"""Decoded frames of one clip; a longer or larger clip is cut short."""
FEWEST_FRAMES = 8
SMALLEST_FACE = 36.0
"""Height of a face in pixels below which no forgery would be seen."""
DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, *BAD_FACTS)
"""What reading a damaged survey raises."""
MOMENTS = 8
"""Frames at which two people's poses and faces are compared."""
STEPS = 16.0
"""Points are kept in sixteenths of a pixel, which is finer than the model."""

_faces = functools.cache(FaceFinder)
_landmarks = functools.cache(LandmarkFinder)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the plan needs of a clip."""

    fps: float  # frames per second of the copies
    frames: int  # T
    width: int  # of the copies in pixels, even
    height: int  # of the copies in pixels, even
    face_size: float  # median height of the face in pixels
    skin: tuple[float, ...]  # mean colour of the face, (3,) of 255
    # The face's normalised points at MOMENTS frames, one row (2 K,) for each.
    poses: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The facts and the face of one clip."""

    facts: Facts  # for the plan
    points: NDArray[np.float32]  # (T, 468, 2) float32, in pixels of the copies
    times: NDArray[np.float64]  # (T,) float64 seconds


def survey_key(sha256: str, *, seconds: float, max_side: int) -> str:
    """Name of a survey's file: a digest of all that decides its content."""
    content = repr((ALGORITHM, sha256, seconds, max_side, _faces().digest, MESH.sha256))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def read_clip(
    path: Path, *, seconds: float, max_side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64], VideoInfo]:
    """Decodes the middle of a video: at most `seconds` of consecutive frames, of even size.

    Returns:
        (T, H, W, 3) uint8, (T,) seconds, and the file's header.

    Raises:
        VideoError: the video cannot be decoded.
    """
    info = probe(path)
    if info.kind == "image":
        raise VideoError("too_few_frames", "it is one image; a forgery is made of a video")
    picture = Picture(longest=max_side, even=True, turned=info.turned)
    width, height = picture.delivered(info.width, info.height)  # by the header: bounds memory
    fps = info.fps if 1 <= info.fps <= 240 else 25.0
    count = int(min(max(FEWEST_FRAMES, seconds * fps), CLIP_BYTES // (width * height * 3), 4096))
    recipe = FrameRecipe(
        policy="clip",
        count=count,
        clip_length=count,
        crop="full",
        size=32,
        minimum_frames=min(FEWEST_FRAMES, count),
    )
    pixels, times = read_pixels(path, info, recipe, picture)
    return pixels, times, info


def survey(path: Path, keep: Path, *, seconds: float, max_side: int) -> Facts:
    """Finds the face in a video's middle, or reads an earlier survey, kept in the file `keep`.

    Raises:
        VideoError: the video cannot be decoded; no_face: there is no face, or it is too small.
    """
    with suppress(*DAMAGE):
        return load_survey(keep).facts
    pixels, times, info = read_clip(path, seconds=seconds, max_side=max_side)
    track = _faces().follow(pixels, times)
    found = _landmarks().find(pixels, track.boxes, times)
    sizes = face_sizes(found.points)
    size = float(np.median(sizes))
    if size < SMALLEST_FACE:
        raise VideoError(
            "no_face", f"the face is {size:.0f} pixels high, forging wants {SMALLEST_FACE:.0f}"
        )
    span = float(times[-1] - times[0])
    fps = (len(times) - 1) / span if span > 0 else info.fps
    moments = np.unique(np.linspace(0, len(times) - 1, MOMENTS).round().astype(int))
    shapes = normalised(found.points[moments], CONTROL).astype(np.float64)
    facts = Facts(
        fps=round(min(max(fps, 1.0), 240.0), 3),
        frames=len(times),
        width=pixels.shape[2],
        height=pixels.shape[1],
        face_size=round(size, 1),
        skin=_skin(pixels, found.points),
        poses=tuple(map(tuple, shapes.reshape(len(shapes), -1).round(4).tolist())),
    )
    _save(keep, Survey(facts=facts, points=found.points, times=times))
    return facts


def load_survey(keep: Path) -> Survey:
    """Reads a survey's file.

    Raises:
        one of DAMAGE: it is missing or damaged.
    """
    # From memory: a damaged file leaves NumPy's own handle open.
    with open_file(keep) as file:
        content = io.BytesIO(file.read())
    with np.load(content, allow_pickle=False) as held:
        facts = json.loads(str(held["facts"]))
        points = held["points"].astype(np.float32) / STEPS
        times = held["times"].astype(np.float64)
    facts |= {"skin": tuple(facts["skin"]), "poses": tuple(map(tuple, facts["poses"]))}
    return Survey(facts=Facts(**facts), points=points, times=times)


def _save(keep: Path, found: Survey) -> None:
    """Writes a survey's file whole or not at all; equal surveys give equal bytes."""
    limit = np.iinfo(np.int16)
    points = np.clip(np.rint(found.points * STEPS), limit.min, limit.max).astype(np.int16)
    with atomic_file(keep, suffix=".npz") as temporary:
        np.savez_compressed(
            temporary, facts=json.dumps(asdict(found.facts)), points=points, times=found.times
        )


def _skin(pixels: NDArray[np.uint8], points: NDArray[np.float32]) -> tuple[float, ...]:
    """Mean colour inside the face's oval, over some frames."""
    means = []
    for index in np.linspace(0, len(pixels) - 1, 5).astype(int):
        oval = points[index][list(OVAL)]
        window = window_around(oval, 0.0, pixels.shape[2], pixels.shape[1])
        if window is None:
            continue
        weights = draw_mask([oval], window, softness=1.0, inside=True)[..., None]
        part = np.asarray(Image.fromarray(pixels[index]).crop(window.box), np.float32)
        means.append((part * weights).sum((0, 1)) / max(float(weights.sum()), 1.0))
    if not means:
        raise VideoError("no_face", "the face lies outside of the picture")
    return tuple(round(float(value), 2) for value in np.mean(means, 0))
