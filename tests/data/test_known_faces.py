"""Crops at an original's faces: where frames correspond, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.demo import DemoConfig, write_demo
from data.errors import ConfigError
from data.faces import FaceFinder
from data.ffmpeg import encode
from data.frames import FrameRecipe, read_frames
from data.known_faces import KnownFaces

RECIPE = FrameRecipe(count=8, size=96, minimum_frames=4)
FINDER = FaceFinder()


class Unused:
    """A finder that must not search."""

    def follow(self, frames: object, timestamps_seconds: object) -> None:
        raise AssertionError("faces were looked for")

    sees = FINDER.sees


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An original; the same frames with noise; fewer of them; the face left or right of nothing."""
    folder = tmp_path_factory.mktemp("known")
    config = DemoConfig(people=1, seconds=0.8, width=240, height=180)
    write_demo(folder / "demo", config, workers=1, progress=False)
    original = folder / "demo" / "real" / "person_000.mp4"
    whole = FrameRecipe(count=200, size=180, crop="full", minimum_frames=1)
    pixels = read_frames(original, whole).pixels  # (T, 180, 180, 3), the middle square
    noise = np.random.default_rng(0).integers(-12, 13, pixels.shape)
    noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    corner = np.zeros((len(pixels), 180, 360, 3), np.uint8)
    made = {
        "original": pixels,
        "noisy": noisy,
        "shorter": noisy[:-4],
        "shifted": np.roll(noisy, 40, axis=2),
        "left": np.concatenate([corner[:, :, :180], pixels], axis=2),
        "right": np.concatenate([pixels, corner[:, :, :180]], axis=2),
    }
    paths = {}
    for name, frames in made.items():
        paths[name] = folder / f"{name}.mp4"
        encode(paths[name], frames, fps=25.0, crf=20)
    return paths


def faces_of(path: Path) -> KnownFaces:
    frames = read_frames(path, RECIPE, faces=FINDER)
    return KnownFaces(timestamps_seconds=frames.timestamps_seconds, boxes=frames.boxes,
                      found=frames.face_found)  # fmt: skip


def test_a_forgery_is_cropped_where_its_original_is(videos: dict[str, Path]) -> None:
    known = faces_of(videos["original"])
    frames = read_frames(videos["noisy"], RECIPE, faces=Unused(), known=known)
    np.testing.assert_array_equal(frames.boxes, known.boxes)
    np.testing.assert_array_equal(frames.face_found, known.found)
    own = read_frames(videos["noisy"], RECIPE, faces=FINDER)
    assert not np.array_equal(own.boxes, known.boxes), "or this shows nothing"
    assert np.abs(own.boxes - known.boxes).max() < 8


def test_the_original_itself_gives_the_same_crops(videos: dict[str, Path]) -> None:
    """A box that was widened and kept inside once is not moved again."""
    known = faces_of(videos["original"])
    first = read_frames(videos["original"], RECIPE, faces=FINDER)
    again = read_frames(videos["original"], RECIPE, faces=Unused(), known=known)
    assert np.abs(again.pixels.astype(int) - first.pixels).max() <= 1


def test_frames_that_are_scaled_down_keep_their_faces(videos: dict[str, Path]) -> None:
    recipe = replace(RECIPE, max_side=120)
    known = faces_of(videos["original"])
    frames = read_frames(videos["noisy"], recipe, faces=Unused(), known=known)
    full = read_frames(videos["noisy"], RECIPE, faces=Unused(), known=known)
    assert np.abs(frames.pixels.astype(float) - full.pixels).mean() < 12


@pytest.mark.parametrize("name", ["shorter", "shifted", "left"])
def test_other_frames_or_no_face_there_means_its_own(videos: dict[str, Path], name: str) -> None:
    """Fewer frames; the face less than half its width away, and somewhere else."""
    known = faces_of(videos["right" if name == "left" else "original"])
    got = read_frames(videos[name], RECIPE, faces=FINDER, known=known)
    own = read_frames(videos[name], RECIPE, faces=FINDER)
    np.testing.assert_array_equal(got.boxes, own.boxes)
    np.testing.assert_array_equal(got.pixels, own.pixels)


def test_the_finder_sees_a_face_near_a_box_alone(videos: dict[str, Path]) -> None:
    whole = FrameRecipe(count=1, size=180, crop="full", minimum_frames=1)
    frame = read_frames(videos["original"], whole).pixels[0]
    face = FINDER.detect(frame)[0, :4]
    assert FINDER.sees(frame, face + 10)
    assert not FINDER.sees(frame, face / 4)
    assert not FINDER.sees(np.full_like(frame, 90), face)


def test_whose_faces_is_a_choice_of_two() -> None:
    with pytest.raises(ConfigError, match=r"frames\.faces must be original or own"):
        FrameRecipe(faces="theirs")  # type: ignore[arg-type]
    assert FrameRecipe(crop="full").whose_faces == "own"
    assert FrameRecipe(faces="own").to_json() == FrameRecipe().to_json()
