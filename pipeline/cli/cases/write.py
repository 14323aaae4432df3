"""The cases that `unmask predict --case` writes."""

from __future__ import annotations

from pathlib import Path

from data.errors import ConfigError, InputError, UnmaskError, VideoError
from pipeline.case.folders import CaseFolders, case_command, parse_time
from pipeline.case.write import write_case
from pipeline.cli.cases.page import VerdictPage


class Cases:
    """Writes the case of each video of one `unmask predict`.

    Raises:
        ConfigError: options that do not go together, or a time that is none.
        OutputError: the folder is not empty, or cannot be written.
    """

    def __init__(
        self,
        folder: Path | None,
        bundle: Path,
        videos: list[Path],
        *,
        by: str | None,
        at: str | None,
        prior: float | None,
        report: Path | None,
        reference: Path | None,
        workers: int | None,
        several: bool,
    ) -> None:
        if folder is None:
            raise ConfigError("--by and --at are written to a case; add --case FOLDER")
        if reference is not None:
            raise ConfigError(
                "a case holds no comparison; leave out --reference, and compare the two versions "
                "with unmask pair"
            )
        self._bundle, self._by, self._several = bundle, by, several
        self._failed: list[UnmaskError] = []
        self._at = None if at is None else parse_time(at)
        self._folders = CaseFolders(folder, several=several)
        self._command = case_command(
            bundle, videos, case=folder, by=by, at=at, prior=prior, report=report, workers=workers
        )

    def write(self, draw: VerdictPage) -> list[str]:
        """Writes one case; returns what is said of it.

        Of several videos, one whose frames cannot be read again, or that has changed since it was
        judged, does not end the others: `check` raises its error at the end.

        Raises:
            UnmaskError: as `pipeline.case.write.write_case`.
        """
        try:
            return self._write(draw)
        except (InputError, VideoError) as error:
            if not self._several:
                raise
            self._failed.append(error)
            return [f"  no case: {error}"]

    def check(self) -> None:
        """Raises the error of the first case that could not be written, if there is one."""
        if self._failed:
            raise self._failed[0]

    def _write(self, draw: VerdictPage) -> list[str]:
        """Writes one case, as `write`."""
        judged = draw.judged
        assert judged.path is not None  # noqa: S101 - a video with a page has a file
        done = write_case(
            self._folders.folder(judged.verdict.video, judged.verdict.sha256),
            judged,
            draw.prediction,
            bundle=self._bundle,
            evidence=judged.path,
            command=self._command,
            render=lambda record: draw(self._command, record),
            by=self._by,
            at=self._at,
            declared=draw.file.declared,
        )
        return [f"  case: {done.folder}", f"  seal: {done.seal}  (note it, or sign manifest.json)"]
