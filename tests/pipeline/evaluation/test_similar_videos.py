"""Counts of verdicts on test videos, by what these are like."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

import pipeline.evaluation.similar_videos as similar
from pipeline.evaluation.similar_videos import QUANTITIES, Counts, count_tested

LABELS = np.array([0, 1] * 16)
VERDICTS = np.array((["REAL", "FAKE"] * 8) + (["FAKE", "REAL"] * 4) + (["UNSURE"] * 8))


def counted(picture: np.ndarray, unseen: np.ndarray | None = None) -> similar.TestedVideos:
    """Counts of 32 videos whose pictures have these sizes."""
    rows = {name: np.full(32, np.nan) for name in QUANTITIES} | {"picture": picture}
    return count_tested(LABELS, VERDICTS, rows, unseen)


def test_a_video_gets_the_counts_of_those_like_it() -> None:
    found = counted(np.repeat([240.0, 360.0, 720.0, 1080.0], 8))
    assert [(part.low, part.high) for part in found.parts["picture"]] == [
        (240, 240), (360, 360), (720, 720), (1080, 1080),
    ]  # fmt: skip
    (row,) = similar.tests_like(found, {"picture": 720, "bits": float("nan")})
    assert row.counts == Counts(fakes=4, caught=0, reals=4, cleared=0, unsure=0)
    assert not row.outside
    (row,) = similar.tests_like(found, {"picture": 1000})  # between two parts, the nearer
    assert row.counts == Counts(fakes=4, caught=0, reals=4, cleared=0, unsure=8)
    assert not row.outside
    (row,) = similar.tests_like(found, {"picture": 2160})
    assert row.outside
    assert row.high == 1080


def test_equal_values_are_one_part_and_few_videos_too() -> None:
    (part,) = counted(np.full(32, 480.0)).parts["picture"]
    assert part.counts == Counts(fakes=16, caught=8, reals=16, cleared=8, unsure=8)
    few = np.full(32, np.nan)
    few[:9] = np.arange(9)
    (part,) = counted(few).parts["picture"]
    assert part.counts.fakes + part.counts.reals == 9
    assert counted(np.full(32, np.nan)).parts["picture"] == ()
    assert similar.tests_like(counted(np.full(32, np.nan)), {"picture": 480}) == []


def test_every_video_is_in_one_part() -> None:
    values = np.random.default_rng(0).integers(1, 12, 32).astype(float)
    parts = counted(values).parts["picture"]
    assert len(parts) > 1
    assert sum(part.counts.fakes + part.counts.reals for part in parts) == 32
    assert all(one.high < other.low for one, other in pairwise(parts))


def test_unseen_methods_are_counted() -> None:
    methods = ["real", "a"] * 14 + ["real", "b"] * 2
    unseen = similar.unseen_forgeries(LABELS.tolist(), methods, {"a"})
    assert unseen.tolist() == [False] * 28 + [False, True] * 2
    found = counted(np.full(32, 1.0), unseen)
    assert found.unseen_methods == Counts(fakes=2, caught=0, reals=0, cleared=0, unsure=2)
    assert counted(np.full(32, 1.0)).unseen_methods is None


def test_counts_survive_json() -> None:
    for unseen in (None, np.arange(32) == 3):
        found = counted(np.linspace(0.1, 0.9, 32), unseen)
        assert similar.TestedVideos.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(KeyError):
        similar.TestedVideos.from_json({"parts": {}, "unseen_methods": None})


def test_what_a_video_is_measured_by() -> None:
    boxes = np.array([[0, 0, 100, 90], [5, 5, 125, 100], [0, 0, 80, 80]], np.float32)
    assert similar.median_side(boxes) == 100
    facts = similar.measured(
        width=1920, height=1080, fps=25, bit_rate=5184000, face_pixels=100, frames=3
    )
    assert facts == {"picture": 1080, "bits": pytest.approx(0.1), "face": 100, "frames": 3}
    unknown = similar.measured(width=8, height=8, fps=0, bit_rate=0, face_pixels=1, frames=1)
    assert np.isnan(unknown["bits"])
