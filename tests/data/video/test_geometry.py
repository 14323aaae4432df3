"""The picture is the one that a player shows: turned, cropped, of the right shape, never bent.

What becomes of a change of size in the middle is in `test_canvas.py`.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from data.errors import VideoError
from data.video import frame_reader
from data.video.decoding import Showinfo, decode
from data.video.frames import FrameRecipe, read_whole
from data.video.packets import read_packets
from data.video.picture import Picture, place, whole_picture
from data.video.probe import probe
from tests.data.boxes import AMBIENT, LIGHT, add_to_sample_entry, clean_aperture
from tests.data.conftest import make

RECIPE = FrameRecipe(count=8)
SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=1")
H264 = ("-c:v", "libx264", "-bf", "0", "-qp", "4")


def read(path: Path, recipe: FrameRecipe = RECIPE):
    info = probe(path)
    return read_whole(path, info, recipe, whole_picture(info, 1280))


def level(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other).mean())


@pytest.fixture(scope="module")
def upright(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("geometry") / "upright.mp4", *SOURCE, *H264)


@pytest.mark.parametrize("kind", [b"amve", b"clli"])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_box_after_the_rotation_changes_nothing(upright, tmp_path, kind, degrees):
    """`rotation` was read from the last entry of ffprobe's list, whatever that was."""
    turned = make(tmp_path / "turned.mp4", "-display_rotation", str(degrees), "-i", str(upright),
                  "-c", "copy")  # fmt: skip
    body = AMBIENT if kind == b"amve" else LIGHT
    boxed = add_to_sample_entry(turned, tmp_path / "boxed.mp4", kind, body)
    plain, other = read(turned), read(boxed)
    np.testing.assert_array_equal(plain.pixels, other.pixels)
    assert plain.pixels.shape[1:3] == ((320, 240) if degrees != 180 else (240, 320))
    assert (probe(boxed).width, probe(boxed).height) == plain.pixels.shape[2:0:-1]
    straight = read(upright).pixels
    assert level(np.rot90(straight, degrees // 90, axes=(1, 2)), plain.pixels) < 1


@pytest.mark.parametrize("degrees", [30, 60, 100])
def test_a_slanted_picture_keeps_its_shape(upright, tmp_path, degrees):
    """It was taken for a quarter turn from 45 degrees on, and bent to that size."""
    slanted = make(tmp_path / "slanted.mp4", "-display_rotation", str(degrees), "-i", str(upright),
                   "-c", "copy")  # fmt: skip
    assert read(slanted).pixels.shape[1:3] == (240, 320)
    assert (probe(slanted).width, probe(slanted).height) == (320, 240)


@pytest.mark.parametrize("flip", ["-display_hflip", "-display_vflip"])
def test_a_mirrored_picture_is_mirrored(upright, tmp_path, flip):
    mirrored = make(tmp_path / "mirrored.mp4", "-display_rotation", "0", flip, "-i", str(upright),
                    "-c", "copy")  # fmt: skip
    straight = read(upright).pixels
    expected = straight[:, :, ::-1] if flip == "-display_hflip" else straight[:, ::-1]
    assert level(expected, read(mirrored).pixels) < 1


@pytest.mark.usefixtures("crops")
@pytest.mark.parametrize(
    ("size", "shift"), [((160, 120), (0, 0)), ((200, 100), (-40, 20)), ((161, 121), (0, 0))]
)
def test_a_clean_aperture_is_what_is_seen(upright, tmp_path, size, shift):
    path = add_to_sample_entry(
        upright, tmp_path / "clap.mp4", b"clap", clean_aperture(*size, *shift)
    )
    seen = read(path).pixels
    high, wide = seen.shape[1:3]
    assert abs(wide - size[0]) <= 1
    assert abs(high - size[1]) <= 1
    top, left = 120 + shift[1] - size[1] // 2, 160 + shift[0] - size[0] // 2
    whole = read(upright).pixels
    found = min(
        level(whole[:, top + down : top + down + high, left + right : left + right + wide], seen)
        for down in range(-2, 3) for right in range(-2, 3)
    )  # fmt: skip
    assert found < 2


@pytest.mark.usefixtures("crops")
def test_a_clean_aperture_is_cut_before_the_picture_is_turned(upright, tmp_path):
    turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", str(upright),
                  "-c", "copy")  # fmt: skip
    path = add_to_sample_entry(turned, tmp_path / "both.mp4", b"clap", clean_aperture(200, 100))
    boxed = add_to_sample_entry(path, tmp_path / "three.mp4", b"amve", AMBIENT)
    seen = read(boxed).pixels
    assert seen.shape[1:3] == (200, 100)
    assert (probe(boxed).width, probe(boxed).height) == (100, 200)
    expected = np.rot90(read(upright).pixels[:, 70:170, 60:260], 1, axes=(1, 2))
    assert level(expected, seen) < 2


@pytest.mark.parametrize(
    "body",
    [
        clean_aperture(0, 0), clean_aperture(160, 120, under=0), clean_aperture(5000, 5000),
        clean_aperture(160, 120, 500, 500), clean_aperture(-160, 120), clean_aperture(1, 1),
        clean_aperture(2, 2), clean_aperture(320, 3), struct.pack(">II", 0, 0),
    ],
)  # fmt: skip
def test_an_absurd_clean_aperture_loses_no_video(upright, tmp_path, body):
    path = add_to_sample_entry(upright, tmp_path / "clap.mp4", b"clap", body)
    np.testing.assert_array_equal(read(path).pixels, read(upright).pixels)


@pytest.mark.usefixtures("crops")
def test_matroska_crops_too(upright, tmp_path):
    """PixelCrop, written by hand over the void that the muxer is told to leave."""
    path = make(tmp_path / "v.mkv", "-i", str(upright), "-c", "copy")
    data = bytearray(path.read_bytes())
    # The element Video (E0) begins with PixelWidth (B0) and PixelHeight (BA); what ffmpeg writes of
    # fields and colours after them gives way to PixelCropLeft and -Right, and to a void.
    at = data.index(b"\xb0\x82\x01\x40\xba\x81\xf0")
    video = data.rindex(b"\xe0", 0, at)
    end = at + (data[video + 1] & 0x7F) - (at - video - 2)
    assert data[video + 1] & 0x80
    crop = b"\x54\xcc\x81\x50\x54\xdd\x81\x28"
    room = end - (at + 7)
    assert room >= len(crop) + 2
    data[at + 7 : end] = (
        crop + b"\xec" + bytes([0x80 | (room - len(crop) - 2)]) + bytes(room - len(crop) - 2)
    )
    path.write_bytes(data)
    seen = read(path).pixels
    assert seen.shape[1:3] == (240, 200)
    assert level(read(upright).pixels[:, :, 80:280], seen) < 2


@pytest.mark.parametrize(("aspect", "shape"), [("2", (240, 640)), ("1/2", (240, 160))])
def test_square_pixels_and_turned_ones(tmp_path, aspect, shape):
    flat = make(tmp_path / "flat.mp4", *SOURCE, "-vf", f"setsar={aspect}", *H264)
    assert read(flat).pixels.shape[1:3] == shape
    turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", str(flat), "-c", "copy")
    seen = read(turned)
    assert seen.pixels.shape[1:3] == shape[::-1]
    assert (probe(turned).width, probe(turned).height) == shape
    assert level(np.rot90(read(flat).pixels, 1, axes=(1, 2)), seen.pixels) < 3


def annexb(folder: Path, *filters: str) -> bytes:
    """Some H.264 of other pictures: streams that may follow each other in one file."""
    return b"".join(
        make(folder / f"{number}.h264", *SOURCE, "-vf", one, *H264).read_bytes()
        for number, one in enumerate(filters)
    )


def changing(folder: Path, suffix: str, *filters: str) -> Path:
    stream = folder / "all.h264"
    stream.write_bytes(annexb(folder, *filters))
    if suffix == "h264":
        return stream
    timed = ("-fflags", "+genpts", "-r", "25", "-i", str(stream))
    return make(folder / f"all.{suffix}", *timed, "-c", "copy")


@pytest.mark.parametrize("suffix", ["ts", "mkv", "h264", "mp4"])
def test_a_change_of_size_bends_nothing(tmp_path, suffix):
    """The second half lies upright in the middle of the first half's picture."""
    path = changing(tmp_path, suffix, "scale=320:240", "scale=120:240,setsar=1")
    seen = read(path)
    assert seen.pixels.shape[1:3] == (240, 320)
    alone = read(make(tmp_path / "alone.mp4", *SOURCE, "-vf", "scale=120:240,setsar=1", *H264))
    black = seen.pixels[:, :, :90].max(axis=(1, 2, 3)) < 8
    assert black.tolist() == [False] * 4 + [True] * 4
    number = round((seen.timestamps_seconds[-1] - seen.timestamps_seconds[0]) * 25)
    assert number > 40  # frames of the second half are found by their times
    nearest = [level(seen.pixels[-1, :, 100:220], one) for one in alone.pixels]
    assert min(nearest) < 6
    boxes = {tuple(box) for box in seen.boxes.tolist()}
    assert boxes == {(0, 0, 320, 240), (0, 0, 120, 240)}


def test_a_change_of_size_alone_is_only_a_change_of_scale(tmp_path):
    """As conferences do it: the same picture, half as large."""
    path = changing(tmp_path, "ts", "scale=320:240", "scale=160:120")
    seen = read(path)
    assert seen.pixels.shape[1:3] == (240, 320)
    assert seen.pixels[:, 0].max() > 30  # nothing is black
    ends = seen.pixels[[0, -1]].astype(float)
    assert np.abs(ends[0, ::4, ::4] - ends[1, ::4, ::4])[:20].mean() < 25


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_webm_that_changes_its_size(tmp_path, codec):
    parts = []
    for number, size in enumerate(("320:240", "160:240")):
        parts.append(make(tmp_path / f"{number}.webm", *SOURCE, "-vf", f"scale={size},setsar=1",
                          "-c:v", codec, "-b:v", "400k"))  # fmt: skip
    names = tmp_path / "names.txt"
    names.write_text("".join(f"file '{one}'\n" for one in parts))
    path = make(tmp_path / "all.webm", "-f", "concat", "-safe", "0", "-i", str(names), "-c", "copy")
    seen = read(path)
    assert seen.pixels.shape == (8, 240, 320, 3)
    assert (seen.pixels[-1, :, :70] < 12).all()
    assert not (seen.pixels[0, :, :70] < 12).all()


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_the_way_of_reading_does_not_change_the_result(tmp_path, monkeypatch, suffix):
    """Read from the start or entered in the middle; the change before or after chosen frames."""
    path = changing(tmp_path, suffix, "scale=320:240", "scale=120:240,setsar=1", "scale=320:240")
    info = probe(path)
    recipe = FrameRecipe(count=6, minimum_frames=6)
    results = []
    for gain in (0.0, 1e9):
        monkeypatch.setattr(frame_reader, "SEEK_GAIN", gain)
        results.append(read_whole(path, info, recipe, whole_picture(info, 1280)))
    np.testing.assert_array_equal(results[0].pixels, results[1].pixels)
    np.testing.assert_array_equal(results[0].timestamps_seconds, results[1].timestamps_seconds)


@pytest.mark.parametrize("change", ["format=yuv444p", "format=gray"])
def test_a_change_of_pixel_format_loses_no_frame(tmp_path, change):
    """ffmpeg makes its filters anew and counts from zero; frames were chosen by number."""
    stream = tmp_path / "all.h264"
    parts = [make(tmp_path / "0.h264", *SOURCE, *H264),
             make(tmp_path / "1.h264", *SOURCE, "-vf", change, *H264)]  # fmt: skip
    stream.write_bytes(b"".join(one.read_bytes() for one in parts))
    path = make(tmp_path / "all.ts", "-fflags", "+genpts", "-r", "25", "-i", str(stream),
                "-c", "copy")  # fmt: skip
    for one in (path, stream):
        seen = read(one)
        spread = np.diff(seen.timestamps_seconds)
        assert len(seen.pixels) == 8
        assert spread.min() > 0.15
        assert seen.timestamps_seconds[-1] - seen.timestamps_seconds[0] > 1.5


@pytest.mark.parametrize("suffix", ["ts", "h264"])
def test_pixels_that_change_their_shape_are_refused(tmp_path, suffix):
    path = changing(tmp_path, suffix, "setsar=1", "setsar=2")
    with pytest.raises(VideoError, match=r"its pixel aspect ratio changes from 1\.00 to 2\.00"):
        read(path)
    alike = changing(tmp_path, suffix, "setsar=16/11", "setsar=64/45")
    assert len(read(alike).pixels) == 8


def test_a_frame_that_is_bent_is_refused(upright):
    """Should an ffmpeg scale on its own account, as it did before -noautoscale."""
    info = probe(upright)

    class Bent(Picture):
        @property
        def filters(self):
            return [("scale", {"w": 100, "h": 240})]

    with pytest.raises(VideoError, match="100x240 pixels where 320x240 was expected"):
        decode(upright, info, choice="1", count=4, picture=Bent(longest=1280), timeout_seconds=30)


def test_sizes_are_those_of_before():
    """The arithmetic that gave every size so far, for pictures that a header tells right."""
    for width, height, aspect in (
        (161, 121, 1.0),
        (720, 480, 8 / 9),
        (2560, 1081, 1.0),
        (3, 900, 0),
    ):
        for side in (224, 1280):
            shown_width = max(1, round(width * aspect)) if aspect else width
            whole = Picture(longest=side)
            assert whole.shown(width, height, aspect) == (shown_width, height)
            scale = min(1.0, side / max(shown_width, height))
            assert whole.delivered(shown_width, height) == (
                max(1, round(shown_width * scale)), max(1, round(height * scale))
            )  # fmt: skip


@pytest.mark.parametrize("size", ["161x121", "163x97", "98x255", "30x400"])
@pytest.mark.parametrize("aspect", ["1", "8/9", "3/2", "0"])
def test_ffmpeg_rounds_as_python_does(tmp_path, size, aspect):
    path = make(tmp_path / "v.mkv", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=8:duration=1",
                "-vf", f"setsar={aspect}", "-c:v", "ffv1")  # fmt: skip
    info = probe(path)
    for picture in (
        whole_picture(info, 100), whole_picture(info, 1280),
        Picture(shortest=64, turned=info.turned),
        Picture(longest=77, even=True, turned=info.turned),
        Picture(longest=1280, even=True, turned=info.turned),
    ):  # fmt: skip
        found = decode(path, info, choice="1", count=2, picture=picture, timeout_seconds=30)
        due = picture.kept(*picture.delivered(info.width, info.height))
        assert found.pixels.shape == (2, due[1], due[0], 3)
        assert found.shown[0].tolist() == [info.width, info.height]


def test_a_larger_frame_fits_into_its_place():
    slot = np.empty((40, 60, 3), np.uint8)
    place(np.full((80, 20, 3), 200, np.uint8), slot)
    lit = (slot > 100).all(axis=2)
    assert lit.any(axis=1).all()
    assert lit[0].sum() == 10  # a quarter as wide as high
    assert lit[0].nonzero()[0][0] == 25


def test_text_of_a_stranger_is_no_line_of_showinfo():
    seen = Showinfo(sizes=True)
    line = b"[Parsed_showinfo_1 @ 0x1] [info] n:   0 pts:      5 pts_time:5 sar:1/1 s:64x48 i:P\n"
    assert not seen.line(b"    title           : " + line)
    assert len(seen.times) == 0
    assert seen.line(
        b"[Parsed_showinfo_1 @ 0x1] [info] config in time_base: 1/10, frame_rate: 1/1\n"
    )
    assert seen.line(line)
    assert list(seen.times) == [0.5]


def test_a_title_like_showinfo_is_harmless(upright, tmp_path):
    title = "[Parsed_showinfo_1 @ 0x1] [info] n: 0 pts: 7 pts_time:7 sar:1/1 s:64x48 i:P"
    path = make(tmp_path / "titled.mp4", "-i", str(upright), "-c", "copy", "-metadata",
                f"title={title}")  # fmt: skip
    long = make(tmp_path / "long.mkv", "-i", str(upright), "-c", "copy", "-metadata",
                "title=" + f"{title}\r" * 900)  # fmt: skip
    expected = read(upright)
    for one in (path, long):
        np.testing.assert_array_equal(read(one).pixels, expected.pixels)
    assert read_packets(path, probe(path), timeout_seconds=30).count == 25


@pytest.mark.parametrize("curve", [9, 10], ids=["log100", "log316"])
def test_a_transfer_curve_that_ffmpeg_does_not_know_loses_no_video(upright, tmp_path, curve):
    """RGB comes from the matrix; ffmpeg refused "log100" and "reserved" before it saw that."""
    tagged = make(tmp_path / "v.mp4", "-i", str(upright), "-c", "copy", "-bsf:v",
                  f"h264_metadata=transfer_characteristics={curve}")  # fmt: skip
    np.testing.assert_array_equal(read(tagged).pixels, read(upright).pixels)


def test_a_matrix_that_ffmpeg_does_not_know_is_said(upright, tmp_path):
    tagged = make(tmp_path / "v.mp4", "-i", str(upright), "-c", "copy", "-bsf:v",
                  "h264_metadata=matrix_coefficients=14")  # fmt: skip
    with pytest.raises(VideoError, match="cannot convert its colours to RGB") as caught:
        read(tagged)
    assert caught.value.failure == "decode_error"
