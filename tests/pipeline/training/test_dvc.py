"""The pipeline under DVC, from a clean shell: what runs when something changes, what does not."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from copy import copy
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
SMALL = {
    "demo": {"fps": 25, "people": 10, "seconds": 0.5, "width": 160, "height": 120},
    "frames": {"count": 8, "size": 64},
    "finetune": {"epochs": 1, "frames_per_video": 4, "unfreeze": 1},
    "train": {"epochs": 4},
    "evaluate": {"rounds": 50},
}


class Project:
    """A copy of the project with small parameters, in a git repository of its own."""

    told = ""
    """What the first run printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("data", "features", "models", "pipeline", ".dvc"):
            ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder / name)
        self.set(SMALL)
        self.call("git", "init", "--quiet")
        self.call("git", "config", "user.name", "test")
        self.call("git", "config", "user.email", "test@example.org")
        self.commit()

    def set(self, changes: dict[str, dict[str, object]]) -> None:
        """Changes parameters in params.yaml."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load((path if path.exists() else ROOT / "params.yaml").read_text())
        for section, values in changes.items():
            params[section] = params.get(section, {}) | values
        path.write_text(yaml.safe_dump(params))

    def commit(self) -> None:
        """Commits all that git does not ignore."""
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--message", "a state")

    def call(self, *command: str, active: bool = False) -> str:
        """Runs a program in a clean shell; returns what it printed.

        Args:
            command: `dvc` is this environment's by its full path.
            active: the environment is active, so that programs are found by their names.
        """
        if command[0] == "dvc":
            command = (str(BIN / "dvc"), *command[1:])
        path = f"{BIN}:/usr/bin:/bin" if active else "/usr/bin:/bin"
        result = subprocess.run(
            command,
            cwd=self.folder,
            env={"PATH": path, "HOME": str(self.folder.parent), "DVC_NO_ANALYTICS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, result.stdout
        return result.stdout

    def wait_for_queue(self) -> None:
        """Until every queued experiment has ended well."""
        for _ in range(300):
            told = self.call("dvc", "queue", "status")
            assert "Failed" not in told, told
            if "Success" in told and not re.search("Queued|Running", told):
                return
            time.sleep(2)
        raise AssertionError(told)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole pipeline, run once."""
    made = Project(tmp_path_factory.mktemp("project"))
    made.told = made.call("dvc", "repro")
    made.commit()
    return made


def test_a_second_run_runs_nothing(project):
    assert "Running stage" not in project.call("dvc", "repro")
    assert "up to date" in project.call("dvc", "status")


def test_every_stage_left_what_it_says(project):
    artifacts = project.folder / "artifacts"
    for weights in ("frozen", "finetuned"):
        assert (artifacts / "bundles" / weights / "head.keras").is_file()
        assert (artifacts / "reports" / weights / "report.html").is_file()
        index = json.loads((artifacts / "features" / weights / "features.json").read_text())
        assert bool(index["provenance"]) == (weights == "finetuned")
    metrics = json.loads(project.call("dvc", "metrics", "show", "--json"))
    assert "val_auc" in json.dumps(metrics)
    for weights in ("frozen", "finetuned"):
        report = artifacts / "reports" / weights
        shown = metrics[""]["data"][f"artifacts/reports/{weights}/summary.json"]["data"]
        assert next(iter(shown)) == "auc"
        assert shown["auc"] == json.loads((report / "metrics.json").read_text())["lstm"]["auc"]
    plots = project.call("dvc", "plots", "show", "--out", str(project.folder / "plots"))
    assert "index.html" in plots
    assert "Loss of frozen" in (project.folder / "plots" / "index.html").read_text()


def test_what_fine_tuning_read_is_not_decoded_again(project):
    assert re.search(r"[1-9]\d* from cached crops", project.told)


def test_the_store_and_the_features_are_one_file_on_disk(project):
    shard = next((project.folder / "artifacts" / "features" / "frozen").glob("*.h5"))
    assert shard.stat().st_nlink >= 2


def test_a_fresh_clone_goes_on_from_what_was_pulled(project, tmp_path):
    remote, folder = tmp_path / "remote", tmp_path / "clone"
    project.call("dvc", "remote", "add", "--force", "--default", "shared", str(remote))
    project.call("dvc", "push", "--quiet")
    project.commit()
    project.call("git", "clone", "--quiet", ".", str(folder))
    clone = copy(project)
    clone.folder = folder
    clone.call("dvc", "pull", "--quiet")
    assert not (folder / ".unmask").exists()
    shutil.copytree(folder / "artifacts" / "demo", folder / "videos")
    labels = folder / "videos" / "labels.csv"
    for path in sorted((folder / "videos" / "real").glob("*.mp4"))[:3]:
        new = path.with_name(f"new_{path.name}")
        new.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
        (row,) = (
            line
            for line in labels.read_text().splitlines()
            if line.startswith(f"real/{path.name},")
        )
        with labels.open("a") as file:
            file.write(row.replace(path.name, new.name) + "\n")
    params = yaml.safe_load((folder / "params.yaml").read_text()) | {"videos": "videos"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    before = {path.name for path in (folder / "artifacts" / "features" / "frozen").glob("*.h5")}
    told = clone.call("dvc", "repro", "extract@frozen")
    assert "20 videos adopted" in told
    assert "3 videos done, 20 reused, 0 failed" in told
    after = {path.name for path in (folder / "artifacts" / "features" / "frozen").glob("*.h5")}
    assert before < after
    assert len(after - before) == 1
    assert "no damage" in clone.call("sh", ".dvc/unmask", "store", "verify", ".unmask/store")


def test_a_head_parameter_reruns_train_and_evaluate_alone(project):
    told = project.call("dvc", "exp", "run", "--set-param", "head.units=16", "evaluate@finetuned")
    assert stages_run(told) == {"train@finetuned", "evaluate@finetuned"}
    project.call("git", "checkout", "--quiet", "--", "params.yaml")


def stages_run(told: str) -> set[str]:
    """The stages that DVC says it ran."""
    return {line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage")}


def test_an_experiment_in_a_copy_runs_the_code_of_the_copy(project):
    """`--temp` starts from the commit; what is changed meanwhile in the checkout does not count."""
    results = project.folder / "pipeline" / "evaluation" / "results.py"
    code = results.read_text()
    told = project.call("dvc", "exp", "run", "--temp", "-S", "head.units=8", "evaluate@frozen")
    assert stages_run(told) == {"train@frozen", "evaluate@frozen"}
    name = re.search(r"Ran experiment\(s\): (\S+)", told).group(1)
    try:
        project.call("dvc", "exp", "run", "--queue", "-S", "head.units=4", "evaluate@frozen")
        results.write_text("raise SystemExit('later than the queue')\n")
        project.call("dvc", "queue", "start", active=True)
        project.wait_for_queue()
    finally:
        results.write_text(code)
    # The columns by which people compare experiments: few, and the AUC comes first.
    rows = list(csv.reader(project.call("dvc", "exp", "show", "--csv").splitlines()))
    columns = [one for one in rows[0] if ".json:" in one]
    assert columns[0] == "artifacts/reports/frozen/summary.json:auc"
    assert len(columns) == 2 * 6 + 2 * 6
    experiments = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    reached = {one["head.units"]: one for one in experiments if one["head.units"] in ("4", "8")}
    assert set(reached) == {"4", "8"}
    for one in reached.values():
        assert 0 <= float(one[columns[0]]) <= 1
    assert name in {one["Experiment"] for one in experiments}
    project.call("dvc", "exp", "remove", "--all-commits")


def test_a_sweep_through_the_queue_is_ranked_by_validation(project):
    """As docs/experiments.md has it: queued, run, and compared without the test split."""
    queue = ("dvc", "exp", "run", "--queue", "--single-item", "train@frozen")
    told = project.call(*queue, "--set-param", "head.kind=mean,logistic")
    assert told.count("Queued experiment") == 2
    project.call("dvc", "exp", "run", "--run-all", "--jobs", "1", active=True)
    shown = json.loads(project.call("dvc", "exp", "show", "--json"))
    runs = [one for state in shown for one in state["experiments"] or ()]
    reached = {}
    for one in runs:
        facts = one["revs"][0]["data"]
        kind = facts["params"]["params.yaml"]["data"]["head"]["kind"]
        if kind == "lstm":  # another test's
            continue
        metrics = facts["metrics"]["artifacts/bundles/frozen/validation.json"]["data"]
        reached[kind] = metrics[kind]["val_auc"]
    assert reached.keys() == {"mean", "logistic"}
    project.call("dvc", "exp", "remove", "--all-commits")


def test_added_videos_are_extracted_alone(project):
    project.set({"demo": {"people": 12}})
    told = project.call("dvc", "repro", "extract@frozen")
    assert "4 videos done, 20 reused, 0 failed" in told
