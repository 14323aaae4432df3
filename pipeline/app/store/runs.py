"""Runs: the queue of what is to be judged, in the database, so that a kill loses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.app.settings import MOST_ATTEMPTS, MOST_WAITING
from pipeline.app.store.database import Database, new_id, now
from pipeline.app.store.models import Run

Kind = Literal["verdict", "export"]
OPEN = ("queued", "running")


class UnknownRunError(LookupError):
    """There is no such run."""


class BusyError(Exception):
    """The queue is full, or the case has a run of this kind already."""


@dataclass(frozen=True, kw_only=True)
class QueuedRun:
    """A run that a worker can take."""

    id: str
    case: str
    kind: Kind
    box: str | None
    by: str | None
    name: str  # of the file as given
    sha256: str  # of the file


class Runs:
    """The queue of one folder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, case: str, *, kind: Kind = "verdict", box: str | None = None, by: str | None = None
    ) -> str:
        """Queues a run; returns its id.

        Raises:
            BusyError: there is one already, or too many wait.
        """
        with self._database.change():
            waiting = self._database.all(
                "SELECT case_id, kind FROM runs WHERE state IN ('queued', 'running')"
            )
            if len(waiting) >= MOST_WAITING:
                raise BusyError(f"{len(waiting)} runs wait already; try again later")
            if {"case_id": case, "kind": kind} in waiting:
                raise BusyError("this case is being judged already; cancel that first")
            made = new_id()
            self._database.run(
                "INSERT INTO runs (id, case_id, kind, box, by, state, queued)"
                " VALUES (?, ?, ?, ?, ?, 'queued', ?)",
                [made, case, kind, box, by, now()],
            )
            return made

    def get(self, run: str) -> dict[str, Any]:
        """The row of a run, `case_id` among its values; raises UnknownRunError."""
        row = self._database.one("SELECT * FROM runs WHERE id = ?", [run])
        if row is None:
            raise UnknownRunError(run)
        return row

    def take(self) -> QueuedRun | None:
        """Marks the oldest queued run as running; None where none waits."""
        with self._database.change():
            row = self._database.one(
                "SELECT runs.id, runs.case_id, runs.kind, runs.box, runs.by, cases.name,"
                " cases.sha256 FROM runs JOIN cases ON cases.id = runs.case_id"
                " WHERE runs.state = 'queued' ORDER BY runs.number LIMIT 1"
            )
            if row is None:
                return None
            self._database.run(
                "UPDATE runs SET state = 'running', stage = 'starting', started = ?,"
                " attempts = attempts + 1 WHERE id = ?",
                [now(), row["id"]],
            )
            return QueuedRun(case=row.pop("case_id"), **row)

    def waiting(self) -> int:
        """How many are queued."""
        return self._count("queued")

    def running(self) -> int:
        """How many are running."""
        return self._count("running")

    def _count(self, state: str) -> int:
        row = self._database.one("SELECT count(*) AS runs FROM runs WHERE state = ?", [state])
        return int((row or {})["runs"])

    def enter_stage(self, run: str, stage: str) -> None:
        """Records what a running one is doing."""
        self._database.run(
            "UPDATE runs SET stage = ? WHERE id = ? AND state = 'running'", [stage, run]
        )

    def score(self, run: str, *, verdict: str, probability_fake: float, bundle_sha256: str) -> None:
        """Records the verdict, which comes before the heat map."""
        self._database.run(
            "UPDATE runs SET verdict = ?, probability_fake = ?, bundle_sha256 = ?"
            " WHERE id = ? AND state = 'running'",
            [verdict, probability_fake, bundle_sha256, run],
        )

    def end(
        self, run: str, state: str, *, failure: str | None = None, message: str | None = None
    ) -> bool:
        """Ends a queued or running one; False where it has ended before, or is gone."""
        changed = self._database.run(
            "UPDATE runs SET state = ?, stage = NULL, failure = ?, message = ?, ended = ?"
            " WHERE id = ? AND state IN ('queued', 'running')",
            [state, failure, message, now(), run],
        )
        return changed > 0

    def queue_again(self) -> int:
        """After a start: what was running is queued again, but not for ever; returns how many."""
        with self._database.change():
            self._database.run(
                "UPDATE runs SET state = 'failed', stage = NULL, ended = ?, failure = 'server',"
                " message = 'the server ended each of the ' || attempts ||"
                " ' times that this was judged; judge it again to try once more'"
                " WHERE state = 'running' AND attempts >= ?",
                [now(), MOST_ATTEMPTS],
            )
            return self._database.run(
                "UPDATE runs SET state = 'queued', stage = NULL, started = NULL"
                " WHERE state = 'running'"
            )


def as_run(row: dict[str, Any], *, hidden: bool, share: float | None = None) -> Run:
    """A row for an answer; a hidden one tells no verdict."""
    facts = {name: value for name, value in row.items() if name in Run.model_fields}
    facts["share"] = share
    if hidden:
        facts["verdict"] = facts["probability_fake"] = None
    return Run(**facts)
