"""Every video is cropped at its own face: `evaluate` measures what `predict` and `scan` do."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.datasets.manifest import Manifest
from data.video.encoding import transcode
from data.video.probe import probe
from tests.pipeline.conftest import SMALL


@dataclass(frozen=True)
class Forged:
    """Real test videos and forgeries of them, frame by frame, each with its original told."""

    videos: Path
    manifest: Path
    features: Path


@pytest.fixture(scope="module")
def forged(world, run, tmp_path_factory) -> Forged:
    """The forgeries are poor copies: their faces are found some fractions of a pixel off."""
    folder = tmp_path_factory.mktemp("forged")
    videos = folder / "videos"
    rows = ["path,label,group,method,split,original"]
    reals = [one for one in Manifest.read(world.manifest).split("test") if not one.label]
    for number, real in enumerate(reals):
        (videos / "real").mkdir(parents=True, exist_ok=True)
        (videos / "fake").mkdir(parents=True, exist_ok=True)
        shutil.copy(world.demo / real.path, videos / "real" / f"{number}.mp4")
        source = world.demo / real.path
        transcode(
            source, videos / "fake" / f"{number}.mp4", info=probe(source),
            chain=[("noise", {"alls": 6, "all_seed": 1})], crf=38, timeout_seconds=60,
        )  # fmt: skip
        rows += [f"real/{number}.mp4,real,{real.group},,test,",
                 f"fake/{number}.mp4,fake,{real.group},copy,test,real/{number}.mp4"]  # fmt: skip
    (videos / "labels.csv").write_text("\n".join(rows) + "\n")
    made = Forged(videos, folder / "manifest.csv", folder / "features")
    run("index", videos, "-o", made.manifest)
    assert {one.original for one in Manifest.read(made.manifest).videos if one.label} != {""}
    run("extract", made.manifest, "--root", videos, "-o", made.features, "--bundle", world.bundle,
        "--store", folder / "store")  # fmt: skip
    return made


@pytest.mark.usefixtures("loaded")
def test_predict_and_scan_equal_evaluate_on_forgeries_with_originals(
    world, forged, run, tmp_path
) -> None:
    run("evaluate", world.bundle, forged.features, "--manifest", forged.manifest,
        "-o", tmp_path / "report", "--set", "evaluate.rounds=50")  # fmt: skip
    with (tmp_path / "report" / "predictions.csv").open(newline="") as handle:
        measured = {row["path"]: float(row["lstm"]) for row in csv.DictReader(handle)}
    told = json.loads(run("predict", world.bundle, forged.videos, "--json").stdout)
    predicted = {
        Path(one["video"]).relative_to(forged.videos).as_posix(): one["probability_fake"]
        for one in told
    }
    assert sum(path.startswith("fake/") for path in measured) >= 2
    assert predicted == pytest.approx(measured, abs=1e-6)
    assert len(set(measured.values())) == len(measured), "or nothing is told apart"
    run("scan", world.bundle, forged.videos, "-o", tmp_path / "scan", "--store", tmp_path / "store")
    with (tmp_path / "scan" / "scores.csv").open(newline="") as handle:
        scanned = {row["path"]: float(row["probability_fake"]) for row in csv.DictReader(handle)}
    assert scanned == pytest.approx(measured, abs=1e-6)


def test_an_original_changes_no_key(world, forged, run, tmp_path) -> None:
    """With and without the column: the same features, none made twice."""
    manifest = Manifest.read(forged.manifest)
    text = forged.manifest.read_text().splitlines()
    names = text[0].split(",")
    kept = [number for number, name in enumerate(names) if name != "original"]
    rows = [",".join(line.split(",")[number] for number in kept) for line in text]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    told = run("extract", tmp_path / "manifest.csv", "--root", forged.videos, "-o",
               tmp_path / "features", "--bundle", world.bundle,
               "--store", forged.features.parent / "store").stdout  # fmt: skip
    assert f"0 videos done, {len(manifest.videos)} reused" in told
    shards = [sorted(path.name for path in folder.glob("*.h5"))
              for folder in (forged.features, tmp_path / "features")]  # fmt: skip
    assert shards[0] == shards[1]


def test_the_retired_setting_says_what_became_of_it(world, run, tmp_path) -> None:
    extract = ("extract", world.manifest, "--root", world.demo, "-o", tmp_path / "features")
    (tmp_path / "params.yaml").write_text("frames:\n  faces: original\n")
    for options, where in (
        (("--set", "frames.faces=own"), "--set frames.faces"),
        (("--params", tmp_path / "params.yaml"), str(tmp_path / "params.yaml")),
    ):
        told = run(*extract, *options, *SMALL, code=2).stderr
        assert f"{where}: frames.faces was retired: every video is cropped at its own face" in told
        assert "remove the line" in told
