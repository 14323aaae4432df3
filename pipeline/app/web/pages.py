"""Pages for people: the list of cases, one case, the interface's documentation, static files."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as PathPart
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.app.judging.worker import PAGE
from pipeline.app.store.models import ID, CaseDetails, Run
from pipeline.app.web.cases import CASE
from pipeline.app.web.context import Context, Opened

router = APIRouter(include_in_schema=False)
HERE = Path(__file__).parents[1]
STATIC = {
    path.name: (path, kind)
    for suffix, kind in (
        (".js", "text/javascript"),
        (".css", "text/css"),
        (".svg", "image/svg+xml"),
    )
    for path in sorted((HERE / "static").glob(f"*{suffix}"))
} | {"report.css": (HERE.parent / "reporting" / "templates" / "style.css", "text/css")}
"""Name -> file and type of all that a page loads; no other file can be asked for."""
VERDICT = re.compile(r"<main>\s*<h1>.*?</h1>(.*)</main>", re.DOTALL)
NUMBERS = '<h2 id="numbers">'
"""What stands in a verdict's page below its heading."""

REFUSALS = {
    401: "the token or the cookie is missing",
    403: "the request comes from another page",
    413: "the body is too large",
    421: "the host is another",
    422: "a value does not fit",
    429: "too many requests",
}
"""Answers of every address to requests that are refused."""


@cache
def environment() -> Environment:
    """The templates of these pages; they escape whatever they are given."""
    return Environment(
        loader=PackageLoader("pipeline.app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def show(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page."""
    text = environment().get_template(template).render(values)
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)


@router.get("/")
def home(context: Opened) -> HTMLResponse:
    """Where files are dropped, and the list of cases."""
    return show("home.jinja", most_bytes=context.settings.most_upload_bytes)


@router.get("/cases/{case}")
def case_page(
    context: Opened,
    case: CASE,
    run: Annotated[str | None, Query(pattern=ID)] = None,
) -> HTMLResponse:
    """One case: its newest verdict, or that of an earlier run."""
    found = context.cases.details(case)
    shown = None if found.blind else _shown(context, found, run)
    return show(
        "case.jinja",
        case=found,
        run=shown,
        verdict=None if shown is None else verdict_of(context.results(shown.id) / PAGE),
    )


def _shown(context: Context, case: CaseDetails, wanted: str | None) -> Run | None:
    """The run whose page is shown: the newest that has one, or the wanted one."""
    with_page = [
        one
        for one in case.runs
        if one.kind == "verdict" and one.verdict and (context.results(one.id) / PAGE).is_file()
    ]
    if wanted is None:
        return with_page[0] if with_page else None
    for one in with_page:
        if one.id == wanted:
            return one
    raise HTTPException(404, "there is no such verdict")


class VerdictParts(NamedTuple):
    """HTML of a verdict: the video stands between the two, on a telephone, too."""

    head: Markup  # the answer; what it says, on what, how sure, what next; warnings
    rest: Markup


def verdict_of(page: Path) -> VerdictParts:
    """The body of a page that `pipeline.reporting.verdict_page` wrote, which has escaped it."""
    found = VERDICT.search(page.read_text("utf-8"))
    if found is None:
        raise HTTPException(404, "the verdict's page is damaged; judge the case again")
    head, heading, rest = found[1].partition(NUMBERS)
    return VerdictParts(Markup(head), Markup(heading + rest))  # noqa: S704


@router.get("/docs")
def documentation(request: Request) -> HTMLResponse:
    """The interface for programs, as `/openapi.json` describes it."""
    described = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **facts}
        for path, methods in described["paths"].items()
        for method, facts in methods.items()
    ]
    schemas = described["components"]["schemas"]
    return show(
        "docs.jinja",
        info=described["info"],
        operations=operations,
        schemas=schemas,
        refusals={str(code): words for code, words in REFUSALS.items()},
    )


@router.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    """The interface for programs, OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/static/{name}")
def static(name: Annotated[str, PathPart(max_length=40)]) -> FileResponse:
    """One of the files that pages load."""
    if name not in STATIC:
        raise HTTPException(404, "there is no such file")
    path, kind = STATIC[name]
    return FileResponse(path, media_type=kind)
