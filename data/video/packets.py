"""The packets of one video stream: their times, and whether the file is truncated.

A header only claims a duration and a frame count; the packets are what is there. But a packet is
not a picture: some are never shown (hidden reference frames of VP8), some are half a picture
(fields). Only the decoder knows what is shown. Which pictures no other one refers to is written in
their first bytes.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.operating_system.files import pread
from data.video.failures import ffprobe_reason
from data.video.ffmpeg import ffprobe, refuse_killed
from data.video.probe import VideoInfo

MAX_PACKETS = 10_000_000
"""About four days at 30 frames/s."""
WHOLE_SHARE = 0.9
"""A video with less than this share of its promised frames counts as truncated."""
ENDED_EARLY = ("File ended prematurely", "partial file")
"""ffprobe's words for a truncated Matroska and a truncated MP4 file."""

MOST_EXAMINED = 100_000
"""Packets of one video whose first bytes are read: an hour of video; 0.2 s."""
MOST_UNITS = 16
"""NAL units of one packet that are looked at: its slices, parameters and notes."""

ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_HEADER_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The packets of one video stream, in the order of presentation."""

    # (N,) float64, ascending, without NaN; empty where a packet carries no time, or where the clock
    # jumps back.
    timestamps_seconds: NDArray[np.float64]
    keyframes: NDArray[np.bool_]  # (N,) bool, where a decoder can start
    count: int  # N, also where packets carry no time
    discarded: int  # further packets that are never shown, because of an edit list for example
    # From the first picture to the end of the last, by the packets' times; 0 without any.
    held_seconds: float = 0.0
    cut: bool = False  # whether ffprobe reports that the file, or its last packet, ends too early
    # (N,) int64, the number of each packet in the order of the file, discarded ones included; and
    # (M,) int64 of all M of them in that order, first byte and size. None where not asked for.
    numbers: NDArray[np.int64] | None = None
    starts: NDArray[np.int64] | None = None
    sizes_bytes: NDArray[np.int64] | None = None


def read_packets(path: Path, info: VideoInfo, *, timeout_seconds: float) -> Packets:
    """Lists a stream's packets without decoding them.

    Raises:
        VideoError: unreadable (no packet at all), timeout, or ffprobe crashed (decode_error).
    """
    arguments = ["-select_streams", str(info.stream_index)]
    if info.container.startswith(("mov", "matroska")):  # their packets are complete in themselves
        arguments.append("-nofind_stream_info")  # which would decode some: half of the time
    # ffprobe prints them in this order. MP4's index makes dts and duration needless, which cost.
    more = "" if counted_by_index(info) else ",dts_time,duration_time"
    lies = ",size,pos" if not more and info.codec in UNITS else ""
    arguments += ["-show_entries", f"packet=pts_time,flags{more}{lies}", "-of", "csv=p=0"]
    times, dts_times, keys = array("d"), array("d"), bytearray()  # a list takes four times as much
    numbers, starts, sizes = array("q"), array("q"), array("q")
    count = discarded = 0
    last_pts, last_duration, flags = -math.inf, b"N/A", b""
    with ffprobe(path, arguments, timeout_seconds=timeout_seconds) as child:
        for line in child.stdout:  # ffprobe's own numbers: no line is long
            fields = line.rstrip().split(b",")
            if lies and len(fields) >= 4:
                pts, size, start, flags = fields[:4]
                dts = duration = b"N/A"
                starts.append(-1 if start == b"N/A" else int(start))
                sizes.append(int(size))
            elif not more and not lies and len(fields) >= 2:
                pts, flags = fields[:2]
                dts = duration = b"N/A"
            elif more and len(fields) >= 4:
                pts, dts, duration, flags = fields[:4]
            else:
                continue
            count += 1  # also those that are discarded
            if count > MAX_PACKETS:
                raise VideoError("unreadable", f"more than {MAX_PACKETS} packets")
            if dts != b"N/A":
                dts_times.append(float(dts))
            if b"D" in flags:
                discarded += 1
                continue
            if pts != b"N/A":
                times.append(float(pts))
                numbers.append(count - 1)
                keys.append(b"K" in flags)
                if times[-1] > last_pts:
                    last_pts, last_duration = times[-1], duration
        code = child.wait_in_time("reading")
        tail = child.stderr_tail
    refuse_killed(code, "ffprobe", tail)
    count -= discarded
    if count == 0:
        why = ffprobe_reason(tail)
        raise VideoError(
            "unreadable",
            f"the video stream is empty{f': {why}' if why else ''}",
            stderr_tail=tail,
        )
    clock = times if len(times) == count else dts_times
    held = (max(clock) - min(clock)) if clock else 0.0
    if len(clock) > 1:  # the last picture is shown for a while, too
        known = last_duration != b"N/A" and clock is times
        held += float(last_duration) if known else held / (len(clock) - 1)
    if len(times) != count or (np.diff(np.asarray(dts_times)) < 0).any():
        times, keys, lies = array("d"), bytearray(), ""
    order = np.argsort(np.asarray(times), kind="stable")
    return Packets(
        timestamps_seconds=np.asarray(times)[order],
        keyframes=np.frombuffer(keys, bool)[order],
        count=count,
        discarded=discarded,
        held_seconds=held,
        cut=b"C" in flags or any(words in tail for words in ENDED_EARLY),
        numbers=np.asarray(numbers)[order] if lies else None,
        starts=np.asarray(starts) if lies else None,
        sizes_bytes=np.asarray(sizes) if lies else None,
    )


def needless(
    path: Path, info: VideoInfo, packets: Packets, chosen: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which packets of a file the chosen pictures do not need; without them they are the same.

    Those are pictures that no other refers to (half of x264's; of HEVC only in the highest temporal
    layer, since others may be referred to from above), and those between the last chosen one of a
    group and the next picture at which decoding begins anew.

    Args:
        path, info: the video.
        packets: of it.
        chosen: (T,) numbers of pictures in the order of presentation, ascending.

    Returns:
        (M,) bool in the order of the file; all False where that is not known, as of another codec.

    Raises:
        VideoError: unreadable.
    """
    starts, sizes, numbers = packets.starts, packets.sizes_bytes, packets.numbers
    if starts is None or sizes is None or numbers is None or len(starts) > MOST_EXAMINED:
        return np.zeros(0 if starts is None else len(starts), bool)
    try:
        with path.open("rb", buffering=0) as file:
            seen = [
                _examine(file.fileno(), start, start + size, UNITS[info.codec])
                for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
            ]
    except OSError as error:
        raise VideoError("unreadable", f"cannot read the file: {error.strerror}") from error
    layers = np.asarray([layer for layer, _ in seen])
    alone, anew = (
        np.asarray([kinds - {SETS} == {kind} for _, kinds in seen]) for kind in (ALONE, ANEW)
    )
    sets = np.asarray([SETS in kinds for _, kinds in seen])
    if not anew.any() or (sets & ~anew).any():  # not understood, or parameters on the way
        return np.zeros(len(starts), bool)
    found: NDArray[np.bool_] = alone & (layers == layers.max(initial=0))
    wanted = numbers[chosen]
    found[wanted] = False
    group = np.cumsum(anew)
    last = np.full(len(starts) + 1, -1)
    np.maximum.at(last, group[wanted], wanted)
    found |= np.arange(len(starts)) > last[group]
    found &= ~sets
    return found


def _examine(file: int, start: int, end: int, read_unit: ReadUnit) -> tuple[int, set[str]]:
    """The temporal layer of a packet, and what is in it; NEEDED where it is not understood.

    Its NAL units must fill it exactly, each after its size in four bytes, as MP4 has them.
    """
    layer, kinds = 0, set[str]()
    for _ in range(MOST_UNITS):
        head = pread(file, 6, start) if start >= 0 else b""
        if len(head) < 6:
            break
        unit = read_unit(head[4], head[5])
        if unit is not None:
            layer = max(layer, unit[0])
            kinds.add(unit[1])
        start += 4 + int.from_bytes(head[:4])
        if start == end:
            return layer, kinds
        if start > end or NEEDED in kinds:
            break
    return layer, kinds | {NEEDED}


NEEDED, ALONE, ANEW, SETS = "needed", "alone", "anew", "sets"
"""Slices that others may refer to; slices that none refers to; slices of a picture before which no
later one reaches; parameter sets, for any later picture."""


def _h264_unit(first: int, _: int) -> tuple[int, str] | None:
    """Temporal layer and kind of a NAL unit by its first two bytes (7.4.1); None for notes."""
    kind = first & 31
    if kind in (7, 8, 13, 15):
        return 0, SETS
    if kind == 1 and not first >> 5:
        return 0, ALONE
    if kind == 5:
        return 0, ANEW
    return (0, NEEDED) if kind < 5 or kind in (20, 21) else None


def _hevc_unit(first: int, second: int) -> tuple[int, str] | None:
    """As `_h264_unit` (7.4.2.2); a second view (`nuh_layer_id`) is taken for needed."""
    kind, view, layer = first >> 1 & 63, (first & 1) << 5 | second >> 3, (second & 7) - 1
    if 32 <= kind <= 34:
        return 0, SETS
    if kind > 34:
        return None
    if view:
        return layer, NEEDED
    if kind in (19, 20):
        return layer, ANEW
    return layer, ALONE if kind <= 14 and not kind % 2 else NEEDED


ReadUnit = Callable[[int, int], tuple[int, str] | None]
UNITS: dict[str, ReadUnit] = {"h264": _h264_unit, "hevc": _hevc_unit}
"""Readers of the codecs whose packets say so."""


def counted_by_index(info: VideoInfo) -> bool:
    """Whether the container counts its packets, as IVF and unfragmented MP4 do."""
    return bool(info.frame_count) and info.container.startswith(("mov", "ivf"))


def refuse_truncated(path: Path, info: VideoInfo, packets: Packets) -> None:
    """Refuses a file that ends well before its own index says.

    - MP4 and IVF: by the number of packets, which their index counts.
    - ASF: by its size in bytes; its duration is of all streams. WTV, likewise, is not checked: its
      index is at its end.
    - Others: by the time up to the end of the last picture, which may last long. AVI leaves out
      pictures that do not change, and neither AVI nor Matroska need state the last one's duration:
      they are refused only if bytes are missing, too. Where bytes are missing and the stream has no
      duration of its own, the whole file's counts.

    Raises:
        VideoError: decode_error.
    """
    count = packets.count + packets.discarded
    if info.frame_count and counted_by_index(info):
        if count < WHOLE_SHARE * info.frame_count:
            raise VideoError(
                "decode_error",
                f"the file is truncated: it holds {count} of {info.frame_count} frames",
            )
        return
    if info.container == "asf":
        promised_bytes = _asf_bytes(path)
        if info.size_bytes < WHOLE_SHARE * promised_bytes:
            raise VideoError(
                "decode_error",
                f"the file is truncated: it holds {info.size_bytes} of {promised_bytes} bytes",
            )
        return
    if info.container == "wtv":
        return
    promised = info.promised_seconds or (info.duration_seconds if packets.cut else 0.0)
    if info.container == "avi" and info.frame_count and info.fps:
        promised = info.frame_count / info.fps  # ffprobe's own is what the bytes would last
    if not promised or not packets.held_seconds or packets.held_seconds >= WHOLE_SHARE * promised:
        return
    if info.container == "avi" and not (packets.cut or _riff_is_cut(path, info.size_bytes)):
        return
    if info.container.startswith("matroska") and not packets.cut:
        return
    raise VideoError(
        "decode_error",
        f"the file is truncated: it holds {packets.held_seconds:.1f} of {promised:.1f} s",
    )


def _asf_bytes(path: Path) -> int:
    """The size of an ASF file in bytes by its header; 0 where not given, as of a broadcast."""
    head = _head(path, ASF_HEADER_BYTES)
    start = head.find(ASF_FILE_PROPERTIES)
    facts = head[start : start + 92]
    if start < 0 or len(facts) < 92 or facts[88] & 1:  # a broadcast
        return 0
    return int.from_bytes(facts[40:48], "little")


def _riff_is_cut(path: Path, size_bytes: int) -> bool:
    """Whether an AVI file is shorter than the size in its first eight bytes."""
    head = _head(path, 8)
    return head[:4] == b"RIFF" and 8 + int.from_bytes(head[4:], "little") > size_bytes


def _head(path: Path, size_bytes: int) -> bytes:
    """The first bytes of a file.

    Raises:
        VideoError: unreadable.
    """
    try:
        with path.open("rb") as handle:
            return handle.read(size_bytes)
    except OSError as error:
        raise VideoError("unreadable", f"cannot read the file: {error.strerror}") from error
