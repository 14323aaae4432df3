"""What `--json` prints fits the published schemas, and these are those of the types."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from typer.main import get_command

from data.datasets.manifest import Manifest
from features.store.feature_set import Features
from models.evaluation.metrics import LR_METRICS
from models.evaluation.metrics import METRICS as MEASURED
from models.hold_out.evaluate import METRICS as HELD_OUT
from pipeline.cli.app import app
from pipeline.cli.console import to_json
from pipeline.cli.help.json_schemas import file_name, make_schema, schema_text, types
from pipeline.evaluation.results import METRICS
from tests.pipeline.conftest import SMALL
from tests.pipeline.printed_json import check
from tests.pipeline.reporting import made_up_results

FOLDER = Path(__file__).parents[3] / "docs"
FEW = ("--set", "evaluate.rounds=50")


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


def commands_with_json() -> set[str]:
    """Names of the commands that have the option."""
    found, left = set(), [("", get_command(app))]
    while left:
        name, command = left.pop()
        left += [(f"{name} {key}".strip(), one) for key, one in
                 getattr(command, "commands", {}).items()]  # fmt: skip
        if any("--json" in one.opts for one in command.params):
            found.add(name)
    return found


def test_every_command_with_json_has_one() -> None:
    assert {command.split(" --")[0] for command in types()} == commands_with_json()


def objects(schema: Any) -> list[dict[str, Any]]:
    """All parts of a schema that have properties."""
    inner = schema.values() if isinstance(schema, dict) else schema
    nested = [one for part in inner if isinstance(part, dict | list) for one in objects(part)]
    return nested + ([schema] if isinstance(schema, dict) and "properties" in schema else [])


@pytest.mark.parametrize("command", types())
def test_every_key_is_described(command: str) -> None:
    for part in objects(make_schema(command)):
        bare = [name for name, facts in part["properties"].items() if not facts.get("description")]
        assert (part["description"], bare) == (part["description"] or "words", [])
        # Each is read by itself, in any order.
        leaning = re.compile(r"of it\b|the same\b|.*\blikewise\b")
        words = [facts["description"] for facts in part["properties"].values()]
        assert [one for one in words if leaning.match(one)] == []


def test_metrics_mean_what_the_page_says() -> None:
    page = (FOLDER / "evaluation.md").read_text("utf-8")
    for name, meaning in [*(MEASURED | LR_METRICS).items(), *HELD_OUT.items()]:
        assert f"\n| `{name}` | {meaning} |" in page


def test_each_is_named_in_the_docs_and_none_is_left_over() -> None:
    page = (FOLDER / "command-line.md").read_text("utf-8")
    linked = set(re.findall(r"\(schemas/([\w-]+\.schema\.json)\)", page))
    assert linked == {path.name for path in (FOLDER / "schemas").iterdir()}
    assert linked == {file_name(command) for command in types()}


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
        (one,) = json.loads(run(*words).stdout)
        assert one["reference"]


def test_pair(world, run) -> None:
    video = world.demo / "real" / "person_000.mp4"
    assert json.loads(run("pair", video, video, "--json").stdout)["same_file"]


def test_case_verify(world, run, loaded, tmp_path) -> None:
    video = world.demo / "real" / "person_000.mp4"
    run("predict", world.bundle, video, "--case", tmp_path / "case")
    assert not json.loads(run("case", "verify", tmp_path / "case", "--json").stdout)["problems"]
    (tmp_path / "case" / "more").write_text("added")
    printed = run("case", "verify", tmp_path / "case", "--json", code=14).stdout
    assert json.loads(printed)["problems"][0]["kind"] == "added"


def test_audit_and_store_verify(world, run) -> None:
    run("audit", world.manifest, "--root", world.demo, "--json")
    assert json.loads(run("store", "verify", world.features, "--json").stdout) == []


def test_export_and_sweep(world, run, tmp_path) -> None:
    run("export", world.bundle, "-o", tmp_path / "model.onnx", "--json")
    words = ("sweep", world.features, "--manifest", world.manifest, "-o", tmp_path / "sweep",
             "--grid", "head.units=4,8", "--seeds", "1", "--set", "train.epochs=1", *SMALL[:4],
             "--json")  # fmt: skip
    assert len(json.loads(run(*words).stdout)["ranking"]) == 2


def test_doctor(run) -> None:
    assert not json.loads(run("doctor", "--no-test", "--json").stdout)["tested"]


# evaluations


def test_evaluate_prints_metrics_json(world, run, tmp_path) -> None:
    words = ("evaluate", world.bundle, world.features, "--manifest", world.manifest)
    printed = json.loads(run(*words, "-o", tmp_path / "report", *FEW, "--json").stdout)
    assert printed == json.loads((tmp_path / "report" / METRICS).read_text())
    assert printed["auc_gain"].keys() == {"value", "low", "high"}
    with pytest.raises(ValidationError, match="Additional properties"):
        check("evaluate", json.dumps(printed | {"lstm": printed["lstm"] | {"auk": 0.5}}))
    with pytest.raises(ValidationError, match="is not of type 'number'"):
        check("evaluate", json.dumps(printed | {"lstm": printed["lstm"] | {"auc_low": None}}))
    del printed["lstm"]["eer_high"]
    with pytest.raises(ValidationError, match="'eer_high' is a required property"):
        check("evaluate", json.dumps(printed))


def test_evaluate_a_bundle_of_one_head(world, run, tmp_path) -> None:
    train = ("train", world.features, "--manifest", world.manifest, "-o", tmp_path / "bundle")
    run(*train, *SMALL, "--set", "head.kind=mean", "--set", "calibration.folds=0")
    words = ("evaluate", tmp_path / "bundle", world.features, "--manifest", world.manifest)
    printed = json.loads(run(*words, "-o", tmp_path / "report", *FEW, "--json").stdout)
    assert "auc_gain" not in printed
    assert "cllr_novel_included" not in printed["mean"]


def test_evaluate_scores_and_compare_them(world, run, tmp_path) -> None:
    rows = [video for video in Manifest.read(world.manifest).videos if video.split == "test"]
    lines = [f"{video.path},{frame},{number % 5}.5" for number, video in enumerate(rows)
             for frame in range(2)]  # fmt: skip
    (tmp_path / "theirs.csv").write_text("\n".join(["path,frame,score", *lines[2:]]))
    words = ("evaluate", "--scores", tmp_path / "theirs.csv", "--manifest", world.manifest, *FEW)
    printed = json.loads(run(*words, "-o", tmp_path / "theirs", "--json").stdout)
    assert printed["scores"]["warnings"]
    assert printed["theirs"]["scored"] == printed["scores"]["scored"] == len(rows) - 1
    run("compare", world.report, tmp_path / "theirs", "--json", *FEW)
    on = ("--on", f"{world.features}:{world.manifest}", *FEW)
    run("compare", tmp_path / "theirs", world.bundle, *on, "--json")


def test_evaluate_on_data_sets(world, run, tmp_path) -> None:
    bundle = shutil.copytree(world.bundle, tmp_path / "copy")
    on = [word for name in "ab" for word in ("--on", f"{name}={world.features}:{world.manifest}")]
    words = ("evaluate", world.bundle, bundle, *on, "-o", tmp_path / "matrix", *FEW, "--json")
    printed = json.loads(run(*words).stdout)
    assert {name: set(row) for name, row in printed["matrix"].items()} == {
        "bundle": {"a", "b"},
        "copy": {"a", "b"},
    }


def test_results_of_earlier_versions_have_fewer_keys(world, run, tmp_path) -> None:
    shutil.copytree(world.report, tmp_path / "now")
    shutil.copytree(world.report, tmp_path / "earlier")
    metrics = json.loads((world.report / METRICS).read_text())
    del metrics["confidence"], metrics["seen_in_training"]
    for name in ("confidence", "coverage", "cllr", "cllr_low", "cllr_high", "by"):
        del metrics["lstm"][name]
    (tmp_path / "earlier" / METRICS).write_text(json.dumps(metrics))
    printed = json.loads(run("results", tmp_path, "--json").stdout)
    assert printed["earlier"] == metrics
    with pytest.raises(ValidationError, match="required property"):
        check("evaluate", json.dumps(metrics))


@pytest.mark.parametrize("leaks", [(), ("its threshold was chosen on them",)])
def test_simulated_results_of_every_kind(leaks: tuple[str, ...]) -> None:
    """As the pages' tests have them: with single frames, without what may be left out."""
    grid = made_up_results.matrix()
    found = made_up_results.corruption_results()
    cells = {at: replace(cell, training_leaks=leaks, note="older") for at, cell in
             grid.cells.items()}  # fmt: skip
    first, *others = found.steps
    lost = replace(others[0], evaluation=None, drop=None)
    for command, facts in (
        ("evaluate", replace(made_up_results.report(), training_leaks=leaks).metrics),
        ("evaluate --on", replace(grid, cells=cells).to_json()),
        ("evaluate --hold-out", made_up_results.held_out().to_json()),
        ("robustness", replace(found, steps=(first, lost, *others[1:]), training_leaks=leaks)
         .to_json()),
    ):  # fmt: skip
        printed = check(command, json.dumps(to_json(facts), allow_nan=False))
        assert ("seen_in_validation" in json.dumps(printed)) == (
            bool(leaks) and command != "evaluate --hold-out"
        )


# stores


def test_inspect_a_part_of_a_store_and_an_empty_one(world, run, tmp_path) -> None:
    part = world.store / Features(world.features).recipe.digest[:16]  # other tests add parts
    (one,) = json.loads(run("store", "inspect", part, "--json").stdout)["recipes"]
    assert len(one["each_dimension"]["mean"]) == one["dim"]
    copy = shutil.copytree(part, tmp_path / "store" / part.name)
    for path in (copy / "shards").iterdir():
        path.unlink()
    (one,) = json.loads(run("store", "inspect", tmp_path / "store", "--json").stdout)["recipes"]
    assert (one["videos"], "dim" in one) == (0, False)
