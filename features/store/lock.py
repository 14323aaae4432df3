"""Write access to one recipe's part of a store: one writer at a time, and errors with a remedy.

Apart from the store, since `repair` and `gc` write there, too.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import LockedError
from data.io import system_errors
from data.operating_system.files import IS_WINDOWS

LOCK = "lock"
LOCK_BYTES = 4096
"""A lock file holds no more than this about its holder."""
WAIT_SECONDS = 0.2
"""`gc` may remove the file between its opening and its locking; then it is opened again."""


def hold_lock(folder: Path) -> ExitStack:
    """Takes the writer's lock of a folder; closing the result releases it.

    It is an flock, which the system releases with the process, however that ends. The holder
    writes its process, host and start into the file.

    Raises:
        LockedError: another process holds it.
        OSError: the folder cannot be written.
    """
    path = folder / LOCK
    # Without flock, it would fall back to a lock that a dead process holds for ever.
    lock = FileLock(path, timeout=WAIT_SECONDS, thread_local=False, fallback_to_soft=False)
    with ExitStack() as held:
        try:
            lock.acquire()
        except Timeout as error:
            raise LockedError(
                f"{_read_holder(path)} is writing to {folder}; wait for it, or choose another by "
                "--store"
            ) from error
        held.callback(lock.release)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        try:
            path.write_text(json.dumps(holder), encoding="utf-8")
        except PermissionError:
            if not IS_WINDOWS:  # where a locked file may not be written by another descriptor
                raise
        return held.pop_all()


def _read_holder(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            holder = json.loads(handle.read(LOCK_BYTES))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def writing(folder: Path) -> AbstractContextManager[None]:
    """Turns the system's errors while a store is written into an OutputError with a remedy."""
    then = ", or take another store by --store; finished videos are kept"
    return system_errors.writing(f"the store {folder}", then=then)
