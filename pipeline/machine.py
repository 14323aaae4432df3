"""What this machine has: cores, and the programs that features come from."""

from __future__ import annotations

import os

from data.video.ffmpeg import find_tools


def versions() -> dict[str, str]:
    """What made the features, for the shards' headers."""
    from importlib.metadata import PackageNotFoundError, version

    told = {"ffmpeg": find_tools().version}
    for name in ("unmask", "tensorflow", "openvino", "h5py", "numpy", "pillow", "imageio-ffmpeg"):
        try:
            told[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            told[name] = "not installed"
    return told


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
