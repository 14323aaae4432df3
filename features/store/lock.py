"""The writer's lock on one recipe's part of the store: one holder, and a dead one holds nothing.

Apart from the store, since `repair`, `gc` and `compact` write there, too.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from data.errors import LockedError

LOCK = "lock"
LOCK_BYTES = 4096
"""No lock file says more than this of its holder."""


def hold_lock(folder: Path) -> IO[str]:
    """Takes the writer's lock of a folder; closing what it returns lets go of it.

    Raises:
        LockedError: another process holds it.
        OSError: the folder cannot be written.
    """
    path = folder / LOCK
    while True:
        handle = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(path, handle):
                since = datetime.now(UTC).isoformat(timespec="seconds")
                holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
                handle.truncate(0)
                json.dump(holder, handle)
                handle.flush()
                return handle
        except BlockingIOError as error:
            holder_text = _read_holder(handle)
            handle.close()
            raise LockedError(
                f"{holder_text} is writing to {folder}; wait for it, or choose another by --store"
            ) from error
        except BaseException:
            handle.close()
            raise
        handle.close()


def _still_there(path: Path, handle: IO[str]) -> bool:
    """Whether the lock that was taken is the one that others will find.

    `gc` removes a whole recipe with its lock; whoever had that file open by then holds nothing.
    """
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def _read_holder(handle: IO[str]) -> str:
    handle.seek(0)
    try:
        facts = json.loads(handle.read(LOCK_BYTES))
        return f"process {facts['pid']} on {facts['host']} since {facts['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
