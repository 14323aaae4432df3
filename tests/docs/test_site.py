"""The documentation as a site: `make docs` builds it without a warning, and it needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import requirements
from tests.commands import ROOT
from tests.docs.pictures import MOST_BYTES
from tests.pipeline.browser import CHROMIUM, DESK, PHONE, load_page, needs_chromium

requirements.module("sphinx")
requirements.module("furo")
requirements.module("myst_parser")

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?:docs/)?([\w-]+)\.md")
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b[^>]*\bhref=\"([^\"]+)\""
)
STYLED = re.compile(r"url\(([^)]+)\)|@import\s+([^;]+)")


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Builds a site as `make docs` does."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = re.search(r"\ndocs: environment\n\t@\$\(BIN\)/python (.+) docs build/site\n", makefile)
    assert found, "how does make build it?"
    words = [sys.executable, *found[1].split(), str(source), str(site)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(DOCS, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_broken_link_and_a_page_in_no_list_fail_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    (source / "site").mkdir(parents=True)
    (source / "conf.py").write_bytes((DOCS / "conf.py").read_bytes())
    (source / "site" / "site.css").write_bytes((DOCS / "site" / "site.css").read_bytes())
    (source / "index.md").write_text("# Site\n\n## Begin\n\n- [One](one.md): a page\n")
    (source / "one.md").write_text("# One\n\nSee [there](index.md#begin).\n")
    assert build(source, tmp_path / "good").returncode == 0
    (source / "one.md").write_text("# One\n\nSee [there](two.md) and [here](index.md#middle).\n")
    (source / "three.md").write_text("# Three\n")
    said = build(source, tmp_path / "bad")
    assert said.returncode != 0
    for one in ("two.md", "middle", "three.md"):
        assert one in said.stderr


def test_pages_stand_in_one_order_in_the_index_the_menu_and_the_readme(site: Path) -> None:
    listed = re.findall(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", (DOCS / "index.md").read_text(), re.M)
    assert {*listed, "index"} == {page.stem for page in DOCS.glob("*.md")}
    shown = (site / "index.html").read_text("utf-8")
    menu = re.findall(r'<a class="reference internal" href="([\w-]+)\.html">', shown)
    assert menu[: len(listed)] == listed or menu[-len(listed) :] == listed
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme[readme.index("## Documentation") :]
    assert sorted(LINK.findall(table)) == sorted(listed)


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = [
        (path.name, one)
        for path in site.rglob("*.html")
        for pair in LOADED.findall(path.read_text("utf-8"))
        for one in pair
        if one
    ] + [
        (path.name, one.strip("'\" "))
        for path in site.rglob("*.css")
        for pair in STYLED.findall(path.read_text("utf-8"))
        for one in pair
        if one
    ]
    assert len(loaded) > 100
    assert [one for one in loaded if re.match(r"(?:https?:)?//", one[1])] == []


def test_pictures_are_small_and_have_both_colours() -> None:
    for path in sorted((DOCS / "pictures").glob("*.png")):
        assert path.stat().st_size < MOST_BYTES, path.name
        if path.stem != "forge" and not path.stem.endswith("-dark"):  # frames have no colour scheme
            dark = path.with_name(f"{path.stem}-dark.png")
            with Image.open(path) as light, Image.open(dark) as other:
                assert light.size == other.size


def test_the_reference_shows_signatures_and_what_is_raised(site: Path) -> None:
    shown = (site / "python.html").read_text("utf-8")
    for name in ("extract_features", "evaluate_bundle", "predict_videos", "FeatureDataset"):
        assert f'id="{name}"' in shown or f".{name}" in shown, name
    assert shown.count("Raises") > 5


@needs_chromium
@pytest.mark.parametrize("name", ["index", "predict", "evaluation"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_page_fits_and_nothing_in_it_fails(site: Path, name: str, width: int) -> None:
    dom, errors = load_page(site / f"{name}.html", width)
    assert errors == []
    assert 'data-over="0"' in dom
    assert 'data-broken="0"' in dom


@needs_chromium
def test_the_search_finds_pages_without_a_network(site: Path) -> None:
    requirements.module("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(offline=True)
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        page.get_by_placeholder("Search").first.fill("tippett")
        page.keyboard.press("Enter")
        # Results come one by one, so the page that must be among them is waited for itself.
        found = page.locator('ul.search li a[href*="trust"]')
        found.first.wait_for(timeout=60_000)
        browser.close()
