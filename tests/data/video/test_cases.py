"""The small inputs that failed for others: each gives the crops that it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import NoDecoderError, VideoError
from data.faces.crops import crop_faces, read_frames
from data.faces.multi_face import read_every_face
from data.faces.tracker import FaceFinder
from data.faces.tracks import jumps
from data.video.ffmpeg import ffmpeg_for
from data.video.frames import FrameRecipe, read_whole
from data.video.picture import on_one_scale, size_note, whole_picture
from data.video.probe import probe
from tests.data.conftest import make, resized
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


def test_a_change_of_aspect_bends_no_crop(cases, finder, tmp_path):
    frames = read_frames(cases / "aspect_change.mp4", RECIPE, faces=finder)
    assert len(frames.pixels) == 16
    sides = frames.boxes[:, 2:] - frames.boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], rtol=1e-3)
    late = frames.timestamps_seconds > 1
    assert frames.face_found[~late].all()
    # The later pictures are a third as wide, and end in the middle of the face: crops end with them
    # and hold nothing that is not in the video, as of a file with that part alone.
    assert late.sum() >= 6
    assert {tuple(size) for size in frames.shown[late].tolist()} == {(200, 360)}
    dark = (frames.pixels.max(axis=3) < 8).mean(axis=(1, 2))
    assert (dark < 0.1).all()
    alone = make(tmp_path / "alone.h264", "-ss", "1.1", "-i", str(cases / "aspect_change.mp4"),
                 "-c", "copy")  # fmt: skip
    info = probe(alone)
    assert (info.width, info.height) == (200, 360)
    every = FrameRecipe(count=200, minimum_frames=1)
    pictures = read_whole(alone, info, every, whole_picture(info, RECIPE.max_side)).pixels
    for crop, box in zip(frames.pixels[late], frames.boxes[late], strict=True):
        cut, taken = crop_faces(
            pictures, np.tile(box, (len(pictures), 1)), margin=1.0, size=RECIPE.size
        )
        np.testing.assert_allclose(taken[0], box, atol=1e-3)
        assert np.abs(cut.astype(int) - crop).mean(axis=(1, 2, 3)).min() < 1
    note = size_note(frames.shown, frames.timestamps_seconds)
    assert "640x360, then 200x360 from " in note


def test_a_face_is_followed_where_the_picture_grows(cases, finder, tmp_path):
    short = make(tmp_path / "short.mp4", "-i", str(cases / "reference_cropped.mp4"), "-t", "0.8")
    path = resized(tmp_path, short, "120:120", "360:360")
    (face,) = read_every_face(path, RECIPE, finder=finder).faces
    assert face.face_found.all()
    late = face.shown[:, 0] == 360
    assert late.sum() == 8
    assert jumps(on_one_scale(face.boxes, face.shown)) == 0
    sides = face.boxes[:, 2] - face.boxes[:, 0]
    assert sides[late].mean() / sides[~late].mean() == pytest.approx(3, rel=0.1)
    alone = read_frames(short, FrameRecipe(count=8), faces=finder)
    assert np.abs(face.boxes[late].mean(0) - alone.boxes.mean(0)).max() < 20


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
