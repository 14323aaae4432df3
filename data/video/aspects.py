"""Whether the pixels of a video change their shape on the way, which ffmpeg does not tell.

Broadcasts switch between 4:3 and 16:9 without a change of size. ffmpeg takes the first shape for
all frames (from release 7 on), so that later ones would be bent. Containers with a header say the
shape there, once for all; in streams without one, the keyframes are asked.
"""

from __future__ import annotations

from pathlib import Path

from data.errors import VideoError
from data.video.ffmpeg import ffprobe, refuse_killed
from data.video.probe import LEAST_ASPECT, MOST_ASPECT, VideoInfo, ratio

HEADERLESS = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"})
"""Containers whose header says nothing of the shape."""
LEAST_CHANGE = 1.05
"""Shapes nearer to each other than this are two ways to write one: 16:11 and 64:45."""


def refuse_changing_aspect(path: Path, info: VideoInfo, *, timeout_seconds: float) -> None:
    """Refuses a video whose pixels change their shape on the way.

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
            moment, _, said = line.decode("ascii", "replace").strip().partition("|")
            aspect = ratio(said.partition("|")[0].replace(":", "/"))
            aspect = aspect if LEAST_ASPECT < aspect < MOST_ASPECT else 1.0
            first = first or aspect
            if max(first, aspect) / min(first, aspect) > LEAST_CHANGE:
                raise VideoError(
                    "decode_error",
                    f"its pixels change their shape, from {first:.2f} to {aspect:.2f}"
                    f"{f' at {moment} s' if moment != 'N/A' else ''}, which ffmpeg does not "
                    "follow; cut the video there",
                )
        code = child.wait()
        if child.timed_out:
            raise VideoError("timeout", f"reading took more than {timeout_seconds:.0f} s")
    refuse_killed(code, "ffprobe", child.stderr_tail)
