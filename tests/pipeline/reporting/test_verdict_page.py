"""The page of one video: what it says, that it stands alone, and that its heat is true."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.explanation.occlusion import HeatMap, heat_map, hide
from pipeline.cli.options import PARTLY_FAILED
from pipeline.inference.predict import heat_maps, judge
from pipeline.inference.provenance import provenance_of
from pipeline.inference.sources import file_facts
from pipeline.inference.verdict import FaceVerdict, Judged
from pipeline.inference.verdict_files import PageFiles
from pipeline.reporting.verdict_page import render_verdict, warnings
from tests.data.conftest import resized
from tests.pipeline.browser import PHONE, load_page, marks, needs_chromium
from tests.pipeline.reporting.test_report import Page

HOSTILE = '<script>alert("x")<!script>&.mp4'


@pytest.fixture(scope="module")
def bundle(world) -> Bundle:
    return Bundle.load(world.bundle)


@pytest.fixture(scope="module")
def judged(world, bundle, loaded, tmp_path_factory) -> Judged:
    """A rendered forgery under a hostile name."""
    path = tmp_path_factory.mktemp("video") / HOSTILE
    shutil.copy(sorted((world.demo / "fake").glob("*.mp4"))[0], path)
    (one,) = judge(bundle, [(str(path), path)], 1)
    return one


@pytest.fixture(scope="module")
def heat(bundle, judged) -> Iterator[HeatMap]:
    """The forgery's heat map; pages that are written meanwhile take it, too: it takes seconds."""
    face = judged.faces[0]
    made = heat_map(bundle.head, judged.encoder, face.frames.pixels, face.features, show=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.inference.predict.heat_map", lambda *_: made)
        yield made


@pytest.fixture(scope="module")
def page(bundle, judged, heat, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "verdict.html"
    text = render_verdict(
        bundle,
        judged,
        heats=heat_maps(judged),
        file=file_facts(judged),
        provenance=provenance_of(bundle),
        command="unmask predict …",
    )
    path.write_text(text, "utf-8")
    return path


def test_the_page_fetches_nothing_and_shows_the_name_as_it_is(page):
    read = Page(page.read_text("utf-8"))
    assert all(one.startswith(("data:image/jpeg;base64,", "#term-")) for one in read.fetched)
    assert "script" not in read.tags  # the name made none
    assert HOSTILE in read.shown
    assert {"scale", "timeline-1"} <= set(read.ids)


def test_the_page_says_what_the_verdict_stands_on(page, judged, bundle):
    shown = " ".join(Page(page.read_text("utf-8")).shown.split())
    verdict, face = judged.verdict, judged.verdict.faces[0]
    assert f"P(fake) {verdict.probability_fake:.3f}" in shown
    assert f"threshold {bundle.head.threshold:.3f}" in shown
    assert f"interval {face.probability_low:.3f} to {face.probability_high:.3f}" in shown
    assert verdict.sha256 in shown
    assert bundle.recipe["backbone_digest"] in shown
    for words in ("What this does not mean", "evidence, not proof", "REAL does not mean untouched"):
        assert words in shown
    assert str(verdict.verdict) in shown


def test_the_page_shows_every_frame_and_its_heat(page, judged):
    read = Page(page.read_text("utf-8"))
    frames = judged.verdict.frames_used
    assert frames == 8
    assert read.tags.count("img") == 1 + 2 * frames + 2  # scene, strip and heat, face and its heat
    text = page.read_text("utf-8")
    assert len(text.encode()) <= 700_000
    for one in judged.faces[0].score.windows:
        span = f"{one.start_seconds:.2f} to {one.end_seconds:.2f} s"
        assert f"<title>window {span}, P(fake) {one.probability_fake:.3f}, verdict " in text


def test_hiding_the_hottest_part_lowers_the_score_more_than_the_coldest(judged, bundle, heat):
    """Through the real backbone and head, hidden, embedded and scored anew."""
    face = judged.faces[0]
    scores = []
    for part in (heat.hottest, heat.coldest):
        batch = np.zeros((judged.encoder.batch_size, *face.frames.pixels.shape[1:]), np.uint8)
        batch[:8] = hide(face.frames.pixels, part.top, part.left)
        features = judged.encoder(batch)[None, :8].astype(face.features.dtype)
        answer = bundle.head.model({"features": features, "mask": np.ones((1, 8), bool)})
        scores.append(float(np.asarray(answer)[0]))
    own = bundle.head.model({"features": face.features[None], "mask": np.ones((1, 8), bool)})
    lowered = float(np.asarray(own)[0]) - np.asarray(scores)
    assert lowered[0] > lowered[1]
    assert lowered[0] > 0


def test_what_must_not_be_overlooked_is_said(judged, bundle):
    assert "trained the head" in " ".join(
        warnings(bundle, with_faces(judged, sha256=bundle.trained_on["train"]["sha256s"][0]))
    )
    real, fake = ({"verdict": one, "faces_found": 8} for one in ("REAL", "FAKE"))
    told = " ".join(warnings(bundle, with_faces(judged, faces=[real, fake], verdict="REAL")))
    assert "Another face is called FAKE: face 2" in told
    hidden = {"verdict": "REAL", "faces_found": 2}
    assert "seen in 2 of 8" in " ".join(warnings(bundle, with_faces(judged, faces=[hidden])))
    jumpy = {"verdict": "REAL", "faces_found": 8, "jumps": 3}
    assert "jumps 3 times" in " ".join(warnings(bundle, with_faces(judged, faces=[jumpy])))


def with_faces(judged: Judged, *, faces=(), **more) -> Judged:
    """The same video, had its faces been these."""
    first = asdict(judged.verdict.faces[0])
    made = tuple(
        FaceVerdict(**{**first, "face": number, **one}) for number, one in enumerate(faces, start=1)
    )
    verdict = replace(judged.verdict, faces=made or judged.verdict.faces, **more)
    return replace(judged, verdict=verdict)


def test_predict_tells_every_face_and_writes_a_page_for_each_video(
    world, run, loaded, heat, tmp_path
):
    (tmp_path / "videos").mkdir()
    shutil.copy(world.demo / "real" / "person_000.mp4", tmp_path / "videos" / "a %2f..mp4")
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"no video at all")
    pages = tmp_path / "new" / "pages"
    told = run("predict", world.bundle, tmp_path / "videos", "--report", pages, "--json",
               code=PARTLY_FAILED)  # fmt: skip
    (page,) = pages.iterdir()  # the bad one has no verdict, so no page
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{8}\.html", page.name)
    good, bad = json.loads(told.output)
    assert good["sha256"] in page.read_text("utf-8")
    assert bad["faces"] == []
    (face,) = good["faces"]
    assert face["face"] == 1
    assert face["verdict"] == good["verdict"]
    assert face["probability_fake"] == good["probability_fake"]
    assert face["probability_low"] <= face["probability_fake"] <= face["probability_high"]


def test_a_change_of_size_is_said_with_the_verdict(world, run, loaded, heat, tmp_path):
    """The same person twice, the second time twice as large: one face, which does not jump."""
    source = world.demo / "real" / "person_000.mp4"
    path = resized(tmp_path, source, "160:120", "320:240")
    page = tmp_path / "page.html"
    told = run("predict", world.bundle, path, "--report", page).output
    note = "the picture changes its size (160x120, then 320x240 from 0."
    assert note in told
    assert note[1:] in page.read_text("utf-8")
    (one,) = json.loads(run("predict", world.bundle, path, "--json").output)
    assert one["picture_note"].startswith(note)
    assert one["picture_note"].endswith("each part is cropped in its own shape")
    assert [face["jumps"] for face in one["faces"]] == [0]
    (plain,) = json.loads(run("predict", world.bundle, source, "--json").output)
    assert plain["picture_note"] is None
    assert "changes its size" not in run("predict", world.bundle, source).output


def test_where_a_page_may_go(world, run, tmp_path):
    (tmp_path / "one.html").write_text("an older page")
    files = PageFiles(tmp_path / "one.html", several=False)
    assert files.write("../../etc/passwd", "0" * 64, "new") == tmp_path / "one.html"
    assert (tmp_path / "one.html").read_text() == "new"
    written = PageFiles(tmp_path / "pages", several=True).write("../../etc/passwd", "0" * 64, "x")
    assert written.parent == tmp_path / "pages"
    for place, code, words in (("one.html", 2, "give a folder"), ("one.html/sub", 8, "no folder")):
        told = run("predict", world.bundle, world.demo, "--report", tmp_path / place, code=code)
        assert words in " ".join(told.stderr.split())


@needs_chromium
def test_a_browser_shows_it_without_errors_on_a_telephone(page):
    dom, errors = load_page(page, PHONE)
    assert errors == []
    assert 'data-over="0"' in dom
    assert 'data-broken="0"' in dom
    assert marks(dom)["timeline-1"] >= 5  # the windows
