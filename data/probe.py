"""What a video file says of itself, by ffprobe: streams, size as shown, and its packets' times.

A header's duration and frame count are claims. The packets are what is there, so the choice of
frames rests on them.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.ffmpeg import MAX_PIXELS, ffprobe, refuse_killed

MAX_JSON_BYTES = 4 << 20
MAX_PACKETS = 10_000_000
"""About four days at 30 frames/s."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """The first true video stream of a file.

    Attributes:
        stream_index: its index in the container.
        codec: as ffprobe names it, "h264".
        pixel_format: as ffprobe names it, "yuv420p".
        width: in pixels as shown: after rotation, with square pixels.
        height: likewise.
        rotation_degrees: 0, 90, 180 or 270, already counted in width and height.
        fps: average frames per second; 0 where the file does not say.
        duration_seconds: as declared; 0 where the file does not say.
        frame_count: as declared, or None; never to be trusted.
        promised_seconds: how long the video stream itself should last; 0 where only the whole
            file has a duration and holds more than this stream.
        bit_rate: of the whole file in bits per second; 0 where unknown.
        size_bytes: of the file.
    """

    stream_index: int
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation_degrees: int
    fps: float
    duration_seconds: float
    frame_count: int | None
    promised_seconds: float
    bit_rate: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Packets:
    """What the container really holds of one video stream, in the order of presentation.

    Attributes:
        timestamps_seconds: (N,) float64, ascending; NaN-free; empty where packets carry no time.
        keyframes: (N,) bool, where a decoder can start.
        count: N, also where packets carry no time.
        discarded: packets on top that are never shown, by an edit list for one.
    """

    timestamps_seconds: NDArray[np.float64]
    keyframes: NDArray[np.bool_]
    count: int
    discarded: int


def probe(path: Path, *, timeout_seconds: float = 30) -> VideoInfo:
    """Reads a file's headers.

    Raises:
        VideoError: unreadable, no_video_stream or timeout.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise VideoError("unreadable", f"cannot read the file: {error.strerror}") from error
    if size_bytes == 0:
        raise VideoError("unreadable", "the file is empty")
    entries = (
        "stream=index,codec_type,codec_name,pix_fmt,width,height,sample_aspect_ratio,"
        "avg_frame_rate,r_frame_rate,duration,nb_frames:stream_disposition=attached_pic:"
        "stream_side_data=rotation:format=duration,bit_rate"
    )
    arguments = ["-show_entries", entries, "-of", "json"]
    with ffprobe(path, arguments, timeout_seconds=timeout_seconds) as child:
        text = child.stdout.read(MAX_JSON_BYTES)
        child.stdout.read(1)
        code = child.wait() if len(text) < MAX_JSON_BYTES else 1
        tail = child.stderr_tail
        if child.timed_out:
            raise VideoError(
                "timeout", f"ffprobe took more than {timeout_seconds:.0f} s", stderr_tail=tail
            )
    if code != 0:
        raise VideoError("unreadable", "ffprobe cannot read it as a video", stderr_tail=tail)
    try:
        told = json.loads(text)
    except ValueError as error:
        raise VideoError("unreadable", "ffprobe's answer is garbled", stderr_tail=tail) from error
    streams = [
        stream
        for stream in told.get("streams", [])
        if stream.get("codec_type") == "video"
        and not stream.get("disposition", {}).get("attached_pic")
    ]
    if not streams:
        raise VideoError("no_video_stream", "there is no video stream in it", stderr_tail=tail)
    alone = len(told["streams"]) == 1
    return _info(streams[0], told.get("format", {}), size_bytes, tail, alone=alone)


def _info(
    stream: dict[str, Any], container: dict[str, Any], size_bytes: int, tail: str, *, alone: bool
) -> VideoInfo:
    """Turns ffprobe's strings into numbers, defaults where they are missing."""
    width, height = int(stream.get("width", 0)), int(stream.get("height", 0))
    if width < 1 or height < 1 or "codec_name" not in stream:
        raise VideoError("unreadable", "the video stream has no size", stderr_tail=tail)
    if width * height > MAX_PIXELS:
        raise VideoError("unreadable", f"frames of {width}x{height} are too large to decode")
    aspect = _ratio(stream.get("sample_aspect_ratio", "").replace(":", "/"))
    if 0.1 < aspect < 10:
        width = max(1, round(width * aspect))
    rotation = 0
    for side in stream.get("side_data_list", []):
        rotation = round(_number(side.get("rotation")) / 90) * 90 % 360
    if rotation in (90, 270):
        width, height = height, width
    own = _number(stream.get("duration"))
    duration = own or _number(container.get("duration"))
    frames = stream.get("nb_frames", "")
    return VideoInfo(
        stream_index=int(stream["index"]),
        codec=stream["codec_name"],
        pixel_format=stream.get("pix_fmt", "unknown"),
        width=width,
        height=height,
        rotation_degrees=rotation,
        fps=_ratio(stream.get("avg_frame_rate", "")) or _ratio(stream.get("r_frame_rate", "")),
        duration_seconds=max(0.0, duration),
        frame_count=int(frames) if frames.isdigit() else None,
        promised_seconds=max(0.0, duration if alone else own),
        bit_rate=int(_number(container.get("bit_rate"))),
        size_bytes=size_bytes,
    )


def _ratio(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        return 0.0


def _number(text: str | int | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) else 0.0


def read_packets(path: Path, info: VideoInfo, *, timeout_seconds: float) -> Packets:
    """Lists a stream's packets without decoding them.

    Raises:
        VideoError: unreadable (no packet at all), timeout, or ffprobe crashed (decode_error).
    """
    arguments = ["-select_streams", str(info.stream_index)]
    arguments += ["-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"]
    times, keys = array("d"), bytearray()  # a list takes four times the memory
    count = discarded = 0
    with ffprobe(path, arguments, timeout_seconds=timeout_seconds) as child:
        for line in child.stdout:
            fields = line.decode("ascii", "replace").strip().split(",")
            if len(fields) < 2:
                continue
            if "D" in fields[1]:
                discarded += 1
                continue
            count += 1
            if count > MAX_PACKETS:
                raise VideoError("unreadable", f"more than {MAX_PACKETS} packets")
            if fields[0] != "N/A":
                times.append(float(fields[0]))
                keys.append("K" in fields[1])
        code = child.wait()
        tail = child.stderr_tail
        if child.timed_out:
            raise VideoError(
                "timeout", f"reading took more than {timeout_seconds:.0f} s", stderr_tail=tail
            )
    refuse_killed(code, "ffprobe", tail)
    if count == 0:
        raise VideoError("unreadable", "the video stream is empty", stderr_tail=tail)
    if len(times) != count:
        times, keys = array("d"), bytearray()
    order = np.argsort(np.asarray(times), kind="stable")
    return Packets(
        timestamps_seconds=np.asarray(times)[order],
        keyframes=np.frombuffer(keys, bool)[order],
        count=count,
        discarded=discarded,
    )
