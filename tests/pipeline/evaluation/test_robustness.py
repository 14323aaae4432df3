"""The ladder as a command: right numbers, nothing made twice, failures listed and not scored."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import data.video.corruptions
from data.datasets.manifest import Manifest, Video
from data.errors import VideoError
from tests.pipeline.browser import PHONE, load_page, marks, needs_chromium

RUNGS = ("--rungs", "crf-40,screenshot", "--set", "evaluate.rounds=100")


@dataclass(frozen=True)
class Climbed:
    """A finished ladder: two rungs on the test videos; a copy of `failed` failed on the second."""

    out: Path
    kept: Path
    failed: Video
    output: str
    command: tuple[object, ...]


@pytest.fixture(scope="module")
def ladder(world, run, tmp_path_factory) -> Climbed:
    folder = tmp_path_factory.mktemp("ladder")
    real = next(v for v in Manifest.read(world.manifest).split("test") if v.label == 0)
    encode = data.video.corruptions.transcode

    def fail(source: Path, target: Path, **more: Any) -> None:
        if source == world.demo / real.path and target.parent.name == "screenshot":
            raise VideoError("decode_error", "broken on the way")
        encode(source, target, **more)

    command = ("robustness", world.bundle, world.manifest, "--root", world.demo,
               "--store", world.store, *RUNGS)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data.video.corruptions, "transcode", fail)
        told = run(*command, "-o", folder / "out", "--keep", folder / "kept").output
    return Climbed(folder / "out", folder / "kept", real, told, command)


def test_the_originals_are_as_evaluate_measured_them(world, ladder):
    facts = json.loads((ladder.out / "robustness.json").read_text())["rungs"]
    own = json.loads((world.report / "metrics.json").read_text())["lstm"]
    assert list(facts) == ["crf-40", "original", "screenshot"]
    for name in ("auc", "eer", "balanced_accuracy", "videos", "groups"):
        assert facts["original"][name] == own[name]
    one = facts["crf-40"]
    assert (one["videos"], one["failed"]) == (own["videos"], 0)
    assert one["auc_drop"] == pytest.approx(own["auc"] - one["auc"])
    assert one["auc_drop_low"] <= one["auc_drop"] <= one["auc_drop_high"]
    with (ladder.out / "robustness.csv").open() as handle:
        rows = {row["rung"]: row for row in csv.DictReader(handle)}
    assert float(rows["crf-40"]["auc"]) == one["auc"]


def test_a_failed_copy_is_listed_and_not_scored(ladder):
    facts = json.loads((ladder.out / "robustness.json").read_text())["rungs"]
    assert facts["screenshot"]["failed"] == 1
    assert facts["screenshot"]["videos"] == facts["original"]["videos"] - 1
    path = ladder.failed.path
    rows = (ladder.out / "failures.csv").read_text()
    assert f"screenshot,{path},decode_error,broken on the way" in rows
    assert f"failed: screenshot: {path}: decode_error" in ladder.output
    assert path in (ladder.out / "report.html").read_text()
    assert len(list((ladder.kept / "screenshot").iterdir())) == facts["screenshot"]["videos"]


def test_a_second_run_makes_only_what_failed_and_leaves_no_copy(ladder, run, tmp_path, monkeypatch):
    tried = []

    def refuse(source: Path, target: Path, **_: Any) -> None:
        tried.append(target.parent.name)
        raise VideoError("decode_error", "broken on the way")

    monkeypatch.setattr(data.video.corruptions, "transcode", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    told = run(*ladder.command, "-o", tmp_path / "out").output
    assert tried == ["screenshot"]
    assert "0 copies or videos embedded" in told
    for name in ("robustness.json", "robustness.csv", "failures.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (ladder.out / name).read_bytes()
    assert "no damage" in run("store", "verify", tmp_path / "out" / "features").output
    assert not list((tmp_path / "tmp").iterdir())


def test_what_is_refused(world, run, tmp_path):
    command = ("robustness", world.bundle, world.manifest, "--root", world.demo,
               "-o", tmp_path / "out", "--store", world.store)  # fmt: skip
    assert "seen in training" in run(*command, "--split", "all", code=10).stderr
    assert "'crf-99'" in run(*command, "--rungs", "crf-99", code=2).stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    run(*command, code=8)


@needs_chromium
def test_the_page_has_marks_on_a_phone_too(ladder):
    dom, errors = load_page(ladder.out / "report.html", PHONE)
    assert errors == []
    assert marks(dom) == {"overview": 3}


def test_its_folder_is_no_report_for_results(ladder, run, tmp_path):
    shutil.copytree(ladder.out, tmp_path / "reports" / "ladder")
    assert "holds no report" in run("results", tmp_path / "reports", code=3).stderr
