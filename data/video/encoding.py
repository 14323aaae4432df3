"""Encodes videos to H.264 in MP4: from frames, or from another video through filters.

A file appears whole or not at all. One thread and no time of day, so that equal input gives equal
bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.io.atomic_files import atomic_file
from data.io.system_errors import FULL, TOO_LARGE, cannot_write
from data.video.ffmpeg import Child, Filters, raw_frames_command, safe_url, video_command


def encode(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float,
    crf: int = 23,
    preset: str = "medium",
    timeout_seconds: float = 600,
    chain: Filters | None = None,
) -> None:
    """Encodes frames.

    Args:
        path: the file to write; its folder must exist.
        frames: (H, W, 3) uint8 RGB, all of one size, which is even without filters.
        fps: frames per second.
        crf: x264's constant rate factor, 0 to 51, lower is better.
        preset: of x264.
        timeout_seconds: for the whole call.
        chain: filters, which must end in an even width and height; None for none.

    Raises:
        OutputError: the disk is full or refuses.
        VideoError: ffmpeg failed (decode_error) or took too long.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    height, width = first.shape[:2]
    with atomic_file(path, suffix=".mp4") as unfinished:
        command = raw_frames_command(
            width, height, fps, safe_url(unfinished), _h264(crf, preset), chain or []
        )
        with Child(command, timeout_seconds=timeout_seconds, stdin=True) as child:
            with suppress(BrokenPipeError):
                for frame in _same_size(first, iterator):
                    child.stdin.write(frame.tobytes())
                child.stdin.close()
            _refuse_unwritten(child, path)


def transcode(
    source: Path,
    target: Path,
    *,
    codec: str,
    stream_index: int,
    chain: Filters,
    crf: int,
    timeout_seconds: float,
) -> None:
    """Decodes an untrusted video, filters it and encodes it again, without sound.

    Args:
        source: the video.
        target: the file to write; its folder must exist.
        codec: of the video stream, as ffprobe names it.
        stream_index: of the video stream in its container.
        chain: filters, which must end in an even width and height.
        crf, timeout_seconds: as for `encode`.

    Raises:
        OutputError: the disk is full or refuses.
        VideoError: no_decoder, ffmpeg failed (decode_error) or took too long.
    """
    with atomic_file(target, suffix=".mp4") as unfinished:
        command = video_command(
            source,
            codec=codec,
            stream_index=stream_index,
            chain=chain,
            target=safe_url(unfinished),
            output=_h264(crf, "medium") | {"map_metadata": -1},
            flags=("-loglevel", "level+warning", "-y"),
        )
        with Child(command, timeout_seconds=timeout_seconds, threads=2) as child:
            _refuse_unwritten(child, target)


def _h264(crf: int, preset: str) -> dict[str, Any]:
    """Options of an output in H.264 and MP4, without anything that varies between runs."""
    return {
        "vcodec": "libx264",
        "pix_fmt": "yuv420p",
        "crf": crf,
        "preset": preset,
        "threads": 1,
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
        "movflags": "+faststart",
    }


def _refuse_unwritten(child: Child, path: Path) -> None:
    """Waits for an encoder and refuses what it did not finish.

    Raises:
        OutputError: the disk is full, or takes no file so large.
        VideoError: timeout or decode_error.
    """
    code = child.wait_in_time("encoding")
    if code == 0:
        return
    for number in FULL | TOO_LARGE:
        if os.strerror(number) in child.stderr_tail:
            raise cannot_write(path, OSError(number, os.strerror(number)))
    raise VideoError(
        "decode_error", f"{path.name} could not be encoded", stderr_tail=child.stderr_tail
    )


def _same_size(
    first: NDArray[np.uint8], rest: Iterator[NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    """Yields frames and refuses one of another size, which would shift all that follow."""
    yield first
    for frame in rest:
        if frame.shape != first.shape or frame.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 {first.shape}, got {frame.dtype} {frame.shape}")
        yield frame
