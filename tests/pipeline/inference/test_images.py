"""Folders of frames and single images through `predict`, `scan`, `extract` and their neighbours."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import InputError, VideoError
from data.images.identity import source_sha256
from features.cluster.work_units import not_as_sent
from features.extraction.job import Job
from features.store.feature_set import Features
from models.applicability.one_image import NO_JUDGE, NOT_CALIBRATED
from models.bundle import Bundle
from models.records import BUNDLE_RECORD
from pipeline.cli.options import PARTLY_FAILED
from tests.frames import frames_of, save_frames
from tests.pipeline.conftest import SMALL
from tests.pipeline.reporting.test_report import Page

OTHER_KIND = InputError.exit_code


@pytest.fixture(scope="module")
def video(world) -> Path:
    return sorted((world.demo / "fake").glob("*.mp4"))[0]


@pytest.fixture(scope="module")
def folder(video, tmp_path_factory) -> Path:
    """The video's frames."""
    return save_frames(video, tmp_path_factory.mktemp("frames") / video.stem)


@pytest.fixture(scope="module")
def image(video, tmp_path_factory) -> Path:
    """One of them."""
    path = tmp_path_factory.mktemp("image") / "still.png"
    Image.fromarray(frames_of(video)[5]).save(path)
    return path


def judged(run, bundle: Path, *arguments: object, code: int = 0) -> list[dict]:
    return json.loads(run("predict", bundle, *arguments, "--json", code=code).stdout)


def test_a_folder_of_frames_gets_the_videos_verdict(run, loaded, world, video, folder):
    (one,), (other,) = (judged(run, world.bundle, path) for path in (video, folder))
    assert (one["kind"], other["kind"]) == ("video", "frames")
    assert "a folder of" in other["source_note"]
    differ = {"video", "kind", "source_note", "sha256"}
    assert {k: v for k, v in one.items() if k not in differ} == {
        k: v for k, v in other.items() if k not in differ
    }
    assert other["sha256"] == source_sha256(folder)
    told = run("predict", world.bundle, folder).stdout
    assert f"{folder}: {one['verdict']}" in told
    assert "\n  a folder of " in told


def test_an_image_is_said_to_be_one_and_has_no_ratio(run, loaded, world, image, tmp_path):
    (found,) = judged(run, world.bundle, image)
    known = Bundle.load(world.bundle).one_image
    assert (found["kind"], found["frames_used"]) == ("image", 1)
    assert found["threshold"] == known.threshold
    assert found["log10_lr"] is None
    assert found["faces"][0]["probability_low"] is None
    assert "calibrated on single frames" in found["source_note"]
    page = tmp_path / "page.html"
    told = run("predict", world.bundle, image, "--report", page).stdout
    assert "one image\n  one image, judged by" in told
    shown = Page(page.read_text("utf-8")).shown
    assert "One image was judged." in shown
    assert "an image is called FAKE" in shown
    assert "over time" not in shown.partition("Words on this page")[0]
    with_prior = judged(run, world.bundle, image, "--prior", "0.01") if known else []
    assert [one["posterior_fake"] for one in with_prior] == [None]


def test_a_box_points_at_a_face_of_an_image(run, loaded, world, image):
    (own,) = judged(run, world.bundle, image)
    x0, y0, x1, y1 = own["faces"][0]["box"]
    side = (x1 - x0) / 1.3
    box = f"{(x0 + x1 - side) / 2:.1f},{(y0 + y1 - side) / 2:.1f},{side:.1f},{side:.1f}"
    (given,) = judged(run, world.bundle, image, "--box", box)
    assert given["probability_fake"] == pytest.approx(own["probability_fake"], abs=0.05)


def rewritten(bundle: Path, out: Path, **head: object) -> Path:
    """A copy of a bundle as an earlier version wrote it, without a calibration for images."""
    shutil.copytree(bundle, out)
    facts = json.loads((out / BUNDLE_RECORD).read_text())
    facts.pop("one_image")
    facts["head"]["config"] |= head
    (out / BUNDLE_RECORD).write_text(json.dumps(facts))
    return out


def test_a_bundle_without_a_calibration_for_images_is_unsure(run, loaded, world, image, tmp_path):
    bundle = rewritten(world.bundle, tmp_path / "bundle")
    (found,) = judged(run, bundle, image)
    assert (found["verdict"], found["reason"]) == ("UNSURE", NOT_CALIBRATED)
    assert found["novelty"] is None
    page = tmp_path / "page.html"
    run("predict", bundle, image, "--report", page)
    assert NOT_CALIBRATED in Page(page.read_text("utf-8")).shown


def test_a_head_that_needs_time_says_that_it_cannot(
    run, loaded, world, image, video, tmp_path, monkeypatch
):
    monkeypatch.setattr(Bundle, "for_one_image", lambda _: None)
    found = judged(run, world.bundle, image, video, code=PARTLY_FAILED)
    failures = {Path(one["video"]).suffix: one for one in found}
    assert failures[".png"]["message"] == NO_JUDGE
    assert failures[".png"]["failure"] == "too_few_frames"
    assert failures[".mp4"]["verdict"] is not None
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(image, archive)
    scan = ("scan", world.bundle, archive, "-o", tmp_path / "scan", "--images")
    told = run(*scan, "--store", tmp_path / "store", code=12).output
    assert "it is one image" in told


def test_cases_of_frames_and_images_are_verified_against_them(
    run, loaded, world, folder, image, tmp_path
):
    for number, evidence in enumerate((folder, image)):
        case = tmp_path / f"case-{number}"
        run("predict", world.bundle, evidence, "--case", case)
        record = json.loads((case / "case.json").read_text())
        assert record["judgement"]["kind"] == ("frames", "image")[number]
        assert record["evidence"]["sha256"] == source_sha256(evidence)
        assert run("case", "verify", case, "--evidence", evidence).output
    other = shutil.copytree(folder, tmp_path / "other")
    first = sorted(other.glob("*.png"))[0]
    Image.open(first).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(first)
    told = run("case", "verify", tmp_path / "case-0", "--evidence", other, code=14).output
    assert "not the file that was judged" in told


def test_a_scan_takes_frames_and_where_asked_images(
    run, loaded, world, folder, video, image, tmp_path
):
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copytree(folder, archive / "deep" / "person")
    shutil.copy(video, archive)
    shutil.copy(image, archive)
    scan = ("scan", world.bundle, archive, "--store", tmp_path / "store", "-o")
    assert "2 videos" in run(*scan, tmp_path / "scan").output
    told = run(*scan, tmp_path / "both", "--images").output
    assert "3 videos" in told
    assert "1 of them are single images" in told
    with (tmp_path / "both/scores.csv").open(newline="") as handle:
        rows = {row["path"]: row for row in csv.DictReader(handle)}
    assert {name: row["image"] for name, row in rows.items()} == {
        "deep/person": "", video.name: "", "still.png": "yes",
    }  # fmt: skip
    assert rows["deep/person"]["probability_fake"] == rows[video.name]["probability_fake"]
    (alone,) = judged(run, world.bundle, image)
    assert float(rows["still.png"]["probability_fake"]) == pytest.approx(
        alone["probability_fake"], abs=1e-6
    )
    assert rows["still.png"]["verdict"] == alone["verdict"]
    again = json.loads(run(*scan, tmp_path / "both", "--images", "--json").output)
    assert again["embedded"] == 0
    frame = sorted((archive / "deep/person").glob("*.png"))[0]
    shutil.copy(sorted((archive / "deep/person").glob("*.png"))[3], frame)
    again = json.loads(run(*scan, tmp_path / "both", "--images", "--json").output)
    assert again["embedded"] == 1  # the folder changed
    assert "judge it with unmask predict" in run(
        *("scan", world.bundle, folder, "-o", tmp_path / "c"), code=OTHER_KIND
    ).output  # fmt: skip


def test_extract_stores_the_same_embeddings(run, loaded, world, video, folder, tmp_path):
    """PNGs of a video's frames have the video's embeddings, under a key of their own."""
    videos = tmp_path / "videos"
    for name in ("real", "fake"):
        (videos / name).mkdir(parents=True)
    shutil.copy(video, videos / "fake")
    shutil.copytree(folder, videos / "real" / "person_of_frames")
    run("index", videos, "-o", tmp_path / "m.csv")
    run("extract", tmp_path / "m.csv", "--root", videos, "-o", tmp_path / "features",
        "--store", tmp_path / "store", *SMALL)  # fmt: skip
    features = Features(tmp_path / "features")
    with (tmp_path / "m.csv").open(newline="") as handle:
        digests = [row["sha256"] for row in csv.DictReader(handle)]
    one, other = (np.asarray(features.sequence(digest).features) for digest in digests)
    assert len(one) == 8
    np.testing.assert_array_equal(one, other)
    again = run("extract", tmp_path / "m.csv", "--root", videos, "-o", tmp_path / "features",
                "--store", tmp_path / "store", *SMALL).output  # fmt: skip
    assert "2 reused" in again or "2 videos reused" in again or "reused 2" in again


def test_a_worker_checks_a_folders_digest(folder, tmp_path):
    job = Job(path=folder, name="a", sha256=source_sha256(folder), duration_seconds=1)
    assert not_as_sent(job) == ""
    assert not_as_sent(replace(job, sha256="0" * 64)) == "it has other bytes there"
    (tmp_path / "empty").mkdir()
    assert "holds no frames" in not_as_sent(replace(job, path=tmp_path / "empty"))
    assert not_as_sent(replace(job, path=tmp_path / "gone")) == "it is not there"


def test_folders_of_images_say_how_to_take_them(run, loaded, world, image, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("ann.png", "bob.png"):
        shutil.copy(image, photos / name)
    told = run("predict", world.bundle, photos, code=OTHER_KIND).stderr
    assert "only 2 single images; add --images" in told
    found = judged(run, world.bundle, photos, "--images")
    assert [one["kind"] for one in found] == ["image", "image"]


def test_two_versions_may_be_frames_and_one_image_is_too_few(run, video, folder, image, tmp_path):
    told = run("pair", video, folder).stdout
    assert "ALIKE: one scene; the faces differ by 0.0 grey levels" in told
    told = run("pair", video, image, code=VideoError.exit_code).stderr
    assert len(told.strip().splitlines()) <= 2
    (tmp_path / "empty").mkdir()
    told = run("pair", video, tmp_path / "empty", code=OTHER_KIND).stderr
    assert "holds no frames of one video" in told
