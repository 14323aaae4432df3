"""The results of `unmask scan`, for the terminal, JSON and the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

from pipeline.extraction.inputs import refuse_without_decoder
from pipeline.inference.provenance import Provenance
from pipeline.inference.scan_journal import Row
from pipeline.inference.weighing import Weighed


class ScanFacts(TypedDict):
    """The videos of a folder in counts."""

    # what to know before the verdicts: all training people were rendered; None where they were not
    warning: str | None
    training: str  # people, forgeries, backbone and test result of the bundle, in one line
    videos: int  # number of videos in the folder
    scored: int  # number of videos that have a score
    REAL: int  # number of videos with this verdict
    FAKE: int  # number of videos with this verdict
    UNSURE: int  # number of scored videos without verdict
    novel: int  # number of these that are unlike anything in training
    images: int  # number of scored single images
    failed: dict[str, int]  # kind of failure, as "unreadable" -> number of videos
    resized: int  # number of scored videos whose picture changes its size
    finished: bool  # whether every video of the folder has a score or failed


class ScanRunFacts(ScanFacts):
    """A run of `unmask scan`: all videos of the folder so far, in counts, and files with rows."""

    embedded: int  # number of videos that this run embedded; the others were known before
    files: dict[str, Path]  # "scores.csv", "failures.csv", "scan.html" -> its path


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One scored video and its verdict."""

    row: Row
    weighed: Weighed

    @property
    def verdict(self) -> str:
        """FAKE, REAL or UNSURE."""
        return self.weighed.verdict


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Videos that failed for the same reason, whatever the numbers in the message."""

    count: int  # how many
    failure: str  # class of the failure
    message: str  # of the first of them
    path: str  # of the first of them

    @property
    def words(self) -> str:
        """One line; of several videos, the first is the example."""
        if self.count == 1:
            return f"{self.path}: {self.failure}: {self.message}"
        return f"{self.count} x {self.failure}: {self.message}; {self.path} for one"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """All videos that a scan has finished so far, ranked."""

    folder: str  # that was scanned
    videos: int  # in it
    scored: Sequence[Scored]  # highest P(fake) first
    failures: Sequence[Row]  # rows without a score, by path
    command: str  # what to type for the same scan
    provenance: Provenance  # of the bundle

    @property
    def reasons(self) -> list[Reason]:
        """The failures summed up, the most frequent first."""
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in self.failures:
            key = str(row.failure), re.sub(r"\d+", "0", str(row.message))
            alike.setdefault(key, []).append(row)
        found = [
            Reason(count=len(rows), failure=failure, message=str(rows[0].message),
                   path=rows[0].path)
            for (failure, _), rows in alike.items()
        ]  # fmt: skip
        return sorted(found, key=lambda one: (-one.count, one.path))

    @property
    def resized(self) -> list[str]:
        """Names of the scored videos whose picture changes its size."""
        return sorted(one.row.path for one in self.scored if one.row.resized)

    @property
    def novel(self) -> int:
        """Number of scored videos that are UNSURE for being unlike anything in training."""
        return sum((one.row.novelty or 0) > 1 for one in self.scored)

    @property
    def images(self) -> int:
        """Number of scored single images."""
        return sum(one.row.image for one in self.scored)

    @property
    def summary(self) -> ScanFacts:
        """Counts, for scan.json and for programs."""
        verdicts = Counter(one.verdict for one in self.scored)
        failed = Counter(str(row.failure) for row in self.failures)
        return {
            "warning": self.provenance.warning,
            "training": self.provenance.line,
            "videos": self.videos,
            "scored": len(self.scored),
            "REAL": verdicts["REAL"],
            "FAKE": verdicts["FAKE"],
            "UNSURE": verdicts["UNSURE"],
            "novel": self.novel,
            "images": self.images,
            "failed": dict(sorted(failed.items())),
            "resized": len(self.resized),
            "finished": len(self.scored) + len(self.failures) == self.videos,
        }


@dataclass(frozen=True, kw_only=True)
class ScanRun:
    """A finished run of `unmask scan`."""

    scan: Scan  # all videos of the folder
    out: Path  # folder of the scan
    known: int  # videos that an earlier run had finished
    embedded: int  # videos embedded now

    def to_json(self) -> ScanRunFacts:
        """The summary, how many were embedded now, and the files of all rows."""
        files = {name: self.out / name for name in ("scores.csv", "failures.csv", "scan.html")}
        return {**self.scan.summary, "embedded": self.embedded, "files": files}

    def check_failures(self) -> None:
        """Raises ToolError where every video failed for want of a decoder."""
        if len(self.scan.failures) == self.scan.videos:
            refuse_without_decoder([(row.failure, row.message) for row in self.scan.failures])
