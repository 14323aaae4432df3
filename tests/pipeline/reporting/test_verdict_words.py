"""The first paragraph of a verdict's page says what a reader without statistics must know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.inference.provenance import Provenance
from pipeline.inference.verdict import FileFacts
from pipeline.reporting.verdict_page import render_verdict
from tests.pipeline.reporting.made_up_results import PROVENANCE, bundle, judged


def reading(provenance: Provenance = PROVENANCE, **changes: Any) -> str:
    """The block at the top, of a verdict that is changed so."""
    one = judged()
    page = render_verdict(
        bundle(),
        replace(one, verdict=replace(one.verdict, **changes)),
        heats={},
        file=FileFacts(card={}, quantities={}),
        provenance=provenance,
        command="",
    )
    return page.partition('<div class="reading">')[2].partition("</div>")[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "FAKE"}, "looks more like the forgeries"),
        ({"verdict": "REAL"}, "does not show that nothing was changed"),
        ({"verdict": "UNSURE", "reason": "too near the threshold"}, "cannot tell: too near"),
        ({"verdict": "UNSURE", "novelty": 1.2}, "its score means nothing"),
    ],
)
def test_what_is_claimed_depends_on_the_verdict(changes: dict[str, Any], words: str) -> None:
    assert words in reading(**changes)


def test_how_sure_is_the_ratio_in_words_and_the_test() -> None:
    filmed = replace(PROVENANCE, rendered_alone=False)
    said = reading(filmed, likelihood="such a score is 3 times as likely")
    assert "Such a score is 3 times as likely. When it was tested" in said
    assert "it called 12 of 20 fakes FAKE and 4 of 20 real videos REAL" in said
    assert "8 of all got no verdict" in said
    untested = reading(replace(filmed, result=None), likelihood=None)
    assert "no measure of how much such a score proves" in untested
    assert "was not tested" in untested


def test_a_detector_of_rendered_people_is_sure_of_nothing() -> None:
    assert "Not at all, if this shows a person who was filmed" in reading()
    assert "Not at all" not in reading(replace(PROVENANCE, rendered_alone=False))
