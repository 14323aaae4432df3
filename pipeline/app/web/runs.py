"""Runs as JSON: judge again, make a case file, cancel; and what a run wrote."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import FileResponse
from pydantic import ValidationError

from data.errors import ConfigError
from data.faces.given_box import GivenBox
from pipeline.app.judging.worker import PAGE, VERDICT
from pipeline.app.settings import ARCHIVE
from pipeline.app.store.evidence import EXTENSIONS
from pipeline.app.store.models import ID, NewExport, NewRun, Problem, Run, Timeline
from pipeline.app.store.runs import BusyError, Kind, as_run
from pipeline.app.web.cases import CASE, MISSING
from pipeline.app.web.context import Context, Opened, Responses

router = APIRouter(prefix="/api", tags=["runs"])
RUN = Annotated[str, Path(pattern=ID, description="id of a run")]
SEALED = "default-src 'none'; sandbox"
"""Policy of files that came from outside, or are to be saved: nothing in them is ever run."""
BUSY: Responses = {
    429: {"model": Problem, "description": "the case is being judged, or the queue is full"}
}
NOT_YET: Responses = {404: {"model": Problem, "description": "there is none, or it is hidden"}}


@router.post(
    "/cases/{case}/runs",
    summary="Judge a case again, perhaps another face",
    status_code=201,
    responses={**MISSING, **BUSY},
)
def judge_again(context: Opened, case: CASE, new: NewRun) -> Run:
    """The newest run that is done gives the case its verdict; earlier ones are kept."""
    context.cases.get(case)
    box = None
    if new.box is not None:
        try:
            box = str(GivenBox.parse(new.box))
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
    told = "judged again" if box is None else f"another face pointed at: {box}"
    return _queue(context, case, "verdict", told, box=box)


@router.post(
    "/cases/{case}/export",
    summary="Make a case file",
    status_code=201,
    responses={
        **MISSING,
        **BUSY,
        409: {"model": Problem, "description": "no verdict, hidden, or of another bundle"},
    },
)
def export(context: Opened, case: CASE, new: NewExport) -> Run:
    """Judges the file again, by the box of the newest verdict, and seals page, crops and notes."""
    found = context.cases.details(case)
    done = next((one for one in found.runs if one.kind == "verdict" and one.state == "done"), None)
    if found.blind or done is None:
        raise HTTPException(409, "there is no verdict to export yet, or it is hidden")
    if done.bundle_sha256 != context.supervisor.detector.bundle_sha256:
        raise HTTPException(409, "another bundle gave the verdict; judge it again first")
    return _queue(context, case, "export", "case file asked for", box=done.box, by=new.by)


def _queue(
    context: Context, case: str, kind: Kind, told: str, *, box: str | None, by: str | None = None
) -> Run:
    try:
        made = context.runs.add(case, kind=kind, box=box, by=by)
    except BusyError as error:
        raise HTTPException(429, str(error), {"Retry-After": "5"}) from error
    context.cases.tell(case, told)
    context.supervisor.wake()
    return as_run(context.runs.get(made), hidden=context.cases.get(case).blind)


@router.post(
    "/runs/{run}/cancel",
    summary="Cancel a run",
    responses={
        404: {"model": Problem, "description": "there is no such run"},
        409: {"model": Problem, "description": "it has ended"},
    },
)
def cancel(context: Opened, run: RUN) -> Run:
    """Ends its process at once, if it has one."""
    row = context.runs.get(run)
    if not context.supervisor.cancel(run):
        raise HTTPException(409, f"it has ended: {row['state']}")
    hidden = context.cases.get(row["case_id"]).blind
    return as_run(context.runs.get(run), hidden=hidden)


@router.get("/runs/{run}/timeline", summary="What was seen over time", responses=NOT_YET)
def timeline(context: Opened, run: RUN) -> Timeline:
    """Places of the faces, and scores unless they are hidden."""
    row = context.runs.get(run)
    path = context.results(run) / VERDICT
    if row["kind"] != "verdict" or not path.is_file():
        raise HTTPException(404, "there is no verdict yet")
    try:
        found = Timeline.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise HTTPException(404, "it is damaged; judge the case again") from error
    if context.cases.get(row["case_id"]).blind:
        faces = [one.model_copy(update={"windows": []}) for one in found.faces]
        return found.model_copy(update={"faces": faces})
    return found


@router.get(
    "/runs/{run}/page",
    summary="The verdict's page, to save",
    response_class=FileResponse,
    responses=NOT_YET,
)
def page(context: Opened, run: RUN) -> FileResponse:
    """One file that loads nothing, as `unmask predict --report` writes it."""
    return _saved(context, run, PAGE, "text/html; charset=utf-8", "verdict", "html")


@router.get(
    "/runs/{run}/case.zip",
    summary="The case file, to save",
    response_class=FileResponse,
    responses=NOT_YET,
)
def case_file(context: Opened, run: RUN) -> FileResponse:
    """What `unmask predict --case` writes, in one archive; `unmask case verify` checks it."""
    return _saved(context, run, ARCHIVE, "application/zip", "case", "zip")


def _saved(
    context: Context, run: str, name: str, media_type: str, word: str, extension: str
) -> FileResponse:
    row = context.runs.get(run)
    case, path = context.cases.get(row["case_id"]), context.results(run) / name
    if case.blind or not path.is_file():
        raise HTTPException(404, "there is none yet, or it is hidden")
    return FileResponse(
        path,
        media_type=media_type,
        filename=f"{word}-{case.sha256[:8]}.{extension}",
        headers={"Content-Security-Policy": SEALED},
    )


@router.get(
    "/cases/{case}/file",
    summary="The file itself",
    response_class=FileResponse,
    responses=MISSING,
)
def evidence(context: Opened, case: CASE) -> FileResponse:
    """With parts of it on request (Range), for the player; always to be saved, never a page."""
    found = context.cases.get(case)
    path = context.evidence.path(found.sha256)
    if found.media_type not in EXTENSIONS or not path.is_file():
        raise HTTPException(404, "the file is gone")
    return FileResponse(
        path,
        media_type=found.media_type,
        filename=f"evidence-{found.sha256[:8]}.{EXTENSIONS[found.media_type]}",
        headers={"Content-Security-Policy": SEALED},
    )
