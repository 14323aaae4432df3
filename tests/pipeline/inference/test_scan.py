"""A scan: ranked, the same scores as the report's, gone on with after an end, nothing twice."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline.inference.scan
import pipeline.inference.scan_scorer
from data.errors import LockedError, OutputError
from data.faces.crops import read_frames
from data.io.interrupts import INTERRUPTED
from features.extraction.summary import ExtractSummary
from features.store.feature_set import Features
from features.store.lock import hold_lock
from pipeline.cli.extraction import extraction_lines
from pipeline.cli.options import PARTLY_FAILED
from pipeline.extraction.extract import Extraction
from pipeline.inference.scan_journal import JOURNAL, Journal, Row
from tests.data.conftest import resized
from tests.pipeline.reporting.test_report import Page

WHAT = {"bundle_sha256": "b", "folder": "/videos"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_scan_ranks_with_the_scores_of_the_report(world, run, tmp_path):
    scan = tmp_path / "scan"
    arguments = ("scan", world.bundle, world.demo, "-o", scan, "--store", world.store)
    told = run(*arguments).output
    assert "24 videos" in told
    assert "0 embedded now" in told  # extract had them in the store
    table = rows_of(scan / "scores.csv")
    scores = [float(row["probability_fake"]) for row in table]
    assert scores == sorted(scores, reverse=True)
    assert [int(row["rank"]) for row in table] == list(range(1, 25))
    assert len({row["path"] for row in table}) == 24
    known = {row["path"]: row for row in rows_of(world.report / "predictions.csv")}
    for row in table:
        if row["path"] in known:
            wanted = float(known[row["path"]]["lstm"])
            assert float(row["probability_fake"]) == pytest.approx(wanted, abs=2e-6)
    record = json.loads((scan / "scan.json").read_text())
    assert record["finished"]
    assert record["FAKE"] + record["REAL"] + record["UNSURE"] == 24
    assert rows_of(scan / "failures.csv") == []
    page = Page((scan / "scan.html").read_text("utf-8"))
    assert all(one.startswith("#term-") for one in page.fetched)
    assert "script" not in page.tags
    assert table[0]["path"] in page.shown
    before = (scan / "scores.csv").read_bytes()
    again = json.loads(run(*arguments, "--json").output)
    assert again["embedded"] == 0
    assert (scan / "scores.csv").read_bytes() == before


@pytest.fixture
def some(world, tmp_path) -> Path:
    """Five videos and one that is none."""
    folder = tmp_path / "some"
    (folder / "deep").mkdir(parents=True)
    for number in range(5):
        shutil.copy(world.demo / "real" / f"person_00{number}.mp4", folder / "deep")
    (folder / "<b>bad.mp4").write_bytes(b"no video at all")
    return folder


def test_a_scan_that_was_ended_goes_on_and_reads_nothing_twice(
    world, run, some, tmp_path, monkeypatch, loaded
):
    read: list[str] = []

    def counting(path, **more):
        if len(read) == 4:
            raise KeyboardInterrupt
        read.append(path.name)
        return read_frames(path, **more)

    monkeypatch.setattr("pipeline.inference.scan.CHUNK", 2)
    monkeypatch.setattr(pipeline.inference.scan_scorer, "read_frames", counting)
    scan = tmp_path / "scan"
    arguments = ("scan", world.bundle, some, "-o", scan, "--store", tmp_path / "s", "--workers", 1)
    assert "kept" in run(*arguments, code=INTERRUPTED).stderr
    assert len((scan / JOURNAL).read_text().splitlines()) == 4
    assert not (scan / "scores.csv").exists()
    with (scan / JOURNAL).open("a") as handle:
        handle.write('{"path": "deep/person_0')  # a crash cuts a line short
    read.append("go on")
    told = run(*arguments, code=PARTLY_FAILED).output
    assert "4 known from an earlier run, 2 embedded now" in told
    assert sorted(read) == sorted(
        ["<b>bad.mp4", *(f"person_00{number}.mp4" for number in range(5)), "go on"]
    )
    (failure,) = rows_of(scan / "failures.csv")
    assert failure["class"] == "unreadable"
    assert len(rows_of(scan / "scores.csv")) == 5
    assert "<b>bad.mp4" in Page((scan / "scan.html").read_text("utf-8")).shown
    # A video that changed is looked at again, a failure only when asked.
    shutil.copy(world.demo / "fake" / "person_001.mp4", some / "deep" / "person_000.mp4")
    told = run(*arguments, "--retry", code=PARTLY_FAILED).output
    assert "4 known from an earlier run, 1 embedded now" in told
    assert read[-2:] == ["<b>bad.mp4", "person_000.mp4"]
    (some / "<b>bad.mp4").unlink()
    assert "5 known" in run(*arguments).output


def test_a_scan_counts_the_videos_that_change_their_size(world, run, some, tmp_path, loaded):
    path = resized(tmp_path, some / "deep" / "person_001.mp4", "160:120", "120:120")
    path.rename(some / "resized.mkv")
    scan = tmp_path / "scan"
    arguments = ("scan", world.bundle, some, "-o", scan, "--store", tmp_path / "s")
    for _ in range(2):  # the journal knows it, too
        told = run(*arguments, code=PARTLY_FAILED).output
        assert "1 video changes its picture's size (resized.mkv); each part is cropped" in told
        assert json.loads((scan / "scan.json").read_text())["resized"] == 1
        shown = Page((scan / "scan.html").read_text("utf-8")).shown
        assert "1 video changes its picture's size (resized.mkv)" in shown


def test_extract_counts_the_videos_that_change_their_size(tmp_path):
    def lines(**counts):
        made = Extraction(out=tmp_path, videos=3, size_bytes=0, workers=1, max_failures=0,
                          summary=ExtractSummary(done=3, **counts), next_command="")  # fmt: skip
        return "\n".join(extraction_lines(made))

    told = lines(resized=["b.mp4", "a.mp4"])
    assert "2 videos change their picture's size (a.mp4 for one)" in told
    assert "size (" not in lines()


def test_a_running_scan_writes_its_tables_as_they_grow_and_its_page_each_time(
    world, run, some, tmp_path, monkeypatch, loaded
):
    written = []

    def watch(name):
        real = getattr(pipeline.inference.scan, name)

        def call(*arguments):
            real(*arguments)
            table = tmp_path / "scan" / "scores.csv"
            written.append((name, len(rows_of(table))))

        monkeypatch.setattr(pipeline.inference.scan, name, call)

    watch("write_tables")
    watch("write_page")
    monkeypatch.setattr("pipeline.inference.scan.CHUNK", 1)
    monkeypatch.setattr("pipeline.inference.scan.SHOW_SECONDS", -1.0)
    monkeypatch.setattr("pipeline.inference.scan.SHOW_GROWTH", 2.0)
    (some / "<b>bad.mp4").unlink()
    run("scan", world.bundle, some, "-o", tmp_path / "scan", "--store", world.store)
    assert [rows for name, rows in written if name == "write_tables"] == [1, 2, 4, 5]
    assert [rows for name, rows in written if name == "write_page"] == [1, 2, 2, 4, 4, 5]
    assert len(list((tmp_path / "scan").glob(".*"))) == 0


def test_what_a_scan_refuses(world, run, some, tmp_path):
    arguments = ("--store", world.store)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty"):
        run("scan", world.bundle, folder, "-o", tmp_path / "out", *arguments, code=3)
    assert not (tmp_path / "out").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    told = run("scan", world.bundle, some, "-o", mine, *arguments, code=8).stderr
    assert "other files" in told
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_link_that_leads_nowhere_is_a_failure(world, run, tmp_path):
    """There was nothing to stat, and so nothing to say: it was counted, and in no table."""
    folder = tmp_path / "links"
    folder.mkdir()
    shutil.copy(world.demo / "real" / "person_000.mp4", folder)
    (folder / "dangling.mp4").symlink_to("nowhere")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    scan = tmp_path / "scan"
    for _ in range(2):  # the second knows the video
        told = run("scan", world.bundle, folder, "-o", scan, "--store", world.store,
                   code=PARTLY_FAILED).output  # fmt: skip
        assert "1 REAL" in told or "1 FAKE" in told or "1 UNSURE" in told
        failures = [(row["path"], row["class"]) for row in rows_of(scan / "failures.csv")]
        assert failures == [("dangling.mp4", "unreadable"), ("loop.mp4", "unreadable")]
    (folder / "dangling.mp4").unlink()
    shutil.copy(world.demo / "real" / "person_001.mp4", folder / "dangling.mp4")
    run("scan", world.bundle, folder, "-o", scan, "--store", world.store, code=PARTLY_FAILED)
    assert [row["path"] for row in rows_of(scan / "failures.csv")] == ["loop.mp4"]
    assert len(rows_of(scan / "scores.csv")) == 2


def row(path: str) -> Row:
    return Row(path=path, stamp=(3, 4), sha256="0" * 64, probability_fake=0.1 + 0.2, frames_used=8)


def test_the_journal_gives_back_what_it_was_given(tmp_path):
    strange = "na\udcffme\n.mp4"  # no UTF-8, as Linux allows
    rows = [row(strange), replace(row("b"), stamp=None, probability_fake=None, failure="no_face")]
    with Journal(tmp_path / "scan", WHAT) as journal:
        journal.add(rows)
    with Journal(tmp_path / "scan", WHAT) as journal:
        assert list(journal.rows.values()) == rows


@pytest.mark.parametrize("torn", [b'{"path"', b"[1, 2]\n", b"{}\n", b"\xff\xfe\n"])
def test_what_a_crash_left_is_dropped_and_written_over(tmp_path, torn):
    with Journal(tmp_path / "scan", WHAT) as journal:
        journal.add([row("a")])
    with (tmp_path / "scan" / JOURNAL).open("ab") as handle:
        handle.write(torn)
    with Journal(tmp_path / "scan", WHAT) as journal:
        assert list(journal.rows) == ["a"]
        journal.add([row("b")])
    with Journal(tmp_path / "scan", WHAT) as journal:
        assert list(journal.rows) == ["a", "b"]


def test_what_a_kill_left_half_written_goes_and_nothing_else(tmp_path):
    out = tmp_path / "scan"
    out.mkdir()
    (out / ".scan.json.0123abcd").write_text("{")  # killed in its first moment
    with Journal(out, WHAT):
        assert not (out / ".scan.json.0123abcd").exists()
    (out / ".scores.csv.89abcdef").write_text("rank")
    (out / ".scores.csv.swp").write_text("somebody's editor")
    with Journal(out, WHAT):
        pass
    assert sorted(path.name for path in out.glob(".*")) == [".scores.csv.swp"]


def test_another_scan_is_not_mixed_in(tmp_path):
    with Journal(tmp_path / "scan", WHAT), pytest.raises(LockedError, match="another scan"):
        Journal(tmp_path / "scan", WHAT)
    for key in WHAT:
        with pytest.raises(OutputError, match=key.partition("_")[0]):
            Journal(tmp_path / "scan", {**WHAT, key: "other"})


def test_a_scan_waits_for_nobody_elses_store(world, run, some, tmp_path):
    # Other tests put other recipes beside the one that the bundle reads.
    recipe = Features(world.features).recipe.digest[:16]
    with hold_lock(world.store / recipe):
        run("scan", world.bundle, some, "-o", tmp_path / "scan", "--store", world.store, code=11)
