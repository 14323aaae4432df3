"""What the page's addresses share: settings, cases, queue, evidence, processes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from data.io.atomic_files import make_folder
from pipeline.app.judging.supervisor import Supervisor
from pipeline.app.settings import AppSettings
from pipeline.app.store.cases import Cases, UnknownCaseError
from pipeline.app.store.database import NAME, Database
from pipeline.app.store.evidence import Evidence
from pipeline.app.store.models import Detector
from pipeline.app.store.runs import QueuedRun, Runs, UnknownRunError

Responses = dict[int | str, dict[str, Any]]
"""Status -> how it is documented."""
RUNS = "runs"
"""Folder of what runs wrote."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One open folder of cases."""

    settings: AppSettings
    database: Database
    cases: Cases
    runs: Runs
    evidence: Evidence
    supervisor: Supervisor

    def results(self, run: str) -> Path:
        """Folder of what a run wrote."""
        return self.settings.folder / RUNS / run

    def forget(self, *runs: str) -> None:
        """Removes what runs wrote."""
        for one in runs:
            remove_results(self.settings.folder / RUNS, one)

    def close(self) -> None:
        """Ends all processes and closes the database."""
        self.supervisor.stop()
        self.database.close()


def remove_results(folder: Path, run: str, *, half: bool = False) -> None:
    """Removes what a run wrote; `half` leaves what is whole (see `data.io.atomic_folders`)."""
    for path in folder.glob(f".{run}.*" if half else f"*{run}*"):
        shutil.rmtree(path, ignore_errors=True)


def open_context(settings: AppSettings, detector: Detector) -> Context:
    """Opens a folder of cases; the processes begin with `supervisor.start`.

    Raises:
        OutputError: the folder cannot be written.
        StoreError: its database is damaged, or of a later version.
    """
    make_folder(settings.folder / RUNS)
    settings.folder.chmod(0o700)
    evidence = Evidence(settings.folder)
    database = Database(settings.folder / NAME)
    runs = Runs(database)

    def brief(run: QueuedRun) -> dict[str, Any]:
        return {
            "path": str(evidence.path(run.sha256)),
            "name": run.name,
            "box": run.box,
            "out": str(settings.folder / RUNS / run.id),
            "case": case_facts(run) if run.kind == "export" else None,
        }

    def case_facts(run: QueuedRun) -> dict[str, Any]:
        details = cases.details(run.case)
        return {
            "by": run.by,
            "notes": [
                *({"by": one.author, "at": one.at, "text": one.text} for one in details.note_list),
                *(
                    {"by": one.reader, "at": one.at, "text": one.text, "verdict": one.verdict,
                     "blind": one.blind}
                    for one in details.reading_list
                ),
            ],
        }  # fmt: skip

    def ended(run: QueuedRun, state: str) -> None:
        try:
            what = "case file" if run.kind == "export" else "verdict"
            runs.get(run.id)
            cases.get(run.case)
            cases.tell(run.case, f"{what}: {state}")
            remove_results(settings.folder / RUNS, run.id, half=True)
        except (UnknownRunError, UnknownCaseError):  # deleted meanwhile
            remove_results(settings.folder / RUNS, run.id)

    supervisor = Supervisor(settings, runs, brief, detector, when_ended=ended)
    cases = Cases(database, supervisor.shares)
    return Context(
        settings=settings,
        database=database,
        cases=cases,
        runs=runs,
        evidence=evidence,
        supervisor=supervisor,
    )


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Opened = Annotated[Context, Depends(_context)]
"""The context, as an argument of an address."""
