"""Several faces in one video: which are followed, where each is, and what is one face twice."""

from __future__ import annotations

import numpy as np
import pytest

from data.faces.crops import read_frames
from data.faces.multi_face import read_every_face
from data.faces.tracker import FaceFinder
from data.faces.tracks import FaceTrack, fits, jumps
from data.video.frames import FrameRecipe, WholeFrames
from data.video.probe import VideoInfo


def face(x: float, side: float, score: float = 0.9) -> np.ndarray:
    return np.float32([x, 20, x + side, 20 + side, score])


class Staged(FaceFinder):
    """Sees what a test says is there: frame number -> boxes. A frame's number is its colour."""

    def __init__(self, there: dict[int, list[np.ndarray]]) -> None:
        super().__init__()
        self.there = there

    def _search(self, frame):
        return np.stack(self.there.get(int(frame[0, 0, 0]), [])).reshape(-1, 5)

    def _look_near(self, frame, box):
        near = [one[:4] for one in self._search(frame) if fits(box, one[:4])]
        return near[0] if near else None


def frames(count: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(count, dtype=np.uint8)
    return np.tile(numbers[:, None, None, None], (1, 200, 400, 3)), np.arange(count) / 5


def staged(places) -> list[FaceTrack]:
    """Tracks where `places(frame)` gives the boxes of a frame, of 49 frames in 10 seconds."""
    return Staged({n: places(n) for n in range(49)}).follow_all(*frames(49))


def test_the_largest_comes_first_and_the_others_have_their_own_boxes():
    tracks = staged(lambda n: [face(20, 30), face(200, 80)])
    assert len(tracks) == 2
    assert tracks[0].boxes[10].tolist() == pytest.approx([200, 20, 280, 100])
    assert tracks[1].boxes[10].tolist() == pytest.approx([20, 20, 50, 50])


def test_another_face_counts_where_it_is_and_no_further():
    tracks = staged(lambda n: [face(200, 80), face(20, 30)] if n >= 24 else [face(200, 80)])
    assert [(one.start, one.stop) for one in tracks] == [(0, 49), (24, 49)]


def test_what_overlaps_a_followed_face_is_no_other_face():
    assert len(staged(lambda n: [face(200, 80), face(210, 70, 0.8)])) == 1


def test_a_face_is_sure_or_is_none():
    tracks = staged(
        lambda n: [face(200, 80), face(20, 30, 0.55)]
    )  # a grey square, looked at closely
    assert len(tracks) == 1


def test_two_who_come_one_after_the_other_in_other_places_are_two_faces():

    def places(n):
        other = [face(20, 30)] if n <= 20 else [face(330, 40)] if n >= 30 else []
        return [face(150, 80), *other]

    tracks = staged(places)
    assert [(one.start, one.stop) for one in tracks[1:]] == [(30, 49), (0, 21)]


def test_one_that_comes_back_to_its_place_is_one_face():

    def places(n):
        return [face(150, 80), *([face(20, 30)] if n <= 12 or n >= 36 else [])]

    assert [(one.start, one.stop) for one in staged(places)[1:]] == [(0, 49)]


def test_where_the_first_face_jumps_its_parts_are_faces_too():
    tracks = staged(lambda n: [face(20, 60 if n < 24 else 50), face(300, 50 if n < 24 else 60)])
    assert [(one.start, one.stop) for one in tracks] == [(0, 49), (0, 49)]  # linked, no jump
    cut = staged(lambda n: [face(20 if n < 24 else 300, 60)])
    assert [(one.start, one.stop) for one in cut] == [(0, 49), (24, 49), (0, 24)]
    assert jumps(cut[0].boxes) == 1
    assert not jumps(cut[1].boxes)


def test_no_more_faces_than_the_limit(monkeypatch):
    monkeypatch.setattr("data.faces.tracker.MOST_FACES", 2)
    assert len(staged(lambda n: [face(x, 30) for x in (0, 100, 200, 300)])) == 2


def test_a_face_with_too_few_frames_for_the_head_is_left_out(monkeypatch):
    size = FrameRecipe(count=48, size=32, minimum_frames=12)
    info = VideoInfo(
        stream_index=0, codec="h264", pixel_format="yuv420p", width=400, height=200,
        rotation_degrees=0, fps=5.0, duration_seconds=10.0, frame_count=49, promised_seconds=10.0,
        bit_rate=0, size_bytes=1,
    )  # fmt: skip
    monkeypatch.setattr("data.faces.multi_face.probe", lambda path: info)
    pixels, times = frames(49)
    read = WholeFrames(
        pixels=pixels, timestamps_seconds=times, scales=np.ones(49), layout=None, pictures=pixels,
        boxes=np.zeros((49, 4), np.float32), shown=np.full((49, 2), pixels.shape[2:0:-1]),
    )  # fmt: skip
    monkeypatch.setattr("data.faces.multi_face.read_whole", lambda *_, **__: read)
    late = {n: [face(200, 80), *([face(20, 30)] if n >= 36 else [])] for n in range(49)}
    found = read_every_face("no file", size, finder=Staged(late))
    assert [len(one.pixels) for one in found.faces] == [49, 13]
    assert len(found.pixels) == 49 + 13
    assert found.still is not None
    assert found.still.timestamp_seconds >= 36 / 5  # where both are seen
    fewer = size.replace(minimum_frames=14)
    assert len(read_every_face("no file", fewer, finder=Staged(late)).faces) == 1


@pytest.mark.parametrize("count", [8, 16])
def test_two_people_of_a_real_clip_are_two_faces(clips, count):
    """Eight frames are so far apart that the largest face becomes the other person's."""
    path = clips / "head-pose-face-detection-female-and-male.gif"
    recipe, finder = FrameRecipe(count=count), FaceFinder()
    first, *others = read_every_face(path, recipe, finder=finder).faces
    people = others if jumps(first.boxes) else [first, *others]
    assert bool(jumps(first.boxes)) == (count == 8)
    assert len(people) == 2
    left, right = sorted((one.boxes.mean(0) for one in people), key=lambda box: box[0])
    assert left[2] < right[0]
    assert all(one.face_found.all() and not jumps(one.boxes) for one in people)
    alone = read_frames(path, recipe, faces=finder)
    for name in ("pixels", "boxes", "face_found", "timestamps_seconds"):
        np.testing.assert_array_equal(getattr(first, name), getattr(alone, name))
