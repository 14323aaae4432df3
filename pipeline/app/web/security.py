"""Who is let in, as an ASGI layer around the whole application, and what every answer carries.

The page is for the person who started it. Other programs' pages in the same browser can send
requests to 127.0.0.1, too, and a hostile name server can point a name of its own at it. So each
request must be for this very address (Host), come from no other origin (Origin, Sec-Fetch-Site),
and carry the cookie that the address with the token gave, or the token itself. Cookies do not tell
ports of one machine apart, hence the check of the origin, which does.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.app.settings import CHANGES_AT_ONCE, CHANGES_PER_SECOND, HOST, MOST_JSON_BYTES

SAFE = ("GET", "HEAD")
UPLOAD = ("POST", "/api/cases")
"""The one request with a large body, bounded where it is received (`pipeline.app.web.cases`)."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src-elem 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No script but the page's own files. Charts have their heights in `style` attributes."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
CLOSED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>unmask</title>
<p>This page is for the person who started it. Open the address that <code>unmask app</code> printed
when it was started; after a restart it prints a new one.</p></html>"""


class Rate:
    """A bucket of requests: `at_once` are let through, then `per_second`."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._left, self._looked = at_once, time.monotonic()
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Takes one, if there is one."""
        with self._lock:
            clock = time.monotonic()
            gained = (clock - self._looked) * self._per_second
            self._left, self._looked = min(self._at_once, self._left + gained), clock
            if self._left < 1:
                return False
            self._left -= 1
            return True


class TooLongError(Exception):
    """A body is longer than a request of its kind may be."""


class Guard:
    """Lets in requests of the person who started the page.

    Args:
        app: what is guarded.
        port: on which it is served; 0 until it is known.
        token: of the address.

    Attributes:
        port: may be set later.
    """

    def __init__(self, app: ASGIApp, *, port: int, token: str) -> None:
        self.port = port
        self._app = app
        self._token = token
        self._session = secrets.token_urlsafe(32)
        self._rate = Rate(CHANGES_PER_SECOND, CHANGES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # none is served
            return
        refused = self._refuse(scope)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        if (scope["method"], scope["path"]) == UPLOAD:
            await self._app(scope, receive, _with_headers(send))
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not (length.isascii() and length.isdigit() and int(length[:19]) <= MOST_JSON_BYTES):
            too_long = _problem(413, f"at most {MOST_JSON_BYTES} bytes", {"Connection": "close"})
            await too_long(scope, receive, _with_headers(send))
            return
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, _bounded(receive), _with_headers(told))
        except TooLongError:
            if not begun:
                await _problem(413, f"at most {MOST_JSON_BYTES} bytes")(
                    scope, receive, _with_headers(send)
                )

    def _refuse(self, scope: Scope) -> Response | None:
        """What is answered instead, or None where the request is let in."""
        headers = Headers(scope=scope)
        hosts = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        if headers.getlist("host") not in ([one] for one in hosts):
            return _problem(421, "this address serves another host")
        own = f"http://{headers['host']}"
        navigates = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("origin", own) != own:
            return _problem(403, "requests of other pages are refused")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not (
            navigates and headers.get("sec-fetch-dest") == "document"
        ):
            return _problem(403, "requests of other pages are refused")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(bearer, self._token):
            return self._refuse_rate(scope)
        if scope["path"] == "/" and (entered := self._enter(scope)) is not None:
            return entered
        if not _same(self._cookie(headers), self._session):
            if navigates or "text/html" in headers.get("accept", ""):
                return HTMLResponse(CLOSED, 401)
            return _problem(401, "open the address that unmask app printed")
        if scope["method"] not in SAFE and "origin" not in headers:
            return _problem(403, "a request that changes something must tell its origin")
        return self._refuse_rate(scope)

    def _refuse_rate(self, scope: Scope) -> Response | None:
        if scope["method"] in SAFE or self._rate.allows():
            return None
        return _problem(429, "too many requests; try again in a second", {"Retry-After": "1"})

    def _enter(self, scope: Scope) -> Response | None:
        """The answer to the address with the token: a cookie, and the address without it."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given is None or scope["method"] != "GET":
            return None
        if not _same(given[0], self._token):
            return HTMLResponse(CLOSED, 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self.cookie_name, self._session, httponly=True, samesite="strict", path="/"
        )
        return answer

    @property
    def cookie_name(self) -> str:
        """With the port, since browsers send cookies to all ports of a machine."""
        return f"unmask-{self.port}"

    def _cookie(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return ""
        return "" if found is None else found.value


def _same(given: str, secret: str) -> bool:
    """Compares without telling, by the time it takes, how much is right."""
    return hmac.compare_digest(given.encode(), secret.encode())


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, dict(headers or {}))


def _bounded(receive: Receive) -> Receive:
    """Receives at most MOST_JSON_BYTES, whatever the header says."""
    size_bytes = 0

    async def bounded() -> Message:
        nonlocal size_bytes
        message = await receive()
        size_bytes += len(message.get("body", b""))
        if size_bytes > MOST_JSON_BYTES:
            raise TooLongError
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    """Adds the headers that every answer carries; one that an answer has is left as it is."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
