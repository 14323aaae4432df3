"""The ladder as a command: right numbers, nothing made twice, failures listed and not scored."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import data.degrade
from data.errors import VideoError
from data.manifest import Manifest
from tests.pipeline.browser import PHONE, load_page, needs_chromium

RUNGS = ("--rungs", "crf-40,half-size,screenshot", "--set", "evaluate.rounds=100")


@pytest.fixture(scope="module")
def ladder(world, run, tmp_path_factory) -> Path:
    """Two rungs on the test videos."""
    out = tmp_path_factory.mktemp("ladder") / "out"
    run("robustness", world.bundle, world.manifest, "--root", world.demo, "-o", out,
        "--store", world.store, *RUNGS)  # fmt: skip
    return out


def test_the_originals_are_as_evaluate_measured_them(world, ladder):
    facts = json.loads((ladder / "robustness.json").read_text())["rungs"]
    own = json.loads((world.report / "metrics.json").read_text())["lstm"]
    assert list(facts) == sorted(["original", "crf-40", "half-size", "screenshot"])
    for name in ("auc", "eer", "balanced_accuracy", "videos", "groups"):
        assert facts["original"][name] == own[name]
    for name in ("crf-40", "half-size"):
        one = facts[name]
        assert one["videos"] + one["failed"] == own["videos"]
        if not one["failed"]:
            assert one["auc_drop"] == pytest.approx(own["auc"] - one["auc"])
        assert one["auc_drop_low"] <= one["auc_drop"] <= one["auc_drop_high"]
    with (ladder / "robustness.csv").open() as handle:
        rows = {row["rung"]: row for row in csv.DictReader(handle)}
    assert float(rows["crf-40"]["auc"]) == facts["crf-40"]["auc"]


def test_a_second_run_makes_nothing_and_says_the_same(world, ladder, run, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a copy was made again")

    failed = json.loads((ladder / "robustness.json").read_text())["rungs"]
    if any(one["failed"] for one in failed.values()):
        pytest.skip("copies that failed are tried again")
    monkeypatch.setattr(data.degrade, "transcode", refuse)
    told = run("robustness", world.bundle, world.manifest, "--root", world.demo,
               "-o", tmp_path / "out", "--store", world.store, *RUNGS).output  # fmt: skip
    assert "0 copies or videos embedded" in told
    for name in ("robustness.json", "robustness.csv", "failures.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (ladder / name).read_bytes()
    assert "whole" in run("store", "verify", tmp_path / "out" / "features").output


def test_a_failed_copy_is_listed_and_not_scored(world, run, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    real = next(v for v in Manifest.read(world.manifest).split("test") if v.label == 0)
    encode = data.degrade.transcode

    def fail(source: Path, target: Path, **more: object) -> None:
        if source == world.demo / real.path:
            raise VideoError("decode_error", "broken on the way")
        encode(source, target, **more)

    monkeypatch.setattr(data.degrade, "transcode", fail)
    out = tmp_path / "out"
    told = run("robustness", world.bundle, world.manifest, "--root", world.demo, "-o", out,
               "--store", world.store, "--rungs", "blur-0.25", "--keep", tmp_path / "kept",
               "--set", "evaluate.rounds=20").output  # fmt: skip
    facts = json.loads((out / "robustness.json").read_text())["rungs"]
    assert facts["blur-0.25"]["failed"] == 1
    assert facts["original"]["failed"] == 0
    assert facts["blur-0.25"]["videos"] == facts["original"]["videos"] - 1
    assert (
        f"blur-0.25,{real.path},decode_error,broken on the way"
        in (out / "failures.csv").read_text()
    )
    assert f"failed: blur-0.25: {real.path}: decode_error" in told
    assert real.path in (out / "report.html").read_text()
    kept = list((tmp_path / "kept" / "blur-0.25").iterdir())
    assert len(kept) == facts["blur-0.25"]["videos"]
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
    dom, errors = load_page(ladder / "report.html", PHONE)
    assert errors == []
    assert dom.count('class="point"') >= 4


def test_its_folder_is_no_report_for_results(ladder, run, tmp_path):
    shutil.copytree(ladder, tmp_path / "reports" / "ladder")
    assert "holds no report" in run("results", tmp_path / "reports", code=3).stderr
