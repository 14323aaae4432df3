"""Holds what `--json` printed against the published schema, with no other fields allowed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from pipeline.cli.help.json_schemas import make_schema, types


def check(command: str, printed: str) -> Any:
    """Validates a result against its schema, strictly; returns it."""
    found = json.loads(printed)
    _validator(command).validate(found)
    return found


def command_of(words: Sequence[str]) -> str:
    """The longest key of `types` that a command line is of."""
    fitting = [
        command
        for command in types()
        if (names := command.split(" --"))
        and list(words[: names[0].count(" ") + 1]) == names[0].split()
        and all(f"--{option}" in words for option in names[1:])
    ]
    return max(fitting, key=len)


@cache
def _validator(command: str) -> Draft202012Validator:
    return Draft202012Validator(_strict(make_schema(command)))


def _strict(schema: Any) -> Any:
    """The schema with no other fields allowed: what is printed beside it is undocumented."""
    if isinstance(schema, dict):
        closed = {key: _strict(value) for key, value in schema.items()}
        if "properties" in schema:  # "then" is what each other key must be
            other = closed.get("additionalProperties", {})
            closed["additionalProperties"] = other.get("then", False)
        return closed
    return [_strict(one) for one in schema] if isinstance(schema, list) else schema
