"""JSON Schemas (draft 2020-12) of what `--json` prints, made of the types of the results.

`python -m pipeline.cli.help.json_schemas docs/schemas` writes the published ones; a test compares
them. A result is a dataclass, or a TypedDict where keys may be left out. The comments beside its
fields in its source become the descriptions here. Readers must ignore fields that they do not know:
later versions may add some.
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
from typing_extensions import get_original_bases, is_typeddict

from data.io.atomic_files import write_text

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REF = "#/$defs/{model}"


def types() -> dict[str, Any]:
    """Command, with the option that makes it print something else -> type of what it prints."""
    from features.store.verify import Problem
    from features.upkeep.diff import Diff
    from features.upkeep.gc import GarbageFacts
    from features.upkeep.inspect_facts import FeatureSetFacts, StoreFacts
    from features.upkeep.repair import Repair
    from pipeline.case.verify import CaseCheck
    from pipeline.datasets.audit import Audit
    from pipeline.doctor.result import Diagnosis
    from pipeline.evaluation.corruption_results import RobustnessFacts
    from pipeline.evaluation.matrix import MatrixFacts
    from pipeline.hold_out.result import HoldOutReportFacts
    from pipeline.inference.scan_result import ScanRunFacts
    from pipeline.inference.verdict import Verdict
    from pipeline.json_facts import ComparisonFacts, ReportFacts
    from pipeline.pairs.result import PairResult
    from pipeline.publishing.export import Exported
    from pipeline.publishing.push import Pushed
    from pipeline.search.sweep import SweepResult

    return {
        "audit": Audit,
        "case verify": CaseCheck,
        "compare": ComparisonFacts,
        "doctor": Diagnosis,
        "evaluate": ReportFacts,
        "evaluate --hold-out": HoldOutReportFacts,
        "evaluate --on": MatrixFacts,
        "export": Exported,
        "pair": PairResult,
        "predict": list[Verdict],
        "push": Pushed,
        "results": dict[str, ReportFacts],
        "robustness": RobustnessFacts,
        "scan": ScanRunFacts,
        "store diff": Diff,
        "store gc": GarbageFacts,
        "store inspect": FeatureSetFacts | StoreFacts,
        "store repair": Repair,
        "store verify": list[Problem],
        "sweep": SweepResult,
    }


def file_name(command: str) -> str:
    """Of a command's published schema."""
    return f"{_dashed(command)}.schema.json"


def make_schema(command: str) -> dict[str, Any]:
    """The schema of what a command prints with `--json`."""
    facts, definitions = _schema_of(types()[command])
    if command == "predict":
        _add_reference(definitions)
    if "ReportFacts" in definitions:
        _add_models(definitions)
    if command == "results":
        for part in definitions.values():
            part.pop("required", None)
        facts["description"] = (
            "Name of a report's folder -> its metrics.json. A report of an earlier version lacks "
            "the keys that were added since."
        )
    if set(facts) == {"$ref"}:  # of an object itself, not of a list of them
        facts = definitions.pop(facts["$ref"].rpartition("/")[2])
    identity = {"$schema": DRAFT, "$id": f"urn:unmask:{_dashed(command)}"}
    return {**identity, **facts, "$defs": definitions, "title": f"unmask {command} --json"}


def schema_text(command: str) -> str:
    """The schema as a file."""
    return json.dumps(make_schema(command), indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def _dashed(command: str) -> str:
    return re.sub(r"[ -]+", "-", command)


def _schema_of(kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a type, and the definitions of all objects in it, described."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    found, shared = TypeAdapter.json_schemas([("", "serialization", adapter)], ref_template=REF)
    definitions: dict[str, Any] = shared["$defs"]
    for one in _classes(kind):
        _describe(definitions[one.__name__], one)
    return found["", "serialization"], definitions


def _add_reference(definitions: dict[str, Any]) -> None:
    """With `--reference`, each verdict also has what comparing with it gave."""
    from pipeline.pairs.result import NotCompared, PairResult

    facts, more = _schema_of(PairResult | NotCompared | None)
    definitions |= more
    definitions["Verdict"]["properties"]["reference"] = facts | {
        "description": "with --reference alone: the comparison, or why there is none"
    }


def _add_models(definitions: dict[str, Any]) -> None:
    """Each model of a report stands under its own name, beside the keys that every report has."""
    from pipeline.json_facts import ModelFacts

    facts, more = _schema_of(ModelFacts)
    definitions |= more
    model = {"required": ["auc_low"], "type": "object"}
    definitions["ReportFacts"]["additionalProperties"] = {"if": model, "then": facts}


def _describe(part: dict[str, Any], kind: type) -> None:
    """Adds the class's docstring, its fields' comments and its flat metrics.

    Of a dataclass every field is always printed.
    """
    from models.evaluation.json_facts import FLAT

    part["description"] = " ".join((inspect.getdoc(kind) or "").split())
    required = part["properties"] if is_dataclass(kind) else part.get("required", [])
    comments: dict[str, str] = {}
    for one in _with_bases(kind):
        comments |= field_comments(one)
    for name, facts in part["properties"].items():
        facts.pop("default", None)
        facts.pop("title", None)
        if comments.get(name):
            facts["description"] = comments[name]
    for one in _with_bases(kind):
        if one in FLAT:
            always, sometimes = FLAT[one]
            for name, meaning in (*always.items(), *sometimes.items()):
                part["properties"] |= _with_interval(name, meaning)
            required = [*required, *(key for name in always for key in _with_interval(name, ""))]
    part["required"] = sorted(set(required))  # a type may be met several times


def _with_interval(name: str, meaning: str) -> dict[str, dict[str, str]]:
    """The properties of a number that stands flat, with the ends of its interval."""
    return {
        name: {"type": "number", "description": meaning},
        f"{name}_low": {"type": "number", "description": f"lower end of the interval of `{name}`"},
        f"{name}_high": {"type": "number", "description": f"upper end of the interval of `{name}`"},
    }


def field_comments(kind: type) -> dict[str, str]:
    """Field -> the comment before it or beside it in the source of a class; "" for none."""
    found: dict[str, str] = {}
    before: list[str] = []
    try:
        source = inspect.getsource(kind)
    except OSError:  # made by a call: its keys are described there
        return found
    for line in source.splitlines():
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


def _with_bases(kind: type) -> Iterator[type]:
    """A class after those TypedDicts that it extends, whose fields pydantic lists as its own."""
    if is_typeddict(kind):
        for base in get_original_bases(kind):
            if is_typeddict(base):
                yield from _with_bases(base)
    yield kind


def _classes(kind: Any) -> Iterator[type]:
    """A dataclass or TypedDict and those that its fields hold."""
    if isinstance(kind, type) and (is_dataclass(kind) or is_typeddict(kind)):
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
