"""The page in a browser: drop, watch, seek, draw, read blind, delete; by keyboard, on a telephone.

Playwright drives the Chromium of this machine; axe-core looks for what keeps people who use a
keyboard or a screen reader out.
"""

from __future__ import annotations

import io
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import requirements
from tests.frames import frames_of
from tests.pipeline.app.served import Served
from tests.pipeline.browser import CHROMIUM, PHONE, needs_chromium

requirements.module("playwright")
requirements.module("axe_playwright_python")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

pytestmark = [pytest.mark.slow, needs_chromium]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
LONG_MS = 240_000
"""A verdict on a busy machine."""
expect.set_options(timeout=60_000)
HOSTILE = "<img src=x onerror=document.body.id='ran'>.mp4"


@pytest.fixture(scope="module")
def served(world, tmp_path_factory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("app") / "cases", world.bundle) as made:
        yield made


@pytest.fixture(scope="module")
def browser(chromium) -> Iterator[Browser]:
    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    """A tab of the person who started the server; what its console says must be nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(LONG_MS)
    made, said = context.new_page(), []
    made.on("console", lambda one: said.append(one.text))
    made.on("pageerror", lambda error: said.append(str(error)))
    made.goto(served.address)
    yield made
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def judged(served: Served, world) -> str:
    """The case of a rendered forgery."""
    case = served.add(sorted((world.demo / "fake").glob("*.mp4"))[0])
    assert served.ended(case)["state"] == "done"
    return case


def test_the_token_leaves_the_address_and_a_stranger_sees_nothing(served, page, browser):
    assert page.url == served.address.split("?")[0]
    expect(page.get_by_role("heading", name="Is this a deepfake?")).to_be_visible()
    stranger = browser.new_context().new_page()
    stranger.goto(page.url)
    assert "Open the address" in stranger.inner_text("body")


def test_dropped_files_are_judged_and_a_name_with_html_is_text(served, page, world, tmp_path):
    video = sorted((world.demo / "real").glob("*.mp4"))[1]
    files = [tmp_path / HOSTILE, tmp_path / "text.mp4", tmp_path / "still.mp4"]
    shutil.copy(video, files[0])
    files[1].write_text("no video\n" * 50)
    files[2].write_bytes(b"BM" + b"x" * 500)
    page.set_input_files("#files", files)
    expect(page.locator("#uploads")).to_contain_text("a kind that is not read (BMP)")
    row = page.locator("#cases li", has_text=HOSTILE)
    expect(row).to_contain_text("P(fake)", timeout=LONG_MS)
    expect(page.locator("#cases li", has_text="text.mp4")).to_contain_text(
        "no verdict", timeout=LONG_MS
    )
    assert page.evaluate("document.body.id") == ""
    page.set_input_files("#files", files[0])
    expect(page.locator("#uploads")).to_contain_text("This very file was received before")
    row.get_by_role("link").click()
    expect(page.locator("h1")).to_have_text(f"Verdict on {HOSTILE}")
    assert page.evaluate("document.body.id") == ""


def test_the_chart_shows_score_and_frame_and_moves_the_video(served, page, judged):
    page.goto(f"{page.url}cases/{judged}")
    chart = page.locator("#timeline-1 .plot.live")
    chart.scroll_into_view_if_needed()
    room = chart.bounding_box()
    page.mouse.move(room["x"] + room["width"] * 0.6, room["y"] + room["height"] / 2)
    expect(chart.locator(".tip img")).to_be_visible()
    expect(chart.locator(".tip")).to_contain_text("P(fake)")
    page.mouse.click(room["x"] + room["width"] * 0.6, room["y"] + room["height"] / 2)
    time = "document.getElementById('video').currentTime"
    low, high = served.client.get(f"/api/runs/{served.run(judged)['id']}/timeline").json()["faces"][
        0
    ]["axis"]
    page.wait_for_function(f"Math.abs({time} - {low + 0.6 * (high - low)}) < 0.05")
    chart.focus()
    page.keyboard.press("Home")
    first = page.evaluate(time)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{time} > {first}")
    assert "P(fake)" in chart.get_attribute("aria-valuetext")


def test_a_box_that_is_drawn_is_judged(served, page, judged):
    page.goto(f"{page.url}cases/{judged}")
    page.get_by_text("The wrong face was taken?").click()
    page.get_by_role("button", name="Draw a box").click()
    overlay = page.locator("#overlay.drawing")
    room = overlay.bounding_box()
    page.mouse.move(room["x"] + room["width"] * 0.3, room["y"] + room["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(room["x"] + room["width"] * 0.7, room["y"] + room["height"] * 0.8, steps=5)
    page.mouse.up()
    x = float(page.locator("[name=x]").input_value())
    assert x == pytest.approx(160 * 0.3, abs=2)  # in pixels of the video, not of the page
    assert float(page.locator("[name=height]").input_value()) == pytest.approx(72, abs=2)
    page.get_by_role("button", name="Judge this face").click()
    expect(page.get_by_text("which a person drew")).to_be_visible(timeout=LONG_MS)
    assert served.ended(judged)["box"].startswith(f"{x:g},")


def test_a_second_reader_sees_nothing_before_they_have_said_it(served, page, judged):
    page.goto(f"{page.url}cases/{judged}")
    page.get_by_role("button", name="Hide all verdicts").click()
    expect(page.get_by_role("heading", name="The verdict is hidden")).to_be_visible()
    text = page.content()
    probability = f"{served.client.get(f'/api/cases/{judged}').json()['run']['probability_fake']}"
    assert probability == "None"
    assert "P(fake) 0" not in text
    form = page.locator("#blind-form")
    form.get_by_label("Your name").fill("Bob")
    form.get_by_label("fake", exact=True).check()
    form.get_by_label("Why").fill("the mouth")
    form.get_by_role("button", name="Enter").click()
    expect(page.locator("#readings")).to_contain_text("without seeing any other verdict")
    expect(page.locator(".verdict-body")).to_be_visible()


def test_the_whole_way_by_keyboard(served, page, world, tmp_path):
    """From the first page to the end of a case, no pointer."""
    case = served.add(sorted((world.demo / "real").glob("*.mp4"))[2])
    served.ended(case)
    page.reload()
    name = served.client.get(f"/api/cases/{case}").json()["name"]
    reach(page, f"document.activeElement.textContent === {name!r}")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(name)
    reach(page, "document.activeElement.getAttribute('role') === 'slider'")
    page.keyboard.press("End")
    reach(page, "document.activeElement.name === 'author'")
    page.keyboard.type("Ann")
    page.keyboard.press("Tab")
    page.keyboard.type("seen twice")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#notes")).to_contain_text("seen twice")
    reach(page, "document.activeElement.id === 'delete'")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    assert served.client.get(f"/api/cases/{case}").status_code == 200
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Is this a deepfake?")).to_be_visible()
    assert served.client.get(f"/api/cases/{case}").status_code == 404


def reach(page: Page, there: str) -> None:
    """Presses Tab until a condition on the focused element holds."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(there):
            return
    raise AssertionError(f"never reached: {there}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 1280])
def test_no_page_is_wider_than_its_window_nor_has_a_serious_fault(
    served, browser, judged, width: int, scheme: Any
):
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    made = context.new_page()
    made.goto(served.address)
    faults = []
    for path in ("", f"cases/{judged}", "docs"):
        made.goto(served.address.split("?")[0] + path)
        made.wait_for_timeout(1500)
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert made.evaluate(over) == 0
        faults += [
            (path, one["id"], one["nodes"][0]["html"][:200])
            for one in Axe().run(made).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    context.close()
    assert faults == []


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_the_answer_stands_before_the_video(served, browser, judged, width: int):
    context = browser.new_context(viewport={"width": width, "height": 800})
    made = context.new_page()
    made.goto(served.address)
    made.goto(f"{served.address.split('?')[0]}cases/{judged}")
    answer, stage = (made.locator(one).bounding_box() for one in (".verdict-head", ".stage"))
    charts = made.locator(".verdict-body").bounding_box()
    context.close()
    assert answer
    assert stage
    assert charts
    if width == PHONE:
        assert answer["y"] + answer["height"] <= stage["y"] < charts["y"]
    else:
        assert stage["x"] >= answer["x"] + answer["width"]
        assert abs(stage["y"] - answer["y"]) < 200
        assert 0 <= charts["y"] - answer["y"] - answer["height"] < 60


def test_another_page_can_neither_read_nor_write(served, browser, tmp_path):
    """A page of another port of this machine, to which the browser sends the same cookies."""
    own = served.address.split("?")[0]

    class Evil(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title>")

        def log_message(self, *_: object) -> None:
            pass

    other = HTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        context = browser.new_context()
        made = context.new_page()
        made.goto(served.address)  # the cookie is there
        before = served.client.get("/api/cases").json()["total"]
        made.goto(f"http://127.0.0.1:{other.server_port}/")
        assert made.title() == "evil"
        for options in ("{method: 'POST', body: 'x'.repeat(99), credentials: 'include'}",
                        "{method: 'POST', body: 'x', credentials: 'include', mode: 'no-cors'}",
                        "{credentials: 'include'}"):  # fmt: skip
            made.evaluate(f"fetch('{own}api/cases?name=evil', {options}).then("
                          "answer => answer.text(), error => '')")  # fmt: skip
        frame = made.evaluate(f"""() => new Promise(resolve => {{
            const frame = document.createElement('iframe'); frame.src = '{own}';
            frame.onload = () => {{
                try {{ resolve(frame.contentDocument.body.innerText) }}
                catch {{ resolve('closed') }}
            }};
            document.body.append(frame);
        }})""")
        assert frame in ("closed", "")
        assert served.client.get("/api/cases").json()["total"] == before
        assert served.client.get("/api/cases", params={"query": "evil"}).json()["total"] == 0
        context.close()
    finally:
        other.shutdown()
        other.server_close()


@pytest.fixture(scope="module")
def photograph(world, tmp_path_factory) -> Path:
    """A frame of a rendered forgery as a telephone keeps it: lying, with the turn in its EXIF."""
    video = sorted((world.demo / "fake").glob("*.mp4"))[0]
    path = tmp_path_factory.mktemp("photograph") / "lying.jpg"
    upright = Image.fromarray(frames_of(video)[5])
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    return path


def test_an_image_is_judged_shown_upright_and_a_box_is_drawn_on_it(served, page, photograph):
    page.set_input_files("#files", photograph)
    row = page.locator("#cases li", has_text="lying.jpg")
    expect(row).to_contain_text("P(fake)", timeout=LONG_MS)
    row.get_by_role("link").click()
    picture = page.locator("#picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("one => one.naturalWidth > one.naturalHeight")  # upright is wide
    expect(page.locator("#overlay rect.seen")).to_have_count(1)
    expect(page.locator(".verdict-head")).to_contain_text("One picture of one face")
    expect(page.locator("#timeline-1")).to_have_count(0)
    page.get_by_text("The wrong face was taken?").click()
    expect(page.get_by_label("At second")).to_have_count(0)
    page.get_by_role("button", name="Draw a box").click()
    room = page.locator("#overlay.drawing").bounding_box()
    page.mouse.move(room["x"] + room["width"] * 0.3, room["y"] + room["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(room["x"] + room["width"] * 0.7, room["y"] + room["height"] * 0.8, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Judge this face").click()
    expect(page.get_by_text("which a person drew")).to_be_visible(timeout=LONG_MS)
    case = page.url.rpartition("/")[2]
    assert "@" not in served.ended(case)["box"]
    page.locator("#export-form").get_by_role("button", name="Make the case file").click()
    link = page.locator("#exports a")
    expect(link).to_be_visible(timeout=LONG_MS)
    archive = served.client.get(link.get_attribute("href"))
    with zipfile.ZipFile(io.BytesIO(archive.content)) as held:
        record = json.loads(held.read("case/case.json"))
        crops = [name for name in held.namelist() if name.startswith("case/crops/")]
    assert record["judgement"]["kind"] == "image"
    assert record["declared"]["container"] == "jpeg image"
    assert len(crops) == 1
