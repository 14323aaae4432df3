"""Case files: what is in one, and that any change of one is found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from data.errors import ConfigError, InputError, OutputError
from data.io.reading import file_sha256
from data.video.ffmpeg import find_tools
from pipeline.case.manifest import MANIFEST, canonical, seal_of
from pipeline.case.schema import NAME, published_schema, schema_text
from pipeline.case.verify import MOST_ENTRIES, verify_case
from pipeline.case.write import check_case_folder
from pipeline.cli.cases.commands import CHANGED
from pipeline.cli.options import PARTLY_FAILED
from tests.commands import ROOT
from tests.pipeline.reporting.test_report import Page

BY, AT = "A. <b>Examiner</b>", "2026-01-31T10:00:00+01:00"


@pytest.fixture(scope="module")
def video(world, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("evidence") / "an interview.mp4"
    shutil.copy(sorted((world.demo / "fake").glob("*.mp4"))[0], path)
    return path


@pytest.fixture(scope="module")
def written(world, run, loaded, video, tmp_path_factory) -> tuple[Path, str]:
    """A case, and its seal as it was printed."""
    folder = tmp_path_factory.mktemp("cases") / "case"
    told = run("predict", world.bundle, video, "--case", folder, "--by", BY, "--at", AT).output
    found = re.search(r"  seal: ([0-9a-f]{64})", told)
    assert found
    return folder, found[1]


@pytest.fixture
def case(written, tmp_path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(written[0], tmp_path / "case"))


@pytest.fixture(scope="module")
def record(written):
    return json.loads((written[0] / "case.json").read_text("utf-8"))


def test_the_record_fits_the_published_schema_and_says_what_was_judged(record, video, written):
    schema = json.loads(published_schema())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(record)
    assert json.loads((written[0] / "case.schema.json").read_text()) == schema
    assert record["evidence"] == {
        "name": str(video), "sha256": file_sha256(video), "size_bytes": video.stat().st_size
    }  # fmt: skip
    made = record["made"]
    assert (made["by"], made["at"], made["at_given"]) == (BY, AT, True)
    assert "--case" in made["command"]
    assert "--by" in made["command"]
    assert record["judgement"]["verdict"] in ("FAKE", "REAL", "UNSURE")
    assert record["tools"]["ffmpeg"] == find_tools().version
    assert record["declared"]["streams"][0]["codec"] == "h264"
    assert record["limits"][0].startswith("A score is evidence, not proof.")


def test_a_wrong_record_does_not_fit_the_schema(record):
    validator = Draft202012Validator(json.loads(published_schema()))
    for wrong in (
        record | {"version": 2},
        record | {"more": 1},
        {key: value for key, value in record.items() if key != "evidence"},
        record | {"judgement": record["judgement"] | {"verdict": "MAYBE"}},
        record | {"judgement": record["judgement"] | {"probability_fake": 1.5}},
    ):
        assert not validator.is_valid(wrong)


def test_the_published_schemas_are_those_of_the_code():
    """After a change: `python -m tests.pipeline.case.publish`, and a new version if it breaks."""
    assert published_schema().decode() == schema_text()
    assert (ROOT / "docs" / NAME).read_bytes() == published_schema()


def test_crops_are_the_pixels_of_the_frames(record, written, video):
    """Compared with frames that ffmpeg decodes by itself, of the same times."""
    crops = record["crops"]
    assert len(crops) == 8
    command = [find_tools().ffmpeg, "-v", "error", "-i", video, "-fps_mode", "passthrough",
               "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]  # fmt: skip
    raw = subprocess.run([str(one) for one in command], check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 120, 160, 3)
    for crop in crops:
        pixels = np.asarray(Image.open(written[0] / crop["file"]))
        x0, y0, x1, y1 = crop["pixels"]
        assert pixels.shape == (y1 - y0, x1 - x0, 3)
        frame = frames[round(crop["seconds"] * 25)]
        assert np.abs(frame[y0:y1, x0:x1].astype(int) - pixels).mean() < 2
        assert x0 <= crop["box"][0] < x0 + 1
        assert y1 - 1 < crop["box"][3] <= y1 or y1 == frame.shape[0]


def test_the_page_of_a_case_has_its_facts_and_a_place_to_sign(written, record):
    page = Page((written[0] / "verdict.html").read_text("utf-8"))
    shown = " ".join(page.shown.split())
    assert BY in shown  # as it is, so escaped
    assert "b" not in page.tags
    for words in (record["evidence"]["sha256"], record["crops"][0]["file"], "Signature",
                  "What the file says of itself", "It was not used for the verdict"):  # fmt: skip
        assert words in shown
    assert record["detector"]["bundle_sha256"] in shown


def test_an_intact_case_is_called_so(written, video, run):
    folder, seal = written
    check = verify_case(folder, evidence=video, seal=seal)
    assert check.intact
    assert (check.by, check.at, check.seal) == (BY, AT, seal)
    told = run("case", "verify", folder, "--evidence", video, "--seal", seal.upper()).output
    assert "intact: 11 files" in told
    assert "(as given)" in told
    assert "(compared)" in told
    assert "not compared" in run("case", "verify", folder).output


def test_each_of_50_changed_bytes_is_found_and_named(case):
    """Spread over all files by their number, the first and the last byte of each among them."""
    files = sorted(path for path in case.rglob("*") if path.is_file())
    draw = np.random.default_rng(0)
    places = [(path, place) for path in files for place in (0, path.stat().st_size - 1)]
    while len(places) < 50:
        path = files[len(places) % len(files)]
        places.append((path, int(draw.integers(path.stat().st_size))))
    for path, place in places:
        content = path.read_bytes()
        changed = bytearray(content)
        changed[place] ^= int(draw.integers(1, 256))
        path.write_bytes(changed)
        problems = verify_case(case).problems
        assert [(one.kind, one.path) for one in problems] == [
            ("changed", str(path.relative_to(case)))
        ], (path, place)
        path.write_bytes(content)
    assert verify_case(case).intact


def test_what_is_missing_added_or_longer_is_found(case, run):
    page = case / "verdict.html"
    page.rename(case / "crops" / "page.html")
    (case / "empty").mkdir()
    (case / ".hidden").write_text("x")
    with (case / "case.json").open("a") as file:
        file.write(" ")
    told = run("case", "verify", case, "--json", code=CHANGED).output
    assert {(one["kind"], one["path"]) for one in json.loads(told)["problems"]} == {
        ("missing", "verdict.html"),
        ("added", "crops/page.html"),
        ("added", "empty/"),
        ("added", ".hidden"),
        ("changed", "case.json"),
    }
    told = run("case", "verify", case, code=CHANGED).output
    assert "NOT INTACT: 5 found" in told


def test_links_pipes_and_folders_in_the_place_of_files_are_not_followed(case, tmp_path):
    outside = tmp_path / "outside"
    shutil.copy(case / "case.json", outside)
    (case / "case.json").unlink()
    (case / "case.json").symlink_to(outside)  # the same bytes, but not in the case
    os.rename(case / "crops", tmp_path / "crops")
    (case / "crops").symlink_to(tmp_path / "crops")
    (case / "verdict.html").unlink()
    os.mkfifo(case / "verdict.html")
    found = {(one.kind, one.path) for one in verify_case(case).problems}
    assert {("missing", "case.json"), ("added", "case.json"), ("missing", "verdict.html"),
            ("added", "crops"), ("added", "verdict.html")} <= found  # fmt: skip
    assert sum(kind == "missing" for kind, _ in found) == 2 + 8


def test_a_link_or_pipe_as_manifest_is_not_read(case, tmp_path):
    os.rename(case / MANIFEST, tmp_path / MANIFEST)
    (case / MANIFEST).symlink_to(tmp_path / MANIFEST)
    assert ("missing", MANIFEST) in {(one.kind, one.path) for one in verify_case(case).problems}
    (case / MANIFEST).unlink()
    os.mkfifo(case / MANIFEST)
    assert ("missing", MANIFEST) in {(one.kind, one.path) for one in verify_case(case).problems}


def resealed(case: Path, **changes) -> None:
    facts = json.loads((case / MANIFEST).read_text()) | changes
    (case / MANIFEST).write_bytes(canonical(facts | {"seal": seal_of(facts)}))


def test_a_case_made_anew_by_somebody_else_has_another_seal(case, written):
    """Whoever changes a file and the manifest with it is found by the noted seal alone."""
    page = case / "verdict.html"
    page.write_text("REAL")
    files = [
        one | ({"sha256": file_sha256(page), "size_bytes": 4} if one["path"] == page.name else {})
        for one in json.loads((case / MANIFEST).read_text())["files"]
    ]
    resealed(case, files=files)
    assert verify_case(case).intact
    (problem,) = verify_case(case, seal=written[1]).problems
    assert "not the one that was given" in problem.why


def test_a_manifest_of_other_evidence_or_without_the_record_is_found(case):
    files = json.loads((case / MANIFEST).read_text())["files"]
    resealed(case, evidence={"sha256": "0" * 64, "size_bytes": 5})
    (problem,) = verify_case(case).problems
    assert "other evidence" in problem.why
    resealed(case, files=[one for one in files if one["path"] != "case.json"])
    assert ("missing", "case.json") in {(one.kind, one.path) for one in verify_case(case).problems}


def test_a_huge_manifest_and_a_million_files_are_bounded(case):
    (case / MANIFEST).write_bytes(b" " * (2 << 20))
    (problem,) = verify_case(case).problems
    assert problem.why == "it is too large"
    for number in range(MOST_ENTRIES + 50):
        (case / f"x{number}").touch()
    assert any("others were not looked at" in one.why for one in verify_case(case).problems)


def test_other_evidence_is_found(case, world, run):
    other = next((world.demo / "real").glob("*.mp4"))
    told = run("case", "verify", case, "--evidence", other, code=CHANGED).output
    assert "not the file that was judged" in told
    assert run("case", "verify", case, "--evidence", case / "none", code=3)


def test_a_signature_is_told_and_not_checked(case, run):
    (case / "manifest.json.sig").write_bytes(b"anything")
    told = run("case", "verify", case).output
    assert "manifest.json.sig is there; signatures are not checked here" in told


def test_what_is_no_case_is_refused_in_one_line(tmp_path, run):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError):
            verify_case(path)
        assert run("case", "verify", path, code=InputError.exit_code).stderr.count("\n") == 1


def test_a_case_is_never_replaced(world, run, written, video, tmp_path):
    folder, _ = written
    told = run("predict", world.bundle, video, "--case", folder, code=OutputError.exit_code)
    assert "a case is never replaced" in told.stderr
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(OutputError):
            check_case_folder(taken)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "x"), "add --case"),
        (("--at", AT), "add --case"),
        (("--case", "c", "--at", "yesterday"), "is no time"),
        (("--case", "c", "--at", "2026-01-31T10:00:00"), "no time zone"),
        (("--case", "c", "--reference", "README.md"), "unmask pair"),
    ],
)
def test_options_that_do_not_go_together(world, run, video, words, said):
    told = run("predict", world.bundle, video, *words, code=ConfigError.exit_code)
    assert said in told.stderr


def test_several_videos_get_a_case_each_and_one_without_a_verdict_none(
    world, run, video, loaded, tmp_path
):
    (tmp_path / "in").mkdir()
    shutil.copy(video, tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    out = tmp_path / "cases"
    told = run("predict", world.bundle, tmp_path / "in", "--case", out, code=PARTLY_FAILED).output
    assert "no case: there is no verdict" in told
    (one,) = out.iterdir()
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{8}", one.name)
    assert verify_case(one, evidence=tmp_path / "in" / "a.mp4").intact
    made = json.loads((one / "case.json").read_text())["made"]
    assert made["by"] is None
    assert made["at"].endswith("+00:00")
    assert not made["at_given"]


def test_evidence_that_changed_since_it_was_judged_gives_no_case(
    world, run, video, loaded, monkeypatch, tmp_path
):
    path = tmp_path / "video.mp4"
    shutil.copy(video, path)

    def change(*_):
        path.write_bytes(path.read_bytes() + b"x")
        return {}

    monkeypatch.setattr("pipeline.cli.cases.page.heat_maps", change)
    told = run("predict", world.bundle, path, "--case", tmp_path / "case", code=3)
    assert "has changed since it was judged" in told.stderr
    assert not (tmp_path / "case").exists()


def test_one_of_several_that_changed_does_not_end_the_others(
    world, run, video, loaded, monkeypatch, tmp_path
):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(video, tmp_path / "in" / name)

    def change(judged):
        if judged.path.name == "a.mp4":
            judged.path.write_bytes(judged.path.read_bytes() + b"x")
        return {}

    monkeypatch.setattr("pipeline.cli.cases.page.heat_maps", change)
    told = run("predict", world.bundle, tmp_path / "in", "--case", tmp_path / "cases", code=3)
    assert "no case: " in told.output
    assert "has changed since it was judged" in told.stderr
    (one,) = (tmp_path / "cases").iterdir()
    assert verify_case(one, evidence=tmp_path / "in" / "b.mp4").intact


def test_a_long_command_is_kept_whole_and_json_tells_the_seal(world, run, video, loaded, tmp_path):
    told = run("predict", world.bundle, video, "--case", tmp_path / "case", "--by", "x" * 2000,
               "--json")  # fmt: skip
    made = json.loads((tmp_path / "case" / "case.json").read_text())["made"]
    assert "x" * 2000 in made["command"]
    assert made["by"] == "x" * 2000
    assert verify_case(tmp_path / "case").seal in told.stderr


def test_equal_cases_are_equal_byte_by_byte(world, run, loaded, written, video, tmp_path):
    """But for the folder's name in the command."""
    folder, _ = written
    shutil.copytree(folder, tmp_path / "first")
    shutil.rmtree(folder)
    try:
        run("predict", world.bundle, video, "--case", folder, "--by", BY, "--at", AT)
        for path in sorted((tmp_path / "first").rglob("*.*")):
            again = folder / path.relative_to(tmp_path / "first")
            assert again.read_bytes() == path.read_bytes(), path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "first", folder)
