"""No test is skipped in CI unless CI said what it lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import footage, requirements

TESTS = Path(__file__).parent
RUN = TESTS.parent / ".ci" / "run"
WAYS = re.compile(r"pytest\.skip\(|mark\.skip\b|mark\.skipif\(|importorskip\(|\bunittest\.skip")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A checkout without footage beside it, outside of CI."""
    monkeypatch.setattr(footage, "SHARED", tmp_path / "shared")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("CI_WITHOUT", raising=False)
    return monkeypatch


NEEDS = {
    "../shared/clips": footage.clips,
    "../shared/clips/x.mp4": lambda: footage.clip("x.mp4"),
    "../shared/cases/x.mp4": lambda: footage.case("x.mp4"),
    "../shared/faces": footage.faces,
    "no_such_package": lambda: requirements.module("no_such_package"),
}


@pytest.mark.parametrize("what", NEEDS)
def test_what_is_missing_skips_here_and_fails_in_ci(what: str, bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.skip.Exception, match=re.escape(what)):
        NEEDS[what]()
    bare.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=re.escape(what)):
        NEEDS[what]()


def test_footage_that_is_there_is_given(bare: pytest.MonkeyPatch) -> None:
    path = footage.SHARED / "cases" / "x.mp4"
    path.parent.mkdir(parents=True)
    path.touch()
    bare.setenv("CI", "true")
    assert footage.case("x.mp4") == path


def test_what_ci_says_it_lacks_is_skipped(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("CI", "true")
    bare.setenv("CI_WITHOUT", "mount chromium")
    with pytest.raises(pytest.skip.Exception):
        requirements.missing("chromium", "no browser")
    with pytest.raises(pytest.fail.Exception):
        requirements.missing("footage", "no clips")


def test_no_test_skips_in_a_way_of_its_own() -> None:
    assert "export CI=true" in RUN.read_text("utf-8")
    found = [
        f"{path.relative_to(TESTS)}: {line.strip()}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name not in ("requirements.py", "test_requirements.py")
        for line in path.read_text("utf-8").splitlines()
        if WAYS.search(line)
    ]
    assert not found, "tests.requirements.missing fails in CI where these would skip"
