"""Another pixels version: features are told apart, old bundles go on, and each command says so."""

from __future__ import annotations

import html
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.errors import MismatchError, ToolError
from data.pixels_version import PIXELS_VERSION
from data.video.frames import FrameRecipe
from features.store.feature_set import Features
from features.store.key import Recipe
from features.store.views import Views
from models.backbones.fingerprint import BackboneFingerprint
from models.bundle import Bundle
from models.configs import ExtractConfig
from models.recipe_check import check_recipes
from pipeline.config import Params
from pipeline.extraction import feature_spec
from pipeline.extraction.crop_cache import crop_recipe
from pipeline.extraction.ray import equip
from tests.pipeline.conftest import SMALL
from tests.pipeline.reporting.test_report import Page

OTHERS = (
    "pipeline.extraction.feature_spec", "pipeline.extraction.crop_cache",
    "pipeline.training.train", "pipeline.inference.scan",
    "pipeline.inference.scan_journal", "models.recipe_check",
)  # fmt: skip
"""Where the version is looked up."""
OLD_DETECTOR = "dcff8b08" + "0" * 56
"""Digest of a face finder before this one."""


def test_every_recipe_that_is_made_tells_this_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else new pixels would stand under old keys."""
    assert crop_recipe(FrameRecipe(), None).pixels_version == PIXELS_VERSION
    known = BackboneFingerprint(name="resnet50-thin", digest="ab" * 32, dim=4)
    monkeypatch.setattr(feature_spec, "find_fingerprint", lambda *_, **__: known)
    spec = feature_spec.make_feature_spec(Params(), None, None, cache=tmp_path / "none")
    assert spec.recipe.pixels_version == PIXELS_VERSION
    old = replace(spec.recipe, pixels_version=1).to_json()
    old["frames"] = old["frames"] | {"faces": "original"}
    assert "pixels_version" not in old
    frames, recipe = feature_spec.bundle_recipe(old)
    assert (frames, recipe) == (FrameRecipe(), spec.recipe)


def test_a_detector_goes_with_its_pixels_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = BackboneFingerprint(name="resnet50-thin", digest="ab" * 32, dim=4)
    monkeypatch.setattr(feature_spec, "find_fingerprint", lambda *_, **__: known)
    today = feature_spec.make_feature_spec(Params(), None, None, cache=tmp_path / "none").recipe
    earlier = replace(today, pixels_version=PIXELS_VERSION - 1, face_detector=OLD_DETECTOR)
    assert feature_spec.bundle_recipe(earlier.to_json())[1] == today
    assert "train it anew" in check_recipes(earlier.to_json(), today.to_json())
    with pytest.raises(MismatchError, match="of the earlier version"):
        check_recipes(today.to_json(), earlier.to_json())
    other = replace(today, face_detector=OLD_DETECTOR).to_json()
    with pytest.raises(MismatchError, match="found by detector dcff8b08"):
        feature_spec.bundle_recipe(other)
    with pytest.raises(MismatchError, match="face_detector"):
        check_recipes(other, today.to_json())


def test_a_worker_that_reads_pixels_in_another_way_is_refused() -> None:
    recipe = Recipe(
        frames={}, face_detector=None, backbone="b", backbone_digest="0" * 64,
        pixels_version=PIXELS_VERSION + 1,
    )  # fmt: skip
    with pytest.raises(ToolError, match="reads pixels in another way"):
        equip({}, 1, frames=FrameRecipe(), recipe=recipe, settings=ExtractConfig(), views=Views())


def bundle_of(version: int, **frames: Any) -> Bundle:
    recipe = {"backbone": "b", "backbone_digest": "ab" * 32, "frames": {"count": 8, **frames}}
    if version > 1:
        recipe["pixels_version"] = version
    return Bundle(
        head=None,  # type: ignore[arg-type]
        baseline=None,
        recipe=recipe,
        dim=4,
        trained_on={},
        provenance={},
        backbone="b",
    )


def test_a_bundle_is_measured_on_later_pixels_and_never_on_earlier_ones() -> None:
    old, new, later = (bundle_of(one) for one in (1, PIXELS_VERSION, PIXELS_VERSION + 1))
    assert old.check_recipe(old.recipe) == new.check_recipe(new.recipe) == ""
    note = old.check_recipe(new.recipe)
    assert f"pixels version 1, these features are of version {PIXELS_VERSION}" in note
    assert "\n" not in note
    with pytest.raises(MismatchError, match="earlier version 1; extract again"):
        new.check_recipe(old.recipe)
    with pytest.raises(MismatchError, match="use a later unmask"):
        later.check_recipe(new.recipe)
    assert new.pixels_note == ""
    assert "train it anew" in old.pixels_note
    assert "use the unmask that trained it" in later.pixels_note
    assert bundle_of(PIXELS_VERSION, faces="original").check_recipe(new.recipe) == ""


@pytest.fixture(scope="module")
def old_bundle(world, tmp_path_factory) -> Path:
    """The world's bundle as an earlier unmask wrote it: no version, and whose faces it took."""
    folder = tmp_path_factory.mktemp("old") / "bundle"
    shutil.copytree(world.bundle, folder)
    facts = json.loads((folder / "bundle.json").read_text())
    assert facts["recipe"].pop("pixels_version") == PIXELS_VERSION
    facts["recipe"]["frames"]["faces"] = "original"
    facts["recipe"]["face_detector"] = OLD_DETECTOR
    (folder / "bundle.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.usefixtures("loaded")
def test_an_old_bundle_goes_on_and_says_so(world, old_bundle, run, tmp_path) -> None:
    video = world.demo / "real" / "person_000.mp4"
    new = json.loads(run("predict", world.bundle, video, "--json").stdout)
    told = run("predict", old_bundle, video, "--json", "--report", tmp_path / "page.html")
    assert told.stderr.count("\n") == 1
    assert "warning: the bundle was trained on pixels version 1" in told.stderr
    (old,) = json.loads(told.stdout)
    assert old.pop("pixels_note") in told.stderr
    assert new[0].pop("pixels_note") is None
    assert "test result" in old.pop("training")  # kept beside the bundle, which this is a copy of
    assert "test result" in new[0].pop("training")
    assert [old] == new
    page = Page((tmp_path / "page.html").read_text()).shown
    assert "The bundle was trained on pixels version 1" in page

    (tmp_path / "videos").mkdir()
    shutil.copy(video, tmp_path / "videos")
    scan = ("scan", old_bundle, tmp_path / "videos", "-o", tmp_path / "scan", "--store")
    assert "pixels version 1" in run(*scan, world.store).stderr
    assert "pixels version 1" in (tmp_path / "scan" / "scan.html").read_text()
    record = json.loads((tmp_path / "scan" / "scan.json").read_text())
    assert "pixels version 1" in record["pixels_note"]
    journal = tmp_path / "scan" / "journal.jsonl"
    line = json.loads(journal.read_text())
    del line["pixels_version"]  # as an earlier unmask wrote it
    journal.write_text(json.dumps(line | {"probability_fake": 0.123}) + "\n")
    again = run(*scan, world.store)
    assert "1 of these videos were read with another pixels version" in again.stderr
    assert "0.123" not in (tmp_path / "scan" / "scores.csv").read_text()
    assert "0 known from an earlier run, 0 embedded now" in again.stdout, "features are there"
    assert "another pixels version" not in run(*scan, world.store).stderr


def test_an_old_bundle_is_evaluated_on_what_predict_sees(world, old_bundle, run, tmp_path) -> None:
    told = run("evaluate", old_bundle, world.features, "--manifest", world.manifest,
               "-o", tmp_path / "report", "--set", "evaluate.rounds=50")  # fmt: skip
    assert f"these features are of version {PIXELS_VERSION}" in told.stderr
    page = html.unescape((tmp_path / "report" / "report.html").read_text("utf-8"))
    assert f"{PIXELS_VERSION}; the bundle's: 1" in page
    old, new = (
        json.loads((folder / "metrics.json").read_text())["lstm"]["auc"]
        for folder in (tmp_path / "report", world.report)
    )
    assert old == new


def test_a_raised_version_makes_features_anew_and_trains_and_reads_the_old(
    world, run, tmp_path, monkeypatch
) -> None:
    store = tmp_path / "store"  # of the features alone: other tests use the world's, too
    part = world.store / Features(world.features).recipe.digest[:16]
    shutil.copytree(part, store / part.name)
    for module in OTHERS:
        monkeypatch.setattr(f"{module}.PIXELS_VERSION", PIXELS_VERSION + 1)
    extract = ("extract", world.manifest, "--root", world.demo, "--store", store, *SMALL)
    videos = len(world.manifest.read_text().splitlines()) - 1
    first = run(*extract, "-o", tmp_path / "features").output
    assert f"{videos} of these videos have features of an earlier pixels version" in first
    assert f"{videos} videos done, 0 reused" in first
    again = run(*extract, "-o", tmp_path / "features").output
    assert "earlier pixels version" not in again
    assert f"0 videos done, {videos} reused" in again
    assert len(list(store.iterdir())) == 2
    assert "no damage" in run("store", "verify", store).stdout
    shown = json.loads(run("store", "inspect", store, "--json").stdout)["recipes"]
    assert sorted(one["pixels_version"] for one in shown) == [PIXELS_VERSION, PIXELS_VERSION + 1]
    told = run("train", world.features, "--manifest", world.manifest, "-o", tmp_path / "bundle",
               *SMALL, "--set", "train.epochs=1")  # fmt: skip
    assert f"these features have pixels version {PIXELS_VERSION}" in told.stderr
    same = run("evaluate", world.bundle, world.features, "--manifest", world.manifest,
                  "-o", tmp_path / "report", "--set", "evaluate.rounds=50")  # fmt: skip
    assert same.stderr == "", "old features and their bundle belong together"
    later = run("evaluate", world.bundle, tmp_path / "features", "--manifest", world.manifest,
                  "-o", tmp_path / "report", "--set", "evaluate.rounds=50")  # fmt: skip
    assert f"these features are of version {PIXELS_VERSION + 1}" in later.stderr
