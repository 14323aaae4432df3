"""Runs the command line as on a system without POSIX: `python -m tests.without_posix COMMAND...`.

Modules that Windows lacks cannot be imported, functions that it lacks are gone, and so are the
files of /proc. What stays is Linux's: its paths, its way of replacing open files, its signals. With
no command it imports every module instead.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import sys
from pathlib import Path

from data.errors import ToolError

MODULES = ("fcntl", "grp", "pwd", "resource", "syslog", "termios")
CALLS = {
    os: (
        "chown", "fchmod", "fchown", "fork", "forkpty", "geteuid", "getpgid", "getuid", "killpg",
        "mkfifo", "memfd_create", "nice", "posix_fadvise", "posix_fallocate", "pread", "preadv",
        "process_cpu_count", "pwrite", "pwritev", "register_at_fork", "sched_getaffinity",
        "sched_setaffinity", "sendfile", "setpgid", "setsid", "statvfs", "sysconf", "wait4",
    ),
    signal: ("pthread_sigmask", "setitimer", "getitimer", "sigtimedwait", "sigwait"),
}  # fmt: skip
PACKAGES = ("data", "features", "models", "pipeline")
OPTIONAL = ("features.cluster", "features.torch", "pipeline.app", "pipeline.extraction.ray")
"""Of an extra that may not be installed."""


def hide() -> None:
    """Takes away what is not there.

    Python's own modules that need some of it are imported before: those of Windows need none.
    """
    import asyncio
    import concurrent.futures.process
    import multiprocessing.popen_spawn_posix
    import multiprocessing.resource_tracker
    import shutil
    import subprocess
    import tempfile

    import filelock

    kept = (asyncio, concurrent, filelock, multiprocessing, shutil, subprocess, tempfile)
    assert all(kept)
    multiprocessing.resource_tracker._HAVE_SIGMASK = False  # type: ignore[attr-defined]
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in CALLS.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    from data.operating_system import machine

    for name in ("PROCESSOR_FACTS", "MEMORY_FACTS", "MOUNTS"):
        setattr(machine, name, Path("/nowhere"))


def import_all() -> int:
    """Imports every module; returns their number."""
    count = 0
    for package in PACKAGES:
        for found in pkgutil.walk_packages([package], f"{package}."):
            try:
                importlib.import_module(found.name)
            except (ModuleNotFoundError, ToolError) as error:
                if not found.name.startswith(OPTIONAL) or getattr(error, "name", "") in MODULES:
                    raise
            count += 1
    return count


if __name__ in ("__main__", "__mp_main__"):  # and in its children
    hide()
if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(import_all())
    else:
        sys.argv[0] = "unmask"
        from pipeline.entry import main

        main()
