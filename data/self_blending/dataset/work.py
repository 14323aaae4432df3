"""The work on one real video: decode it once, encode its copy, forge and encode its forgeries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.io.atomic_files import make_folder, write_text
from data.io.reading import open_file
from data.io.system_errors import writing
from data.self_blending.clip import Donor, forge_clip
from data.self_blending.clip.motion import face_sizes
from data.self_blending.dataset.plan import Item
from data.self_blending.dataset.survey import load_survey, read_clip
from data.video.encoding import encode

T = TypeVar("T")

WORK = ".forge"
"""Folder inside the output for surveys and keys; hidden, so that `index` passes it over."""
KEY_BYTES = 4096
"""No file of a key is longer."""
PRESET = "veryfast"
"""Of x264: 2 ms a frame where its default takes 5."""
LARGER = 1.25
"""A donor's face is scaled down to at most this times the face it replaces: the warp itself does
not antialias."""


@dataclass(frozen=True, kw_only=True)
class ForgeWork:
    """The work of one process."""

    out: Path  # the folder that is written
    item: Item  # the video and its forgeries
    keys: dict[str, str]  # path -> key of each video to make
    surveys: dict[str, Path]  # name -> file of the survey, of the source and the donors
    files: dict[str, Path]  # name -> video, of the donors
    seconds: float  # longest clip
    max_side: int  # larger frames are scaled down to it


def or_error(function: Callable[..., T], *arguments: Any) -> T | VideoError:
    """Calls a function and returns its VideoError, so that one bad video does not end a run."""
    try:
        return function(*arguments)
    except VideoError as error:
        return error


def is_made(out: Path, path: str, key: str) -> bool:
    """Whether a video is there and was made under this key."""
    with suppress(OSError, UnicodeDecodeError), open_file(_key_path(out, path)) as handle:
        return handle.read(KEY_BYTES).decode("ascii") == key and (out / path).is_file()
    return False


def _key_path(out: Path, path: str) -> Path:
    """Where the key of a finished video is kept."""
    return out / WORK / f"{path}.key"


def forge_item(work: ForgeWork) -> int:
    """Makes the videos; returns the number of frames written.

    Raises:
        VideoError: a video cannot be decoded, or not as it was surveyed.
    """
    item = work.item
    known = load_survey(work.surveys[item.source.name])
    frames, times, _ = read_clip(item.source.path, seconds=work.seconds, max_side=work.max_side)
    if len(frames) != len(known.points):
        raise VideoError("decode_error", "decoding the video twice gave different frames")
    written = 0
    if item.path in work.keys:
        written += _write(work, item.path, frames, known.facts.fps)
    for one in item.forgeries:
        if one.path not in work.keys:
            continue
        donor = _donor(work, one.donor, known.facts.face_size) if one.donor else None
        forged = forge_clip(
            frames, known.points, one.parameters, timestamps_seconds=times, donor=donor
        )
        written += _write(work, one.path, forged, known.facts.fps)
    return written


def _donor(work: ForgeWork, name: str, face_size: float) -> Donor:
    """Decodes a donor, at a scale that suits the face that is replaced."""
    known = load_survey(work.surveys[name])
    size = float(np.median(face_sizes(known.points)))
    scale = min(1.0, LARGER * face_size / size)
    longest = max(known.facts.width, known.facts.height)
    side = work.max_side if scale == 1 else max(32, round(longest * scale))
    frames, _, _ = read_clip(work.files[name], seconds=work.seconds, max_side=side)
    count = min(len(frames), len(known.points))
    ratio = np.asarray(
        [frames.shape[2] / known.facts.width, frames.shape[1] / known.facts.height], np.float32
    )
    return Donor(frames=frames[:count], landmarks=known.points[:count] * ratio)


def _write(work: ForgeWork, path: str, frames: NDArray[np.uint8], fps: float) -> int:
    """Encodes one video, then writes its key; returns its number of frames."""
    target, note = work.out / path, _key_path(work.out, path)
    with writing(work.out):
        for folder in (target.parent, note.parent):
            make_folder(folder)
        note.unlink(missing_ok=True)
    encode(target, frames, fps=fps, crf=work.item.crf, preset=PRESET)
    write_text(note, work.keys[path])  # after the video is durable, and durable itself
    return len(frames)
