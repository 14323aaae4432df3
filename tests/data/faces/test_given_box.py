"""A face that a person points at: which one is followed, from when to when, and where none is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as every
from hypothesis import strategies as st

from data.errors import ConfigError, VideoError
from data.faces.follow_given import follow_given
from data.faces.given_box import GivenBox
from data.faces.tracks import FaceTrack, fits
from data.video.frames import WholeFrames
from data.video.picture import layout_of

COUNT = 20


def whole(sizes: list[tuple[int, int]] | None = None, scale: float = 1.0) -> WholeFrames:
    """Twenty frames, 5 a second, each of the colour of its number."""
    numbers = np.arange(COUNT, dtype=np.uint8)
    pixels = np.tile(numbers[:, None, None, None], (1, 200, 400, 3))
    shown = np.asarray(sizes or [(int(400 / scale), int(200 / scale))] * COUNT, np.int64)
    return WholeFrames(
        pixels=pixels,
        timestamps_seconds=np.arange(COUNT) / 5,
        scales=np.full(COUNT, scale),
        boxes=np.zeros((COUNT, 4), np.float32),
        shown=shown,
        pictures=pixels,
        layout=layout_of(shown),
    )


def followed(places, box: str, read: WholeFrames | None = None, least: int = 8) -> FaceTrack:
    """The track of a box where `places(frame)` gives the faces that a detector would see."""

    def look_near(frame, expected):
        near = [np.float32(one) for one in places(int(frame[0, 0, 0]))]
        return next((one for one in near if fits(expected, one)), None)

    return follow_given(look_near, read or whole(), GivenBox.parse(box), minimum_frames=least)


def test_the_face_in_the_box_is_followed_and_not_a_larger_one():
    track = followed(lambda n: [(200, 20, 300, 120), (20 + n, 20, 60 + n, 60)], "25,22,40,40@1")
    assert (track.start, track.stop) == (0, COUNT)
    assert track.found.all()
    assert track.boxes[15, 0] == pytest.approx(35, abs=1)


def test_it_counts_from_when_it_is_first_seen_to_when_it_is_last_seen():
    track = followed(lambda n: [(20, 20, 60, 60)] * (6 <= n <= 15), "20,20,40,40@2")
    assert (track.start, track.stop, track.found.sum()) == (6, 16, 10)


def test_a_face_that_is_there_too_briefly_is_an_error_that_says_so():
    with pytest.raises(VideoError, match="in only 3 of the 20") as error:
        followed(lambda n: [(20, 20, 60, 60)] * (6 <= n <= 8), "20,20,40,40@1.4")
    assert error.value.failure == "no_face"


def test_where_no_face_is_seen_the_box_stays_as_drawn():
    track = followed(lambda n: [], "20,30,40,40@2")
    assert (track.start, track.stop, track.found.any()) == (0, COUNT, False)
    assert track.boxes[[0, 19]].tolist() == [[20, 30, 60, 70]] * 2


def test_without_a_time_the_frame_decides_whose_face_fits_best():
    track = followed(lambda n: [(20 + 10 * n, 20, 60 + 10 * n, 60)], "120,20,40,40")
    assert track.found.all()
    assert track.boxes[10, 0] == pytest.approx(120, abs=2)


def test_a_box_is_in_pixels_of_the_video_as_shown():
    track = followed(lambda n: [], "40,60,80,80", whole(scale=0.5))
    assert track.boxes[0].tolist() == [20, 30, 60, 70]
    sizes = [(400, 200)] * 10 + [(200, 100)] * 10
    track = followed(lambda n: [], "40,60,20,20@3", whole(sizes))
    assert track.boxes[19].tolist() == [80, 120, 120, 160]


def test_a_box_outside_the_picture_is_refused():
    with pytest.raises(VideoError, match="outside the picture of 400x200"):
        followed(lambda n: [], "390,20,40,40")


@every(st.tuples(*[st.floats(8, 99_999)] * 4), st.none() | st.floats(0, 9_999))
def test_a_box_is_read_as_it_is_written(numbers, seconds):
    x, y, width, height = (round(one, 1) for one in numbers)
    box = GivenBox(x=x, y=y, width=width, height=height, seconds=seconds and round(seconds, 2))
    again = GivenBox.parse(str(box))
    assert str(again) == str(box)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "a,b,c,d", "1,2,3,4,5", "-1,2,30,40", "1,2,30,40@", "1,2,30,40@-1",
             "1,2,30,40@inf", "1e9,2,30,40", "1,2,7,40", "999999,2,30,40"]
)  # fmt: skip
def test_what_is_no_box_is_refused(text):
    with pytest.raises(ConfigError, match="a box must be"):
        GivenBox.parse(text)
