"""`evaluate --hold-out`: from cached features to the page, and what it refuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.datasets.manifest import Manifest
from features.store.feature_set import Features
from pipeline.hold_out.detectors import divide, face_sizes
from pipeline.hold_out.hold_out import tested_videos as chosen_for_test
from tests.pipeline.reporting.test_report import Page

FAST = ("--set", "train.epochs=3", "--set", "hold_out.person_folds=3", "--set",
        "hold_out.method_folds=2", "--set", "evaluate.rounds=50")  # fmt: skip


@pytest.fixture(scope="module")
def named(world, tmp_path_factory) -> Path:
    """The demo's manifest with two methods, and each fake's original."""
    rows = Manifest.read(world.manifest)
    reals = {video.group: video.path for video in rows.videos if not video.label}
    videos = [
        replace(video, method=f"m{number // 2 % 2}", original=reals[video.group])
        if video.label else video
        for number, video in enumerate(sorted(rows.videos, key=lambda one: one.group))
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("named") / "manifest.csv"
    replace(rows, videos=tuple(videos)).write(path)
    return path


@pytest.fixture(scope="module")
def report(world, named, run, tmp_path_factory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("held") / "out"
    shown = run("evaluate", world.features, "--manifest", named, "--hold-out", "method",
                "-o", out, *FAST).stdout  # fmt: skip
    return out, shown


def test_every_detector_is_measured_on_every_method(world, report, named):
    out, shown = report
    facts = json.loads((out / "hold_out.json").read_text())
    assert set(facts["detectors"]) == {
        "lstm", "statistics", "mean", "logistic regression", "face size only", "metadata only",
        "motion only",
    }  # fmt: skip
    fakes = sum(video.label for video in Manifest.read(named).videos)
    for one in facts["detectors"].values():
        assert set(one["by_method"]) == {"m0", "m1"}
        assert sum(part["videos"] for part in one["by_method"].values()) == fakes
        assert 0 <= one["auc_methods_low"] <= one["auc_methods"] <= one["auc_methods_high"] <= 1
        assert {"pairs", "cllr", "coverage", "recall_fake", "recall_real"} <= set(one)
    assert facts["pairs"] == fakes
    assert "same-scene pairs ranked rightly" in shown
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_the_files_hold_every_video_and_method(report, named):
    out, _ = report
    with (out / "predictions.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {row["path"] for row in rows} == {video.path for video in Manifest.read(named).videos}
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    with (out / "methods.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 7 * 2


def test_the_same_command_gives_the_same_report(world, named, run, report, tmp_path):
    run("evaluate", world.features, "--manifest", named, "--hold-out", "method",
        "-o", tmp_path / "again", *FAST)  # fmt: skip
    for name in ("hold_out.json", "predictions.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (report[0] / name).read_bytes()


def test_one_method_cannot_be_held_out(world, named, run, tmp_path):
    rows = Manifest.read(named)
    videos = [replace(video, method="fake" if video.label else "real") for video in rows.videos]
    replace(rows, videos=tuple(videos)).write(tmp_path / "one.csv")
    shown = run("evaluate", world.features, "--manifest", tmp_path / "one.csv", "--hold-out",
                "method", "-o", tmp_path / "out", *FAST, code=4).stderr  # fmt: skip
    assert "at least 2 forgery methods, got fake" in shown
    assert "column `method`" in shown


@pytest.mark.parametrize(
    "more", [("--on", "f:m.csv"), ("--split", "all"), ("--root", ".")], ids=lambda one: one[0]
)
def test_options_that_do_not_fit_are_refused(world, named, run, tmp_path, more):
    shown = run("evaluate", world.features, "--manifest", named, "--hold-out", "method",
                "-o", tmp_path / "out", *more, code=2).stderr  # fmt: skip
    assert "leave bundles, --on, --root and --split out" in shown


def test_something_else_than_methods_is_refused(world, named, run, tmp_path):
    shown = run("evaluate", world.features, "--manifest", named, "--hold-out", "person",
                "-o", tmp_path / "out", code=2).stderr  # fmt: skip
    assert "--hold-out must be method, got 'person'" in shown


def test_a_backbone_that_knows_these_people_is_refused(world, named, run, tmp_path, monkeypatch):
    group = Manifest.read(named).videos[0].group
    tuned = {"trained_on": {"train": {"sha256s": [], "groups": [group]}}}
    opened = Features.__init__

    def knows(self, folder):
        opened(self, folder)
        self.provenance = tuned

    monkeypatch.setattr(Features, "__init__", knows)
    command = ("evaluate", world.features, "--manifest", named, "--hold-out", "method",
               "-o", tmp_path / "out", *FAST)  # fmt: skip
    assert "cannot be held out" in run(*command, code=10).stderr
    run(*command, "--allow-seen")
    page = Page((tmp_path / "out" / "report.html").read_text()).shown
    assert "fine-tuned on 1 of these groups" in page


def test_self_made_forgeries_are_learnt_from_and_not_tested_beside_others(named):
    videos = list(Manifest.read(named).videos)
    made = [
        replace(videos[0], path="copy.mp4", label=0, method="real", original=""),
        replace(videos[0], path="made.mp4", label=1, method="forged-swap", original="copy.mp4"),
    ]
    assert chosen_for_test([*videos, *made]).tolist() == [True] * len(videos) + [False] * 2
    assert chosen_for_test(made).all()  # alone they are what there is


def test_validation_has_other_people_and_both_classes(named):
    train, val = divide(Manifest.read(named).videos, seed=0)
    assert not {video.group for video in train} & {video.group for video in val}
    assert {video.label for video in train} == {video.label for video in val} == {0, 1}


def test_face_sizes_are_those_of_the_crops(world):
    features, videos = Features(world.features), Manifest.read(world.manifest).videos[:3]
    found = np.exp(face_sizes(features, videos))
    for row, video in enumerate(videos):
        boxes = features.sequence(video.sha256).boxes
        assert found[row, 0] == pytest.approx(np.median(boxes[:, 2] - boxes[:, 0]))
        assert found[row, 1] == pytest.approx(found[row, 0] / 120)
