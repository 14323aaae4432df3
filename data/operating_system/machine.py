"""The machine: cores, processor, memory, mounts, where a user's caches are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

PROCESSOR_FACTS = Path("/proc/cpuinfo")
MEMORY_FACTS = Path("/proc/meminfo")
MOUNTS = Path("/proc/self/mountinfo")


def cores() -> int:
    """Cores that this process may use, which on Linux may be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is not None:
        return len(affinity(0))
    return os.cpu_count() or 1


def processor_facts(name: str) -> str:
    """What Linux says of the first core: "flags", "model name"; "" elsewhere."""
    return _fact(PROCESSOR_FACTS, name)


def free_memory_bytes() -> int | None:
    """Memory that programs may still take; elsewhere than on Linux all there is; None if unknown.

    macOS and Windows keep files in what is free, and say so in ways of their own.
    """
    if found := _fact(MEMORY_FACTS, "MemAvailable"):
        return int(found.split()[0]) << 10
    return all_memory_bytes()


def all_memory_bytes() -> int | None:
    """Memory of this machine; None if unknown."""
    if found := _fact(MEMORY_FACTS, "MemTotal"):
        return int(found.split()[0]) << 10
    sysconf = getattr(os, "sysconf", None)
    try:
        if sysconf is not None:
            return int(sysconf("SC_PHYS_PAGES")) * int(sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        pass
    return None


def _fact(path: Path, name: str) -> str:
    """The first value of a name in a file of lines "name : value"; "" where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        found, _, value = line.partition(":")
        if found.strip() == name:
            return value.strip()
    return ""


def mounted_paths() -> Iterator[bytes]:
    """Where something is mounted, as Linux writes it; nothing elsewhere."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(b" ")
        if len(fields) > 4:
            yield fields[4]


def user_cache_folder() -> Path:
    """Where programs keep what they can make again: XDG_CACHE_HOME, or as the system has it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification has relative paths ignored
        return Path(base)
    local = os.environ.get("LOCALAPPDATA", "")
    if sys.platform == "win32" and local:
        return Path(local)
    return Path(os.path.expanduser("~/.cache"))
