"""What holds for every page: names do no harm, nothing is fetched or run, all can be read."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from pipeline.reporting.charts.primitives import fitted_axis, shade
from pipeline.reporting.hold_out_page import render_held_out
from pipeline.reporting.page import render
from tests.pipeline.browser import PHONE, load_page, needs_chromium
from tests.pipeline.reporting.made_up_results import HOSTILE, PAGES, held_out, verdict_page

SHOWN = HOSTILE.encode("utf-8", "backslashreplace").decode()
"""What UTF-8 cannot hold is shown escaped."""
TAGS = (
    "html head meta title style body main footer h1 h2 h3 p strong small code pre nav a ul li "
    "section figure figcaption div span dl dt dd details summary table thead tbody tr th td img "
    "svg g rect line circle polyline text"
)


class Read(HTMLParser):
    """Tags with their attributes, and what is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_a_hostile_name_is_shown_as_it_is_and_makes_no_tag(page: str) -> None:
    read = Read(page)
    assert {tag for tag, _ in read.tags} <= set(TAGS.split())
    names = {name for _, attributes in read.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert sum(SHOWN in text for text in read.shown) > 3
    assert "49" not in "".join(text for text in read.shown if "7 * 7" in text)
    for tag, attributes in read.tags:
        assert tag != "img" or str(attributes["src"]).startswith("data:image/jpeg;base64,")
        for name, value in attributes.items():  # a name within an attribute stands there whole
            assert "alert" not in str(value) or SHOWN in str(value), (tag, name)


def test_a_page_fetches_nothing_and_its_policy_says_so(page: str) -> None:
    read = Read(page)
    policy = next(
        a["content"] for t, a in read.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in str(policy)
    assert "script" not in str(policy)
    links = [a[key] for _, a in read.tags for key in ("src", "href", "action", "data") if key in a]
    assert all(str(link).startswith(("#", "data:image/jpeg;base64,")) for link in links)
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_mark_can_be_pointed_at_and_every_picture_has_words(page: str) -> None:
    assert page.count('<circle class="mark') == len(
        re.findall(r'<circle class="mark[^>]*><title>[^<]+</title></circle>', page)
    )
    for tag, attributes in Read(page).tags:
        assert tag != "img" or attributes["alt"]
        if tag == "svg":
            spoken = attributes.get("role") == "img" and attributes.get("aria-label")
            assert spoken or attributes.get("aria-hidden") or "viewbox" in attributes
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_page_opens_with_what_it_says_on_what_how_sure_and_what_next(page: str) -> None:
    body = page.partition("<main>")[2]
    places = [
        body.find(f"<strong>{label}.</strong>")
        for label in ("What it says", "Based on", "How sure", "What next")
    ]
    assert -1 < places[0] < places[1] < places[2] < places[3]
    assert places[3] < body.find("<h2")  # before any part of the page
    for start, end in zip(places, [*places[1:], body.find("</div>", places[3])], strict=True):
        text = re.sub("<[^>]*>", "", body[start:end]).split(".", 1)[1].strip()
        assert re.match(r"[A-Z0-9\'][^<>]*[.!]$", text.splitlines()[0]), text
        assert ".W" not in text
        assert "  " not in " ".join(text.splitlines())


def test_equal_results_give_equal_pages() -> None:
    for render_it in PAGES.values():
        assert render_it() == render_it()


def test_what_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("sweep.jinja", name="x")


def test_a_verdict_on_8_frames_is_a_page_of_700_kb_at_most() -> None:
    page = verdict_page()
    assert page.count("<img") == 1 + 2 * 8 + 2
    assert len(page.encode()) <= 700_000


def test_the_timeline_has_every_window_the_threshold_the_interval_and_the_time() -> None:
    page = verdict_page()
    timeline = page.partition('id="timeline-1"')[2].partition("</figure>")[0]
    for start in (0, 0.5, 1, 1.5, 2):
        words = f"{start:.2f} to {start + 1.5:.2f} s, P(fake) {0.3 + start / 5:.3f}, verdict "
        assert timeline.count(f"<title>window {words}") == 1
    for words in ("threshold: 0.500", "score of all frames: 0.600",
                  "interval of that score: 0.400 to 0.800",
                  "scores that are UNSURE: 0.450 to 0.550"):  # fmt: skip
        assert f"<title>{words}</title>" in timeline
    assert ">seconds</text>" in timeline
    assert "<td>0.50 to 2.00 s</td><td>0.400</td><td>REAL</td>" in timeline


def test_axes_have_round_ticks_and_hold_all_values() -> None:
    for values in ([0, 8.64], [0.61, 0.99], [20.0], [], [-0.25, 0.25], [1, 12], [0.0, 0.0]):
        axis = fitted_axis("x", values)
        assert all(0 <= axis.at(value) <= 100 for value in values)
        assert 1 <= len(axis.ticks) <= 8
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert fitted_axis("x", [0, 8.64]).ticks == (0, 2, 4, 6, 8)
    assert fitted_axis("x", [-0.25, 0.25]).ticks == (-0.2, -0.1, 0, 0.1, 0.2)


def test_text_on_a_shade_can_be_read() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for share in (-1, 0, 0.3, 0.5, 0.71, 0.72, 0.9, 1, 2):
        low, high = sorted(map(light, shade(share)))
        assert (high + 0.05) / (low + 0.05) > 3.8, share


@needs_chromium
@pytest.mark.parametrize("name", PAGES)
def test_a_browser_shows_it_without_errors_on_a_telephone(name: str, tmp_path) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), "utf-8")
    dom, errors = load_page(path, PHONE)
    assert errors == []
    assert 'data-over="0"' in dom  # nothing is wider than the telephone
    assert 'data-broken="0"' in dom
    links = re.findall(r'href="#([^"]+)"', dom)
    assert all(dom.count(f'id="{link}"') == 1 for link in links)


def test_a_held_out_page_of_few_videos_leaves_out_what_was_not_measured() -> None:
    """No fake with its original, no method with three videos."""
    report = held_out()
    first, *others = report.detectors
    metrics = {
        name: one
        for name, one in first.evaluation.metrics.items()
        if name not in ("pairs", "auc_methods_several")
    }
    few = replace(first, evaluation=replace(first.evaluation, metrics=metrics))
    shown = render_held_out(replace(report, detectors=(few, *others)))
    assert "it ranks" not in shown
    assert "it ranks" in render_held_out(report)
