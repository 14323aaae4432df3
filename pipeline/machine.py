"""This machine: its cores, and the versions of the programs that make features."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

from data.video.ffmpeg import find_tools

PACKAGES = ("unmask", "tensorflow", "openvino", "h5py", "numpy", "pillow", "imageio-ffmpeg")
"""Packages whose version may change features, and unmask itself."""


def versions() -> dict[str, str]:
    """Program or package -> version, for the headers of shards.

    Raises:
        ToolError: there is no ffmpeg.
    """
    found = {"ffmpeg": find_tools().version}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # optional, or unmask run from a checkout
            found[name] = "not installed"
    return found


def cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0))
