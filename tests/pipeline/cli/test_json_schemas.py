"""What `--json` prints fits the published schemas, and these are those of the types."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.cli.help.json_schemas import file_name, make_schema, schema_text, types
from tests.pipeline.conftest import SMALL

FOLDER = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("command", types())
def test_it_is_published_as_the_types_are(command: str) -> None:
    schema = make_schema(command)
    Draft202012Validator.check_schema(schema)
    published = FOLDER / "schemas" / file_name(command)
    assert published.read_text("utf-8") == schema_text(command), (
        "a result has changed: python -m pipeline.cli.help.json_schemas docs/schemas, and a line "
        "in the changelog"
    )
    assert "None" not in re.findall(r"\w+", published.read_text("utf-8"))


def test_each_is_named_in_the_docs_and_none_is_left_over() -> None:
    page = (FOLDER / "command-line.md").read_text("utf-8")
    linked = set(re.findall(r"\(schemas/([\w-]+\.schema\.json)\)", page))
    assert linked == {path.name for path in (FOLDER / "schemas").iterdir()}
    assert linked == {file_name(command) for command in types()}


def strict(schema: Any) -> Any:
    """The schema with no other fields allowed: what is printed beside it is undocumented."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        return closed | ({"additionalProperties": False} if "properties" in schema else {})
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


def check(command: str, printed: str) -> Any:
    """Validates a result against its schema, strictly; returns it."""
    found = json.loads(printed)
    schema = strict(make_schema(command))
    Draft202012Validator(schema).validate(found)
    return found


def test_predict(world, run, loaded, tmp_path) -> None:
    (tmp_path / "none.mp4").write_bytes(b"no video")
    video = world.demo / "real" / "person_000.mp4"
    printed = run("predict", world.bundle, video, tmp_path / "none.mp4", "--json", code=12).stdout
    good, bad = sorted(check("predict", printed), key=lambda one: one["verdict"] is None)
    assert good["faces"]
    assert bad["failure"] == "unreadable"
    with pytest.raises(Exception, match="is not of type"):
        check("predict", json.dumps([good | {"threshold": "high"}]))
    with pytest.raises(Exception, match="required property"):
        check("predict", json.dumps([{"video": "a"}]))
    with pytest.raises(Exception, match="Additional properties"):
        check("predict", json.dumps([good | {"new": 1}]))


def test_predict_with_a_reference(world, run, loaded, tmp_path) -> None:
    video = world.demo / "real" / "person_000.mp4"
    (tmp_path / "none.mp4").write_bytes(b"no video")
    for other in (video, tmp_path / "none.mp4"):
        words = ("predict", world.bundle, video, "--reference", other, "--json")
        (one,) = check("predict", run(*words).stdout)
        assert one["reference"]


def test_pair(world, run) -> None:
    video = world.demo / "real" / "person_000.mp4"
    assert check("pair", run("pair", video, video, "--json").stdout)["same_file"]


def test_case_verify(world, run, loaded, tmp_path) -> None:
    video = world.demo / "real" / "person_000.mp4"
    run("predict", world.bundle, video, "--case", tmp_path / "case")
    assert not check("case-verify", run("case", "verify", tmp_path / "case", "--json").stdout)[
        "problems"
    ]
    (tmp_path / "case" / "more").write_text("added")
    printed = run("case", "verify", tmp_path / "case", "--json", code=14).stdout
    assert check("case-verify", printed)["problems"][0]["kind"] == "added"


def test_audit_and_store_verify(world, run) -> None:
    check("audit", run("audit", world.manifest, "--root", world.demo, "--json").stdout)
    assert check("store-verify", run("store", "verify", world.features, "--json").stdout) == []


def test_export_and_sweep(world, run, tmp_path) -> None:
    check("export", run("export", world.bundle, "-o", tmp_path / "model.onnx", "--json").stdout)
    words = ("sweep", world.features, "--manifest", world.manifest, "-o", tmp_path / "sweep",
             "--grid", "head.units=4,8", "--seeds", "1", "--set", "train.epochs=1", *SMALL[:4],
             "--json")  # fmt: skip
    assert len(check("sweep", run(*words).stdout)["ranking"]) == 2


def test_doctor(run) -> None:
    found = check("doctor", run("doctor", "--no-test", "--json").stdout)
    assert not found["tested"]
