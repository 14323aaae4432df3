"""What `unmask scan` found so far, for the terminal, for JSON and for the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.inference.provenance import Provenance
from pipeline.inference.scan_journal import Row


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One scored video and its verdict."""

    row: Row
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why videos failed.

    Attributes:
        count: of videos that failed so; of numbers in the message, any.
        failure: class of the failure.
        message: of the first of them.
        path: of the first of them.
    """

    count: int
    failure: str
    message: str
    path: str

    @property
    def words(self) -> str:
        """One line: of one video as such, of several with one for an example."""
        if self.count == 1:
            return f"{self.path}: {self.failure}: {self.message}"
        return f"{self.count} x {self.failure}: {self.message}; {self.path} for one"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a scan found so far.

    Attributes:
        folder: that was scanned.
        videos: in it.
        scored: highest P(fake) first.
        failures: rows without a score, by path.
        command: what to type for the same scan.
        provenance: of the bundle.
    """

    folder: str
    videos: int
    scored: Sequence[Scored]
    failures: Sequence[Row]
    command: str
    provenance: Provenance

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
    def summary(self) -> dict[str, Any]:
        """Counts, for scan.json and for programs."""
        verdicts = Counter(one.verdict for one in self.scored)
        failed = Counter(str(row.failure) for row in self.failures)
        return {
            "warning": self.provenance.warning,
            "training": self.provenance.line,
            "videos": self.videos,
            "scored": len(self.scored),
            **{name: verdicts[name] for name in ("REAL", "FAKE", "UNSURE")},
            "failed": dict(sorted(failed.items())),
            "resized": len(self.resized),
            "finished": len(self.scored) + len(self.failures) == self.videos,
        }
