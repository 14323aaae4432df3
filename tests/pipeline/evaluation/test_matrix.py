"""Trained here, tested there: every cell is what a report of its own says, and is guarded."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.datasets.manifest import Manifest
from data.errors import ConfigError, MismatchError
from pipeline.evaluation.matrix import find_fitting, name_bundles, read_datasets
from tests.pipeline.browser import load_page, marks, needs_chromium


@pytest.fixture(scope="module")
def elsewhere(world, tmp_path_factory) -> Path:
    """Another data set: the test videos, as if people, methods and files were others."""
    rows = Manifest.read(world.manifest)
    videos = [replace(video, group=f"other {video.group}") for video in rows.split("test")]
    path = tmp_path_factory.mktemp("elsewhere") / "other.csv"
    replace(rows, videos=tuple(videos)).write(path)
    return path


@pytest.fixture(scope="module")
def matrix(world, elsewhere, run, tmp_path_factory) -> Path:
    """Two bundles on two data sets."""
    folder = tmp_path_factory.mktemp("matrix")
    shutil.copytree(world.bundle, folder / "twin")
    run("evaluate", world.bundle, folder / "twin", "-o", folder / "out",
        "--on", f"home={world.features}:{world.manifest}",
        "--on", f"{world.features}:{elsewhere}", "--set", "evaluate.rounds=100")  # fmt: skip
    return folder / "out"


def test_each_cell_is_what_its_own_report_says(world, matrix):
    facts = json.loads((matrix / "matrix.json").read_text())["matrix"]
    own = json.loads((world.report / "metrics.json").read_text())["lstm"]
    assert facts["bundle"].keys() == {"home", "other"}
    for name in ("auc", "eer", "log_loss", "balanced_accuracy", "videos", "groups", "threshold"):
        assert facts["bundle"]["home"][name] == own[name]
    assert facts["twin"] == facts["bundle"]
    assert facts["bundle"]["home"]["own"] is True
    assert facts["bundle"]["other"]["own"] is False


def test_the_files_hold_every_cell_and_score(world, matrix):
    with (matrix / "matrix.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["bundle"], row["data set"]) for row in rows] == [
        ("bundle", "home"), ("bundle", "other"), ("twin", "home"), ("twin", "other")
    ]  # fmt: skip
    with (matrix / "predictions.csv").open() as handle:
        scores = {row["path"]: row["score"] for row in csv.DictReader(handle)
                  if (row["bundle"], row["data set"]) == ("bundle", "home")}  # fmt: skip
    with (world.report / "predictions.csv").open() as handle:
        assert scores == {row["path"]: row["lstm"] for row in csv.DictReader(handle)}


def test_the_guard_stands_before_every_cell(world, elsewhere, run, tmp_path, monkeypatch):
    rows = Manifest.read(world.manifest)
    trained = next(video.group for video in rows.videos if video.split == "train")
    leaky = Manifest.read(elsewhere)
    videos = (replace(leaky.videos[0], group=trained), *leaky.videos[1:])
    replace(leaky, videos=videos).write(tmp_path / "leaky.csv")
    command = ("evaluate", world.bundle, "-o", tmp_path / "out",
               "--on", f"home={world.features}:{world.manifest}",
               "--on", f"{world.features}:{tmp_path / 'leaky.csv'}",
               "--set", "evaluate.rounds=20")  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.evaluation.matrix.measure_cell", None)  # nothing is scored before
        told = run(*command, code=10).stderr
    assert "bundle on leaky: 1 of these groups were seen in training" in told
    assert not (tmp_path / "out").exists()
    run(*command, "--allow-seen")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not a fair test: bundle on leaky" in page
    assert "Not a fair test: bundle on home" not in page


def test_features_of_another_recipe_are_passed_over_or_refused():
    class Recipe:
        def __init__(self, margin: float) -> None:
            self.margin = margin

        def to_json(self) -> float:
            return self.margin

    class Opened:
        def check_recipe(self, margin: float) -> None:
            if margin != 1.3:
                raise MismatchError(f"frames.margin is {margin}")

    wide, right = (SimpleNamespace(recipe=Recipe(margin)) for margin in (1.6, 1.3))
    assert find_fitting(Opened(), [wide, right], bundle="b", dataset="d") is right
    with pytest.raises(MismatchError, match=r"no features of d fit b: frames\.margin is 1\.6"):
        find_fitting(Opened(), [wide], bundle="b", dataset="d")


@pytest.mark.parametrize(
    ("text", "name", "features", "manifest"),
    [
        ("ff/features:ff.csv", "ff", "ff/features", "ff.csv"),
        ("FF++=ff/features:data/ff.csv", "FF++", "ff/features", "data/ff.csv"),
        ("a=b/features:c.csv", "a", "b/features", "c.csv"),
        ("a/b=c/features:d.csv", "d", "a/b=c/features", "d.csv"),
        ("x:y/features:c.csv", "c", "x:y/features", "c.csv"),
    ],
)
def test_a_data_set_is_named_or_takes_its_manifests_name(text, name, features, manifest):
    (one,) = read_datasets([text])
    assert (one.name, one.features, one.manifest) == (name, (Path(features),), Path(manifest))


def test_what_cannot_be_meant_is_refused(world, run, tmp_path):
    for text in ("features", "features:", ":m.csv", "=f:m.csv"):
        with pytest.raises(ConfigError, match="FEATURES:MANIFEST"):
            read_datasets([text])
    with pytest.raises(ConfigError, match="name them"):
        read_datasets(["a/f:a/m.csv", "b/f:b/m.csv"])
    with pytest.raises(ConfigError, match="twice"):
        name_bundles([Path("a"), Path("b/../a")])
    assert name_bundles([Path("x/a"), Path("y/a")]) == ["x/a", "y/a"]
    run("evaluate", world.bundle, "-o", tmp_path / "o", code=2)
    run("evaluate", world.bundle, "-o", tmp_path / "o", "--manifest", world.manifest,
        "--on", f"{world.features}:{world.manifest}", code=2)  # fmt: skip


@needs_chromium
def test_the_page_has_a_heat_map_and_no_trouble(matrix):
    dom, errors = load_page(matrix / "report.html")
    assert errors == []
    assert marks(dom) == {"matrix": 4}
    texts = re.findall(r'<td class="cell"[^>]*>([\d.]+)', dom)
    facts = json.loads((matrix / "matrix.json").read_text())["matrix"]
    assert texts == [f"{one['auc']:.3f}" for row in facts.values() for one in row.values()]
