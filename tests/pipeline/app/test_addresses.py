"""Every address: what it answers, and what it refuses."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections import namedtuple

import pytest

from pipeline.app.settings import MOST_UPLOADS
from pipeline.app.store.evidence import media_type
from tests.pipeline.app.conftest import HOST, VIDEO, judge

HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202egpj..\\/../../etc/passwd.mp4'
)
USAGE = namedtuple("USAGE", "total used free")


def test_a_file_is_kept_under_its_digest_and_waits(client, context, add):
    case = add(VIDEO, HOSTILE[:200])
    found = client.get(f"/api/cases/{case}").json()
    assert found["name"] == HOSTILE[:200]
    assert found["sha256"] == hashlib.sha256(VIDEO).hexdigest()
    assert found["media_type"] == "video/mp4"
    assert found["run"]["state"] == "queued"
    assert context.evidence.path(found["sha256"]).read_bytes() == VIDEO
    kept = {path.name for path in context.settings.folder.rglob("*")}
    assert kept == {"evidence", "incoming", "runs", "cases.sqlite", "cases.sqlite-wal",
                    "cases.sqlite-shm", found["sha256"]}  # fmt: skip


def test_a_hostile_name_is_text_on_every_page(client, judged):
    case = judged(name=HOSTILE)
    text = client.get(f"/cases/{case}").text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text
    file = client.get(f"/api/cases/{case}/file")
    assert "alert" not in file.headers["content-disposition"]


def test_the_same_bytes_are_noticed(client, add):
    case = add(VIDEO, "a.mp4")
    again = client.post("/api/cases", params={"name": "b.mp4"}, content=VIDEO)
    assert again.status_code == 200
    assert again.json()["known"]
    assert again.json()["case"]["id"] == case
    assert client.get("/api/cases").json()["total"] == 1


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"BM" + b"x" * 100, 415, "not read (BMP)"),
        (b"II*\0", 415, "not read (TIFF)"),
        (b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\x02" + b"x" * 100, 415, "an animated WebP"),
        (b"x" * (1 << 21), 413, "larger than 0.001 GiB"),
    ],
)
def test_what_is_no_video_is_refused_and_leaves_nothing(client, context, content, status, words):
    answer = client.post("/api/cases", params={"name": "a.mp4"}, content=content)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert list(context.settings.folder.glob("evidence/*")) == []
    assert list(context.settings.folder.glob("incoming/*")) == []
    assert client.get("/api/cases").json()["total"] == 0


def test_text_under_a_videos_name_is_judged_as_what_it_is(client, add):
    """ffmpeg says why it is none; the page serves it as bytes."""
    case = add(b"<html><script>alert(1)</script></html>" * 10, "film.mp4")
    file = client.get(f"/api/cases/{case}/file")
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert file.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"GIF89a", "image/gif"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR....acTL", "application/octet-stream"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR....IDAT", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image/avif"),
        (b"<svg onload=alert(1)>", "application/octet-stream"),
        (b"<!doctype html>", "application/octet-stream"),
        (b"%PDF-1.7", "application/octet-stream"),
    ],
)
def test_kinds_come_from_a_fixed_list(first, kind):
    assert media_type(first) == kind


def test_a_full_disk_is_said_before_anything_is_written(client, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: USAGE(1, 1, 1 << 20))
    answer = client.post("/api/cases", params={"name": "a"}, content=VIDEO)
    assert answer.status_code == 507
    assert "free some space" in answer.json()["detail"]


def test_a_length_is_needed_and_few_files_come_at_once(client, context):
    def parts():
        yield VIDEO

    assert client.post("/api/cases", params={"name": "a"}, content=parts()).status_code == 411
    for _ in range(MOST_UPLOADS):
        assert context.evidence.places.acquire(blocking=False)
    busy = client.post("/api/cases", params={"name": "a"}, content=VIDEO)
    assert busy.status_code == 429
    assert busy.headers["retry-after"] == "2"
    for _ in range(MOST_UPLOADS):
        context.evidence.places.release()
    assert client.post("/api/cases", params={"name": "a"}, content=VIDEO).status_code == 201


def test_parts_of_a_file_are_served_for_the_player(client, add):
    case = add()
    path = f"/api/cases/{case}/file"
    part = client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, VIDEO[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(VIDEO)}"
    assert client.get(path, headers={"Range": "bytes=999999-"}).status_code == 416
    assert client.get(path).content == VIDEO


def test_a_page_shows_the_verdict_that_was_written(client, judged):
    text = client.get(f"/cases/{judged('FAKE')}").text
    assert "<p id='told'>FAKE 0.9876</p>" in text
    assert "<h1>Verdict on a.mp4</h1>" in text
    assert text.count("<h1>") == 1


def test_warnings_stand_with_the_answer_before_the_video(client, context, judged):
    case = judged("FAKE")
    page = context.results(context.cases.get(case).run.id) / "page.html"
    page.write_text(
        '<main><h1>Verdict</h1><p class="verdict FAKE">FAKE</p><div class="reading">says</div>'
        '<p class="warning">this file trained it</p><h2 id="numbers">In numbers</h2>0.9</main>'
    )
    text = client.get(f"/cases/{case}").text
    order = ["FAKE</p>", "this file trained it", 'id="stage"', 'id="numbers"', "0.9"]
    places = [text.index(one) for one in order]
    assert places == sorted(places)


def test_a_blind_case_is_hidden_by_every_address(client, context, judged):
    case = judged("FAKE", blind=True)
    run = client.get(f"/api/cases/{case}").json()["run"]["id"]
    for path in (f"/cases/{case}", f"/cases/{case}?run={run}", f"/api/cases/{case}", "/api/cases",
                 f"/api/runs/{run}/timeline"):  # fmt: skip
        text = client.get(path).text
        assert "0.9876" not in text, path
        assert ">FAKE " not in text, path
    assert client.get(f"/api/runs/{run}/timeline").json()["faces"][0]["windows"] == []
    assert client.get(f"/api/runs/{run}/page").status_code == 404
    assert client.post(f"/api/cases/{case}/export", json={}).status_code == 409
    assert client.get("/api/cases", params={"verdict": "FAKE"}).json()["total"] == 0
    entered = client.post(f"/api/cases/{case}/readings", json={"reader": "Ann", "verdict": "REAL"})
    assert entered.status_code == 201
    assert entered.json()["run"]["verdict"] == "FAKE"
    assert "0.9876" in client.get(f"/cases/{case}").text
    twice = client.post(f"/api/cases/{case}/readings", json={"reader": "ann", "verdict": "FAKE"})
    assert twice.status_code == 409


def test_a_box_is_queued_as_the_command_line_reads_it(client, context, judged):
    case = judged()
    path = f"/api/cases/{case}/runs"
    assert client.post(path, json={"box": "1,2,3"}).status_code == 422
    made = client.post(path, json={"box": "10, 20,30,40@1.50"})
    assert made.status_code == 201
    assert made.json()["box"] == "10,20,30,40@1.5"
    assert client.post(path, json={}).status_code == 429
    assert "being judged already" in client.post(path, json={}).json()["detail"]
    taken = context.runs.take()
    judge(context, taken.id, "REAL", 0.25)
    assert "0.25" in client.get(f"/cases/{case}").text
    first = client.get(f"/api/cases/{case}").json()["runs"][1]["id"]
    assert "0.9876" in client.get(f"/cases/{case}", params={"run": first}).text


def test_cancel_ends_what_is_queued_once(client, add):
    run = client.get(f"/api/cases/{add()}").json()["run"]["id"]
    assert client.post(f"/api/runs/{run}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/runs/{run}/cancel").status_code == 409


def test_a_case_file_is_of_the_bundle_that_judged(client, context, judged):
    case = judged()
    context.supervisor.detector = context.supervisor.detector.model_copy(
        update={"bundle_sha256": "0" * 64}
    )
    told = client.post(f"/api/cases/{case}/export", json={})
    assert told.status_code == 409
    assert "another bundle" in told.json()["detail"]


def test_a_case_file_is_given_when_it_is_there(client, context, judged):
    case = judged()
    run = client.post(f"/api/cases/{case}/export", json={"by": "Ann"}).json()["id"]
    assert client.get(f"/api/runs/{run}/case.zip").status_code == 404
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("case/case.json", "{}")
    context.results(run).mkdir()
    (context.results(run) / "case.zip").write_bytes(archive.getvalue())
    saved = client.get(f"/api/runs/{run}/case.zip")
    assert saved.headers["content-type"] == "application/zip"
    assert saved.headers["content-disposition"].startswith('attachment; filename="case-')
    assert saved.content == archive.getvalue()


def test_deletion_needs_the_digest_and_leaves_nothing(client, context, judged):
    case = judged()
    found = client.get(f"/api/cases/{case}").json()
    sha256, run = found["sha256"], found["run"]["id"]
    half = context.results(f".{run}.0a1b2c3d")  # of a process that was killed
    half.mkdir()
    assert client.delete(f"/api/cases/{case}").status_code == 422
    assert client.delete(f"/api/cases/{case}", params={"confirm": "x"}).status_code == 409
    assert context.evidence.path(sha256).exists()
    gone = client.delete(f"/api/cases/{case}", params={"confirm": sha256[:8]})
    assert gone.json() == {"id": case}
    assert not context.evidence.path(sha256).exists()
    assert list(context.results(run).parent.iterdir()) == []
    assert client.get(f"/api/cases/{case}").status_code == 404
    assert client.get(f"/cases/{case}").status_code == 404
    assert client.get(f"/api/runs/{run}/timeline").status_code == 404


def test_lists_have_an_order_and_parts(client, add):
    for number in range(5):
        add(VIDEO + bytes([number]), f"{number}.mp4")

    def names(**query):
        return [one["name"] for one in client.get("/api/cases", params=query).json()["cases"]]

    assert names() == ["4.mp4", "3.mp4", "2.mp4", "1.mp4", "0.mp4"]
    assert names(order="oldest", limit=2, offset=1) == ["1.mp4", "2.mp4"]
    assert names(order="name", query="3") == ["3.mp4"]
    assert names(state="done") == []
    assert client.get("/api/cases", params={"limit": 2}).json()["total"] == 5


@pytest.mark.parametrize(
    "body",
    ["", "[]", "null", "{", '{"author": 1, "text": "x"}', '{"author": "a", "text": "x", "id": 1}',
     '{"author": " ", "text": "x"}', '{"author": "\\ud800", "text": "x"}', '{"author": "a"}',
     '{"author": "a", "text": ' + "[" * 5000 + "]" * 5000 + "}", "\xff",
     '{"author": "a", "text": NaN}'],
)  # fmt: skip
def test_what_is_no_note_is_refused_in_one_line(client, add, body):
    case = add()
    told = client.post(f"/api/cases/{case}/notes", content=body.encode("latin-1"),
                       headers={"Content-Type": "application/json"})  # fmt: skip
    assert told.status_code in (400, 422)
    assert "\n" not in told.json()["detail"]


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/%2e%2e%2fserver.py", "/static/..%5cserver.py",
     "/static/home.jinja", "/api/cases/../../etc/passwd/file", "/api/cases/%00/file",
     "/cases/%2e%2e", "/api/runs/..%2f..%2fcases.sqlite/page", "/docs/../cases.sqlite"],
)  # fmt: skip
def test_no_path_leads_out_of_what_is_served(client, path):
    assert client.get(path).status_code in (404, 422)


def test_the_interface_is_described(client):
    described = client.get("/openapi.json").json()
    text = client.get("/docs").text
    for path in described["paths"]:
        assert path in text
    assert "http" not in json.dumps(described["paths"])
    assert HOST not in text


def test_every_static_file_has_its_type(client):
    from pipeline.app.web.pages import STATIC

    assert {"app.css", "report.css", "home.js", "case.js", "icon.svg"} <= set(STATIC)
    for name, (_, kind) in STATIC.items():
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == kind
