"""Who is let in: the attacks of other pages, other hosts and other programs of this machine."""

from __future__ import annotations

import asyncio

import pytest
from fastapi.testclient import TestClient

from pipeline.app.settings import MOST_JSON_BYTES
from pipeline.app.web.security import Guard, Rate
from tests.pipeline.app.conftest import HOST, PORT, TOKEN

EVIL = "http://evil.example"
OWN = f"http://{HOST}"


@pytest.fixture
def stranger(guarded: Guard) -> TestClient:
    """Without cookie and token."""
    return TestClient(guarded, base_url=OWN, follow_redirects=False)


@pytest.fixture
def browser(stranger: TestClient) -> TestClient:
    """The person's browser, which opened the address with the token."""
    entered = stranger.get("/", params={"token": TOKEN})
    assert entered.status_code == 303
    assert entered.headers["location"] == "/"
    return stranger


def addresses(guarded: Guard) -> list[tuple[str, str]]:
    """Every method and path that is served."""
    described = guarded._app.openapi()
    filled = [
        (method.upper(), path.replace("{case}", "0" * 16).replace("{run}", "0" * 16))
        for path, methods in described["paths"].items()
        for method in methods
    ]
    pages = ("/", "/cases/0000000000000000", "/docs", "/openapi.json", "/static/app.css")
    return filled + [("GET", path) for path in pages]


def test_nobody_gets_anything_without_the_token(guarded, stranger):
    assert len(addresses(guarded)) > 15
    for method, path in addresses(guarded):
        answer = stranger.request(method, path)
        assert answer.status_code == 401, (method, path)
        for wrong in ("", "x", TOKEN[:-1], TOKEN + "x"):
            headers = {"Authorization": f"Bearer {wrong}", "Cookie": f"unmask-{PORT}={wrong}"}
            assert stranger.request(method, path, headers=headers).status_code == 401
    assert stranger.get("/", params={"token": "guess"}).status_code == 401
    assert "set-cookie" not in stranger.get("/", params={"token": "guess"}).headers
    assert "Open the address" in stranger.get("/", headers={"Accept": "text/html"}).text


def test_the_address_gives_a_cookie_that_scripts_and_other_sites_never_see(stranger):
    cookie = stranger.get("/", params={"token": TOKEN}).headers["set-cookie"]
    assert cookie.startswith(f"unmask-{PORT}=")
    assert TOKEN not in cookie
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"[::1]:{PORT}",
     f"127.0.0.1:{PORT}.evil.example", f"{HOST}@evil.example", ""],
)  # fmt: skip
def test_another_host_is_refused(guarded, client, host):
    for method, path in addresses(guarded):
        assert client.request(method, path, headers={"Host": host}).status_code == 421


def test_localhost_is_this_host_too(client):
    assert client.get("/api/status", headers={"Host": f"localhost:{PORT}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{PORT + 1}"},  # same site, by cookies' reckoning
        {"Origin": f"https://{HOST}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
    ids=str,
)
def test_another_page_is_refused_though_the_browser_sends_the_cookie(guarded, browser, headers):
    for method, path in addresses(guarded):
        assert browser.request(method, path, headers=headers).status_code == 403


def test_a_link_from_elsewhere_may_open_a_page_but_change_nothing(browser):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document"}  # fmt: skip
    assert browser.get("/", headers=link).status_code == 200
    assert browser.post("/api/cases?name=x", headers=link).status_code == 403


def test_what_changes_something_must_tell_its_origin(browser):
    plain = browser.post("/api/cases", params={"name": "a"}, content=b"x" * 100)
    assert plain.status_code == 403
    own = browser.post("/api/cases", params={"name": "a"}, content=b"x" * 100,
                       headers={"Origin": OWN})  # fmt: skip
    assert own.status_code == 201


def test_every_answer_carries_the_policy(guarded, client, stranger):
    answers = [client.request(method, path) for method, path in addresses(guarded)]
    answers += [stranger.get("/"), client.get("/", headers={"Host": "evil"}), client.get("/none")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-eval'" not in policy
        scripts = [one for one in policy.split("; ") if one.startswith("script-src")]
        assert scripts in ([], ["script-src 'self'"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_pages_hold_no_inline_script_and_load_nothing_from_elsewhere(client, judged):
    case = judged()
    for path in ("/", f"/cases/{case}", "/docs", "/none"):
        text = client.get(path).text
        assert "<script>" not in text
        assert " onclick=" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "<style" not in text


def test_a_long_body_is_refused_whatever_its_header_says(client, add):
    case = add()
    body = b'{"author": "a", "text": "' + b"x" * MOST_JSON_BYTES + b'"}'
    told = client.post(f"/api/cases/{case}/notes", content=body)
    assert told.status_code == 413

    def parts():
        yield body[:1000]
        yield body[1000:]

    assert client.post(f"/api/cases/{case}/notes", content=parts()).status_code in (400, 413)
    assert client.get(f"/api/cases/{case}").json()["notes"] == 0


def test_requests_that_change_something_are_bounded_in_number(client, monkeypatch, guarded):
    monkeypatch.setattr(guarded, "_rate", Rate(0.0, 3.0))
    codes = [client.post("/api/runs/0000000000000000/cancel").status_code for _ in range(5)]
    assert codes == [404, 404, 404, 429, 429]
    assert client.get("/api/status").status_code == 200


def test_a_bucket_fills_again(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("pipeline.app.web.security.time.monotonic", lambda: clock[0])
    rate = Rate(2.0, 2.0)
    assert [rate.allows() for _ in range(3)] == [True, True, False]
    clock[0] = 0.6
    assert [rate.allows() for _ in range(2)] == [True, False]


def test_no_websocket_is_served(guarded):
    said = []

    async def send(message):
        said.append(message)

    asyncio.run(guarded({"type": "websocket", "path": "/", "headers": []}, None, send))
    assert said == [{"type": "websocket.close"}]
