"""`unmask predict`: verdicts come one by one, and a failed video is a row with its reason."""

from __future__ import annotations

import json
import sys

import pytest

from data.errors import ConfigError, InputError
from data.faces.given_box import GivenBox
from features.store.feature_set import Failure
from models.bundle import Bundle
from pipeline.cli.options import PARTLY_FAILED
from pipeline.inference.predict import no_verdict, predict_with
from pipeline.inference.provenance import HEADLINE, Provenance, provenance_of
from pipeline.inference.verdict import Prediction
from pipeline.shell_commands import command_line


@pytest.fixture
def printed(monkeypatch, tmp_path) -> list[str]:
    """What stood on stdout when each of two videos was to be judged; neither can be read."""
    found = []
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()

    def judged(videos):
        for name, _ in reversed(videos):
            found.append(sys.stdout.buffer.getvalue().decode())
            failure = Failure(path=name, failure="unreadable", message="no video", stderr_tail="")
            yield no_verdict(failure, None, 0.5)

    def predict_videos(folder, videos, *, workers, prior, box):
        learnt = Provenance(line="trained on nobody", rendered_alone=True)
        return Prediction(bundle=None, provenance=learnt, judged=judged(videos))  # type: ignore[arg-type]

    monkeypatch.setattr("pipeline.inference.predict.predict_videos", predict_videos)
    return found


def test_each_verdict_is_printed_as_soon_as_it_is_there(run, printed, tmp_path):
    told = run("predict", "bundle", tmp_path, "--report", tmp_path / "pages", code=PARTLY_FAILED)
    first, second = printed
    assert first.startswith(HEADLINE.upper())
    assert first.endswith("bundle bundle: trained on nobody\n")
    assert second == first + (
        f"{tmp_path}/b.mp4: no verdict: unreadable: no video\n"
        "  no page: there is no verdict to show\n"
    )
    assert told.stdout.startswith(second)
    assert told.stdout.count("no verdict: unreadable") == 2
    assert not (tmp_path / "pages").exists()


def test_json_is_one_list_sorted_by_name(run, printed, tmp_path):
    found = json.loads(run("predict", "bundle", tmp_path, "--json", code=PARTLY_FAILED).stdout)
    assert [one["video"] for one in found] == [f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4"]
    assert {(one["verdict"], one["failure"], one["message"]) for one in found} == {
        (None, "unreadable", "no video")
    }
    assert printed == ["", ""]


def test_without_a_bundle_two_lines_say_how_to_get_one(run, tmp_path):
    clip = tmp_path / "a clip.mp4"
    clip.write_bytes(b"")
    for arguments in ((clip,), (clip, clip), (tmp_path / "missing",)):
        lines = run("predict", *arguments, code=InputError.exit_code).stderr.strip().splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("warning: unmask ships no detector")
        again = command_line("unmask", "predict", "BUNDLE", *arguments)
        assert lines[1].endswith(f"train one on videos like yours (docs/train.md), then: {again}")
    told = run("predict", tmp_path, code=InputError.exit_code).stderr
    assert "no video was given" in told


def test_what_becomes_of_a_video_is_told_with_shares(loaded, world):
    video, told = world.demo / "real" / "person_000.mp4", []
    bundle = Bundle.load(world.bundle)
    made = predict_with(
        bundle, provenance_of(bundle), [("a.mp4", video)], on_stage=lambda *one: told.append(one)
    )
    assert len(list(made.judged)) == 1
    assert [stage for stage, share in told if share is None] == ["decoding", "faces", "backbone"]
    shares = [share for stage, share in told if share is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == bundle.recipe["frames"]["count"]
    assert {stage for stage, share in told if share is not None} == {"decoding"}


def test_a_box_is_of_one_video(run, world, tmp_path):
    for box, words in (
        ("1,2,3", "must be X,Y,WIDTH,HEIGHT"),
        ("1,2,30,nan", "must be X,Y,WIDTH,HEIGHT"),
        ("10,10,4,40", "at least 8 pixels"),
    ):
        told = run("predict", world.bundle, world.demo, "--box", box, code=ConfigError.exit_code)
        assert words in told.stderr
    two = ("predict", world.bundle, world.demo / "real", "--box", "1,2,30,40")
    assert "give one video" in run(*two, code=ConfigError.exit_code).stderr


def test_a_box_around_the_largest_face_gives_its_verdict(run, loaded, world, tmp_path):
    """The detector's own box, and a rough one: the same crops, so the same score."""
    video = world.demo / "real" / "person_000.mp4"
    (own,) = json.loads(run("predict", world.bundle, video, "--json").stdout)
    x0, y0, x1, y1 = own["faces"][0]["box"]
    side = (x1 - x0) / 1.3  # without the crop's margin
    x, y = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    for rough in (0, 5):
        box = f"{max(0, x + rough):.1f},{max(0, y - rough):.1f},{side:.1f},{side:.1f}@0.2"
        (given,) = json.loads(run("predict", world.bundle, video, "--box", box, "--json").stdout)
        assert given["given_box"] == str(GivenBox.parse(box))
        assert given["faces_found"] == own["faces_found"]
        assert given["probability_fake"] == pytest.approx(own["probability_fake"], abs=0.05)
    (away,) = json.loads(
        run("predict", world.bundle, video, "--box", "900,900,40,40", "--json",
            code=PARTLY_FAILED).stdout
    )  # fmt: skip
    assert away["failure"] == "no_face"
    assert "outside the picture of 160x120" in away["message"]
