"""`unmask predict`: verdicts come one by one, and a failed video is a row with its reason."""

from __future__ import annotations

import json
import sys

import pytest

from data.errors import InputError
from features.store.feature_set import Failure
from pipeline.cli.options import PARTLY_FAILED
from pipeline.inference.predict import no_verdict
from pipeline.inference.provenance import HEADLINE, Provenance
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

    def predict_videos(folder, videos, *, workers, prior):
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
        assert lines[1].endswith(f"train one on videos like yours (README.md), then: {again}")
    told = run("predict", tmp_path, code=InputError.exit_code).stderr
    assert "no video was given" in told
