"""The published JSON Schema of case.json (draft 2020-12), made of the types of the record."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from pipeline.case.record import VERSION, CaseRecord

NAME = f"case.v{VERSION}.schema.json"
"""Beside this module, and in docs/; in a case, `case.schema.json`."""


def make_schema() -> dict[str, Any]:
    """The schema, from the types."""
    facts = CaseRecord.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:unmask:case:{VERSION}",
        **facts,
        "title": f"Case file of unmask, version {VERSION}",
    }


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(make_schema(), indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def published_schema() -> bytes:
    """The file that is published with this version."""
    return files("pipeline.case").joinpath(NAME).read_bytes()
