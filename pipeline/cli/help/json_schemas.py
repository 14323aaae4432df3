"""JSON Schemas (draft 2020-12) of what `--json` prints, made of the types of the results.

`python -m pipeline.cli.help.json_schemas docs/schemas` writes the published ones; a test compares
them. A result's fields are explained by the comments beside them in its source, which become the
descriptions here. Readers must ignore fields that they do not know: later versions may add some.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from data.io.atomic_files import write_text

LISTS = ("predict", "store-verify")
"""Commands that print a list of these."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def types() -> dict[str, type]:
    """Command, with a dash for a space -> type of its result."""
    from features.store.verify import Problem
    from pipeline.case.verify import CaseCheck
    from pipeline.datasets.audit import Audit
    from pipeline.doctor.result import Diagnosis
    from pipeline.inference.verdict import Verdict
    from pipeline.pairs.result import PairResult
    from pipeline.publishing.export import Exported
    from pipeline.publishing.push import Pushed
    from pipeline.search.sweep import SweepResult

    return {
        "audit": Audit,
        "case-verify": CaseCheck,
        "doctor": Diagnosis,
        "export": Exported,
        "pair": PairResult,
        "predict": Verdict,
        "push": Pushed,
        "store-verify": Problem,
        "sweep": SweepResult,
    }


def file_name(command: str) -> str:
    """Of a command's published schema."""
    return f"{command}.schema.json"


def make_schema(command: str) -> dict[str, Any]:
    """The schema of what a command prints with `--json`."""
    kind = types()[command]
    name = kind.__name__
    adapter: TypeAdapter[Any]
    adapter = TypeAdapter(list[kind] if command in LISTS else kind)  # type: ignore[valid-type]
    facts = adapter.json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = facts.setdefault("$defs", {})
    if command in LISTS and name not in definitions:  # a lone type stands in the list itself
        definitions[name] = facts["items"]
        facts["items"] = {"$ref": f"#/$defs/{name}"}
    if command == "predict":
        _add_reference(definitions)
    known = {one.__name__: one for one in _classes(kind)}
    for one, part in definitions.items():
        if one in known:
            _describe(part, known[one])
    if command not in LISTS:
        _describe(facts, kind)
    words = f"unmask {command.replace('-', ' ')} --json"
    return {"$schema": DRAFT, "$id": f"urn:unmask:{command}", **facts, "title": words}


def schema_text(command: str) -> str:
    """The schema as a file."""
    return json.dumps(make_schema(command), indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def _add_reference(definitions: dict[str, Any]) -> None:
    """With `--reference`, each verdict also has what comparing with it gave."""
    from pipeline.pairs.result import NotCompared, PairResult

    facts = TypeAdapter(PairResult | NotCompared | None).json_schema(
        mode="serialization", ref_template="#/$defs/{model}"
    )
    definitions |= facts.pop("$defs")
    for kind in (*_classes(PairResult), NotCompared):
        _describe(definitions[kind.__name__], kind)
    definitions["Verdict"]["properties"]["reference"] = facts | {
        "description": "with --reference alone: the comparison, or why there is none"
    }


def _describe(part: dict[str, Any], kind: type) -> None:
    """Adds the class's docstring and its fields' comments; every field is always printed."""
    comments = field_comments(kind)
    always = [name for name in part["properties"] if name in comments or name != "reference"]
    part["required"] = sorted(always)
    part["description"] = " ".join((inspect.getdoc(kind) or "").split())
    for name, facts in part["properties"].items():
        facts.pop("default", None)
        facts.pop("title", None)
        if comments.get(name):
            facts["description"] = comments[name]


def field_comments(kind: type) -> dict[str, str]:
    """Field -> the comment before it or beside it in the source of a dataclass; "" for none."""
    found: dict[str, str] = {}
    before: list[str] = []
    for line in inspect.getsource(kind).splitlines():
        field = re.match(r"    (\w+): [^#]*?(?:#\s*(.*))?$", line)
        if comment := re.match(r"    #\s*(.*)", line):
            before.append(comment[1])
        elif field:
            words = field[2] or " ".join(before)
            found[field[1]] = re.sub(r"\bNone\b", "null", words)
            before = []
        elif line.strip():
            before = []
    return found


def _classes(kind: Any) -> Iterator[type]:
    """A dataclass and those that its fields hold."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from _classes(hint)
    for inner in get_args(kind):
        yield from _classes(inner)


def main(folder: Path) -> None:
    """Writes all schemas to a folder."""
    for command in types():
        write_text(folder / file_name(command), schema_text(command))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
