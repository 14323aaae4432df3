"""Intervals are called by the level that they have, by every reader of a report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from data.video.corruptions import Corruption
from models.evaluation.evaluate import level_percent, percentiles
from pipeline.cli.evaluations.output import describe_intervals, show_robustness
from pipeline.evaluation.corruption_results import (
    ORIGINAL,
    CorruptionResult,
    CorruptionResults,
)
from pipeline.evaluation.results import StoredReport
from pipeline.reporting.report import render_page
from pipeline.reporting.robustness_page import render_robustness
from tests.pipeline.reporting.test_report import Page, made_up


def test_a_level_is_told_exactly():
    levels = (0.5, 0.57, 0.9, 0.95, 0.99, 0.999, 0.9999999)
    words = ("50", "57", "90", "95", "99", "99.9", "99.99999")
    assert [level_percent(one) for one in levels] == list(words)
    assert percentiles(0.95) == (2.5, 97.5)
    assert percentiles(0.8) == (10, 90)


@pytest.fixture(scope="module")
def narrow(world, run) -> Path:
    """The world's report once more, of another level."""
    out = world.folder / "narrow"
    run("evaluate", world.bundle, world.features, "--manifest", world.manifest, "-o", out,
        "--set", "evaluate.confidence=0.8")  # fmt: skip
    return out


def test_metrics_keep_the_level_and_results_shows_it(world, narrow, run, tmp_path):
    wide = json.loads((world.report / "metrics.json").read_text())
    metrics = json.loads((narrow / "metrics.json").read_text())
    assert (wide["confidence"], metrics["confidence"]) == (0.95, 0.8)
    assert {metrics[model]["confidence"] for model in ("lstm", "mean")} == {0.8}
    assert metrics["lstm"]["auc_low"] >= wide["lstm"]["auc_low"]
    alone = run("results", narrow).output
    assert "80 % intervals in brackets" in alone
    assert "95 %" not in alone
    page = Page((narrow / "report.html").read_text("utf-8")).shown
    assert "80% interval" in page
    assert "80 %, by" in page  # the card
    for name, report in (("a", world.report), ("b", narrow)):
        shutil.copytree(report, tmp_path / name)
    both = run("results", tmp_path).output.splitlines()
    assert both[0].startswith("a: ")
    assert "95 % intervals in brackets" in both[0]
    assert both[1].startswith("b: ")
    assert "80 % intervals in brackets" in both[1]


def test_a_report_of_an_earlier_version_has_no_level(world, run, tmp_path):
    shutil.copytree(world.report, tmp_path / "old")
    metrics = json.loads((tmp_path / "old" / "metrics.json").read_text())
    for facts in (metrics, metrics["lstm"], metrics["mean"]):
        del facts["confidence"]
    (tmp_path / "old" / "metrics.json").write_text(json.dumps(metrics))
    shown = run("results", tmp_path).output
    assert "level is not recorded" in shown
    assert "95 %" not in shown
    compared = run("compare", tmp_path / "old", world.report).output
    assert "report of A are of an unrecorded level" in compared
    assert "report of B are of 95 %" in compared


def test_compare_takes_the_reports_level_and_the_users_first(world, narrow, run):
    of = "compare", narrow, narrow, "--other", "mean"
    assert "A - B, 80 % intervals in brackets" in run(*of).output
    facts = json.loads(run(*of, "--json").output)
    metrics = json.loads((narrow / "metrics.json").read_text())
    assert facts["confidence"] == 0.8
    assert facts["bootstrap"]["auc"] == pytest.approx(metrics["auc_gain"])
    chosen = run(*of, "--set", "evaluate.confidence=0.95").output  # the default, but said
    assert "A - B, 95 % intervals in brackets" in chosen
    mixed = run("compare", world.report, narrow).output
    assert "A - B, 95 % intervals in brackets" in mixed
    assert "report of A are of 95 %" in mixed
    assert "report of B are of 80 %" in mixed


def test_compare_of_bundles_and_the_matrix_take_the_parameters_level(world, run, tmp_path):
    on = "--on", f"{world.features}:{world.manifest}", "--set", "evaluate.confidence=0.9"
    shown = run("compare", world.bundle, world.bundle, *on).output
    assert "90 % intervals in brackets" in shown
    out = tmp_path / "matrix"
    shown = run("evaluate", world.bundle, *on, "-o", out).output
    assert "90 % intervals in brackets" in shown
    assert json.loads((out / "matrix.json").read_text())["confidence"] == 0.9
    page = Page((out / "report.html").read_text("utf-8")).shown
    assert "90% intervals by groups" in page
    assert "95" not in page.partition("Again")[2].partition("Words on this page")[0]


def test_robustness_tells_its_level(capsys, tmp_path):
    found = replace(made_up().models["lstm"].evaluation, confidence=0.9)
    steps = [
        CorruptionResult(corruption=ORIGINAL, evaluation=found, drop=None, failed=0),
        CorruptionResult(corruption=Corruption(name="crf", family="crf", severity=30),
                         evaluation=found, drop=None, failed=0),
    ]  # fmt: skip
    results = CorruptionResults(
        steps=steps, split="test", kind="lstm", failures=(), seen="", rendered=True, facts={}
    )
    show_robustness(results, tmp_path)
    assert "AUC, 90 % interval" in capsys.readouterr().out
    assert results.to_json()["confidence"] == 0.9
    page = Page(render_robustness(results)).shown
    assert "90% interval" in page
    assert "95" not in page.partition("AUC by corruption")[0]


def test_reports_of_other_videos_get_a_line_each():
    metrics = {"a": made_up().metrics, "b": made_up().metrics}
    reports = [StoredReport(name=name, metrics=one, page=Path()) for name, one in metrics.items()]
    assert len(describe_intervals(reports)) == 1
    for level in (None, "x", [1], 7, 1.0, float("nan")):
        metrics["b"]["lstm"]["confidence"] = level
        assert "not recorded" in describe_intervals(reports)[1]
    metrics["b"]["lstm"]["confidence"] = 0.95
    metrics["b"]["lstm"]["videos"] = 7
    assert [line.partition(":")[0] for line in describe_intervals(reports)] == ["a", "b"]
    assert "95% interval" in Page(render_page(made_up())).shown
