"""Cases as JSON: receive a file, list, search, note, read, hide, delete."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from pipeline.app.store.cases import Order
from pipeline.app.store.evidence import RefusedError, media_type
from pipeline.app.store.models import (
    ID,
    Blinding,
    CaseDetails,
    CaseList,
    Deleted,
    NewNote,
    NewReading,
    Problem,
    State,
    Status,
    Uploaded,
    VerdictWord,
)
from pipeline.app.store.runs import BusyError
from pipeline.app.web.context import Context, Opened, Responses

router = APIRouter(prefix="/api", tags=["cases"])
MISSING: Responses = {404: {"model": Problem, "description": "there is no such case"}}
CASE = Annotated[str, Path(pattern=ID, description="id of a case")]
RETRY = {"Retry-After": "2", "Connection": "close"}
PART_BYTES = 1 << 20
"""Bytes of an upload that are written at once."""


@router.get("/status", summary="What the page is doing")
def status(context: Opened) -> Status:
    """The detector, the queue, and the bounds of an upload."""
    return Status(
        detector=context.supervisor.detector,
        queued=context.runs.waiting(),
        running=context.runs.running(),
        most_upload_bytes=context.settings.most_upload_bytes,
        version=version("unmask"),
    )


@router.get("/cases", summary="Find cases")
def find_cases(
    context: Opened,
    query: Annotated[str, Query(max_length=200, description="words of name, digest, notes")] = "",
    state: State | None = None,
    verdict: VerdictWord | None = None,
    order: Order = "newest",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> CaseList:
    """Cases that have all words of the query in their name, digest or notes."""
    return context.cases.find(
        query=query, state=state, verdict=verdict, order=order, limit=limit, offset=offset
    )


@router.post(
    "/cases",
    summary="Receive a file and judge it",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
    responses={
        200: {"model": Uploaded, "description": "the same bytes were here before: no new case"},
        **{
            code: {"model": Problem, "description": words}
            for code, words in (
                (411, "the request does not say how long the file is"),
                (413, "the file is too large"),
                (415, "a picture of a kind that is not read"),
                (422, "the file is empty, or a value does not fit"),
                (429, "too many uploads or waiting runs; try again later"),
                (507, "the disk is nearly full"),
            )
        },
    },
)
async def receive(
    request: Request,
    response: Response,
    context: Opened,
    name: Annotated[str, Query(min_length=1, max_length=255, description="of the file, as text")],
    blind: Annotated[
        bool, Query(description="hide the verdict until a reader gave theirs")
    ] = False,
) -> Uploaded:
    """The body is the file itself; its sha256 and size are kept, and it waits to be judged."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        raise HTTPException(411, "say how long the file is: Content-Length")
    if not context.evidence.places.acquire(blocking=False):
        raise HTTPException(429, "too many files at once; try again in a moment", RETRY)
    try:
        uploaded = await _take(request, context, name=name, blind=blind, length=int(length))
    except RefusedError as error:
        # The rest of the body is not read: the connection cannot be used again.
        raise HTTPException(error.status, str(error), {"Connection": "close"}) from error
    except BusyError as error:
        raise HTTPException(429, str(error), RETRY) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the file did not come whole") from error
    finally:
        context.evidence.places.release()
    if uploaded.known:
        response.status_code = 200
    return uploaded


async def _take(
    request: Request, context: Context, *, name: str, blind: bool, length: int
) -> Uploaded:
    """Writes the body to disk as it comes, in threads: the server goes on answering."""
    incoming = context.evidence.receive(length, context.settings.most_upload_bytes)
    with incoming:
        part = bytearray()
        async for piece in request.stream():
            part += piece
            if len(part) >= PART_BYTES:
                await asyncio.to_thread(incoming.write, bytes(part))
                part.clear()
        await asyncio.to_thread(incoming.write, bytes(part))

        def keep() -> Uploaded:
            with context.evidence.lock:
                sha256 = incoming.keep()
                kind = media_type(incoming.first)
                with context.database.change():
                    case, known = context.cases.add(
                        name=name,
                        sha256=sha256,
                        size_bytes=incoming.size_bytes,
                        media_type=kind,
                        blind=blind,
                    )
                    if not known:
                        context.runs.add(case)
            return Uploaded(case=context.cases.get(case), known=known)

        uploaded = await asyncio.to_thread(keep)
    context.supervisor.wake()
    return uploaded


@router.get("/cases/{case}", summary="One case", responses=MISSING)
def get_case(context: Opened, case: CASE) -> CaseDetails:
    """A case with its runs, notes, readings and what happened to it."""
    return context.cases.details(case)


@router.post("/cases/{case}/notes", summary="Add a note", status_code=201, responses=MISSING)
def add_note(context: Opened, case: CASE, note: NewNote) -> CaseDetails:
    """Notes are kept as they were written."""
    context.cases.add_note(case, author=note.author, text=note.text)
    return context.cases.details(case)


@router.post(
    "/cases/{case}/readings",
    summary="Enter a person's own verdict",
    status_code=201,
    responses={**MISSING, 409: {"model": Problem, "description": "this person gave one before"}},
)
def add_reading(context: Opened, case: CASE, reading: NewReading) -> CaseDetails:
    """Shows a verdict that was hidden."""
    try:
        context.cases.add_reading(
            case, reader=reading.reader, verdict=reading.verdict, text=reading.text
        )
    except ValueError as error:
        raise HTTPException(409, str(error)) from error
    return context.cases.details(case)


@router.post("/cases/{case}/blind", summary="Hide or show the verdict", responses=MISSING)
def set_blind(context: Opened, case: CASE, blinding: Blinding) -> CaseDetails:
    """A hidden verdict is left out of every answer until a reader has entered theirs."""
    context.cases.set_blind(case, blinding.blind)
    return context.cases.details(case)


@router.delete(
    "/cases/{case}",
    summary="Delete a case and its file",
    responses={**MISSING, 409: {"model": Problem, "description": "the confirmation is another"}},
)
def delete_case(
    context: Opened,
    case: CASE,
    confirm: Annotated[str, Query(max_length=64, description="first 8 digits of its sha256")],
) -> Deleted:
    """Ends what is running and removes file, pages, notes and readings for good."""
    found = context.cases.details(case)
    if confirm != found.sha256[:8]:
        raise HTTPException(409, "confirm with the first 8 digits of the file's sha256")
    for run in found.runs:
        if run.state in ("queued", "running"):
            context.supervisor.cancel(run.id)
    # The rows go last: a kill in between leaves a case that can be deleted again, and no file.
    with context.evidence.lock:
        context.evidence.remove(found.sha256)
        context.forget(*(run.id for run in found.runs))
        context.cases.delete(case)
    return Deleted(id=case)
