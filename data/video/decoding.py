"""Decodes chosen frames of a video with ffmpeg, scaled, and checks the size of each.

ffmpeg hides a change of size in the middle of a video by scaling every later frame to the first
one's size. That is switched off here: every frame comes in its own size, which ffmpeg's filter
`showinfo` writes to stderr before the frame's bytes. Memory grows with the frames asked for.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.video.ffmpeg import Child, Filters, refuse_killed, video_command
from data.video.picture import MEMORY_BYTES, Picture, Pictures, middle_square
from data.video.probe import VideoInfo

PIPE_BYTES = 1 << 16
SHOWN = re.compile(
    rb"\[Parsed_showinfo_(\d+) @ [^\]]*\] \[info\] "
    rb"n: *\d+ pts: *(-?\d+|NOPTS) .*? sar:(\d+)/(\d+) s:(\d+)x(\d+) "
)
TICKS = re.compile(
    rb"(?:\[Parsed_showinfo_(\d+) @ [^\]]*\] \[info\] )?"
    rb"config in time_base: *(\d+)/(\d+), frame_rate: *\d+/\d+\s*$"
)
"""Written before a filter graph's first frame; without its head where ffmpeg did not end the line
before (at an odd rotation)."""
REFUSED = re.compile(
    rb"\[error\].*(?:Error submitting packet to decoder|Error while decoding stream|"
    rb"Error processing packet in decoder)"
)
"""ffmpeg's error for each packet that its decoder rejects."""
WITHOUT_SIDE_DATA: tuple[str, dict[str, Any]] = ("sidedata", {"mode": "delete"})
"""Else showinfo prints x265's side data of each frame, byte by byte: a third of decoding time."""
KNOWN_TRANSFER: tuple[str, dict[str, Any]] = (
    "setparams",
    {"color_trc": "bt709", "color_primaries": "bt709"},
)
"""Else ffmpeg refuses whole videos whose transfer curve it does not know ("reserved", "log100"). Of
a file's colour properties, only the matrix changes the RGB that is read; that stays."""
NO_RGB = "Impossible to convert between the formats"
"""ffmpeg's error for a colour matrix that it does not know, such as ICtCp's."""
DECODED = 1
"""Index of the `showinfo` that sees frames as they are decoded: the filter after `select`."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Chosen frames of a video."""

    # (T, H, W, 3) uint8 RGB; where frames are of several sizes, a list of (H, W, 3).
    pixels: Pictures
    # (T,) float64 on the stream's own clock, exact; NaN where there is none.
    timestamps_seconds: NDArray[np.float64]
    # (T, 2) int64, width and height of each frame as shown, with square pixels.
    shown: NDArray[np.int64]
    graphs: int  # how often ffmpeg made its filter graph, which counts frames from zero each time
    tail: str  # the last lines of ffmpeg's stderr


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Every frame that a decoder shows, without its pixels."""

    # (N,) float64 in the order of showing, NaN where there is none.
    timestamps_seconds: NDArray[np.float64]
    refused: int  # packets that the decoder rejected with an error
    ended_well: bool  # whether ffmpeg reached the end of the file
    tail: str  # the last lines of ffmpeg's stderr


class Showinfo:
    """Parses the lines of `showinfo`: a `data.video.ffmpeg.StderrReader`.

    Times are integer ticks times the stream's time base, so exact: showinfo's own `pts_time` has
    only six digits, too few after a quarter of an hour.

    Args:
        sizes: keep the sizes of frames, too.
    """

    def __init__(self, *, sizes: bool) -> None:
        self.times = array("d")  # of each frame in seconds, NaN where it has none
        self.natives = array("q")  # width, height, both parts of the pixels' aspect of each frame
        self.graphs = 0  # how often the filter graph was made
        self.refused = 0  # packets that the decoder rejected
        self.sizes: list[tuple[int, int]] = []  # width and height of each frame on stdout
        self._keeps_sizes = sizes
        self._ticks = (1, 1)
        self._first_size_known = Event()

    def line(self, raw: bytes) -> bool:
        if b"config in time_base" in raw:
            ticks = TICKS.search(raw)
            if ticks and int(ticks[1] or DECODED) == DECODED:
                self._ticks = (int(ticks[2]), int(ticks[3]))
                self.graphs += 1
            return ticks is not None
        if not raw.startswith(b"[Parsed_showinfo_"):
            self.refused += REFUSED.search(raw) is not None
            return False
        found = SHOWN.match(raw)
        if found is None:
            return True
        if int(found[1]) != DECODED:
            self.sizes.append((int(found[5]), int(found[6])))
            self._first_size_known.set()
        else:
            over, under = self._ticks
            none = found[2] == b"NOPTS"
            self.times.append(float("nan") if none else int(found[2]) * over / under)
            if self._keeps_sizes:
                self.natives.extend(int(found[place]) for place in (5, 6, 3, 4))
        return True

    def end(self) -> None:
        self._first_size_known.set()

    def first_size(self) -> tuple[int, int] | None:
        """Waits for the width and height of the first frame on stdout; None where none comes."""
        self._first_size_known.wait()
        return self.sizes[0] if self.sizes else None

    def shown(self, number: int, picture: Picture) -> tuple[int, int]:
        """Width and height of a frame as shown."""
        width, height, over, under = self.natives[4 * number : 4 * number + 4]
        return picture.shown(width, height, over / under if under else 0.0)


def decode(
    path: Path,
    info: VideoInfo,
    *,
    choice: str,
    count: int,
    picture: Picture,
    seek_seconds: float | None = None,
    frame_rate: int | None = None,
    without: str = "",
    when_read: Callable[[float], None] | None = None,
    timeout_seconds: float,
) -> Decoded:
    """Decodes chosen frames and scales them.

    Args:
        path: the video.
        info: its headers.
        choice: expression of ffmpeg's `select` filter; "1" takes every frame.
        count: number of frames after which decoding stops.
        picture: in which size.
        seek_seconds: start at the first frame at or after this time, on the stream's own clock.
        frame_rate: ignore the file's times and number the frames at this rate.
        without: condition of packets that the decoder is not given, by their number `n` in the
            file; "" gives it all.
        when_read: called with the share of the frames that are there, from 0 to 1.
        timeout_seconds: for the whole call.

    Raises:
        VideoError: timeout; no_decoder; decode_error: an incomplete last frame, a distorted frame,
            colours that ffmpeg cannot convert to RGB, or a crash.
    """
    chain: Filters = [("select", {"expr": choice}), ("showinfo", {"checksum": 0}), KNOWN_TRANSFER]
    chain += [*picture.filters, WITHOUT_SIDE_DATA, ("showinfo", {"checksum": 0})]
    # ffmpeg takes a third longer to interleave the channels itself; the values are the same.
    output = {"format": "rawvideo", "pix_fmt": "gbrp", "frames:v": count}
    options: dict[str, Any] = {} if frame_rate is None else {"r": frame_rate}
    if seek_seconds is not None:
        options |= {"ss": f"{seek_seconds:.6f}", "seek_timestamp": 1}
    if without:
        commas = without.replace(",", "\\,")  # one would end the filter
        options |= {f"bsf:{info.stream_index}": f"noise=drop={commas}"}
    seen = Showinfo(sizes=True)
    with _start(
        path, info, chain, output, seen, options=options, timeout_seconds=timeout_seconds,
    ) as child:  # fmt: skip
        size = seen.first_size()
        wide, high = size or (1, 1)
        if count * high * wide * 3 > MEMORY_BYTES:
            raise VideoError(
                "decode_error", f"{count} frames of {wide}x{high} do not fit in memory"
            )
        same = np.empty((count, high, wide, 3), np.uint8)  # all frames, unless sizes change
        filled = _fill(child, memoryview(same.reshape(-1).data), 3 * wide * high, when_read)
        rest = bytearray()  # of frames larger than the first
        while more := child.stdout.read(PIPE_BYTES):
            rest += more
            if filled + len(rest) > MEMORY_BYTES:
                wide, high = seen.sizes[-1]
                raise VideoError(
                    "decode_error",
                    f"{count} frames that grow to {wide}x{high} do not fit in memory",
                )
        code = child.wait_in_time("decoding")
        tail = child.stderr_tail
    refuse_killed(code, "ffmpeg", tail)
    sizes = seen.sizes[:count]
    if not sizes and NO_RGB in tail:
        raise VideoError(
            "decode_error",
            "ffmpeg cannot convert its colours to RGB: it does not know their matrix; "
            "encode the video again",
        )
    if sum(3 * width * height for width, height in sizes) != filled + len(rest):
        raise VideoError("decode_error", "the last frame is incomplete", stderr_tail=tail)
    shown = [seen.shown(number, picture) for number in range(len(sizes))]
    for size, (width, height) in zip(sizes, shown, strict=True):
        _refuse_distorted(size, picture.delivered(width, height))
    return Decoded(
        pixels=_cut(same, sizes, rest, picture),
        timestamps_seconds=np.asarray(seen.times)[: len(sizes)],
        shown=np.asarray(shown, np.int64).reshape(-1, 2),
        graphs=seen.graphs,
        tail=tail,
    )


def _fill(
    child: Child, view: memoryview, frame_bytes: int, when_read: Callable[[float], None] | None
) -> int:
    """Reads stdout until `view` is full or stdout ends; returns the number of bytes."""
    filled = 0
    while filled < len(view):
        # A frame at a time only where somebody wants to know: whole reads are faster.
        end = len(view) if when_read is None else filled + frame_bytes - filled % frame_bytes
        read = child.stdout.readinto(view[filled:end])  # type: ignore[attr-defined]
        if not read:
            break
        filled += read
        if when_read is not None and filled % frame_bytes == 0:
            when_read(filled / len(view))
    return filled


def _cut(
    same: NDArray[np.uint8],
    sizes: list[tuple[int, int]],
    rest: bytearray,
    picture: Picture,
) -> Pictures:
    """Cuts the bytes that were read into frames; frames of one size stay one array.

    Args:
        same: the first bytes, as frames of the first one's size; where all frames have it, they
            become the result.
        sizes: width and height of each frame.
        rest: the bytes beyond, where later frames are larger.
        picture: of the filters.
    """
    wide, high = picture.kept(*(sizes or [(1, 1)])[0])
    if all(size == (wide, high) for size in sizes) and same.shape[1:3] == (high, wide):
        for frame in same[: len(sizes)]:
            cv2.merge(_planes(frame.copy(), wide, high), dst=frame)
        return same[: len(sizes)]
    if not sizes:
        return np.empty((0, high, wide, 3), np.uint8)
    first, beyond, at = same.reshape(-1), np.frombuffer(rest, np.uint8), 0
    frames = []
    for width, height in sizes:
        end = at + 3 * width * height
        early = first[at:end]
        late = beyond[max(0, at - first.size) : max(0, end - first.size)]
        frame = np.concatenate([early, late]) if early.size and late.size else early
        frame = frame if frame.size else late
        frames.append(np.asarray(cv2.merge(_planes(frame, width, height)), np.uint8))
        at = end
    if picture.shortest is None:
        return frames
    return np.stack([middle_square(frame, picture.shortest) for frame in frames])


def _planes(values: NDArray[np.uint8], width: int, height: int) -> tuple[NDArray[np.uint8], ...]:
    """Red, green and blue (height, width) of a frame that holds green, blue, red."""
    green, blue, red = values.reshape(3, height, width)
    return red, green, blue


def _refuse_distorted(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """Refuses a frame whose size is not the one that follows from the decoded picture's.

    Raises:
        VideoError: decode_error.
    """
    if max(abs(size[0] - expected[0]), abs(size[1] - expected[1])) > 1:
        given, wanted = "{}x{}".format(*size), "{}x{}".format(*expected)
        raise VideoError(
            "decode_error",
            f"ffmpeg gave a frame of {given} pixels where {wanted} was expected; "
            "install another ffmpeg",
        )


def list_frames(path: Path, info: VideoInfo, *, most: int, timeout_seconds: float) -> Listed:
    """Decodes the whole video, or its first `most` frames, to learn when they are shown.

    Raises:
        VideoError: timeout, no_decoder, or a crash (decode_error).
    """
    chain: Filters = [("select", {"expr": "1"}), ("showinfo", {"checksum": 0})]
    output = {"format": "null", "frames:v": most}
    seen = Showinfo(sizes=False)
    with _start(path, info, chain, output, seen, timeout_seconds=timeout_seconds) as child:
        code = child.wait_in_time("decoding")
        tail = child.stderr_tail
    refuse_killed(code, "ffmpeg", tail)
    return Listed(
        timestamps_seconds=np.asarray(seen.times),
        refused=seen.refused,
        ended_well=code == 0,
        tail=tail,
    )


def _start(
    path: Path,
    info: VideoInfo,
    chain: Filters,
    output: dict[str, Any],
    reader: Showinfo,
    *,
    options: dict[str, Any] | None = None,
    timeout_seconds: float,
) -> Child:
    """Starts ffmpeg on the video stream, through filters to stdout, with nothing distorted."""
    cropping = {"apply_cropping": "codec"} if info.crop_is_absurd else {}
    command = video_command(
        path,
        codec=info.codec,
        stream_index=info.stream_index,
        chain=chain,
        target="pipe:",
        output=output,
        flags=("-loglevel", "level+info", "-copyts"),
        options=cropping | (options or {}),
    )
    command.insert(len(command) - 1, "-noautoscale")  # else later sizes are bent to the first
    return Child(command, timeout_seconds=timeout_seconds, reader=reader)
