"""Reads what is left of a shard whose header cannot be trusted, where a crash costs nothing.

HDF5 does not survive damaged files, so a child process opens them: it may end in a segmentation
fault, never come back, or ask for all memory there is. What it brings home is believed video by
video, and only where the checksums agree: the key with the video's digest and the recipe, the CRC
with the rows. So damage of a few bytes costs the few videos that it hit.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from data.errors import StoreError
from data.io.interrupts import kept_from_children
from data.io.native_stderr import discard_stderr
from data.io.processes import start_tracker
from features.store.key import sequence_key
from features.store.preamble import LaterVersionError
from features.store.shard import Shard

TIMEOUT_SECONDS = 120.0
"""A header of 100,000 videos is read in a second; past this it is not known what is intact."""
MEMORY_BYTES = 8 << 30
"""Of address space for the child; a damaged size must not take the machine down."""


def open_shard(path: Path) -> Shard:
    """Opens a shard, damaged or not; nothing in it may be used but what `intact_videos` names.

    Raises:
        LaterVersionError: of a later version.
        StoreError: nothing can be read.
        OSError: it is not known whether anything can be read: no child, or no answer in time.
    """
    try:
        return Shard(path)
    except LaterVersionError:
        raise
    except StoreError as error:
        shard = _open_in_child(path)
        if shard is None:
            raise
        if not _consistent(shard):
            raise StoreError(f"{path} is damaged: its index makes no sense") from error
        return shard


def intact_videos(shard: Shard) -> list[int]:
    """Numbers of the videos whose key, rows and digest fit together, each key once."""
    intact: dict[str, int] = {}
    for number, key in enumerate(shard.keys):
        if key not in intact and key == sequence_key(shard.sha256s[number], shard.recipe):
            try:
                if shard.offsets[number] < shard.offsets[number + 1] and shard.intact(number):
                    intact[key] = number
            except (StoreError, ValueError, TypeError, IndexError):  # its index leads nowhere
                continue
    return list(intact.values())


def _consistent(shard: Shard) -> bool:
    """Whether its lists are of one length; what they say is checked video by video."""
    count = len(shard.keys)
    lengths = (len(shard.sha256s), len(shard.paths), shard.offsets.shape)
    return lengths == (count, count, (count + 1,)) and isinstance(shard.versions, dict)


def _open_in_child(path: Path) -> Shard | None:
    """What a child could read; None where it says that it cannot, or crashed over it.

    Raises:
        OSError: the child did not start, was ended by others, or did not come back.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit threads and locks
    mine, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_child, args=(theirs, path), daemon=True)
    start_tracker()
    with kept_from_children():
        child.start()
    theirs.close()
    ready, got = False, None
    try:
        ready = bool(_receive(mine))
        got = _receive(mine)
    except EOFError as error:
        child.join(TIMEOUT_SECONDS)
        # Only what the damage did to it may cost the shard, never a machine out of memory.
        if not ready or child.exitcode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            raise ChildProcessError("the process that looks into it was ended") from error
    finally:
        child.kill()
        child.join()
        child.close()
        mine.close()
    return got if isinstance(got, Shard) else None


def _receive(pipe: Connection) -> object:
    if not pipe.poll(TIMEOUT_SECONDS):
        raise TimeoutError(f"HDF5 did not come back within {TIMEOUT_SECONDS:.0f} s")
    return pipe.recv()


def _child(pipe: Connection, path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Should the parent be killed meanwhile, a child that HDF5 holds must not spin for ever.
    seconds = int(2 * TIMEOUT_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    discard_stderr()  # HDF5's last words are no use to anyone
    pipe.send(True)
    try:
        pipe.send(Shard.unchecked(path))
    except (StoreError, MemoryError):
        pipe.send(None)
