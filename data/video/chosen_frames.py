"""Which frames a video really has, and the chosen ones of them, by the cheapest way that is right.

The packets' times are tried first: a long video is entered at its chosen frames, another is decoded
up to the last of them, and the frames that come are compared with the ones that were meant. Where
they differ, packets are not pictures, or have no times: then the whole video is decoded once to
learn what is shown, and its frames are counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import VideoError
from data.video.aspects import refuse_changing_aspect
from data.video.decoding import MEMORY_BYTES, Decoded, Listed, decode, list_frames
from data.video.packets import WHOLE_SHARE, Packets, read_packets, refuse_truncated
from data.video.picture import Picture, Pictures
from data.video.probe import VideoInfo
from data.video.sampling import runs_of

SEEK_COST_FRAMES = 40
"""What starting ffmpeg costs, in decoded frames of 640x360: 0.1 s."""
SEEK_GAIN = 0.5
"""Entering a video at its chosen frames must cost at most this share of decoding it through."""
LEAST_BIT_RATE = 1000
LEAST_GAP_SECONDS = 1e-5
"""Frames nearer to each other are not told apart by ffprobe's times, which end at a microsecond."""
COUNTED_RATE = 100
"""Frames per second of the clock by which frames are counted; any would do."""

Choose = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""Times of all frames (N,) -> numbers of the chosen ones (T,), ascending; or too_few_frames."""


def time_budget(info: VideoInfo) -> float:
    """Seconds that one video may take: slow disks and 4K included, a trap excluded.

    A small file that calls itself long buys no time: nothing worth watching is below 1 kbit/s.
    """
    seconds = min(info.duration_seconds, 3600.0, info.size_bytes * 8 / LEAST_BIT_RATE)
    return min(7200.0, 60 + 10 * seconds)


class Budget:
    """The time that all calls for one video share: thirty slow ones are as bad as one.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """What is left.

        Raises:
            VideoError: timeout.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise VideoError("timeout", f"reading took more than {self._seconds:.0f} s")
        return left


def read_chosen(
    path: Path, info: VideoInfo, choose: Choose, picture: Picture, *, threads: int = 1
) -> Decoded:
    """Reads the chosen frames of a video.

    Args:
        path: the video.
        info: what ffprobe says of it.
        choose: which frames.
        picture: in which size.
        threads: of the decoder.

    Returns:
        The frames, their times strictly ascending.

    Raises:
        VideoError: with the class of the failure.
    """
    budget = Budget(time_budget(info))
    packets = read_packets(path, info, timeout_seconds=budget.left_seconds)
    refuse_truncated(path, info, packets)
    refuse_changing_aspect(path, info, timeout_seconds=budget.left_seconds)
    times = packets.timestamps_seconds
    timed = len(times) > 0
    if not timed:  # count packets, any even clock will do
        times = np.arange(packets.count, dtype=np.float64)
    chosen = choose(times)
    if timed:
        found = _read_by_seeking(path, info, packets, chosen, picture, budget, threads)
        if found is not None:
            return found
    choice = windows(times, chosen) if timed else None
    found = _read_through(path, info, chosen, choice, picture, budget, threads)
    if timed and choice is not None and _same(found.timestamps_seconds, times[chosen]):
        return found
    # Without a choice by time, frames were counted, by filters that count anew when made anew.
    if choice is None and found.graphs == 1 and len(found.pixels) == len(chosen):
        if timed and _same(found.timestamps_seconds, times[chosen]):
            return found
        if not timed and (np.diff(found.timestamps_seconds) > 0).all():
            return found
    return _read_by_counting(path, info, packets, choose, picture, budget, threads)


def _read_by_counting(
    path: Path,
    info: VideoInfo,
    packets: Packets,
    choose: Choose,
    picture: Picture,
    budget: Budget,
    threads: int,
) -> Decoded:
    """Lists what the decoder shows, and reads the chosen ones by their numbers.

    Raises:
        VideoError: decode_error, if it shows much less than there should be.
    """
    listed = list_frames(
        path, info, most=2 * packets.count + 16, timeout_seconds=budget.left_seconds,
        threads=threads,
    )  # fmt: skip
    refuse_lossy(listed, packets.count)
    times = ascending(listed.timestamps_seconds, info.fps)
    chosen = choose(times)
    found = decode(
        path,
        info,
        choice=windows(np.arange(len(times)) / COUNTED_RATE, chosen) or "1",
        count=len(chosen),
        picture=picture,
        frame_rate=COUNTED_RATE,
        timeout_seconds=budget.left_seconds,
        threads=threads,
    )
    if not _same(found.timestamps_seconds, chosen / COUNTED_RATE):
        raise VideoError(
            "decode_error", "decoding the video twice gave different frames", stderr_tail=found.tail
        )
    return Decoded(
        pixels=found.pixels,
        timestamps_seconds=times[chosen],
        shown=found.shown,
        graphs=found.graphs,
        tail=found.tail,
    )


def refuse_lossy(listed: Listed, packets: int) -> None:
    """Refuses a video of which the decoder makes much less than the container holds.

    Packets that show nothing are no loss as long as nobody complains of them: hidden frames, second
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
    """A clock that never stands or goes back, by which faces can be followed.

    Where a time is missing or goes back (recordings put one after the other, times that a decoder
    guessed), the frame comes one usual step after the one before it. Where that is so for many, the
    times say nothing, and the frame rate counts.

    Args:
        times: (N,) of frames in the order of showing, NaN where there is none.
        fps: as the file says; 0 where it does not.
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

    Times, not numbers: when a video changes its size, ffmpeg's filters count anew.

    Args:
        times: (N,) of all frames.
        chosen: (T,) numbers, ascending.

    Returns:
        None where frames lie too near to each other to be told apart.
    """
    if len(times) > 1 and np.diff(times).min() < LEAST_GAP_SECONDS:
        return None
    middles = (times[1:] + times[:-1]) / 2
    edges = np.concatenate([[times[0] - 1], middles, [times[-1] + 1]])
    return "+".join(
        f"between(t,{edges[first]:.9f},{edges[last + 1]:.9f})" for first, last in runs_of(chosen)
    )


def _read_through(
    path: Path,
    info: VideoInfo,
    chosen: NDArray[np.int64],
    choice: str | None,
    picture: Picture,
    budget: Budget,
    threads: int,
) -> Decoded:
    """Decodes from the start to the last chosen frame; without a choice, by the frames' numbers."""
    terms = [
        f"eq(n,{first})" if first == last else f"between(n,{first},{last})"
        for first, last in runs_of(chosen)
    ]
    return decode(
        path,
        info,
        choice=choice or "+".join(terms),
        count=len(chosen),
        picture=picture,
        timeout_seconds=budget.left_seconds,
        threads=threads,
    )


def _read_by_seeking(
    path: Path,
    info: VideoInfo,
    packets: Packets,
    chosen: NDArray[np.int64],
    picture: Picture,
    budget: Budget,
    threads: int,
) -> Decoded | None:
    """Enters the video at each run of chosen frames; None where that would not pay or not fit."""
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
    for first, last in runs:
        enter = times[0] - 1.0 if first == 0 else (times[first - 1] + times[first]) / 2
        part = decode(
            path,
            info,
            choice="1",
            count=last - first + 1,
            picture=picture,
            seek_seconds=max(0.0, float(enter)),
            timeout_seconds=budget.left_seconds,
            threads=threads,
        )
        if not _same(part.timestamps_seconds, times[first : last + 1]):
            return None
        parts.append(part)
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
    """Frames one after the other: one array where all are of one size."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts) and len({part.shape[1:] for part in arrays}) == 1:
        return np.concatenate(arrays)
    return [frame for part in parts for frame in part]


def _same(got: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Whether these are the same frames; ffprobe rounds to a microsecond."""
    return len(got) == len(expected) and bool(np.all(np.abs(got - expected) < 1e-4))
