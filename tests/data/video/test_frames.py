"""The choice of frames and reading them: exact, whatever the video is like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ConfigError, VideoError
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video import frame_reader
from data.video.frame_reader import runs_of
from data.video.frames import FrameRecipe, read_pixels, read_whole
from data.video.packets import needless, read_packets
from data.video.picture import whole_picture
from data.video.probe import probe
from data.video.sampling import choose_clips, choose_uniform
from tests.data.conftest import make

FULL = FrameRecipe(crop="full", count=8, size=64)


@given(st.integers(1, 400), st.integers(1, 64))
def test_uniform_takes_each_frame_at_most_once(total, count):
    chosen = choose_uniform(np.arange(total) / 25, count)
    assert len(chosen) == min(total, count)
    assert len(set(chosen.tolist())) == len(chosen)
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < total


@given(st.integers(2, 400), st.integers(1, 32))
def test_uniform_is_even(total, count):
    chosen = choose_uniform(np.arange(total) / 25, count)
    if total > 2 * count > 2:
        gaps = np.diff(chosen)
        assert gaps.max() - gaps.min() <= 2


def test_uniform_goes_by_time_where_the_rate_varies():
    # 100 frames in the first second, one a second in the nine after it.
    times = np.concatenate([np.arange(100) / 100, np.arange(1, 10)])
    chosen = choose_uniform(times, 10)
    assert (times[chosen] >= 1).sum() >= 8


@given(st.integers(1, 300), st.integers(1, 6), st.integers(1, 12))
def test_clips_are_runs_that_never_overlap(total, runs, length):
    chosen = choose_clips(total, runs * length, length)
    assert len(set(chosen.tolist())) == len(chosen) == min(total, runs * length)
    assert chosen.max() < total
    if total > runs * length:
        assert (np.diff(chosen.reshape(runs, length), axis=1) == 1).all()


@given(st.sets(st.integers(0, 60), min_size=1))
def test_runs_say_the_same_as_the_numbers(numbers):
    chosen = np.asarray(sorted(numbers))
    numbers = [n for first, last in runs_of(chosen) for n in range(first, last + 1)]
    assert numbers == chosen.tolist()


@pytest.mark.parametrize(
    "settings",
    [{"policy": "random"}, {"crop": "mouth"}, {"count": 0}, {"size": 8}, {"margin": 0.5},
     {"minimum_frames": 99}, {"policy": "clip", "count": 10, "clip_length": 4},
     {"count": 4096, "max_side": 8192}],
)  # fmt: skip
def test_a_recipe_out_of_range_is_refused(settings):
    with pytest.raises(ConfigError, match=r"frames|lower"):
        FrameRecipe(**settings)


def test_what_does_not_matter_is_not_in_the_recipe():
    assert FrameRecipe(clip_length=4).to_json() == FrameRecipe().to_json()
    full = FrameRecipe(crop="full")
    assert FrameRecipe(crop="full", margin=2.0, max_side=640).to_json() == full.to_json()
    assert FrameRecipe(margin=1.5).to_json() != FrameRecipe().to_json()


def test_the_right_frames_at_the_right_times(zoo):
    frames = read_frames(zoo / "counting.mp4", FULL)
    numbers = np.rint(frames.timestamps_seconds * 25).astype(int)
    assert numbers.tolist() == [3, 9, 16, 22, 28, 34, 41, 47]
    np.testing.assert_allclose(frames.pixels.mean(axis=(1, 2, 3)), 4 * numbers + 8, atol=2)
    np.testing.assert_allclose(frames.boxes[0], [20, 0, 140, 120], atol=1.5)


def test_clips_of_consecutive_frames(zoo):
    recipe = FrameRecipe(crop="full", count=8, size=64, policy="clip", clip_length=4)
    frames = read_frames(zoo / "counting.mp4", recipe)
    numbers = np.rint(frames.timestamps_seconds * 25).astype(int).reshape(2, 4)
    assert (np.diff(numbers, axis=1) == 1).all()
    np.testing.assert_allclose(
        frames.pixels.mean(axis=(1, 2, 3)), 4 * numbers.reshape(-1) + 8, atol=2
    )


@pytest.mark.parametrize(
    "name",
    ["hevc.mp4", "ten_bit.mp4", "full_chroma.mp4", "alpha.mov", "animated.gif", "transport.ts",
     "odd_size.mkv", "broken_sound.mp4", "portrait.mp4", "variable.mkv", "long_group.mp4"],
)  # fmt: skip
def test_every_make_of_video_is_read(zoo, name):
    frames = read_frames(zoo / name, FULL)
    assert frames.pixels.shape == (8, 64, 64, 3)
    assert (np.diff(frames.timestamps_seconds) > 0).all()
    # The test pattern moves: no frame is given twice.
    assert len({frame.tobytes() for frame in frames.pixels}) == 8
    assert frames.pixels.std() > 20


def test_portrait_is_upright(zoo):
    recipe = FrameRecipe(crop="full", count=8, size=120)
    lying = read_frames(zoo / "hevc.mp4", recipe).pixels[0].astype(int)
    upright = read_frames(zoo / "portrait.mp4", recipe).pixels[0].astype(int)
    turned = [np.abs(np.rot90(lying, k) - upright).mean() for k in range(4)]
    assert min(turned[1], turned[3]) < 6 < turned[0]


def test_variable_rate_keeps_its_times(zoo):
    path = zoo / "variable.mkv"
    packets = read_packets(path, probe(path), timeout_seconds=30)
    frames = read_frames(path, FrameRecipe(crop="full", count=64, size=64))
    np.testing.assert_allclose(frames.timestamps_seconds, packets.timestamps_seconds, atol=2e-3)
    assert np.diff(frames.timestamps_seconds).max() > 0.1


@pytest.mark.parametrize(
    ("name", "failure"),
    [("one_frame.mp4", "too_few_frames"), ("truncated.mp4", "decode_error"),
     ("sound_only.m4a", "no_video_stream"), ("empty.mp4", "unreadable"),
     ("noise.mp4", "unreadable"), ("no_index.mp4", "unreadable")],
)  # fmt: skip
def test_failures_have_their_class(zoo, name, failure):
    with pytest.raises(VideoError) as caught:
        read_frames(zoo / name, FULL)
    assert caught.value.failure == failure


def test_truncation_says_how_much_is_there(zoo):
    with pytest.raises(VideoError, match=r"truncated: it holds \d+ of 100 frames"):
        read_frames(zoo / "truncated.mp4", FULL)


def test_damage_that_loses_frames_is_a_decode_error(zoo, tmp_path):
    content = bytearray((zoo / "long_group.mp4").read_bytes())
    start = content.find(b"mdat") + 4000
    content[start : start + (len(content) - start) * 3 // 4] = bytes(
        (len(content) - start) * 3 // 4
    )
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(VideoError) as caught:
        read_frames(tmp_path / "damaged.mp4", FULL)
    assert caught.value.failure in ("decode_error", "unreadable")


def test_entering_a_long_video_gives_the_same_frames(zoo, monkeypatch):
    path = zoo / "long_group.mp4"
    info = probe(path)
    picture = whole_picture(info, 1280)
    recipe = FrameRecipe(count=6, minimum_frames=6)
    calls = []
    real_decode = frame_reader.decode

    def counted(*arguments, **settings):
        calls.append(settings.get("seek_seconds"))
        return real_decode(*arguments, **settings)

    monkeypatch.setattr(frame_reader, "decode", counted)
    monkeypatch.setattr(frame_reader, "SEEK_GAIN", 0.0)
    through = read_pixels(path, info, recipe, picture)
    assert calls == [None]
    monkeypatch.setattr(frame_reader, "SEEK_GAIN", 100.0)
    entered = read_pixels(path, info, recipe, picture)
    assert len(calls) == 1 + 6
    np.testing.assert_array_equal(entered[0], through[0])
    np.testing.assert_array_equal(entered[1], through[1])


@pytest.mark.parametrize("gain", [0.0, 100.0], ids=["through", "entering"])
def test_reading_tells_how_far_it_is_and_gives_the_same_frames(zoo, monkeypatch, gain):
    path = zoo / "long_group.mp4"
    info = probe(path)
    monkeypatch.setattr(frame_reader, "SEEK_GAIN", gain)
    recipe = FrameRecipe(count=6, minimum_frames=6)
    shares = []
    read = read_whole(path, info, recipe, whole_picture(info, 1280), when_read=shares.append)
    assert shares == pytest.approx([(number + 1) / 6 for number in range(6)])
    alone = read_pixels(path, info, recipe, whole_picture(info, 1280))
    np.testing.assert_array_equal(read.pixels, alone[0])


def test_reading_twice_gives_the_same_bytes(clips):
    finder = FaceFinder()
    recipe = FrameRecipe(count=8)
    path = clips / "head-pose-face-detection-male.gif"
    one, two = (read_frames(path, recipe, faces=finder) for _ in range(2))
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.boxes.tobytes() == two.boxes.tobytes()


X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")


@pytest.mark.parametrize(
    ("encoder", "least"),
    [((*X264, "3"), 30), ((*X264, "3", "-flags", "+ildct+ilme"), 20), ((*X264, "0"), 1),
     ((*X264, "0", "-g", "5"), 25), ((*X264, "3", "-g", "9", "-flags", "-cgop"), 30),
     ((*X265, "bframes=4:log-level=error"), 30),
     ((*X265, "bframes=4:temporal-layers=3:log-level=error"), 10),
     ((*X265, "bframes=2:keyint=8:open-gop=0:log-level=error"), 40),
     ((*X265, "bframes=2:keyint=8:open-gop=1:log-level=error"), 25)],
    ids=["h264", "interlaced", "no B-frames", "many keyframes", "open groups", "hevc",
         "hevc in layers", "hevc, keyframes", "hevc, open groups"],
)  # fmt: skip
def test_packets_that_nothing_needs_are_not_decoded(tmp_path, monkeypatch, encoder, least):
    path = make(tmp_path / "video.mp4", "-f", "lavfi", "-i", "mandelbrot=size=320x180:rate=25",
                "-t", "4", "-pix_fmt", "yuv420p", *encoder)  # fmt: skip
    info = probe(path)
    packets = read_packets(path, info, timeout_seconds=30)
    found = needless(path, info, packets, choose_uniform(packets.timestamps_seconds, 16))
    assert found.sum() >= least
    picture, recipe, calls = whole_picture(info, 1280), FrameRecipe(count=16), []
    real_decode = frame_reader.decode

    def counted(*arguments, **settings):
        calls.append(settings.get("without"))
        return real_decode(*arguments, **settings)

    monkeypatch.setattr(frame_reader, "decode", counted)
    some = read_pixels(path, info, recipe, picture)
    assert [bool(one) for one in calls] == [True]
    monkeypatch.setattr(frame_reader, "FILTERS_PACKETS", (1000, 0))  # as of an older ffmpeg
    every = read_pixels(path, info, recipe, picture)
    assert not any(calls[1:])
    np.testing.assert_array_equal(some[0], every[0])
    np.testing.assert_array_equal(some[1], every[1])


def test_packets_of_an_odd_make_are_all_decoded(tmp_path):
    path = make(tmp_path / "video.mp4", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25",
                "-t", "1", *X264, "3")  # fmt: skip
    info = probe(path)
    packets = read_packets(path, info, timeout_seconds=30)
    chosen = np.arange(0, 25, 6)
    assert needless(path, info, packets, chosen).any()
    for part, added in (("sizes_bytes", 1), ("sizes_bytes", -1), ("starts", 1)):
        odd = replace(packets, **{part: getattr(packets, part) + added})
        assert not needless(path, info, odd, chosen).any()


def test_where_packets_cannot_be_left_out_all_are_decoded(zoo, monkeypatch):
    path = zoo / "long_group.mp4"
    info = probe(path)
    picture, recipe = whole_picture(info, 1280), FrameRecipe(count=8)
    every = read_pixels(path, info, recipe, picture)
    monkeypatch.setattr(frame_reader, "_needless", lambda *_: "no condition")
    again = read_pixels(path, info, recipe, picture)
    np.testing.assert_array_equal(again[0], every[0])


def test_more_than_a_hundred_frames_can_be_chosen(tmp_path):
    path = make(tmp_path / "video.mp4", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=50",
                "-t", "8", *X264, "3", "-pix_fmt", "yuv420p")  # fmt: skip
    frames = read_frames(path, FrameRecipe(crop="full", count=180, size=64))
    assert len(frames.pixels) == 180
    assert (np.diff(frames.timestamps_seconds) > 0).all()
