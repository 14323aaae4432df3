"""A video file's headers, read by ffprobe: its streams, which of them is the video, its size.

A header only claims: frames are read as the decoder delivers them (`data.video.decoding`), and
chosen among the packets that are there (`data.video.packets`). Of a folder of frames and of an
image (`data.images`) the same facts are told, without ffprobe.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import VideoError, plain
from data.images.decoding import ImageHeader, image_header
from data.images.formats import Kind, kind_of
from data.images.frame_folders import open_frames
from data.images.identity import source_size
from data.video.failures import why_unreadable
from data.video.ffmpeg import LINE_BYTES, MAX_PIXELS, ffprobe, refuse_killed

MAX_JSON_BYTES = 4 << 20
LEAST_ASPECT, MOST_ASPECT = 0.1, 10
"""Pixel aspect ratios between these are applied; others are errors and count as 1."""
LEAST_CROPPED = 16
"""Smallest clean aperture in pixels; a smaller one is damage and ignored."""
FEWEST_PICTURES = 8
"""A stream with fewer is a cover, slides or thumbnails, where another stream has more."""
HEADERLESS = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"})
"""Containers whose header does not state the pixels' aspect ratio."""
LEAST_ASPECT_CHANGE = 1.05
"""Aspect ratios nearer to each other than this are two ways to write one: 16:11 and 64:45."""
EDGES = ("left", "right", "top", "bottom")
FRAMES_TRIED = 8
"""Of a folder, until one has a sound header."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """The first video stream of a file with moving pictures."""

    stream_index: int  # its index in the container
    codec: str  # as ffprobe names it, "h264"
    pixel_format: str  # as ffprobe names it, "yuv420p"
    width: int  # in pixels as shown: after rotation, with square pixels
    height: int  # likewise
    # From 0 to below 360, to the whole degree; a quarter turn is already counted in width and
    # height.
    rotation_degrees: int
    fps: float  # average frames per second; 0 where the file does not say
    duration_seconds: float  # as declared; 0 where the file does not say
    frame_count: int | None  # as declared, or None; never to be trusted
    # Duration of the video stream itself, by its header or, in Matroska, its tag; 0 where only the
    # whole file has a duration and holds more than this stream.
    promised_seconds: float
    bit_rate: int  # of the whole file in bits per second; 0 where unknown
    size_bytes: int  # of the file
    container: str = ""  # as ffprobe names it, "mov,mp4,m4a,3gp,3g2,mj2"
    crop_is_absurd: bool = False  # a clean aperture leaves next to nothing, and is ignored
    kind: Kind = "video"  # what the path is
    note: str = ""  # how a folder of frames was understood; "" for others

    @property
    def turned(self) -> bool:
        """Whether ffmpeg rotates the picture by a quarter turn."""
        return self.rotation_degrees in (90, 270)


def probe(path: Path, *, timeout_seconds: float = 30) -> VideoInfo:
    """Reads a file's headers.

    Raises:
        VideoError: unreadable, no_video_stream, no_decoder or timeout.
    """
    try:
        size_bytes, kind = path.stat().st_size, kind_of(path)
        if kind != "video":
            return _of_images(path, kind, source_size(path))
    except OSError as error:
        raise VideoError("unreadable", f"cannot read the file: {error.strerror}") from error
    if size_bytes == 0:
        raise VideoError("unreadable", "the file is empty")
    entries = (
        "stream=index,codec_type,codec_name,pix_fmt,width,height,sample_aspect_ratio,"
        "avg_frame_rate,r_frame_rate,duration,nb_frames:"
        "stream_disposition=attached_pic,still_image,timed_thumbnails:"
        "stream_tags=DURATION:"
        "stream_side_data=side_data_type,rotation,crop_top,crop_bottom,crop_left,crop_right:"
        "format=format_name,duration,bit_rate"
    )
    arguments = ["-show_entries", entries, "-of", "json"]
    with ffprobe(path, arguments, timeout_seconds=timeout_seconds) as child:
        text = child.stdout.read(MAX_JSON_BYTES)
        child.stdout.read(1)
        code = child.wait_in_time("ffprobe") if len(text) < MAX_JSON_BYTES else 1
        tail = child.stderr_tail
    if code != 0:
        raise VideoError("unreadable", why_unreadable(path, tail), stderr_tail=tail)
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise VideoError("unreadable", "ffprobe's answer is garbled", stderr_tail=tail) from error
    streams = [
        stream
        for stream in facts.get("streams", [])
        if stream.get("codec_type") == "video"
        and not stream.get("disposition", {}).get("attached_pic")
    ]
    if not streams:
        raise VideoError("no_video_stream", "there is no video stream in it", stderr_tail=tail)
    stream = _moving(path, streams, timeout_seconds) if len(streams) > 1 else streams[0]
    alone = len(facts["streams"]) == 1
    return _info(stream, facts.get("format", {}), size_bytes, tail, alone=alone)


def _of_images(path: Path, kind: Kind, size_bytes: int) -> VideoInfo:
    """The facts of a folder of frames, by its first readable one, or of an image."""
    folder = open_frames(path) if kind == "frames" else None
    header = image_header(path) if folder is None else _first_header(folder.files())
    seconds = 0.0 if folder is None else folder.duration_seconds
    return VideoInfo(
        stream_index=0,
        codec=header.format,
        pixel_format=header.mode,
        width=header.width,
        height=header.height,
        rotation_degrees=0,
        fps=0.0 if folder is None else float(folder.rate),
        duration_seconds=seconds,
        frame_count=1 if folder is None else len(folder.names),
        promised_seconds=0.0,
        bit_rate=round(8 * size_bytes / seconds) if seconds else 0,
        size_bytes=size_bytes,
        container=kind,
        kind=kind,
        note="" if folder is None else folder.note(),
    )


def _first_header(files: list[Path]) -> ImageHeader:
    """The header of the first of these frames that has one.

    Raises:
        VideoError: none of the first few has.
    """
    first: VideoError | None = None
    for file in files[:FRAMES_TRIED]:
        try:
            return image_header(file)
        except VideoError as error:
            first = first or VideoError(error.failure, f"{plain(file.name)}: {error}")
    assert first is not None  # noqa: S101 - there are frames
    raise first


def _moving(path: Path, streams: list[dict[str, Any]], timeout_seconds: float) -> dict[str, Any]:
    """The first stream with at least FEWEST_PICTURES, which is no still and no thumbnails.

    Where there is none, the first with more than one picture, or the first of all.
    """
    films = [
        stream
        for stream in streams
        if not any(
            stream.get("disposition", {}).get(kind) for kind in ("still_image", "timed_thumbnails")
        )
        and "codec_name" in stream
        and int(stream.get("width", 0)) > 0
        and stream.get("nb_frames") != "1"
    ]
    if not films:
        return streams[0]
    declared = {int(stream["index"]): stream.get("nb_frames", "") for stream in films}
    first = declared[int(films[0]["index"])]
    if first.isdigit() and int(first) >= FEWEST_PICTURES:
        return films[0]
    if all(number.isdigit() for number in declared.values()):
        counts = {index: int(number) for index, number in declared.items()}
    else:
        counts = _count_packets(path, set(declared), timeout_seconds)
    for least in (FEWEST_PICTURES, 2):
        moving = [stream for stream in films if counts[int(stream["index"])] >= least]
        if moving:
            return moving[0]
    return films[0]


def _count_packets(path: Path, wanted: set[int], timeout_seconds: float) -> dict[int, int]:
    """Counts the packets of streams, until each has FEWEST_PICTURES.

    Raises:
        VideoError: timeout.
    """
    counts = dict.fromkeys(wanted, 0)
    arguments = ["-select_streams", "v", "-show_entries", "packet=stream_index", "-of", "csv=p=0"]
    with ffprobe(path, arguments, timeout_seconds=timeout_seconds) as child:
        for line in iter(partial(child.stdout.readline, LINE_BYTES), b""):
            number = line.split(b",")[0].strip()
            if number.isdigit() and int(number) in counts:
                counts[int(number)] += 1
                if min(counts.values()) >= FEWEST_PICTURES:
                    return counts
        child.wait_in_time("ffprobe")
    return counts


def _info(
    stream: dict[str, Any], container: dict[str, Any], size_bytes: int, tail: str, *, alone: bool
) -> VideoInfo:
    """Converts ffprobe's strings into numbers, with defaults where they are missing."""
    width, height = int(stream.get("width", 0)), int(stream.get("height", 0))
    if "codec_name" not in stream:
        raise VideoError("unreadable", "ffprobe does not know the codec", stderr_tail=tail)
    if width < 1 or height < 1:
        raise VideoError("unreadable", "the video stream has no size", stderr_tail=tail)
    if width * height > MAX_PIXELS:
        raise VideoError("unreadable", f"frames of {width}x{height} are too large to decode")
    rotation, crop = 0, (0, 0)
    # By their names: boxes come in any order, and others lie between.
    for side in stream.get("side_data_list", []):
        if side.get("side_data_type") == "Display Matrix":
            rotation = round(_number(side.get("rotation"))) % 360
        elif side.get("side_data_type") == "Frame Cropping":
            edges = {name: int(_number(side.get(f"crop_{name}"))) for name in EDGES}
            crop = (edges["left"] + edges["right"], edges["top"] + edges["bottom"])
    cropped = (width - crop[0], height - crop[1])
    absurd = crop != (0, 0) and min(cropped) < LEAST_CROPPED
    width, height = (width, height) if absurd else cropped
    aspect = ratio(stream.get("sample_aspect_ratio", "").replace(":", "/"))
    if LEAST_ASPECT < aspect < MOST_ASPECT:
        width = max(1, round(width * aspect))
    if rotation in (90, 270):
        width, height = height, width
    own = _number(stream.get("duration"))
    duration = own or _number(container.get("duration"))
    tagged = _clock(stream.get("tags", {}).get("DURATION", ""))
    frames = stream.get("nb_frames", "")
    return VideoInfo(
        stream_index=int(stream["index"]),
        codec=stream["codec_name"],
        pixel_format=stream.get("pix_fmt", "unknown"),
        width=width,
        height=height,
        rotation_degrees=rotation,
        fps=ratio(stream.get("avg_frame_rate", "")) or ratio(stream.get("r_frame_rate", "")),
        duration_seconds=max(0.0, duration),
        frame_count=int(frames) if frames.isdigit() else None,
        promised_seconds=max(0.0, duration if alone else own or tagged),
        bit_rate=int(_number(container.get("bit_rate"))),
        size_bytes=size_bytes,
        container=container.get("format_name", ""),
        crop_is_absurd=absurd,
    )


def ratio(text: str) -> float:
    """The value of ffprobe's fraction "a/b"; 0 where it is none."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        return 0.0


def _clock(text: str) -> float:
    """Seconds of a Matroska tag such as 00:00:04.004000000; 0 where it is none."""
    parts = re.fullmatch(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)", text)
    return 3600 * int(parts[1]) + 60 * int(parts[2]) + float(parts[3]) if parts else 0.0


def _number(text: str | int | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if np.isfinite(value) else 0.0


def refuse_changing_aspect(path: Path, info: VideoInfo, *, timeout_seconds: float) -> None:
    """Refuses a video whose pixels change their aspect ratio on the way.

    Broadcasts switch between 4:3 and 16:9 without a change of size. ffmpeg applies the first aspect
    ratio to all frames (from release 7 on), so that later ones would be distorted. Containers with
    a header state it there, once for all; in streams without one, the keyframes are asked.

    Raises:
        VideoError: decode_error, or timeout.
    """
    if info.container not in HEADERLESS:
        return
    arguments = ["-select_streams", str(info.stream_index), "-skip_frame", "nokey"]
    arguments += ["-show_entries", "frame=best_effort_timestamp_time,sample_aspect_ratio"]
    arguments += ["-of", "compact=p=0:nk=1"]
    first = 0.0
    with ffprobe(path, arguments, timeout_seconds=timeout_seconds) as child:
        for line in child.stdout:  # ffprobe's own numbers: no line is long
            seconds, _, rest = line.decode("ascii", "replace").strip().partition("|")
            aspect = ratio(rest.partition("|")[0].replace(":", "/"))
            aspect = aspect if LEAST_ASPECT < aspect < MOST_ASPECT else 1.0
            first = first or aspect
            if max(first, aspect) / min(first, aspect) > LEAST_ASPECT_CHANGE:
                raise VideoError(
                    "decode_error",
                    f"its pixel aspect ratio changes from {first:.2f} to {aspect:.2f}"
                    f"{f' at {seconds} s' if seconds != 'N/A' else ''}, which ffmpeg does not "
                    "follow; cut the video there",
                )
        code = child.wait_in_time("reading")
        tail = child.stderr_tail
    refuse_killed(code, "ffprobe", tail)
