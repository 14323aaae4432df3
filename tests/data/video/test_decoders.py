"""A missing decoder is reported as such, and looked for in other programs."""

from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import FAILURE_CLASSES, NoDecoderError, ToolError, VideoError
from data.faces.crops import read_frames
from data.video import ffmpeg, ffmpeg_binaries
from data.video.ffmpeg import Tools, decoders, ffmpeg_for, find_tools
from data.video.ffmpeg_binaries import release
from data.video.frames import FrameRecipe
from data.video.probe import _moving, probe
from pipeline.extraction.inputs import refuse_without_decoder
from tests.data.conftest import make
from tests.requirements import missing

SMALL = FrameRecipe(crop="full", count=8, size=64)


@pytest.fixture
def fresh():
    """Forgets what was found, before and after."""
    find_tools.cache_clear()
    decoders.cache_clear()
    yield
    find_tools.cache_clear()
    decoders.cache_clear()


def program(path: Path, *, version: str = "n8.1", listing: str = " V....D h264  H.264\n") -> str:
    """A program that lists decoders as ffmpeg does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f"*-version*) echo ffmpeg version {version} ;;\n"
        f"*-decoders*) printf %s {shlex.quote(listing)} ;;\nesac\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


DAV1D = " V....D h264  H.264\n V....D libdav1d  dav1d AV1 decoder by VideoLAN (codec av1)\n"


def test_devices_are_no_decoders(tmp_path, fresh):
    listing = (
        "Decoders:\n V..... = Video\n A....D aac  AAC\n V....D av1  Alliance for Open Media AV1\n"
        " V..... av1_cuvid  Nvidia (codec av1)\n V..... h264_v4l2m2m  V4L2 (codec h264)\n"
        " VFS..D hevc  HEVC\n V....D msmpeg4  MPEG-4 (codec msmpeg4v3)\n"
    )
    path = Path(program(tmp_path / "ffmpeg", listing=listing))
    assert decoders(path) == {"hevc", "msmpeg4v3"}


@pytest.mark.parametrize("asked", ["path", "wheel", "spare"])
def test_what_one_lacks_another_decodes(monkeypatch, tmp_path, fresh, asked):
    """And nothing else: what the first one decodes, it decodes still."""
    monkeypatch.delenv("UNMASK_FFMPEG_DIR", raising=False)
    first = program(tmp_path / "first" / "ffmpeg")
    program(tmp_path / "first" / "ffprobe")
    other = program(tmp_path / "other" / "ffmpeg", listing=DAV1D)
    tools = Tools(ffmpeg=Path(first), ffprobe=Path(first), version="n8.1")
    monkeypatch.setattr(ffmpeg, "find_tools", lambda: tools)
    monkeypatch.setenv("PATH", str(tmp_path / ("other" if asked == "path" else "none")))
    wheel = (other, other) if asked == "wheel" else (None, None)
    monkeypatch.setattr(ffmpeg_binaries, "wheel_binaries", lambda: wheel)
    monkeypatch.setattr(
        ffmpeg_binaries, "spare_binary", lambda: other if asked == "spare" else None
    )
    assert ffmpeg_for("h264") == Path(first)
    assert ffmpeg_for("av1") == Path(other)
    monkeypatch.setenv("UNMASK_FFMPEG_DIR", str(tmp_path / "first"))
    with pytest.raises(NoDecoderError) as caught:
        ffmpeg_for("av1")
    for part in ("av1", first, "n8.1", "UNMASK_FFMPEG_DIR", "unmask[ffmpeg]"):
        assert part in str(caught.value)


def test_the_error_is_a_tools_and_a_videos():
    error = NoDecoderError("no av1")
    assert isinstance(error, VideoError)
    assert isinstance(error, ToolError)
    assert (error.failure, error.exit_code, str(error)) == ("no_decoder", 7, "no av1")
    assert "no_decoder" in FAILURE_CLASSES


def test_an_old_release_on_the_path_gives_way_to_the_wheel(monkeypatch, tmp_path, fresh):
    """Before 7.1 ffmpeg does not show what a container says is to be shown."""
    monkeypatch.delenv("UNMASK_FFMPEG_DIR", raising=False)
    for name in ("ffmpeg", "ffprobe"):
        program(tmp_path / "old" / name, version="5.1.9-0+deb12u1")
        program(tmp_path / "new" / name, version="n8.1.2")
    monkeypatch.setenv("PATH", str(tmp_path / "old"))
    new = tuple(str(tmp_path / "new" / name) for name in ("ffmpeg", "ffprobe"))
    monkeypatch.setattr(ffmpeg_binaries, "wheel_binaries", lambda: new)
    assert find_tools().version == "n8.1.2"
    find_tools.cache_clear()
    monkeypatch.setattr(ffmpeg_binaries, "wheel_binaries", lambda: (None, None))
    assert find_tools().version == "5.1.9-0+deb12u1"
    find_tools.cache_clear()
    monkeypatch.setattr(ffmpeg_binaries, "wheel_binaries", lambda: new)
    monkeypatch.setenv("PATH", str(tmp_path / "new"))
    assert str(tmp_path / "new") in str(find_tools().ffmpeg)


def test_releases_are_read():
    assert release("n8.1.2") == (8, 1)
    assert release("5.1.9-0+deb12u1") == (5, 1)
    assert release("N-123456-gabcdef") > (100, 0)
    assert release("2026-01-02-git-abc") > (100, 0)


def test_a_video_without_a_decoder_is_a_row_not_the_end(zoo, monkeypatch):
    def none(codec: str) -> Path:
        raise NoDecoderError(f"there is no decoder for {codec}")

    monkeypatch.setattr("data.video.ffmpeg.ffmpeg_for", none)
    with pytest.raises(VideoError, match="no decoder for hevc") as caught:
        read_frames(zoo / "hevc.mp4", SMALL)
    assert caught.value.failure == "no_decoder"


def test_only_where_every_video_lacks_one_the_run_does():
    refuse_without_decoder([])
    refuse_without_decoder([("no_decoder", "av1"), ("no_face", "none")])
    refuse_without_decoder([("no_decoder", "av1"), (None, None)])
    with pytest.raises(ToolError, match="none of the videos can be decoded: no av1"):
        refuse_without_decoder([("no_decoder", "no av1"), ("no_decoder", "no av1")])


def encodes(name: str) -> bool:
    shown = subprocess.run([str(find_tools().ffmpeg), "-encoders"], capture_output=True, text=True)
    return f" {name} " in shown.stdout


def test_av1_is_read_or_named(tmp_path):
    if not encodes("libsvtav1"):
        missing("svtav1", "this ffmpeg writes no AV1")
    path = make(tmp_path / "v.mp4", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1",
                "-c:v", "libsvtav1", "-preset", "10")  # fmt: skip
    try:
        ffmpeg_for("av1")
    except NoDecoderError:
        with pytest.raises(NoDecoderError, match="no decoder for av1"):
            read_frames(path, SMALL)
    else:
        assert len({one.tobytes() for one in read_frames(path, SMALL).pixels}) == 8


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_the_film_is_taken_not_the_still_before_it(tmp_path, kind):
    """A stream of one picture first, without a word that it is a cover."""
    Image.new("RGB", (64, 48), "red").save(tmp_path / "still.jpg")
    path = make(
        tmp_path / f"two.{kind}", "-i", str(tmp_path / "still.jpg"), "-f", "lavfi", "-i",
        "testsrc2=size=160x120:rate=25:duration=1", "-map", "0", "-map", "1", "-c:v:0", "mjpeg",
        "-c:v:1", "libx264",
    )  # fmt: skip
    info = probe(path)
    assert (info.stream_index, info.codec, info.width) == (1, "h264", 160)
    assert len(read_frames(path, SMALL).pixels) == 8


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_the_film_is_taken_not_the_slides_before_it(tmp_path, kind):
    film = ("-f", "lavfi", "-i")
    path = make(tmp_path / f"two.{kind}", *film, "color=red:size=64x48:rate=1:duration=3", *film,
                "testsrc2=size=160x120:rate=25:duration=1", "-map", "0", "-map", "1", "-c:v",
                "libx264")  # fmt: skip
    assert probe(path).width == 160
    slides = make(tmp_path / f"slides.{kind}", "-i", str(path), "-map", "0:0", "-map", "0:0",
                  "-c", "copy")  # fmt: skip
    assert probe(slides).stream_index == 0


def test_of_two_films_the_first_is_taken(tmp_path):
    film = ("-f", "lavfi", "-i")
    path = make(tmp_path / "two.mkv", *film, "testsrc2=size=160x120:rate=25:duration=1", *film,
                "testsrc2=size=64x48:rate=25:duration=1", "-map", "0", "-map", "1", "-c:v",
                "libx264")  # fmt: skip
    assert probe(path).width == 160


@pytest.mark.parametrize("kind", ["still_image", "timed_thumbnails"])
def test_thumbnails_are_no_film(kind):
    film = {"index": 1, "codec_name": "h264", "width": 160, "nb_frames": "25"}
    other = film | {"index": 0, "disposition": {kind: 1}}
    assert _moving(Path("none"), [other, film], 30) is film
    assert _moving(Path("none"), [other], 30) is other  # better than nothing


def test_a_still_alone_is_as_it_was(tmp_path):
    path = make(tmp_path / "one.mp4", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25",
                "-frames:v", "1", "-c:v", "libx264")  # fmt: skip
    with pytest.raises(VideoError) as caught:
        read_frames(path, SMALL)
    assert caught.value.failure == "too_few_frames"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"  <html lang=en>", "a web page"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "a playlist"),
        (b"hello world\n" * 9, "plain text"),
        (b"PK\x03\x04" + bytes(90), "an archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
        (bytes(2000), "moov atom not found"),
    ],
)
def test_why_a_file_is_no_video_stands_in_the_message(tmp_path, content, reason):
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=reason) as caught:
        probe(path)
    message = str(caught.value)
    assert caught.value.failure == "unreadable"
    assert message.isprintable()
    assert len(message) < 300
    assert "0x" not in message
    assert str(tmp_path) not in message


def test_a_cut_off_mp4_says_what_is_missing(zoo):
    with pytest.raises(VideoError, match="cannot read it as a video: moov atom not found"):
        probe(zoo / "no_index.mp4")


@pytest.mark.parametrize("name", ["two\nlines.mp4", "a: Bad\x1b[31m.mp4", "x" * 200 + ".mp4"])
def test_a_name_is_no_reason(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(2000))
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / name)
    assert str(caught.value) == "ffprobe cannot read it as a video: moov atom not found"


def test_what_was_looked_at_is_told(zoo):
    from data.faces.tracker import FaceFinder

    finder = FaceFinder()
    with pytest.raises(VideoError, match="no face in any of the 3 frames searched, of 8 read"):
        read_frames(zoo / "long_group.mp4", FrameRecipe(count=8), faces=finder)
    with pytest.raises(VideoError, match="found nothing like a face"):
        finder.follow(np.full((8, 96, 96, 3), 90, np.uint8), np.arange(8) / 25)
