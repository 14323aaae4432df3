"""A file object for HDF5 to write to, which hides errors from HDF5 and keeps the first for us.

If the disk is full when HDF5 closes a file, it raises no OSError, keeps the file open, and ends the
process with a segmentation fault later on.
"""

from __future__ import annotations

import os
from typing import Any

from data.operating_system.files import pread, pwrite


class Sink:
    """A file object for h5py over an open file; `check` raises the first error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raises the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset += os.fstat(self._descriptor).st_size
        elif whence == os.SEEK_CUR:
            offset += self._at
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self._error is None:
                done += pwrite(self._descriptor, view[done:], self._at + done)
        except OSError as error:
            self._error = error
        self._at += len(view)
        return len(view)

    def read(self, size: int = -1) -> bytes:
        data = pread(self._descriptor, max(size, 0), self._at)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[:] = data.ljust(len(view), b"\0")
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self._at if size is None else size
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            self._error = self._error or error
        return size

    def flush(self) -> None:
        pass
