"""DF40's folders, made of rendered people, through the whole pipeline; and copies of frames."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from data.demo import DemoConfig, write_demo
from tests.frames import save_frames
from tests.pipeline.conftest import SMALL

pytestmark = pytest.mark.slow
PEOPLE = 12
TESTED = 8
"""The first person of the test."""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Reals of FaceForensics++, and fakes of two methods, as DF40's archives unpack."""
    folder = tmp_path_factory.mktemp("df40")
    config = DemoConfig(people=PEOPLE, seconds=0.5, width=160, height=120)
    write_demo(folder / "demo", config, workers=2)
    for person in range(PEOPLE):
        name = f"{person:03d}_{person ^ 1:03d}"
        method = ("simswap", "MRAA")[person % 2]
        place = f"DF40_train/{method}" if person < TESTED else f"DF40/{method}/ff"
        video = f"person_{person:03d}.mp4"
        save_frames(folder / "demo/fake" / video, folder / "data" / place / "frames" / name)
        real = folder / "data/FaceForensics++/original_sequences/youtube/c23/frames"
        save_frames(folder / "demo/real" / video, real / f"{person:03d}")
    return folder / "data"


def test_df40_is_indexed_extracted_trained_and_evaluated(root, run, tmp_path):
    manifest, features = tmp_path / "df40.csv", tmp_path / "features"
    told = run("index", root, "-o", manifest).output
    assert "labels from DF40's folders" in told
    assert f"of these: {2 * PEOPLE} folders of frames" in told
    with manifest.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["method"] for row in rows if row["label"] == "fake"} == {"simswap", "MRAA"}
    tested = {row["group"] for row in rows if row["split"] == "test"}
    assert tested == {f"ff++ {person:03d}" for person in range(TESTED, PEOPLE, 2)}
    assert all(row["original"] for row in rows if row["label"] == "fake")
    rooted = ("--root", root)
    run("extract", manifest, *rooted, "-o", features, "--store", tmp_path / "store", *SMALL)
    run("train", features, "--manifest", manifest, "-o", tmp_path / "bundle", *SMALL)
    bundle = tmp_path / "bundle"
    run("evaluate", bundle, features, "--manifest", manifest, "-o", tmp_path / "report")
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())["lstm"]
    assert metrics["videos"] == 2 * (PEOPLE - TESTED)
    assert 0 <= metrics["auc"] <= 1
    told = run("audit", manifest, *rooted, "--json").output
    assert json.loads(told)["unhashed"] == 0
    robust = ("robustness", bundle, manifest, *rooted, "--store", tmp_path / "store")
    run(*robust, "--rungs", "crf-28,half-size", "-o", tmp_path / "robust",
        "--set", "evaluate.rounds=100")  # fmt: skip
    rungs = json.loads((tmp_path / "robust/robustness.json").read_text())["rungs"]
    assert {name: (one["videos"], one["failed"]) for name, one in rungs.items()} == dict.fromkeys(
        ("original", "crf-28", "half-size"), (2 * (PEOPLE - TESTED), 0)
    )


def test_a_backbone_is_fine_tuned_on_frames(root, run, tmp_path):
    manifest = tmp_path / "df40.csv"
    run("index", root, "-o", manifest)
    told = run(
        *("finetune", manifest, "--root", root, "-o", tmp_path / "weights", *SMALL[:4]),
        *("--store", tmp_path / "store", "--set", "finetune.epochs=1"),
        *("--set", "finetune.unfreeze=1", "--set", "finetune.forge=0.5"),
    ).output
    assert "validation" in told
    assert (tmp_path / "weights/backbone.json").is_file()


def test_forgeries_are_made_of_frames_and_a_lone_image_is_no_source(root, run, tmp_path):
    reals = root / "FaceForensics++/original_sequences/youtube/c23/frames"
    few = tmp_path / "few"
    few.mkdir()
    for person in ("000", "001"):
        (few / person).symlink_to(reals / person)
    told = run("forge", few, tmp_path / "forged", "--set", "forge.copies=1").output
    assert "2 real copies, 2 self-made forgeries" in told
    one = few / "000/000.png"
    (tmp_path / "labels.csv").write_text(f"path,label\n{one.relative_to(tmp_path)},real\n")
    told = run("forge", tmp_path / "labels.csv", tmp_path / "none", code=9)
    assert "it is one image; a forgery is made of a video" in told.output
