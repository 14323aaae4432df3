"""Small videos in unusual formats, encoded by ffmpeg once per session."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.video.encoding import encode
from data.video.ffmpeg import CROPS_CONTAINER, find_tools, release
from tests import footage
from tests.requirements import missing

FPS = 25.0


def counting(count: int, width: int = 160, height: int = 120) -> list[NDArray[np.uint8]]:
    """Frames whose grey level encodes their number: 4 levels a frame."""
    return [np.full((height, width, 3), 4 * number + 8, np.uint8) for number in range(count)]


def make(path: Path, *arguments: str) -> Path:
    """Runs ffmpeg on a test pattern of its own."""
    command = [str(find_tools().ffmpeg), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


def resized(folder: Path, source: Path, *sizes: str) -> Path:
    """A video once in each size ("width:height"), one after the other in one file."""
    names = folder / "parts.txt"
    parts = [
        make(folder / f"part-{number}.ts", "-i", str(source), "-an", "-vf",
             f"scale={size},setsar=1", "-c:v", "libx264", "-bf", "0", "-qp", "10")
        for number, size in enumerate(sizes)
    ]  # fmt: skip
    names.write_text("".join(f"file '{one}'\n" for one in parts))
    return make(
        folder / "resized.mkv", "-f", "concat", "-safe", "0", "-i", str(names), "-c", "copy"
    )


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real face clips."""
    return footage.clips()


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos of many makes; the file's stem says what is special."""
    folder = tmp_path_factory.mktemp("zoo")
    encode(folder / "counting.mp4", counting(50), fps=FPS)
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1.2")
    make(folder / "hevc.mp4", *source, "-c:v", "libx265", "-x265-params", "log-level=none")
    make(folder / "ten_bit.mp4", *source, "-c:v", "libx265", "-pix_fmt", "yuv420p10le",
         "-x265-params", "log-level=none")  # fmt: skip
    make(folder / "full_chroma.mp4", *source, "-c:v", "libx264", "-pix_fmt", "yuv444p")
    make(folder / "alpha.mov", *source, "-c:v", "qtrle", "-pix_fmt", "argb")
    make(folder / "animated.gif", *source)
    make(folder / "transport.ts", *source, "-c:v", "libx264")
    make(folder / "odd_size.mkv", "-f", "lavfi", "-i", "testsrc2=size=161x121:rate=25:duration=1.2",
         "-c:v", "ffv1")  # fmt: skip
    make(folder / "broken_sound.mp4", *source, "-f", "lavfi", "-i", "sine=duration=0.2",
         "-c:v", "libx264", "-c:a", "aac")  # fmt: skip
    make(folder / "sound_only.m4a", "-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac")
    make(folder / "one_frame.mp4", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25",
         "-frames:v", "1", "-c:v", "libx264")  # fmt: skip
    # Upright pixels, a rotation in the header, as telephones write it.
    make(folder / "portrait.mp4", "-display_rotation", "90", "-i", str(folder / "hevc.mp4"),
         "-c", "copy")  # fmt: skip
    # Frames 0 to 9 at 25 frames/s, then every third: a variable rate.
    make(folder / "variable.mkv", *source, "-vf", "select='lt(n,10)+not(mod(n,3))'",
         "-fps_mode", "vfr", "-c:v", "libx264")  # fmt: skip
    # No keyframe but the first, and frames that refer to later ones.
    make(folder / "long_group.mp4", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=8",
         "-c:v", "libx264", "-g", "50", "-bf", "3")  # fmt: skip
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    whole = make(folder / "front_index.mp4", "-f", "lavfi", "-i",
                 "testsrc2=size=320x240:rate=25:duration=4", "-c:v", "libx264",
                 "-movflags", "+faststart").read_bytes()  # fmt: skip
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    counted = (folder / "counting.mp4").read_bytes()
    (folder / "no_index.mp4").write_bytes(counted[40 : len(counted) // 2])
    return folder


@pytest.fixture
def crops() -> None:
    """Needs an ffmpeg that shows what a container says is to be shown."""
    if release(find_tools().version) < CROPS_CONTAINER:
        missing("ffmpeg", "this ffmpeg does not crop")
