"""What `unmask doctor` found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]
Group = Literal["unmask", "packages", "ffmpeg", "processor", "disk", "extras", "self-test"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    group: Group  # of things, under which it is shown
    name: str  # of the thing, as "h264"
    # "note": unmask works, with less or more slowly; "problem": something that it needs fails
    status: Status
    found: str  # what is there, one line
    remedy: str | None = None  # what to do, one line; None where nothing is to be done


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at, in the order in which it is shown."""

    findings: tuple[Finding, ...]  # group by group
    tested: bool  # whether the self-test ran
    seconds: float  # that it all took

    @property
    def problems(self) -> int:
        """How many things that unmask needs do not work here."""
        return sum(one.status == "problem" for one in self.findings)


def one_line(error: BaseException) -> str:
    """An error in one line: of a broken library it may be pages."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


Findings = Iterator[Finding]
