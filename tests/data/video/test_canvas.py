"""A video that changes its size: each frame is cropped from its own picture, and it is said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.errors import VideoError
from data.faces.crops import crop_faces, read_frames
from data.faces.multi_face import read_every_face
from data.faces.thumbnails import read_thumbnails
from data.faces.tracks import jumps
from data.video import decoding, frame_reader
from data.video import picture as pictures
from data.video.frames import FrameRecipe, read_whole
from data.video.picture import (
    Picture,
    count_sizes,
    lay_out,
    layout_of,
    on_one_scale,
    resized_note,
    size_note,
    whole_picture,
)
from data.video.probe import probe
from tests.data.conftest import make

H264 = ("-c:v", "libx264", "-bf", "0", "-qp", "8", "-pix_fmt", "yuv420p")
VP8 = ("-c:v", "libvpx", "-b:v", "4M")
SMALL, LARGE, SLIM = "320x180", "1280x720", "200x360"
EACH = 12
"""Frames of each part."""
RECIPE = FrameRecipe(count=2 * EACH, size=96)


class Fixed:
    """Follows a face that stays in one place of the canvas: of `share` of its height."""

    def __init__(self, centre: tuple[float, float] = (0.5, 0.5), share: float = 0.4) -> None:
        self._place = centre, share

    def follow(self, frames, timestamps_seconds):
        (across, down), share = self._place
        high, wide = frames.shape[1:3]
        box = np.float32([wide * across, high * down] * 2) + np.float32([-1, -1, 1, 1]) * (
            high * share / 2
        )
        found = np.ones(len(frames), bool)
        return SimpleNamespace(
            boxes=np.tile(box, (len(frames), 1)), found=found, start=0, stop=len(frames)
        )

    def follow_all(self, frames, timestamps_seconds):
        return [self.follow(frames, timestamps_seconds)]


def part(folder: Path, size: str, suffix: str = "ts") -> Path:
    """A video of one size: the same pattern with fine grain, as much of it as has room."""
    codec = VP8 if suffix == "webm" else H264
    return make(folder / f"{size}.{suffix}", "-f", "lavfi", "-i",
                f"testsrc2=size=1280x720:rate=25:duration={EACH / 25}",
                "-vf", f"noise=alls=60:all_seed=7,scale={size.replace('x', ':')},setsar=1",
                *codec)  # fmt: skip


def joined(folder: Path, *sizes: str, suffix: str = "ts") -> Path:
    parts = [part(folder, size, suffix) for size in sizes]
    path = folder / f"joined.{suffix}"
    if suffix == "ts":  # its times begin anew with each part, so that frames are counted
        path.write_bytes(b"".join(one.read_bytes() for one in parts))
        return path
    names = folder / "names.txt"
    names.write_text("".join(f"file '{one}'\n" for one in parts))
    return make(path, "-f", "concat", "-safe", "0", "-i", str(names), "-c", "copy")


def gap(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other).mean())


def detail(pixels: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(pixels.astype(float), axis=2)).mean())


@pytest.mark.parametrize("suffix", ["ts", "mkv", "webm"])
def test_a_growing_picture_keeps_the_detail_of_its_later_part(tmp_path, suffix):
    """As calls over a poor line begin: it was all scaled down to the first frame."""
    path = joined(tmp_path, SMALL, LARGE, suffix=suffix)
    face = Fixed(share=0.2)
    found = read_frames(path, RECIPE, faces=face)
    early, late = (read_frames(part(tmp_path, size, suffix), FrameRecipe(count=EACH, size=96),
                               faces=face) for size in (SMALL, LARGE))  # fmt: skip
    assert gap(found.pixels[:EACH], early.pixels) < 1
    assert gap(found.pixels[EACH:], late.pixels) < 1
    assert detail(found.pixels[EACH:]) > 1.3 * detail(found.pixels[:EACH])
    np.testing.assert_allclose(found.boxes[:EACH], early.boxes, atol=1e-3)
    np.testing.assert_allclose(found.boxes[EACH:], late.boxes, atol=1e-3)
    np.testing.assert_allclose(found.boxes[-1], 4 * found.boxes[0], atol=0.01)
    assert found.shown.tolist() == [[320, 180]] * EACH + [[1280, 720]] * EACH


@pytest.mark.parametrize("centre", [0.36, 0.5, 0.64])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_slim_part_is_cropped_at_its_own_edges(tmp_path, centre, share):
    """A crop that reaches over the picture's edge was filled with the canvas's black bars."""
    path = joined(tmp_path, "640x360", SLIM)
    found = read_frames(path, RECIPE, faces=Fixed((centre, 0.5), share))
    alone = read_whole(
        part(tmp_path, SLIM), probe(part(tmp_path, SLIM)), FrameRecipe(count=EACH),
        whole_picture(probe(path), 1280),
    )  # fmt: skip
    side = 360 * share
    middle = np.float32([640 * centre - 220, 180])
    box = np.concatenate([middle - side / 2, middle + side / 2])
    pixels, taken = crop_faces(alone.pixels, np.tile(box, (EACH, 1)), margin=1.3, size=96)
    assert gap(found.pixels[EACH:], pixels) < 1
    np.testing.assert_allclose(found.boxes[EACH:], taken, atol=1e-3)


def test_a_face_expected_beside_the_picture_is_cropped_inside_it(tmp_path):
    """Nobody saw it there; a crop of nothing but an edge's colour would say even less."""
    path = joined(tmp_path, "640x360", SLIM)
    for across, share in ((0.1, 0.3), (0.9, 0.3), (0.1, 1.4)):
        found = read_frames(path, RECIPE, faces=Fixed((across, 0.5), share))
        left, top, right, bottom = found.boxes[-1]
        assert left < 100 < right or (left >= 0 and right <= 200)
        assert bottom - top == pytest.approx(right - left, abs=1e-3)
        assert detail(found.pixels[EACH:]) > 1


def test_boxes_are_pixels_of_the_frame_as_shown(tmp_path):
    """Where reading scales one part down and the other not; 1280x720 halves, 640x360 is whole."""
    path = joined(tmp_path, "640x360", LARGE)
    recipe = FrameRecipe(count=2 * EACH, size=96, max_side=640)
    found = read_frames(path, recipe, faces=Fixed())
    np.testing.assert_allclose(found.boxes[-1], 2 * found.boxes[0], atol=0.01)
    read = read_whole(path, probe(path), recipe, whole_picture(probe(path), 640))
    assert read.layout is None  # of one size as read, so nothing is laid out
    assert count_sizes(found.shown) == 2


@pytest.mark.parametrize("sizes", [(SMALL, LARGE), (LARGE, SMALL), ("640x360", SLIM, SMALL)])
def test_every_face_its_still_and_its_strip_agree(tmp_path, sizes):
    path = joined(tmp_path, *sizes)
    recipe = FrameRecipe(count=EACH * len(sizes), size=96)
    alone = read_frames(path, recipe, faces=Fixed())
    every = read_every_face(path, recipe, finder=Fixed())
    for name in ("pixels", "boxes", "shown", "timestamps_seconds"):
        np.testing.assert_array_equal(getattr(every.faces[0], name), getattr(alone, name))
        np.testing.assert_array_equal(getattr(every, name), getattr(alone, name))
    assert every.still is not None
    at = int(np.abs(alone.timestamps_seconds - every.still.timestamp_seconds).argmin())
    assert every.still.pixels.shape[1] == pytest.approx(
        alone.shown[at, 0] * every.still.scale, abs=1
    )
    places = np.asarray([0, EACH - 1, EACH, EACH * len(sizes) - 1])
    strip = read_thumbnails(
        path, recipe, alone.boxes, alone.timestamps_seconds, places=places, size=96
    )  # fmt: skip
    assert gap(strip, alone.pixels[places]) < 1
    assert jumps(on_one_scale(alone.boxes, alone.shown)) == 0


def test_the_middle_square_is_of_each_picture(tmp_path):
    path = joined(tmp_path, SMALL, LARGE)
    recipe = FrameRecipe(count=2 * EACH, size=96, crop="full")
    found = read_frames(path, recipe)
    late = read_frames(part(tmp_path, LARGE), FrameRecipe(count=EACH, size=96, crop="full"))
    assert gap(found.pixels[EACH:], late.pixels) < 1
    np.testing.assert_array_equal(found.boxes[EACH:], late.boxes)
    assert count_sizes(found.shown) == 2


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4"])
def test_the_way_of_reading_changes_nothing(tmp_path, monkeypatch, suffix):
    """By seeking, through, and by counting: parts that grow, shrink and grow again."""
    path = joined(tmp_path, SMALL, LARGE, SLIM, SMALL, suffix=suffix)
    info, recipe = probe(path), FrameRecipe(count=9)
    results = []
    for gain, counts in ((0.0, False), (1e9, False), (0.0, True)):
        with monkeypatch.context() as patch:
            patch.setattr(frame_reader, "SEEK_GAIN", gain)
            if counts:
                patch.setattr(frame_reader, "_read_through", other_frames)
            results.append(read_whole(path, info, recipe, whole_picture(info, 1280)))
    first = results[0]
    assert first.pixels.shape[1:3] == (720, 1280)
    assert count_sizes(first.shown) == 3
    for other in results[1:]:
        np.testing.assert_array_equal(first.pixels, other.pixels)
        for one, two in zip(first.pictures, other.pictures, strict=True):
            np.testing.assert_array_equal(one, two)


def other_frames(*_):
    """As where packets are no pictures, so that what is shown must be counted."""
    return SimpleNamespace(timestamps_seconds=np.zeros(0), graphs=2, pixels=[])


def test_a_video_of_one_size_is_not_copied(tmp_path):
    path = part(tmp_path, "640x360")
    info = probe(path)
    read = read_whole(path, info, FrameRecipe(count=8), whole_picture(info, 1280))
    assert read.layout is None
    assert read.pictures is read.pixels
    assert not size_note(read.shown, read.timestamps_seconds)
    frames = np.zeros((3, 4, 5, 3), np.uint8)
    assert lay_out(frames)[0] is frames


def test_what_does_not_fit_in_memory_is_refused(tmp_path, monkeypatch):
    path = joined(tmp_path, SMALL, LARGE)
    info = probe(path)
    picture = whole_picture(info, 1280)
    monkeypatch.setattr(decoding, "MEMORY_BYTES", 10_000_000)
    with pytest.raises(VideoError, match="grow to 1280x720 do not fit in memory"):
        read_whole(path, info, RECIPE, picture)
    monkeypatch.undo()
    monkeypatch.setattr(pictures, "MEMORY_BYTES", 80_000_000)
    with pytest.raises(
        VideoError, match="24 frames of 1280x720 do not fit in memory twice"
    ) as caught:
        read_whole(path, info, RECIPE, picture)
    assert caught.value.failure == "decode_error"
    read_whole(path, info, RECIPE, Picture(shortest=96, turned=info.turned))


def test_boxes_go_to_the_canvas_and_back():
    sizes = np.asarray([(320, 180), (1280, 720), (200, 360), (33, 47), (720, 1280)])
    layout = layout_of(sizes)
    assert (layout.width, layout.height) == (1280, 720)
    centres, half = sizes / 2 + (3, -4), sizes.min(1, keepdims=True) / 5
    boxes = np.concatenate([centres - half, centres + half], 1).astype(np.float32)
    there = layout.to_canvas(boxes)
    np.testing.assert_allclose(layout.to_pictures(there), boxes, atol=0.1)
    np.testing.assert_array_equal(there[1], boxes[1])
    assert layout_of(sizes[:1].repeat(3, 0)) is None


def test_what_is_said():
    times = np.arange(8) / 5
    shown = np.asarray([(640, 360)] * 6 + [(200, 360)] * 2)
    assert size_note(shown, times) == (
        "the picture changes its size (640x360, then 200x360 from 1.2 s); each part is cropped in "
        "its own shape"
    )
    back = np.asarray([(640, 360), (200, 360)] * 4)
    assert "(640x360, then 200x360 from 0.2 s, then 640x360 from 0.4 s, and 5 more changes)" in (
        size_note(back, times)
    )
    assert size_note(None, times) == size_note(shown[:6], times[:6]) == ""
    assert resized_note(["b.mp4"]).startswith("1 video changes its picture's size (b.mp4);")
    assert resized_note(["b", "a"]).startswith("2 videos change their picture's size (a for one);")
