"""Processes: their limits, groups, and how they ended."""

from __future__ import annotations

import os
import signal
import sys

WINDOWS_CRASH = 0xC0000000
"""Exit codes from here on are Windows' words for a crash (NTSTATUS, severity "error")."""


def limit_child(pid: int, *, memory_bytes: int, cpu_seconds: int) -> None:
    """Limits a running child's address space and processor time, without a core file.

    Linux alone can (`prlimit`); elsewhere its time limit by the clock is all.
    """
    if sys.platform == "win32":
        return
    try:
        import resource
    except ImportError:
        return
    prlimit = getattr(resource, "prlimit", None)
    if prlimit is None:
        return
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        try:
            prlimit(pid, kind, (most, most))
        except (ProcessLookupError, PermissionError):
            continue


def limit_this_process(
    *,
    address_bytes: int | None = None,
    data_bytes: int | None = None,
    cpu_seconds: int | None = None,
) -> None:
    """Limits this process's memory and processor time, without a core file, where that is possible.

    Args:
        address_bytes: of its address space; macOS does not hold to it.
        data_bytes: of its memory, where its address space is much larger; no higher than now.
        cpu_seconds: of processor time.
    """
    if sys.platform == "win32":
        return
    try:
        import resource
    except ImportError:
        return
    wanted = (
        (resource.RLIMIT_AS, address_bytes),
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, most in wanted:
        if most is None:
            continue
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (limit, hard if kind == resource.RLIMIT_DATA else limit))
        except (ValueError, OSError):  # macOS refuses some below what is in use
            continue


def be_nice(more: int) -> None:
    """Gives other processes precedence, where there is such a thing."""
    nice = getattr(os, "nice", None)
    if nice is not None:
        nice(more)


def lead_group() -> None:
    """Makes this process the leader of a new process group; nothing on Windows."""
    setsid = getattr(os, "setsid", None)
    if setsid is not None:
        setsid()


def kill_group(leader: int) -> bool:
    """Ends a process group at once; 0 is this process's own. False where there are no groups.

    Raises:
        ProcessLookupError, PermissionError: there is none, or it is another's.
    """
    call = getattr(os, "killpg", None)
    if sys.platform == "win32" or call is None:
        return False
    call(leader, signal.SIGKILL)
    return True


def violent_end(code: int) -> str | None:
    """How a child ended that did not end by itself, as "was killed by SIGSEGV"; else None."""
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"crashed with code {code:#x}" if code >= WINDOWS_CRASH else None


def ended_by_cpu_limit(code: int) -> bool:
    """Whether a child ended since it used up its processor time."""
    limit = getattr(signal, "SIGXCPU", None)
    return limit is not None and code == -limit


def has_fork() -> bool:
    """Whether processes can fork, and so multiprocessing has a tracker of resources."""
    return sys.platform != "win32" and hasattr(os, "fork")
