"""Settings of the local page: where it keeps cases, and what a video may take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from data.io.settings import Settings

ARCHIVE = "case.zip"
"""Name of the archive with a case file, in the folder of the run that made it."""
GIB = 1 << 30
HOST = "127.0.0.1"
"""The only address on which the page is served: this machine's own."""
MOST_JSON_BYTES = 64 << 10
"""Longest body of a request that is no upload; a note has at most 20,000 characters."""
MOST_UPLOADS = 4
"""Files that are received at once; the page sends two."""
FREE_BYTES = GIB
"""What uploads leave free on the disk, for the database and the pages."""
MOST_WAITING = 1000
"""Runs that may wait at once."""
MOST_ATTEMPTS = 3
"""Starts of the server at which a run is queued again; one that ends the machine each time is
given up."""
CHANGES_PER_SECOND, CHANGES_AT_ONCE = 20.0, 200.0
"""Requests that change something: how many are answered. Dropping 100 files takes 100."""


class AppSettings(Settings):
    """What `unmask app` was told."""

    section: ClassVar[str] = "app"

    folder: Path  # of cases: database, evidence, pages
    bundle: Path
    port: Annotated[int, Field(ge=0, le=65535)] = 8765  # 0: any that is free
    workers: Annotated[int, Field(ge=1, le=16)] = 1  # videos judged at once
    # Of one worker process. The usual verdict takes 1 GiB, the first one, by TensorFlow, 3.
    memory_gib: Annotated[float, Field(ge=1, le=1024)] = 6.0
    minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0  # that judging one video may take
    upload_gib: Annotated[float, Field(gt=0, le=1024)] = 8.0  # largest file

    @property
    def most_upload_bytes(self) -> int:
        """Of one file."""
        return int(self.upload_gib * GIB)
