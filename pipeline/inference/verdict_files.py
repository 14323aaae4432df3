"""Files of `unmask predict --report`: one page, or a folder with a page for each video."""

from __future__ import annotations

import re
from pathlib import Path

from data.errors import ConfigError, OutputError
from data.io.atomic_files import write_text
from data.io.output_paths import check_out_folder, check_output

MOST_CHARACTERS = 80
"""Of a video's name in its page's name: the last ones, which differ most."""


class PageFiles:
    """Names and writes pages: one where `target` ends with `.html`, else a folder of them.

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
        """Writes one page atomically; an older one is replaced.

        `file_stem` names it; part of the digest keeps two videos apart.
        """
        path = self._target
        if not self._single:
            path /= f"{file_stem(video, sha256)}.html"
        write_text(path, text)
        return path


def file_stem(video: str, sha256: str | None) -> str:
    """A name for what is written of a video, of letters, digits, dots and dashes."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", video)[-MOST_CHARACTERS:].lstrip("._-")
    return f"{plain}-{(sha256 or '')[:8]}"
