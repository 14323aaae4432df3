"""Self-made forgeries in memory: repeatable, confined to the face, visible, true to parameters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.demo import DemoConfig
from data.demo.take import Take, render_take
from data.errors import VideoError
from data.faces.crops import crop_faces
from data.faces.landmarks import LEFT_EYE, LIPS, OVAL, LandmarkFinder
from data.faces.tracker import FaceFinder
from data.self_blending.clip import METHODS, Donor, ForgeryParameters, draw_parameters, forge_clip
from data.self_blending.clip.drawing import FEWEST_SIGNS
from data.self_blending.clip.motion import (
    CONTROL,
    face_sizes,
    late,
    other_moments,
    series,
    smooth_path,
)
from data.self_blending.clip.shape import Warp, hull, outline
from data.self_blending.dataset.survey import read_clip

Clip = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]
SETTINGS = DemoConfig(people=2, seconds=0.6, fps=25, width=200, height=160)


def take(person: int) -> Clip:
    """Frames, landmarks and times of a rendered person."""
    frames = np.stack(list(render_take(Take(person=person, method=None), SETTINGS)))
    times = np.arange(len(frames)) / SETTINGS.fps
    boxes = FaceFinder().follow(frames, times).boxes
    return frames, LandmarkFinder().find(frames, boxes, times).points, times


@pytest.fixture(scope="module")
def clip() -> Clip:
    return take(0)


@pytest.fixture(scope="module")
def donor() -> Donor:
    frames, points, _ = take(1)
    return Donor(frames=frames, landmarks=points)


def plain(**values: object) -> ForgeryParameters:
    """A forgery without any sign but those given."""
    made = ForgeryParameters(seed=1, method="blend", strength=0.5, region="face")
    return replace(made, **values)  # type: ignore[arg-type]


def change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean absolute difference of each frame, grey levels."""
    return np.abs(one.astype(float) - other).mean((1, 2, 3))


@pytest.mark.parametrize("method", METHODS)
def test_a_forgery_is_repeatable_and_stays_in_the_face(
    clip: Clip, donor: Donor, method: str
) -> None:
    frames, points, times = clip
    kept = frames.copy()
    seen = []
    for seed in range(6):
        parameters = draw_parameters(seed, method)  # type: ignore[arg-type]
        given = donor if method == "swap" else None
        forged, again = (
            forge_clip(frames, points, parameters, timestamps_seconds=times, donor=given)
            for _ in range(2)
        )
        assert forged.shape == frames.shape
        assert forged.dtype == np.uint8
        assert np.array_equal(forged, again)
        seen.append(change(forged, frames).max())
        for index in range(len(frames)):
            low, high = points[index].min(0), points[index].max(0)
            reach = 0.4 * face_sizes(points)[index]
            inside = np.zeros(frames.shape[1:3], bool)
            y, x = np.indices(inside.shape)
            inside = (x > low[0] - reach) & (x < high[0] + reach)
            inside &= (y > low[1] - reach) & (y < high[1] + reach)
            assert np.array_equal(forged[index][~inside], frames[index][~inside])
    assert np.array_equal(frames, kept)
    assert min(seen) > 0.15, "a forgery that changes nothing is a real clip under a wrong label"


def test_without_any_sign_the_face_stays_as_it_is(clip: Clip) -> None:
    frames, points, times = clip
    forged = forge_clip(frames, points, plain(), timestamps_seconds=times)
    assert change(forged, frames).max() < 0.6  # the warp's own interpolation


def test_a_swap_and_only_a_swap_needs_a_donor(clip: Clip, donor: Donor) -> None:
    frames, points, _ = clip
    with pytest.raises(ValueError, match="donor"):
        forge_clip(frames, points, plain(method="swap"))
    with pytest.raises(ValueError, match="donor"):
        forge_clip(frames, points, plain(), donor=donor)


def test_a_swap_shows_the_donor(clip: Clip, donor: Donor) -> None:
    frames, points, times = clip
    forged = forge_clip(frames, points, plain(method="swap", matching="mean", grow=-0.05),
                        timestamps_seconds=times, donor=donor)  # fmt: skip
    assert change(forged, frames).min() > 0.5
    found = LandmarkFinder().find(forged, FaceFinder().follow(forged, times).boxes, times)
    gap = np.linalg.norm(found.points - points, axis=-1).mean() / face_sizes(points).mean()
    assert gap < 0.04, "the donor's face lies where the face was"


def test_colours_change_by_what_the_parameters_say(clip: Clip) -> None:
    frames, points, _ = clip
    forged = forge_clip(frames, points, plain(offset=(12.0, 0.0, -12.0), grow=-0.1))
    x, y = points[0][list(OVAL)].mean(0).astype(int)
    gap = forged[0, y, x].astype(int) - frames[0, y, x]
    assert abs(gap[0] - 12) <= 3
    assert abs(gap[1]) <= 3
    assert abs(gap[2] + 12) <= 3


def test_frozen_eyes_stand_still(clip: Clip) -> None:
    frames, points, times = clip
    # A blink in the middle, painted: the eyes go dark.
    frames = frames.copy()
    for index in range(6, 9):
        low, high = (points[index][list(LEFT_EYE)].min(0), points[index][list(LEFT_EYE)].max(0))
        frames[index, int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1] //= 3
    forged = forge_clip(frames, points, plain(eyes="frozen"), timestamps_seconds=times)

    def eye(video: NDArray[np.uint8], index: int) -> float:
        x, y = points[index][list(LEFT_EYE)].mean(0).astype(int)
        return float(video[index, y - 1 : y + 2, x - 2 : x + 3].mean())

    assert eye(frames, 7) < 0.6 * eye(frames, 2)
    assert eye(forged, 7) > 0.75 * eye(forged, 2)


def test_in_some_frames_the_forgery_may_be_missing(clip: Clip) -> None:
    frames, points, times = clip
    parameters = plain(offset=(15.0, 15.0, 15.0), missing=0.15)
    changed = change(forge_clip(frames, points, parameters, timestamps_seconds=times), frames)
    assert 1 <= (changed == 0).sum() <= len(frames) // 5


def test_pictures_far_apart_are_never_mixed(clip: Clip) -> None:
    frames, points, times = clip
    lagging = plain(lag_seconds=0.12, hold_seconds=0.1, memory=0.6)
    apart = forge_clip(frames, points, lagging, timestamps_seconds=times * 10)
    assert np.array_equal(apart, forge_clip(frames, points, plain(), timestamps_seconds=times * 10))
    assert not np.array_equal(
        forge_clip(frames, points, lagging, timestamps_seconds=times),
        forge_clip(frames, points, plain(), timestamps_seconds=times),
    )


def test_a_face_at_the_edge_and_a_single_frame_are_forged_too(clip: Clip) -> None:
    frames, points, _ = clip
    middle = int(points[0][:, 0].mean())
    half = np.ascontiguousarray(frames[:, :, middle:])
    moved = points - np.asarray([middle, 0], np.float32)
    for method in ("blend", "reenact", "rebuild"):
        parameters = draw_parameters(3, method)  # type: ignore[arg-type]
        assert change(forge_clip(half, moved, parameters), half).max() > 0
        assert change(forge_clip(frames[:1], points[:1], parameters), frames[:1]).max() > 0
    gone = points + np.asarray([1000, 0], np.float32)
    assert np.array_equal(forge_clip(frames, gone, draw_parameters(3, "blend")), frames)


def test_parameters_are_drawn_alike_for_a_seed_and_diverse_over_seeds() -> None:
    assert draw_parameters(5) == draw_parameters(5)
    assert draw_parameters(5) != draw_parameters(6)
    drawn = [draw_parameters(seed, method) for method in METHODS for seed in range(150)]
    for name in ("region", "pace", "matching", "filter", "eyes"):
        assert len(Counter(getattr(one, name) for one in drawn)) > 1
    for one in drawn:
        colour = one.saturation != 1
        detail = one.shrink > 1 or any(
            (one.blur, one.sharpen_percent, one.jpeg_quality, one.smooth_skin, one.noise)
        )
        place = one.scale_x != 1
        assert colour + detail + place >= FEWEST_SIGNS[one.method]
        assert set(one.to_row()) == set(drawn[0].to_row())


def test_motion_is_smooth_or_jittery_as_asked() -> None:
    times = np.arange(100) / 25
    steps = {
        pace: float(
            np.abs(np.diff(series(np.random.default_rng(0), times, pace, 4), axis=0)).mean()
        )
        for pace in ("smooth", "jittery", "both")
    }  # type: ignore[arg-type]
    assert steps["smooth"] < 0.35 < steps["both"] < steps["jittery"]


def test_late_faces_lag_and_stand_still() -> None:
    times = np.arange(10) / 25
    assert late(times, 0, 0).tolist() == list(range(10))
    assert late(times, 0.08, 0).tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert late(times, 0, 0.08).tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]


def test_a_path_through_time_does_not_jump_for_little() -> None:
    cost = np.full((20, 20), 0.01)
    cost[np.arange(20), (np.arange(20) * 7) % 20] = 0.0095
    assert np.abs(np.diff(smooth_path(cost, 0.002))).max() <= 1


def test_another_moment_is_apart_in_time(clip: Clip) -> None:
    _, points, times = clip
    gaps = np.abs(times[other_moments(points, times)] - times)
    assert np.median(gaps) >= (times[-1] - times[0]) / 3 - 0.05


def test_a_warp_without_change_is_the_identity_and_a_shift_a_shift(clip: Clip) -> None:
    _, points, _ = clip
    to = points[:, list(CONTROL)]
    sizes = face_sizes(points)
    places = np.random.default_rng(0).uniform(20, 150, (40, 2)).astype(np.float32)
    assert np.abs(Warp(to, to, sizes)(3, places) - places).max() < 0.05
    moved = Warp(to + np.float32(5), to, sizes)(3, places)
    assert np.abs(moved + 5 - places).max() < 0.05


def test_outlines_grow_and_keep_their_shape() -> None:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([50 + 20 * np.cos(angles), 40 + 20 * np.sin(angles)], 1).astype(np.float32)
    assert len(hull(np.concatenate([circle, circle * 0.5 + 22]))) == 40
    still = np.zeros((2, 3), np.float32)
    for grow in (-5.0, 0.0, 4.0):
        drawn = outline(circle, grow=grow, waves=still)
        away = np.linalg.norm(drawn - [50, 40], axis=1)
        assert np.abs(away - 20 - grow).max() < 0.3


def test_landmarks_of_a_real_face_are_where_they_should_be(clips: Path) -> None:
    frames, times, _ = read_clip(clips / "head-pose-face-detection-male.gif", seconds=1.2,
                                 max_side=640)  # fmt: skip
    boxes = FaceFinder().follow(frames, times).boxes
    found = LandmarkFinder().find(frames, boxes, times)
    assert found.found.all()
    points = found.points
    assert (points[:, list(LEFT_EYE), 1].mean(1) < points[:, list(LIPS), 1].mean(1) - 15).all()
    inside = (points.mean(1) > boxes[:, :2]) & (points.mean(1) < boxes[:, 2:])
    assert inside.all()
    # The same with the head leaning to one side.
    centre = boxes.reshape(-1, 2, 2).mean((0, 1))
    leaning = np.stack(
        [
            np.asarray(Image.fromarray(one).rotate(30, Image.Resampling.BICUBIC, center=(*centre,)))
            for one in frames
        ]
    )
    again = LandmarkFinder().find(leaning, boxes, times).points - centre
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    back = again @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    assert np.linalg.norm(back - points, axis=-1).mean() < 0.04 * face_sizes(points).mean()


@pytest.mark.parametrize("size", [180, 230, 400])  # of the model's input: 1.1, 1.4 and 2.4 times
def test_landmarks_do_not_depend_on_how_a_face_is_scaled_down(clips, monkeypatch, size) -> None:
    frames, times, _ = read_clip(clips / "head-pose-face-detection-male.gif", seconds=0.5,
                                 max_side=640)  # fmt: skip
    boxes = FaceFinder().follow(frames, times).boxes
    crops, _ = crop_faces(frames, boxes, margin=1.3, size=size)
    inset = (size - size / 1.3) / 2
    inner = np.tile(np.asarray([inset, inset, size - inset, size - inset], np.float32),
                    (len(crops), 1))  # fmt: skip
    found = LandmarkFinder().find(crops, inner, times).points
    monkeypatch.setattr("data.faces.landmarks.COARSE", 1.0)  # always with antialiasing
    exact = LandmarkFinder().find(crops, inner, times).points
    assert np.linalg.norm(found - exact, axis=2).mean() < 0.003 * size


def test_where_there_is_no_face_there_are_no_landmarks() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3), np.uint8)
    boxes = np.tile(np.asarray([20, 20, 76, 76], np.float32), (8, 1))
    with pytest.raises(VideoError, match="landmarks of a face") as caught:
        LandmarkFinder().find(noise, boxes, np.arange(8) / 25)
    assert caught.value.failure == "no_face"
