"""Pixels are those that ffmpeg converts to rgb24 itself, whatever the video's format."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from data.video.ffmpeg import find_tools
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import SCALE_FLAGS, whole_picture
from data.video.probe import probe

FORMATS = {
    "8 bits": ("libx264", "yuv420p", "64x48"),
    "10 bits": ("libx264", "yuv420p10le", "64x48"),
    "full range": ("libx264", "yuvj420p", "64x48"),
    "odd size": ("ffv1", "yuv444p", "67x51"),
    "RGB": ("ffv1", "bgr0", "64x48"),
    "grey": ("ffv1", "gray", "64x48"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_are_those_of_rgb24(tmp_path, kind):
    codec, pixels, size = FORMATS[kind]
    path, ffmpeg = tmp_path / "made.mkv", str(find_tools().ffmpeg)
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=10:duration=1"]
    quiet = [ffmpeg, "-loglevel", "error", "-nostdin"]
    subprocess.run([*quiet, *source, "-c:v", codec, "-pix_fmt", pixels, path], check=True)
    scale = ["-vf", f"scale=flags={SCALE_FLAGS}", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]
    wanted = subprocess.run([*quiet, "-i", path, *scale], check=True, capture_output=True).stdout
    info = probe(path)
    found, _ = read_pixels(path, info, FrameRecipe(count=10), whole_picture(info, 1280))
    assert np.array_equal(found.reshape(-1), np.frombuffer(wanted, np.uint8))
