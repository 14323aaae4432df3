"""The only module that starts ffmpeg or ffprobe: builds their commands, runs them, ends them.

`ffmpeg-python` builds the argument lists; running is ours, since its own runner has no timeout, can
deadlock on a full stderr pipe, and raises an error that hides stderr and cannot be unpickled.
Videos are untrusted: only local files and true video containers are opened, no playlist and
no `concat`; each child has a time limit, a memory limit and no standard input, and is ended in
`finally`. A child whose parent was killed ends by its own limit of processor time.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

import ffmpeg

from data.errors import NoDecoderError, ToolError, VideoError
from data.io.progress import log
from data.operating_system.processes import ended_by_cpu_limit, limit_child, violent_end
from data.video.ffmpeg_binaries import (
    CROPS_CONTAINER,
    binary_pairs,
    other_ffmpegs,
    release,
    software_codecs,
)

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
"""Of a warning or an error; longer ones are cut."""
INTERESTING = re.compile(rb"\[(?:warning|error|fatal|panic)\]")

Filters = list[tuple[str, dict[str, Any]]]
"""ffmpeg's filters, one after the other: name and options."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Paths of the binaries, and the version that `ffmpeg -version` reports."""

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
    pairs = binary_pairs()
    first = _tools(*pairs[0])
    if release(first.version) >= CROPS_CONTAINER or len(pairs) == 1:
        return first
    second = _tools(*pairs[1])
    return second if release(second.version) >= CROPS_CONTAINER else first


def _tools(ffmpeg: str, ffprobe: str) -> Tools:
    found = re.match(r"ffmpeg version (\S+)", _output_of(ffmpeg, "-version"))
    version = found.group(1) if found else "unknown"
    return Tools(ffmpeg=Path(ffmpeg), ffprobe=Path(ffprobe), version=version)


def _output_of(program: str, *arguments: str) -> str:
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


@functools.cache
def decoders(program: Path) -> frozenset[str]:
    """The codecs that an ffmpeg decodes in software, as ffprobe names them; empty if unknown."""
    try:
        return software_codecs(_output_of(str(program), "-hide_banner", "-decoders"))
    except ToolError:
        return frozenset()


def ffmpeg_for(codec: str) -> Path:
    """The ffmpeg that decodes a codec: the one of `find_tools`, or another for what it lacks.

    So a further ffmpeg on a machine changes no pixel of what the first one decodes.

    Raises:
        NoDecoderError: none has a decoder for it.
    """
    tools = find_tools()
    known = decoders(tools.ffmpeg)
    if not known or codec in known:
        return tools.ffmpeg
    for other in other_ffmpegs():
        if codec in decoders(other):
            return other
    raise NoDecoderError(
        f"there is no decoder for {codec} in this ffmpeg, {tools.ffmpeg} ({tools.version}); "
        "pip install 'unmask[ffmpeg]' has one for AV1, or set UNMASK_FFMPEG_DIR to the folder of "
        "an ffmpeg and ffprobe that have one"
    )


class StderrReader(Protocol):
    """Reads a child's stderr as it comes, so that nothing needs to be kept."""

    def line(self, raw: bytes) -> bool:
        """Takes a line, at most LINE_BYTES of it; returns whether it was meant for this reader."""

    def end(self) -> None:
        """There will be no more."""


class Child:
    """A running ffmpeg or ffprobe: bounded in time and memory, its stderr drained.

    Of stderr the last warnings and errors are kept; the rest goes to `reader`, or nowhere.

    Attributes:
        stdin: its input, binary; only where it was asked for.
        stdout: its output, binary.
    """

    def __init__(
        self,
        command: list[str],
        *,
        timeout_seconds: float,
        threads: int = 1,
        stdin: bool = False,
        reader: StderrReader | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._timed_out = False
        self._reader = reader
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        log.debug(shlex.join(command))
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.stdin = cast(IO[bytes], self._process.stdin)
        self.stdout = cast(IO[bytes], self._process.stdout)
        # More than it uses before the watchdog ends it: a limit for when our process was killed.
        cpu_seconds = math.ceil(timeout_seconds) * (threads + 1) + 5
        limit_child(self._process.pid, memory_bytes=MEMORY_BYTES, cpu_seconds=cpu_seconds)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()
        self._watchdog = threading.Timer(timeout_seconds, self._expire)
        self._watchdog.daemon = True
        self._watchdog.start()

    @property
    def stderr_tail(self) -> str:
        """The last warnings and errors."""
        return "\n".join(self._tail)

    def wait_in_time(self, doing: str) -> int:
        """Waits for the child and its stderr; returns the exit code.

        Args:
            doing: what the child does, for the message: "decoding".

        Raises:
            VideoError: timeout.
        """
        code = self._process.wait()
        self._drain.join()
        if self._timed_out or ended_by_cpu_limit(code):
            raise VideoError(
                "timeout",
                f"{doing} took more than {self._timeout_seconds:.0f} s",
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
        self._timed_out = True
        self._process.kill()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        begins = True  # the rest of a long line is untrusted text, whatever it looks like
        try:
            for raw in iter(functools.partial(self._process.stderr.readline, LINE_BYTES), b""):
                if begins and not (self._reader is not None and self._reader.line(raw)):
                    self._keep(raw)
                begins = raw.endswith(b"\n")
        finally:
            if self._reader is not None:
                self._reader.end()

    def _keep(self, raw: bytes) -> None:
        if INTERESTING.search(raw):
            text = raw[: 4 * TAIL_LINE_CHARACTERS].decode("utf-8", "replace").rstrip()
            self._tail.append(text[:TAIL_LINE_CHARACTERS])


def refuse_killed(code: int, program: str, tail: str) -> None:
    """Refuses the output of a child that was killed or crashed: it may be incomplete.

    Raises:
        VideoError: decode_error; another run tries the video again.
    """
    if how := violent_end(code):
        raise VideoError("decode_error", f"{program} {how}", stderr_tail=tail)


def safe_url(path: Path) -> str:
    """The file as a URL that ffmpeg cannot take for an option, a protocol or a pattern."""
    return f"file:{path.absolute()}"


def ffprobe(path: Path, arguments: list[str], *, timeout_seconds: float) -> Child:
    """Starts ffprobe on an untrusted file; the caller closes the child."""
    command = [
        *(str(find_tools().ffprobe), "-hide_banner", "-loglevel", "level+warning"),
        *("-max_alloc", str(BLOCK_BYTES), "-max_pixels", str(MAX_PIXELS)),
        *("-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS),
        *arguments,
        *("-i", safe_url(path)),
    ]
    return Child(command, timeout_seconds=timeout_seconds)


def video_command(
    path: Path,
    *,
    codec: str,
    stream_index: int,
    chain: Filters,
    target: str,
    output: dict[str, Any],
    flags: Sequence[str],
    options: dict[str, Any] | None = None,
) -> list[str]:
    """ffmpeg's command that reads one stream of an untrusted video through filters.

    Args:
        path: the video.
        codec: of the stream, as ffprobe names it.
        stream_index: of the stream in its container.
        chain: filters.
        target, output: URL to write to, and options of the output.
        flags: further global options.
        options: of the input.

    Raises:
        NoDecoderError: no ffmpeg here decodes the codec.
    """
    safe = {"protocol_whitelist": PROTOCOLS, "format_whitelist": FORMATS, "max_pixels": MAX_PIXELS}
    stream = ffmpeg.input("-", threads=1, **safe, **(options or {}))[str(stream_index)]
    for name, settings in chain:
        stream = stream.filter(name, **settings)
    command = [
        *(str(ffmpeg_for(codec)), "-nostdin", "-hide_banner", "-nostats"),
        *("-max_alloc", str(BLOCK_BYTES), *flags),
        *("-filter_threads", "1", "-filter_complex_threads", "1"),
        *stream.output(target, fps_mode="passthrough", **output).get_args(),
    ]
    # Only now: ffmpeg-python hashes its arguments as UTF-8, and a name need not be any.
    command[command.index("-i") + 1] = safe_url(path)
    return command


def raw_frames_command(
    width: int, height: int, fps: float, target: str, output: dict[str, Any], chain: Filters
) -> list[str]:
    """ffmpeg's command that reads raw RGB frames of this size from its standard input."""
    stream = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=fps
    )
    for name, settings in chain:
        stream = stream.filter(name, **settings)
    head = [str(find_tools().ffmpeg), "-hide_banner", "-nostats", "-loglevel", "level+warning"]
    return [*head, *stream.output(target, **output).get_args(), "-y"]
