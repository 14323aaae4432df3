"""`unmask extract`: the same folder from either engine, and what it says at its end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from data.datasets.manifest import Manifest
from features.store.store import FeatureStore
from pipeline.extraction.extract import after_extraction
from tests.pipeline.conftest import SMALL


@pytest.mark.slow
def test_the_same_folder_comes_out_whichever_engine_made_it(world, run, ray_cluster, tmp_path):
    extract = ("extract", world.manifest, "--root", world.demo, *SMALL, "--set", "frames.views=2")
    shutil.copytree(world.store, tmp_path / "here")  # has all but the views
    local = tmp_path / "local"
    run(*extract, "-o", local, "--store", tmp_path / "here")
    again = (*extract, "-o", tmp_path / "out", "--store", tmp_path / "store", "--engine", "ray")
    told = run(*again, "--address", ray_cluster.address).output
    assert "24 videos done, 0 reused, 0 failed" in told
    learnt = len(Manifest.read(world.manifest).split("train"))
    assert f"{learnt} augmented views made" in told
    assert "ray: 1 workers on 1 nodes; OpenVinoEncoder" in told
    assert "x real time" in told
    names = sorted(path.name for path in local.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (local / name).read_bytes()
    # All is there by now, so the cluster need not be.
    assert "0 videos done, 24 reused" in run(*again, "--address", "127.0.0.1:1").output
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine", "spark"), "--engine must be local or ray"),
        (("--address", "head:6379"), "add --engine ray"),
        (("--engine", "ray", "--workers", "2"), "--workers is for --engine local"),
    ],
)
def test_options_of_the_other_engine_are_refused(options, told, run, tmp_path):
    assert told in run("extract", tmp_path, "-o", tmp_path / "out", *options, code=2).stderr


def test_ctrl_c_ends_with_its_own_code_and_keeps_what_is_finished(
    world, run, tmp_path, monkeypatch
):
    for path in sorted((world.demo / "real").glob("*.mp4"))[:5]:
        shutil.copy(path, tmp_path)
    stage = FeatureStore.stage

    def interrupted(store, sequence):
        stage(store, sequence)
        if len(list(tmp_path.glob("store/*/staging/*.h5"))) == 2:
            raise KeyboardInterrupt

    extract = ("extract", tmp_path, "-o", tmp_path / "out", "--store", tmp_path / "store", *SMALL)
    monkeypatch.setattr(FeatureStore, "stage", interrupted)
    told = run(*extract, "--set", "frames.crop=full", code=130).stderr
    assert told == "unmask: interrupted; finished work is kept\n"
    monkeypatch.undo()
    assert "3 videos done, 2 reused" in run(*extract, "--set", "frames.crop=full").output


@pytest.mark.parametrize(
    ("source", "bundle", "told"),
    [
        ("m.csv", None, "unmask train out --manifest m.csv -o bundle"),
        ("m.csv", "b", "unmask evaluate b out --manifest m.csv -o report"),
        ("videos", None, "unmask store inspect out"),
    ],
)
def test_what_to_type_next(source, bundle, told):
    assert after_extraction(Path(source), Path("out"), Path(bundle) if bundle else None) == told


def test_float16_without_a_gpu_is_one_line(world, run, tmp_path):
    video = next((world.demo / "real").glob("*.mp4"))
    extract = ("extract", video, "-o", tmp_path / "out", "--store", tmp_path / "store", *SMALL)
    told = run(*extract, "--set", "extract.precision=float16", code=2).stderr
    assert "extract.precision float16 needs TensorFlow on a GPU" in told
    told = run(*extract, "--set", "extract.mixed_precision=true", code=2).stderr
    assert told.count("\n") == 1
    assert "set extract.precision to float16" in told
