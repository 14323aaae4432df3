"""Two videos of one scene are aligned in time and place; others are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data.alignment.align import Alignment
from data.alignment.align_files import align_files
from data.alignment.in_place import rescaled, unmirrored, warp
from data.video.encoding import encode
from tests.data.conftest import make

FPS = 25.0
WIDTH, HEIGHT, COUNT = 320, 240, 75


def scene(seed: int, moves: int | None = None) -> list[NDArray[np.uint8]]:
    """A textured wall, before which a textured disc wanders; `moves` is the seed of its way."""
    rng = np.random.default_rng(seed)
    wall = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for size in (6, 12, 40):
        small = rng.uniform(0, 85, (size * 3 // 4, size, 3)).astype(np.float32)
        wall += cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    disc = cv2.resize(rng.uniform(0, 255, (9, 9, 3)).astype(np.float32), (90, 90))
    steps = np.random.default_rng(seed if moves is None else moves).normal(0, 1, (COUNT, 2))
    way = np.cumsum(np.cumsum(steps, 0) * 0.25, 0)
    way = 1.2 * way / np.abs(way).max() * (70, 40)
    rows, columns = np.mgrid[:90, :90] - 44.5
    inside = (rows**2 + columns**2 < 44**2)[..., None]
    frames = []
    for x, y in way:
        left = int(np.clip(WIDTH / 2 - 45 + x, 0, WIDTH - 90))
        top = int(np.clip(HEIGHT / 2 - 45 + y, 0, HEIGHT - 90))
        frame = wall.copy()
        part = frame[top : top + 90, left : left + 90]
        part[:] = np.where(inside, disc, part)
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def original(folder: Path) -> Path:
    encode(folder / "original.mp4", scene(1), fps=FPS, crf=18)
    return folder / "original.mp4"


def copied(original: Path, name: str, *arguments: str) -> Path:
    path = original.with_name(f"{name}.mp4")
    options = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "28", "-threads", "1")
    return make(path, "-i", str(original), *arguments, *options)


def places(found: Alignment, *points: tuple[float, float]) -> NDArray[np.float64]:
    return np.asarray(points) @ found.matrix[:, :2].T + found.matrix[:, 2]


def test_a_file_is_aligned_with_itself(original: Path) -> None:
    found = align_files(original, original)
    assert found.alignment.one_scene, found.alignment.reason
    assert found.alignment.lag_seconds == 0
    assert found.alignment.movement > 0.999
    assert np.allclose(places(found.alignment, (0, 0), (320, 240)), [(0, 0), (320, 240)], atol=0.3)
    assert found.span == pytest.approx((0, (COUNT - 1) / FPS))


@pytest.mark.parametrize(
    ("name", "arguments", "corner", "scale"),
    [
        ("poor", ("-vf", "null"), (0, 0), 1.0),
        ("half", ("-vf", "scale=160:120"), (0, 0), 0.5),
        ("crop", ("-vf", "crop=240:200:50:20"), (-50, -20), 1.0),
        ("crop-half", ("-vf", "crop=240:200:50:20,scale=120:100"), (-25, -10), 0.5),
    ],
)
def test_a_copy_lies_where_it_was_cut(
    original: Path, name: str, arguments: tuple[str, ...], corner: tuple[int, int], scale: float
) -> None:
    found = align_files(original, copied(original, name, *arguments)).alignment
    assert found.one_scene, found.reason
    assert not found.mirrored
    assert found.lag_seconds == pytest.approx(0, abs=0.021)
    assert found.scale == pytest.approx(scale, rel=0.01)
    assert np.allclose(places(found, (0, 0)), corner, atol=1.0)


def test_a_mirrored_copy_that_begins_later(original: Path) -> None:
    cut = "trim=start_frame=20,setpts=PTS-STARTPTS,hflip"
    found = align_files(original, copied(original, "flip", "-vf", cut))
    assert found.alignment.one_scene, found.alignment.reason
    assert found.alignment.mirrored
    assert found.alignment.lag_seconds == pytest.approx(-20 / FPS, abs=0.021)
    assert np.allclose(places(found.alignment, (0, 0)), (WIDTH, 0), atol=1.0)
    start, stop = found.span
    assert start == pytest.approx(20 / FPS, abs=0.021)
    assert stop == pytest.approx((COUNT - 1) / FPS, abs=0.021)


def test_another_frame_rate_keeps_the_time(original: Path) -> None:
    found = align_files(original, copied(original, "slow", "-vf", "fps=12.5")).alignment
    assert found.one_scene, found.reason
    assert found.lag_seconds == pytest.approx(0, abs=0.045)


def test_another_scene_is_told(original: Path, folder: Path) -> None:
    encode(folder / "other.mp4", scene(2), fps=FPS, crf=18)
    found = align_files(original, folder / "other.mp4").alignment
    assert not found.one_scene
    assert "points" in found.reason


def test_another_moment_in_the_same_place_is_told(original: Path, folder: Path) -> None:
    encode(folder / "later.mp4", scene(1, moves=7), fps=FPS, crf=18)
    found = align_files(original, folder / "later.mp4").alignment
    assert not found.one_scene
    assert "another moment" in found.reason


def test_a_long_video_is_aligned_to_the_frame(original: Path, folder: Path, monkeypatch) -> None:
    # 30 overview frames of 75: every third or so
    monkeypatch.setattr("data.alignment.overview.MOST_FRAMES", 30)
    monkeypatch.setattr("data.alignment.align_files.CLOSE_SECONDS", 1.0)
    cut = "trim=start_frame=11,setpts=PTS-STARTPTS"
    found = align_files(original, copied(original, "cut", "-vf", cut)).alignment
    assert found.one_scene, found.reason
    assert found.lag_seconds == pytest.approx(-11 / FPS, abs=0.021)


def test_warping_places_pixels_by_their_corners() -> None:
    picture = np.zeros((8, 8), np.uint8)
    picture[2:4, 4:6] = 200
    half = warp(picture, np.asarray([[2.0, 0, 0], [0, 2.0, 0]]), (4, 4))
    assert half.argmax() == 1 * 4 + 2
    turned = unmirrored(np.asarray([[1.0, 0, 0], [0, 1.0, 0]]), width=8)
    assert (warp(picture, turned, (8, 8)) == picture[:, ::-1]).all()
    assert np.allclose(rescaled(turned, 2, 2)[:, 2], (16, 0))
