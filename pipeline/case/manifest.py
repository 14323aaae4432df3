"""manifest.json of a case: the sha256 of each file and of the evidence, under one seal.

The file is canonical JSON (RFC 8785; it holds texts of ASCII and whole numbers alone): members
sorted by name, no white space, nothing after the last brace. `seal` is the sha256 of the same text
without the member `seal`. So one number stands for every byte of the case and of the evidence, and
a person with `jq` and `sha256sum` can compute it again (docs/case.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from data.declared.model import Fact
from data.errors import StoreError
from data.io.reading import BAD_JSON, parse_json

MANIFEST = "manifest.json"
SIGNATURES = ("manifest.json.sig", "manifest.json.asc", "manifest.json.minisig")
"""Detached signatures of the manifest may lie beside it: they are made after it."""
FORMAT = "unmask-case-manifest"
VERSION = 1
MOST_FILES = 1000
MOST_BYTES = 1 << 30
"""Of one file of a case; a crop of 8192 x 8192 pixels has at most 200 MB."""
MOST_TOTAL_BYTES = 16 << 30
"""Of all files of a case: 64 crops of that size have 12 GiB."""
MANIFEST_BYTES = 1 << 20
"""Of the manifest itself: 1000 files have 200 KB."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
PATH = re.compile(rf"{NAME}(?:/{NAME})?")
"""A file of a case: no spaces, no dot files, at most one folder deep."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Sealed(Fact):
    """One file of a case."""

    path: Annotated[str, Field(pattern=f"^{PATH.pattern}$")]
    sha256: Digest
    size_bytes: Annotated[int, Field(ge=0, le=MOST_BYTES)]


class SealedEvidence(Fact):
    """The file that was judged, which is not in the case."""

    sha256: Digest
    size_bytes: Annotated[int, Field(ge=1)]


class Manifest(Fact):
    """All of manifest.json but the seal."""

    format: Literal["unmask-case-manifest"] = "unmask-case-manifest"
    version: Literal[1] = 1
    evidence: SealedEvidence
    files: Annotated[tuple[Sealed, ...], Field(max_length=MOST_FILES)]


def canonical(facts: dict[str, Any]) -> bytes:
    """Canonical JSON of texts and whole numbers."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def digest_of(content: bytes) -> str:
    """sha256, hex."""
    return hashlib.sha256(content).hexdigest()


def seal_of(facts: dict[str, Any]) -> str:
    """The seal of a manifest's members, whether or not they hold one already."""
    return digest_of(canonical({key: value for key, value in facts.items() if key != "seal"}))


def sealed(manifest: Manifest) -> tuple[bytes, str]:
    """The bytes of manifest.json, and the seal in it."""
    facts = manifest.model_dump(mode="json")
    seal = seal_of(facts)
    return canonical({**facts, "seal": seal}), seal


def unsealed(content: bytes) -> tuple[Manifest, str]:
    """Reads manifest.json.

    Returns:
        The manifest and its seal.

    Raises:
        ValueError: it is not as it was written; the message says what is wrong.
        StoreError: it is whole, and of a later version.
    """
    try:
        facts = parse_json(content.decode("utf-8"))
    except BAD_JSON as error:  # of which UnicodeDecodeError is one
        raise ValueError("it is not JSON") from error
    if not isinstance(facts, dict):
        raise ValueError("it is no JSON object")
    try:
        same = canonical(facts) == content
    except (ValueError, RecursionError) as error:
        raise ValueError("it cannot be written as canonical JSON") from error
    if not same:
        raise ValueError("it is not canonical JSON")
    seal = facts.pop("seal", None)
    if seal != seal_of(facts):
        raise ValueError("its seal does not fit what it says")
    version = facts.get("version")
    if facts.get("format") == FORMAT and type(version) is int and version > VERSION:
        raise StoreError(f"{MANIFEST} is of version {version}; use a later unmask")
    try:
        manifest = Manifest.model_validate_json(canonical(facts))
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        raise ValueError(f"it is no manifest of a case (at {where})") from error
    paths = [one.path for one in manifest.files]
    if paths != sorted(set(paths)) or MANIFEST in paths:
        raise ValueError("its files are not sorted, or stand there twice")
    if sum(one.size_bytes for one in manifest.files) > MOST_TOTAL_BYTES:
        raise ValueError("its files are larger than those of any case")
    return manifest, str(seal)
