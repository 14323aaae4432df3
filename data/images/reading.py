"""Reads the chosen frames of a folder, or one image, scaled: the counterpart of decoding a video.

A frame that cannot be read is passed over, as a decoder passes over a broken packet, and others are
chosen in its place. With more than one, and more than a tenth of those that were tried, the folder
counts as damaged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import VideoError, plain
from data.images.decoding import read_image
from data.images.frame_folders import open_frames
from data.io.progress import log

WHOLE_SHARE = 0.9
"""Of the frames that are tried, at least so many must be readable; or all but one."""
MOST_ROUNDS = 8
"""Of choosing anew without the frames that could not be read."""

Read = dict[int, tuple[NDArray[np.uint8], tuple[int, int]]]
"""Frame -> its scaled picture, and width and height before."""


@dataclass(frozen=True, kw_only=True)
class Stills:
    """The chosen frames."""

    pictures: list[NDArray[np.uint8]]  # (h, w, 3) uint8 RGB each, scaled
    timestamps_seconds: NDArray[np.float64]  # (T,) the first of the folder is at 0
    shown: NDArray[np.int64]  # (T, 2) width and height of each before it was scaled


def read_stills(
    path: Path,
    choose: Callable[[NDArray[np.float64]], NDArray[np.int64]],
    delivered: Callable[[int, int], tuple[int, int]],
    *,
    most_bytes: int,
    timeout_seconds: float,
) -> Stills:
    """Reads the chosen frames of a folder, or an image as the only frame, at time 0.

    Args:
        path: a folder of frames, or an image.
        choose: times of all frames (N,) -> numbers of the chosen ones (T,), ascending. Times are
            rounded to microseconds, as ffprobe tells them of a video.
        delivered: width and height of a frame -> those to scale it to.
        most_bytes: that all chosen frames may take.
        timeout_seconds: for the whole call.

    Raises:
        VideoError: with the class of the failure.
    """
    deadline = time.monotonic() + timeout_seconds
    if not path.is_dir():
        choose(np.zeros(1))  # refuses it where one is too few
        pixels = read_image(path)
        shown = (pixels.shape[1], pixels.shape[0])
        return Stills(
            pictures=[scaled(pixels, delivered(*shown))],
            timestamps_seconds=np.zeros(1),
            shown=np.asarray([shown], np.int64),
        )
    folder = open_frames(path)
    times, files = folder.timestamps_seconds, folder.files()
    left = np.arange(len(files))
    read: Read = {}
    broken: dict[int, VideoError] = {}
    size_bytes = 0
    for _ in range(MOST_ROUNDS):
        chosen = left[choose(np.round(times[left], 6))]
        known = len(broken)
        for at in chosen.tolist():
            if at in read:
                continue
            if time.monotonic() > deadline:
                raise VideoError("timeout", f"reading took more than {timeout_seconds:.0f} s")
            try:
                pixels = read_image(files[at])
            except VideoError as error:
                if error.failure == "no_decoder":
                    raise
                broken[at] = error
                continue
            shown = (pixels.shape[1], pixels.shape[0])
            read[at] = scaled(pixels, delivered(*shown)), shown
            size_bytes += read[at][0].nbytes
            if size_bytes > most_bytes:
                raise VideoError("decode_error", f"{len(chosen)} frames do not fit in memory")
        if len(broken) == known:
            break
        _refuse_damaged(files, read, broken)
        left = np.setdiff1d(left, list(broken))
    else:
        raise _damaged(files, read, broken)
    if broken:
        at, why = next(iter(broken.items()))
        log.warning(
            f"{plain(str(path))}: {len(broken)} frames cannot be read and are passed over; "
            f"{plain(files[at].name)}: {why}"
        )
    kept = chosen.tolist()
    return Stills(
        pictures=[read[at][0] for at in kept],
        timestamps_seconds=times[kept],
        shown=np.asarray([read[at][1] for at in kept], np.int64).reshape(-1, 2),
    )


def scaled(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) in this width and height, with antialiasing; itself where it has it."""
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _refuse_damaged(files: list[Path], read: Read, broken: dict[int, VideoError]) -> None:
    if len(broken) > 1 and len(read) < WHOLE_SHARE * (len(read) + len(broken)):
        raise _damaged(files, read, broken)


def _damaged(files: list[Path], read: Read, broken: dict[int, VideoError]) -> VideoError:
    at, error = next(iter(broken.items()))
    return VideoError(
        "decode_error",
        f"{len(broken)} of the {len(read) + len(broken)} frames that were looked at cannot be "
        f"read; {plain(files[at].name)}: {error}",
    )
