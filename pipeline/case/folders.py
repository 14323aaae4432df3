"""Where the cases of `unmask predict --case` go, and what is given with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from data.errors import ConfigError
from pipeline.case.write import check_case_folder
from pipeline.inference.verdict_files import file_stem
from pipeline.shell_commands import command_line


class CaseFolders:
    """Folders of cases: `target` itself for one video, one below it for each of several.

    Raises:
        OutputError: the place is not empty, is taken by something else, or cannot be written.
    """

    def __init__(self, target: Path, *, several: bool) -> None:
        check_case_folder(target)
        self._target, self._several = target, several

    def folder(self, video: str, sha256: str | None) -> Path:
        """Of one video's case."""
        return self._target / file_stem(video, sha256) if self._several else self._target


def parse_time(text: str) -> datetime:
    """The time of `--at`.

    Raises:
        ConfigError: it is none, or has no time zone.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--at {text} is no time; write it as 2026-01-31T10:00:00Z") from error
    if time.tzinfo is None:
        raise ConfigError(f"--at {text} has no time zone; write it as 2026-01-31T10:00:00+01:00")
    return time


def case_command(
    bundle: Path,
    videos: Sequence[Path],
    *,
    case: Path,
    by: str | None,
    at: str | None,
    prior: float | None,
    report: Path | None,
    workers: int | None,
) -> str:
    """The command as given, quoted for a shell."""
    words: list[str | Path] = ["unmask", "predict", bundle, *videos, "--case", case]
    options = {"--by": by, "--at": at, "--prior": prior, "--report": report, "--workers": workers}
    for name, value in options.items():
        if value is not None:
            words += [name, value if isinstance(value, Path) else str(value)]
    return command_line(*words)
