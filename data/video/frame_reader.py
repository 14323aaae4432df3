"""Reads the chosen frames of a video by the cheapest way that is exact.

1. By the packets' times: a long video is entered at each run of chosen frames, another is decoded
   up to the last of them, without packets that they do not need. The times of the frames that come
   are compared with the chosen ones.
2. Where they differ, packets are not pictures, or have no times: the whole video is decoded once to
   list the frames that are shown, and the chosen ones are read by their numbers.

Frames in a folder, and single images, are read one by one (`data.images.reading`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.images.reading import read_stills
from data.video.decoding import Decoded, Listed, decode, list_frames
from data.video.ffmpeg import ffmpeg_for, find_tools
from data.video.ffmpeg_binaries import FILTERS_PACKETS, release
from data.video.packets import WHOLE_SHARE, Packets, needless, read_packets, refuse_truncated
from data.video.picture import MEMORY_BYTES, Picture, Pictures, middle_square
from data.video.probe import VideoInfo, refuse_changing_aspect

SEEK_COST_FRAMES = 40
"""What starting ffmpeg costs, in decoded frames of 640x360: 0.1 s."""
SEEK_GAIN = 0.5
"""Seeking to the chosen frames must cost at most this share of decoding the video through."""
LEAST_BIT_RATE = 1000
LEAST_GAP_SECONDS = 1e-5
"""Frames nearer to each other cannot be distinguished by ffprobe's times, which are rounded to a
microsecond."""
MOST_CONDITIONS = 3000
"""Of one expression: Linux takes arguments of up to 128 KiB."""
COUNTED_RATE = 100
"""Frames per second of the clock by which frames are counted; any would do."""

Choose = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""Times of all frames (N,) -> numbers of the chosen ones (T,), ascending; or too_few_frames."""


def time_budget(info: VideoInfo) -> float:
    """Seconds that one video may take: enough for slow disks and 4K, not for a trap.

    A small file that claims to be long gets no more time: no watchable video is below 1 kbit/s.
    """
    seconds = min(info.duration_seconds, 3600.0, info.size_bytes * 8 / LEAST_BIT_RATE)
    return min(7200.0, 60 + 10 * seconds)


def read_chosen(
    path: Path,
    info: VideoInfo,
    choose: Choose,
    picture: Picture,
    *,
    when_read: Callable[[float], None] | None = None,
) -> Decoded:
    """Reads the chosen frames of a video; their times are strictly ascending.

    Args:
        path: the video, a folder of frames, or an image.
        info: its headers.
        choose: which frames.
        picture: in which size.
        when_read: called with the share of a video's frames that are there; a second try begins
            at 0 again.

    Raises:
        VideoError: with the class of the failure.
    """
    if info.kind != "video":
        return _read_images(path, info, choose, picture)
    begun = time.monotonic()
    video = _Video(path=path, info=info, picture=picture, begun=begun, when_read=when_read)
    packets = read_packets(path, info, timeout_seconds=video.left_seconds)
    refuse_truncated(path, info, packets)
    refuse_changing_aspect(path, info, timeout_seconds=video.left_seconds)
    times = packets.timestamps_seconds
    timed = len(times) > 0
    chosen = choose(times if timed else np.arange(packets.count, dtype=np.float64))
    if timed:
        found = _read_by_seeking(video, packets, chosen)
        if found is not None:
            return found
    by_time = windows(times, chosen) if timed else None
    found = _read_through(video, packets, chosen, by_time)
    if timed and by_time is not None and _same(found.timestamps_seconds, times[chosen]):
        return found
    # Chosen by number, they are counted by filters, which count from zero when made anew.
    if by_time is None and found.graphs == 1 and len(found.pixels) == len(chosen):
        if timed and _same(found.timestamps_seconds, times[chosen]):
            return found
        if not timed and (np.diff(found.timestamps_seconds) > 0).all():
            return found
    return _read_by_counting(video, packets, choose)


def _read_images(path: Path, info: VideoInfo, choose: Choose, picture: Picture) -> Decoded:
    """Reads the chosen frames of a folder, or an image, as if they had been decoded."""
    read = read_stills(
        path,
        choose,
        picture.delivered,
        most_bytes=MEMORY_BYTES,
        timeout_seconds=time_budget(info),
    )
    pictures = read.pictures
    if picture.shortest is not None:
        pictures = [middle_square(one, picture.shortest) for one in pictures]
    return Decoded(
        pixels=_joined([one[None] for one in pictures]),
        timestamps_seconds=read.timestamps_seconds,
        shown=read.shown,
        graphs=1,
        tail="",
    )


@dataclass(frozen=True, kw_only=True)
class _Video:
    """A video to decode, and how; all calls for it share its time budget."""

    path: Path
    info: VideoInfo
    picture: Picture
    begun: float  # of `time.monotonic`
    when_read: Callable[[float], None] | None  # called with the share of frames that are there

    @property
    def left_seconds(self) -> float:
        budget = time_budget(self.info)
        left = self.begun + budget - time.monotonic()
        if left <= 0:
            raise VideoError("timeout", f"reading took more than {budget:.0f} s")
        return left

    def decode(self, choice: str, count: int, **options: Any) -> Decoded:
        """As `data.video.decoding.decode`, in the time that is left."""
        return decode(
            self.path,
            self.info,
            choice=choice,
            count=count,
            picture=self.picture,
            timeout_seconds=self.left_seconds,
            **({"when_read": self.when_read} | options),
        )


def _read_by_counting(video: _Video, packets: Packets, choose: Choose) -> Decoded:
    """Lists the frames that the decoder shows, and reads the chosen ones by their numbers.

    Raises:
        VideoError: decode_error, if it shows much less than the container holds.
    """
    listed = list_frames(
        video.path,
        video.info,
        most=2 * packets.count + 16,
        timeout_seconds=video.left_seconds,
    )
    refuse_lossy(listed, packets.count)
    times = ascending(listed.timestamps_seconds, video.info.fps)
    chosen = choose(times)
    choice = windows(np.arange(len(times)) / COUNTED_RATE, chosen) or "1"
    found = video.decode(choice, len(chosen), frame_rate=COUNTED_RATE)
    if not _same(found.timestamps_seconds, chosen / COUNTED_RATE):
        raise VideoError(
            "decode_error", "decoding the video twice gave different frames", stderr_tail=found.tail
        )
    return replace(found, timestamps_seconds=times[chosen])


def refuse_lossy(listed: Listed, packets: int) -> None:
    """Refuses a video of which the decoder shows much less than the container holds.

    Packets that show nothing are no loss if the decoder reports no error: hidden frames, second
    fields, placeholders.

    Raises:
        VideoError: decode_error.
    """
    shown = len(listed.timestamps_seconds)
    missing = max(0, packets - shown)
    lost = min(missing, listed.refused) if listed.ended_well else missing
    if shown == 0 or shown < WHOLE_SHARE * (shown + lost):
        raise VideoError(
            "decode_error",
            f"only {shown} of {shown + (lost or missing)} frames can be decoded",
            stderr_tail=listed.tail,
        )


def ascending(times: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Makes times strictly ascending, as following a face needs them.

    Where a time is missing or goes back (concatenated recordings, times that a decoder guessed), a
    frame comes one median step after the one before it. Where that is so for many frames, the times
    are replaced by the frame rate's.

    Args:
        times: (N,) of frames in the order of showing, NaN where there is none.
        fps: by the file's header; 0 where it is not given.
    """
    if len(times) < 2:
        return np.nan_to_num(times)
    steps = np.diff(times)
    good = steps > 0  # NaN is not
    if good.all():
        return times
    rate = fps if 1 <= fps <= 240 else 25.0
    first = float(np.nan_to_num(times[0]))
    if good.mean() < WHOLE_SHARE:
        return first + np.arange(len(times)) / rate
    steps[~good] = np.median(steps[good])
    return first + np.concatenate([[0.0], np.cumsum(steps)])


def windows(times: NDArray[np.float64], chosen: NDArray[np.int64]) -> str | None:
    """An expression for ffmpeg's `select` that takes the chosen frames by their times.

    Not by numbers: when a video changes its size, ffmpeg's filters count from zero again.

    Args:
        times: (N,) of all frames.
        chosen: (T,) numbers, ascending.

    Returns:
        The expression; None where frames lie too near to each other (`LEAST_GAP_SECONDS`).
    """
    if len(times) > 1 and np.diff(times).min() < LEAST_GAP_SECONDS:
        return None
    middles = (times[1:] + times[:-1]) / 2
    edges = np.concatenate([[times[0] - 1], middles, [times[-1] + 1]])
    return any_of(
        [f"between(t,{edges[first]:.9f},{edges[last + 1]:.9f})" for first, last in runs_of(chosen)]
    )


def any_of(conditions: list[str]) -> str:
    """An expression for ffmpeg that one of these holds, at least one of them.

    As a tree, since ffmpeg refuses expressions of more than a hundred levels.
    """
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return f"({any_of(conditions[:half])}+{any_of(conditions[half:])})"


def by_number(numbers: NDArray[np.int64]) -> list[str]:
    """Conditions of ffmpeg's `n` for these numbers, ascending: one for each run."""
    return [
        f"eq(n,{first})" if first == last else f"between(n,{first},{last})"
        for first, last in runs_of(numbers)
    ]


def runs_of(numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Joins consecutive frame numbers into runs: (first, last), both included."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [(int(run[0]), int(run[-1])) for run in np.split(numbers, breaks) if len(run)]


def _read_through(
    video: _Video, packets: Packets, chosen: NDArray[np.int64], by_time: str | None
) -> Decoded:
    """Decodes from the start to the last chosen frame; chooses by number without `by_time`."""
    if by_time is None:
        return video.decode(any_of(by_number(chosen)), len(chosen))
    without = _needless(video, packets, chosen)
    if without:
        found = video.decode(by_time, len(chosen), without=without)
        # What a decoder makes of errors may depend on packets that it was not given.
        exact = "[error]" not in found.tail
        if exact and _same(found.timestamps_seconds, packets.timestamps_seconds[chosen]):
            return found
    return video.decode(by_time, len(chosen))


def _needless(video: _Video, packets: Packets, chosen: NDArray[np.int64]) -> str:
    """A condition of the packets that the chosen frames do not need; "" where it is not known.

    It saves a fifth to two fifths of decoding H.264 and HEVC, more with many keyframes; the frames
    are the same bytes.
    """
    tools = find_tools()
    same = ffmpeg_for(video.info.codec) == tools.ffmpeg
    if packets.numbers is None or not same or release(tools.version) < FILTERS_PACKETS:
        return ""
    unwanted = needless(video.path, video.info, packets, chosen)
    conditions = by_number(np.flatnonzero(unwanted))
    return any_of(conditions) if 0 < len(conditions) <= MOST_CONDITIONS else ""


def _read_by_seeking(video: _Video, packets: Packets, chosen: NDArray[np.int64]) -> Decoded | None:
    """Seeks to each run of chosen frames; None where that costs too much or gives other frames."""
    times = packets.timestamps_seconds
    keys = np.flatnonzero(packets.keyframes)
    runs = runs_of(chosen)
    if not len(keys) or keys[0] != 0:
        return None
    cost = 0
    for first, last in runs:
        cost += last - int(keys[np.searchsorted(keys, first, side="right") - 1])
        cost += SEEK_COST_FRAMES
    if cost > SEEK_GAIN * int(chosen[-1]):
        return None
    parts: list[Decoded] = []
    there = 0  # frames so far
    for first, last in runs:
        enter = times[0] - 1.0 if first == 0 else (times[first - 1] + times[first]) / 2
        enter = max(0.0, float(enter))
        part = video.decode("1", last - first + 1, seek_seconds=enter, when_read=None)
        if not _same(part.timestamps_seconds, times[first : last + 1]):
            return None
        parts.append(part)
        there += last - first + 1
        if video.when_read is not None:
            video.when_read(there / len(chosen))
        if sum(frame.nbytes for one in parts for frame in one.pixels) > MEMORY_BYTES:
            raise VideoError("decode_error", f"{len(chosen)} frames do not fit in memory")
    return Decoded(
        pixels=_joined([part.pixels for part in parts]),
        timestamps_seconds=np.concatenate([part.timestamps_seconds for part in parts]),
        shown=np.concatenate([part.shown for part in parts]),
        graphs=1,
        tail=parts[-1].tail,
    )


def _joined(parts: list[Pictures]) -> Pictures:
    """Concatenates frames: one array where all are of one size."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts) and len({part.shape[1:] for part in arrays}) == 1:
        return np.concatenate(arrays)
    return [frame for part in parts for frame in part]


def _same(got: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Whether these are the same frames; ffprobe rounds to a microsecond."""
    return len(got) == len(expected) and bool(np.all(np.abs(got - expected) < 1e-4))
