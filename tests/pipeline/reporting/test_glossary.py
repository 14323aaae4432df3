"""Every page links each term of the glossary where it uses it first, and nothing else."""

from __future__ import annotations

import re

import pytest

from pipeline.reporting.page import environment
from pipeline.reporting.sections.glossary import as_markdown, link_terms, with_glossary
from pipeline.reporting.sections.terms import TERMS
from tests.commands import ROOT
from tests.pipeline.reporting.made_up_results import PAGES

LINK = re.compile(r'<a class="term" href="#(term-[a-z0-9-]+)">([^<]*)</a>')


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_a_page_links_terms_that_exist_once_each_and_lists_them(page: str) -> None:
    linked = [anchor for anchor, _ in LINK.findall(page)]
    assert len(linked) > 3
    assert len(linked) == len(set(linked))
    assert set(linked) <= {one.anchor for one in TERMS}
    assert sorted(re.findall(r'<dt id="(term-[^"]+)"', page)) == sorted(linked)


def test_the_first_use_is_the_linked_one(page: str) -> None:
    """Of words in paragraphs, which a reader comes to in this order."""
    body = page.partition("<main>")[2].partition('<section id="glossary">')[0]
    paragraphs = " ".join(re.findall(r"<p(?: [^>]*)?>(.*?)</p>", body, re.DOTALL))
    for word in ("AUC", "Cllr", "PED-ANOVA"):
        first = re.search(rf"(?<![\w#-]){word}(?![\w-])", paragraphs)
        if first and LINK.search(body) and f">{word}</a>" in paragraphs:
            assert paragraphs[first.start() - 1] == ">"
            assert paragraphs[first.end() :].startswith("</a>")


def test_headings_commands_facts_and_links_are_left_alone() -> None:
    silent = (
        "<h2>AUC</h2><code>AUC</code><pre>AUC</pre><dl><dt>x</dt><dd>AUC</dd></dl>"
        '<a href="#x">AUC</a><svg><text>AUC</text><g><text>AUC</text></g></svg>'
        '<span class="path">AUC <span>AUC</span> AUC</span><img alt="AUC">'
    )
    text, terms = link_terms(f"{silent}<p>an AUC and the AUC</p>")
    assert str(text).startswith(silent)
    assert str(text).endswith('<p>an <a class="term" href="#term-auc">AUC</a> and the AUC</p>')
    assert [one.name for one in terms] == ["AUC"]


def test_parts_of_words_and_of_file_names_are_no_terms() -> None:
    text = "<p>AUCTION forehead videos/AUC.mp4 AUC.mp4 head-pose AUC_2 re-split x.head</p>"
    assert link_terms(text) == (text, [])


def test_the_longest_term_counts() -> None:
    _, terms = link_terms("<p>calibration error, edit lists, loss, log loss; seeds.</p>")
    assert [one.name for one in terms] == ["calibration error", "edit list", "log loss", "seed"]


def test_escaped_text_stays_escaped() -> None:
    body = "<p>&lt;script&gt; AUC &amp; &#34;EER&#34;</p>"
    found = with_glossary(environment(), body)
    assert "&lt;script&gt; <a" in found
    assert "<script" not in found
    assert "&#34;<a" in found


def test_a_page_without_terms_has_no_glossary() -> None:
    assert with_glossary(environment(), "<p>nothing</p>") == "<p>nothing</p>"


def test_terms_are_sorted_and_have_one_anchor_and_one_pattern_each() -> None:
    names = [one.name for one in TERMS]
    assert names == sorted(names, key=str.casefold)
    assert len({one.anchor for one in TERMS}) == len(TERMS)
    for one in TERMS:
        assert any(re.fullmatch(form, one.name) for form in one.forms), one.name
        assert one.text.endswith(".")


def test_the_published_glossary_is_that_of_the_code() -> None:
    """After a change: `python -m tests.pipeline.reporting.publish_glossary`."""
    assert (ROOT / "docs" / "glossary.md").read_text("utf-8") == as_markdown()
