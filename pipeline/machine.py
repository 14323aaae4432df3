"""This machine: its cores, and the versions of the programs that make features."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from data.operating_system.machine import cores
from data.video.ffmpeg import find_tools

__all__ = ["cores", "package_versions", "versions"]

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
