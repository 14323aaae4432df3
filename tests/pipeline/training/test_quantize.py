"""`unmask quantize`: from training videos to a bundle in int8, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.datasets.manifest import Manifest
from features.store.feature_set import Features
from tests import requirements
from tests.pipeline.conftest import SMALL


@pytest.fixture(scope="module")
def folder(world, run, tmp_path_factory) -> Path:
    """With `weights`, `features` and `bundle` in int8."""
    requirements.module("nncf")
    made = tmp_path_factory.mktemp("int8")
    source = (world.manifest, "--root", world.demo, *SMALL, "--store", made / "store")
    told = run("quantize", *source, "-o", made / "weights").output
    assert "resnet50-thin-int8" in told
    run("extract", *source, "--backbone", made / "weights", "-o", made / "features")
    run("train", made / "features", "--manifest", world.manifest, "-o", made / "bundle", *SMALL)
    return made


def test_its_scales_come_from_training_videos_and_the_record_says_which(world, folder):
    facts = json.loads((folder / "weights" / "backbone.json").read_text())
    train = {video.sha256 for video in Manifest.read(world.manifest).split("train")}
    seen = facts["provenance"]["trained_on"]
    assert set(seen) == {"train"}
    assert set(seen["train"]["sha256s"]) <= train
    assert seen["train"]["groups"]
    assert facts["base"]["name"] == "resnet50-thin"


def test_features_and_bundle_are_int8_and_carry_the_network(folder):
    features = Features(folder / "features")
    facts = json.loads((folder / "bundle" / "bundle.json").read_text())
    digest = json.loads((folder / "weights" / "backbone.json").read_text())["digest"]
    for recipe in (features.recipe.to_json(), facts["recipe"]):
        assert (recipe["precision"], recipe["backbone_digest"]) == ("int8", digest)
    for carried in (folder / "features" / "backbone", folder / "bundle" / "backbone"):
        assert (carried / "network.bin").is_file()


def test_predict_takes_the_bundles_network(world, run, folder, tmp_path):
    video = next((world.demo / "real").glob("*.mp4"))
    told = json.loads(run("predict", folder / "bundle", video, "--json").stdout)
    assert 0 <= told["probability_fake"] <= 1


def test_the_leak_guard_knows_the_videos(world, run, folder, tmp_path):
    rows = Manifest.read(world.manifest)
    lines = world.manifest.read_text().replace(",train,", ",test,")
    (tmp_path / "manifest.csv").write_text(lines)
    assert rows.split("train")
    evaluate = ("evaluate", folder / "bundle", folder / "features", "-o", tmp_path / "report")
    told = run(*evaluate, "--manifest", tmp_path / "manifest.csv", code=10).stderr
    assert "seen in training" in told


def test_without_training_videos_it_is_refused(world, run, tmp_path):
    (tmp_path / "manifest.csv").write_text(world.manifest.read_text().replace(",train,", ",test,"))
    quantize = ("quantize", tmp_path / "manifest.csv", "--root", world.demo, "-o", tmp_path / "out")
    told = run(*quantize, code=4).stderr
    assert "has no training videos" in told
    assert not (tmp_path / "out").exists()


def test_another_precision_and_fine_tuning_are_refused(world, run, folder, tmp_path):
    source = (world.manifest, "--root", world.demo, *SMALL, "--store", tmp_path / "store")
    out = ("--backbone", folder / "weights", "-o", tmp_path / "out")
    told = run("extract", *source, *out, "--set", "extract.precision=float32", code=2).stderr
    assert "is quantized to int8" in told
    told = run("finetune", *source, *out, code=2).stderr
    assert "fine-tune the backbone that it was made of" in told
    told = run(
        "extract", *source, "-o", tmp_path / "out", "--set", "extract.precision=int8", code=2
    ).stderr
    assert "unmask quantize MANIFEST" in told


def test_features_of_another_precision_are_not_for_a_bundle(world, run, tmp_path):
    mine = Features(world.features).recipe.precision
    other = "float32" if mine != "float32" else "bfloat16"
    source = (world.manifest, "--root", world.demo, *SMALL, "--store", tmp_path / "store")
    extract = ("extract", *source, "-o", tmp_path / "features")
    run(*extract, "--set", f"extract.precision={other}")
    evaluate = ("evaluate", world.bundle, tmp_path / "features", "--manifest", world.manifest)
    told = run(*evaluate, "-o", tmp_path / "report", code=6).stderr
    assert f"precision (bundle {mine}, features {other})" in told
    # What a bundle needs is made in its precision, whatever the parameters say.
    run(*extract, "--bundle", world.bundle, "--set", f"extract.precision={other}")
    assert Features(tmp_path / "features").recipe.precision == mine
