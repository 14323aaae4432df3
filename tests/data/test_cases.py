"""The small inputs that failed for others: each gives the crops that it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import NoDecoderError, VideoError
from data.faces import FaceFinder
from data.ffmpeg import ffmpeg_for
from data.frames import FrameRecipe, read_frames
from tests.footage import case

RECIPE = FrameRecipe(count=16)


@pytest.fixture(scope="module")
def cases() -> Path:
    return case("rot_plain.mp4").parent


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


def test_a_box_after_the_rotation(cases, finder):
    plain, boxed = (read_frames(cases / name, RECIPE, faces=finder)
                    for name in ("rot_plain.mp4", "rot_amve.mp4"))  # fmt: skip
    np.testing.assert_array_equal(plain.pixels, boxed.pixels)


@pytest.mark.usefixtures("crops")
def test_a_clean_aperture_and_the_same_really_cropped(cases, finder):
    cropped, reference = (read_frames(cases / name, RECIPE, faces=finder)
                          for name in ("clap.mp4", "reference_cropped.mp4"))  # fmt: skip
    assert np.abs(cropped.boxes - reference.boxes).max() < 8
    assert np.abs(cropped.pixels.astype(int) - reference.pixels).mean() < 6


def test_a_change_of_aspect_bends_no_crop(cases, finder):
    frames = read_frames(cases / "aspect_change.mp4", RECIPE, faces=finder)
    assert len(frames.pixels) == 16
    sides = frames.boxes[:, 2:] - frames.boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], rtol=1e-3)
    late = frames.timestamps_seconds > 1
    assert frames.face_found[~late].all()
    # The later pictures are a third as wide, and end in the middle of the face: what is not there
    # stays black, where it was filled by bending them.
    dark = (frames.pixels.max(axis=3) < 8).mean(axis=(1, 2))
    assert (dark[late] > 0.2).all()
    assert (dark[~late] < 0.1).all()


@pytest.mark.parametrize("name", ["longlast.mp4", "altref6.webm"])
def test_whole_files_are_whole(cases, finder, name, tmp_path):
    assert len(read_frames(cases / name, RECIPE, faces=finder).pixels) == 16
    content = (cases / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError):
        read_frames(tmp_path / name, RECIPE, faces=finder)


def test_av1(cases, finder):
    try:
        ffmpeg_for("av1")
    except NoDecoderError:
        with pytest.raises(NoDecoderError, match="no decoder for av1"):
            read_frames(cases / "av1.mp4", RECIPE, faces=finder)
    else:
        assert len(read_frames(cases / "av1.mp4", RECIPE, faces=finder).pixels) == 16
