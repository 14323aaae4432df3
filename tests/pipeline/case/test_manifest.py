"""The manifest of a case: canonical, sealed, bounded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import StoreError
from pipeline.case.manifest import (
    MOST_FILES,
    Manifest,
    Sealed,
    SealedEvidence,
    canonical,
    digest_of,
    seal_of,
    sealed,
    unsealed,
)

EVIDENCE = SealedEvidence(sha256="e" * 64, size_bytes=12)


def manifest(*names: str) -> Manifest:
    return Manifest(
        evidence=EVIDENCE,
        files=tuple(Sealed(path=name, sha256=digest_of(name.encode()), size_bytes=3)
                    for name in names),
    )  # fmt: skip


def resealed(**changes: Any) -> bytes:
    """A manifest that somebody made by hand, with a seal that fits it."""
    facts = json.loads(sealed(manifest("case.json", "crops/a.png"))[0]) | changes
    return canonical(facts | {"seal": seal_of(facts)})


def test_what_is_sealed_is_read_again() -> None:
    one = manifest("case.json", "crops/a.png", "verdict.html")
    content, seal = sealed(one)
    assert unsealed(content) == (one, seal)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_every_changed_bit_is_found(at: int, bit: int) -> None:
    content = bytearray(sealed(manifest("case.json", "crops/a.png"))[0])
    content[at % len(content)] ^= 1 << bit
    with pytest.raises(ValueError, match=r"JSON|seal"):
        unsealed(bytes(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 50_000, b'{"a":1e999}', b'{"a":NaN}',
     b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b"9" * 5000],
)  # fmt: skip
def test_hostile_text_is_one_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        unsealed(content)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../b", "a/b/c", ".hidden", "a//b", "a b", "a\nb", "", "crops/",
     "manifest.json", "x" * 101, "é.png"],
)  # fmt: skip
def test_a_file_name_that_no_case_has_is_refused_though_the_seal_fits(path: str) -> None:
    content = resealed(files=[{"path": path, "sha256": "0" * 64, "size_bytes": 1}])
    with pytest.raises(ValueError, match=r"no manifest|not sorted"):
        unsealed(content)


def test_what_does_not_fit_the_format_is_refused_though_the_seal_fits() -> None:
    one = {"path": "a", "sha256": "0" * 64, "size_bytes": 1}
    for changes in (
        {"files": [one, one]},
        {"files": [one | {"path": "b"}, one]},
        {"files": [one | {"size_bytes": -1}]},
        {"files": [one | {"size_bytes": 1 << 50}]},
        {"files": [one | {"path": f"a{n:02}", "size_bytes": 1 << 30} for n in range(17)]},
        {"files": [one | {"sha256": "0" * 63}]},
        {"files": [one | {"more": 1}]},
        {"files": [one | {"path": f"a{number:05}"} for number in range(MOST_FILES + 1)]},
        {"evidence": {"sha256": "x", "size_bytes": 1}},
        {"format": "another"},
        {"version": 0},
    ):
        with pytest.raises(ValueError, match=r"no manifest|not sorted|larger than"):
            unsealed(resealed(**changes))


def test_a_later_version_is_told_apart_from_a_change() -> None:
    with pytest.raises(StoreError, match="later unmask"):
        unsealed(resealed(version=2))


def test_jq_and_sha256sum_compute_the_same_seal(tmp_path: Path) -> None:
    """As docs/case.md says, for a person without unmask."""
    if subprocess.run(["which", "jq"], capture_output=True).returncode:
        from tests.requirements import missing

        missing("jq", "jq is not installed")
    content, seal = sealed(manifest("case.json", "crops/a.png"))
    (tmp_path / "manifest.json").write_bytes(content)

    def shell(command: str) -> str:
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
        return done.stdout.decode()

    assert shell("jq -jcS 'del(.seal)' manifest.json | sha256sum").split()[0] == seal
    assert shell("jq -jcS . manifest.json").encode() == content
