"""Where the pages of `unmask predict --report` go: one file, or a folder with a page a video."""

from __future__ import annotations

import re
from pathlib import Path

from data.errors import ConfigError, OutputError
from data.io.atomic_files import write_text
from data.io.output_paths import check_out_folder, check_output

LONGEST = 80
"""Characters of a video's name that its page's name keeps: the end, which tells most."""


class PageFiles:
    """Names and writes pages.

    Args:
        target: a page, where it ends with `.html`, else a folder.
        several: whether there is more than one video.

    Raises:
        ConfigError: one page for several videos.
        OutputError: the place is taken by something else, or cannot be written.
    """

    def __init__(self, target: Path, *, several: bool) -> None:
        self._single = target.suffix.casefold() in (".html", ".htm") and not target.is_dir()
        self._target = target
        if self._single and several:
            raise ConfigError(f"--report {target} is one page, for one video; give a folder")
        if self._single:
            check_output(target)
        else:
            if target.exists() and not target.is_dir():
                raise OutputError(
                    f"{target} is no folder; give a page that ends with .html, or a folder"
                )
            check_out_folder(target)

    def write(self, video: str, sha256: str | None, text: str) -> Path:
        """Writes one page, whole or not at all; an older one is replaced.

        A stranger's file name becomes letters, digits, dots and dashes; the digest keeps two
        videos apart.
        """
        path = self._target
        if not self._single:
            plain = re.sub(r"[^A-Za-z0-9.-]+", "_", video)[-LONGEST:].lstrip("._-")
            path /= f"{plain}-{(sha256 or '')[:8]}.html"
        write_text(path, text)
        return path
