"""This machine: its cores, and the versions of the programs that make features."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from data.video.ffmpeg import find_tools

PACKAGES = ("unmask", "tensorflow", "openvino", "h5py", "numpy", "pillow", "imageio-ffmpeg")
"""Packages whose version may change features, and unmask itself."""


def versions() -> dict[str, str]:
    """Program or package -> version, for the headers of shards.

    Raises:
        ToolError: there is no ffmpeg.
    """
    return {"ffmpeg": find_tools().version, **package_versions(PACKAGES)}


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Package -> version; "not installed" for an optional one, or unmask run from a checkout."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0))
