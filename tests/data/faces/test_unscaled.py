"""Faces are cut from frames in their own size, whatever the video's clock and shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import VideoError
from data.faces.unscaled import Wanted, cut, cut_faces
from data.video.frames import FrameRecipe, read_whole
from data.video.picture import whole_picture
from data.video.probe import probe
from tests.data.conftest import make

RECIPE = FrameRecipe(count=8, max_side=64)  # frames are read smaller than they are
SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2", "-pix_fmt", "yuv420p")


def wanted_of(path: Path, *places: int) -> list[Wanted]:
    """A box in each of some of the recipe's frames."""
    info = probe(path)
    times = read_whole(path, info, RECIPE, whole_picture(info, RECIPE.max_side)).timestamps_seconds
    box = (10.5, 20.0, 90.25, 99.5)
    return [Wanted(seconds=float(times[place]), box=box) for place in places]


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.mp4", "-c:v", "libx264"),
        ("a.mkv", "-c:v", "libx264"),
        ("a.h264", "-c:v", "libx264"),  # no times at all
        ("a.avi", "-c:v", "mpeg4", "-bf", "2"),
    ],
    ids=lambda one: one[0],
)
def test_a_cut_is_the_frame_itself(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Held against the same frame read whole by a recipe that does not scale."""
    path = make(tmp_path / arguments[0], *SOURCE, *arguments[1:])
    info = probe(path)
    whole = read_whole(path, info, RECIPE, whole_picture(info, 1280))
    assert whole.pixels.shape[1:3] == (240, 320)
    asked = wanted_of(path, 5, 2, 2)
    found = list(cut_faces(path, RECIPE, asked))
    assert [one.index for one in found] == [1, 2, 0]
    for one in found:
        frame = whole.pixels[(5, 2, 2)[one.index]]
        assert one.place == (10, 20, 91, 100)
        np.testing.assert_array_equal(one.pixels, frame[20:100, 10:91])


def test_frames_that_do_not_fit_into_memory_are_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.mp4", *SOURCE, "-c:v", "libx264")
    asked = wanted_of(path, 0, 3, 7)
    at_once = list(cut_faces(path, RECIPE, asked))
    monkeypatch.setattr("data.faces.unscaled.MEMORY_BYTES", 320 * 240 * 3 * 2)
    for one, other in zip(cut_faces(path, RECIPE, asked), at_once, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_turned_frame_with_wide_pixels_is_as_it_is_shown(tmp_path: Path) -> None:
    made = make(tmp_path / "a.mp4", *SOURCE, "-vf", "setsar=2", "-c:v", "libx264")
    path = make(tmp_path / "b.mp4", "-display_rotation", "90", "-i", str(made), "-c", "copy")
    info = probe(path)
    assert (info.width, info.height) == (240, 640)
    (found,) = cut_faces(
        path, RECIPE, [Wanted(seconds=wanted_of(path, 0)[0].seconds, box=(-9, -9, 999, 999))]
    )
    assert found.pixels.shape == (640, 240, 3)
    assert found.place == (0, 0, 240, 640)


def test_another_video_in_its_place_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", *SOURCE, "-c:v", "libx264")
    asked = wanted_of(path, 5)
    make(path, *SOURCE, "-r", "7", "-c:v", "libx264")
    with pytest.raises(VideoError, match="other frames"):
        list(cut_faces(path, RECIPE, asked))


def test_a_box_is_widened_to_whole_pixels() -> None:
    frame = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    found = cut(frame, (0.2, 1.0, 3.1, 3.9), 7)
    assert (found.index, found.place) == (7, (0, 1, 4, 4))
    np.testing.assert_array_equal(found.pixels, frame[1:4, 0:4])
