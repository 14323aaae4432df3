"""The server: its application, and how it is started on this machine's own address."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from filelock import FileLock, Timeout
from starlette.exceptions import HTTPException

from data.errors import LockedError, OutputError
from data.io.atomic_files import make_folder
from data.io.atomic_folders import read_versioned_json
from data.io.output_paths import check_out_folder
from data.io.reading import file_sha256
from data.io.system_errors import writing
from models.records import BUNDLE_RECORD, FORMAT, VERSION
from pipeline.app.settings import HOST, AppSettings
from pipeline.app.store.cases import UnknownCaseError
from pipeline.app.store.models import Detector, Problem
from pipeline.app.store.runs import UnknownRunError
from pipeline.app.web import cases, pages, runs
from pipeline.app.web.context import Context, open_context
from pipeline.app.web.security import Guard

LOCK = "lock"
MOST_CONNECTIONS = 128
GRACE_SECONDS = 3
"""That an answer which is being given may take when the server ends."""


def make_app(context: Context) -> FastAPI:
    """The application without its guard."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        context.supervisor.start()
        yield
        context.close()

    app = FastAPI(
        title="unmask app",
        version=version("unmask"),
        description="Cases of the local page. Send `Authorization: Bearer TOKEN` with the token of "
        "the address that `unmask app` printed.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        responses={
            code: {"model": Problem, "description": words} for code, words in pages.REFUSALS.items()
        },
    )
    app.state.context = context
    for group in (cases, runs, pages):
        app.include_router(group.router)

    @app.exception_handler(UnknownCaseError)
    @app.exception_handler(UnknownRunError)
    def unknown(request: Request, _error: Exception) -> Response:
        return refuse(request, 404, "there is no such case; it may have been deleted")

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: Exception) -> Response:
        # What was sent is left out: it may not be text that an answer can hold.
        faults = error.errors() if isinstance(error, RequestValidationError) else []
        words = [
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in faults[:5]
        ]
        return refuse(request, 422, "; ".join(words))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        return refuse(request, error.status_code, str(error.detail), error.headers)

    return app


def refuse(request: Request, status: int, detail: str, headers: object = None) -> Response:
    """Why a request is refused: a page for people, JSON for programs."""
    more = dict(headers) if isinstance(headers, dict) else None
    detail = detail.encode("utf-8", "backslashreplace").decode()
    if request.url.path.startswith(("/api/", "/static/")):
        return JSONResponse({"detail": detail}, status, more)
    return pages.show("problem.jinja", status, detail=detail)


def detector_of(bundle: Path) -> Detector:
    """What bundle.json says before anything is loaded.

    Raises:
        InputError: there is no bundle.
        StoreError: it is damaged, or of a later version.
    """
    record = bundle / BUNDLE_RECORD
    read_versioned_json(record, FORMAT, VERSION)
    return Detector(state="loading", bundle=str(bundle), bundle_sha256=file_sha256(record))


def listen(port: int) -> socket.socket:
    """A socket on this machine's own address.

    Raises:
        OutputError: another program has the port.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
    except OSError as error:
        made.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise OutputError(f"port {port} is taken; give another with --port") from error
    return made


def serve(settings: AppSettings, *, when_open: Callable[[str], None]) -> None:
    """Serves the page until it is ended; `when_open` is called with its address.

    Raises:
        InputError, StoreError: the bundle cannot be read.
        LockedError: another server has this folder.
        OutputError: the folder cannot be written, or the port is taken.
    """
    detector = detector_of(settings.bundle)
    check_out_folder(settings.folder)
    with writing(settings.folder):
        make_folder(settings.folder)
    lock = FileLock(settings.folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LockedError(
            f"another page has {settings.folder} open; use that one, or end it"
        ) from error
    with lock, listen(settings.port) as opened:
        port = opened.getsockname()[1]
        token = secrets.token_urlsafe(32)
        context = open_context(settings, detector)
        guarded = Guard(make_app(context), port=port, token=token)
        config = uvicorn.Config(
            guarded,
            log_level="warning",
            access_log=False,  # addresses hold the token
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ws="none",
        )
        opened.listen(MOST_CONNECTIONS)
        when_open(f"http://{HOST}:{port}/?token={token}")
        uvicorn.Server(config).run(sockets=[opened])
