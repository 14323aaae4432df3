"""What plays whole is whole: packets are not pictures, and the last picture lasts."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.errors import VideoError
from data.faces.crops import read_frames
from data.video.decoding import Listed
from data.video.ffmpeg import LINE_BYTES, Child, find_tools
from data.video.frame_reader import ascending, refuse_lossy, windows
from data.video.frames import FrameRecipe
from data.video.packets import read_packets, refuse_truncated
from data.video.probe import probe
from tests.data.conftest import make

FULL = FrameRecipe(crop="full", count=8, size=64)
SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=3")
LONG_LAST = ("-bsf:v", "setts=duration=if(gte(N\\,74)\\,8/TB\\,DURATION)")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Videos that play whole; each was called damaged."""
    folder = tmp_path_factory.mktemp("whole")
    x264 = ("-c:v", "libx264", "-preset", "veryfast")
    for turn in ("1", "2"):  # the encoder hides frames only if it knows what comes
        make(folder / "hidden.webm", *SOURCE, "-c:v", "libvpx", "-b:v", "300k",
             "-auto-alt-ref", "1", "-lag-in-frames", "6", "-arnr-maxframes", "3", "-g", "300",
             "-cpu-used", "0", "-deadline", "good",
             "-pass", turn, "-passlogfile", str(folder / "pass"))  # fmt: skip
    make(folder / "hidden.ivf", "-i", str(folder / "hidden.webm"), "-c", "copy")
    make(folder / "hidden.mkv", "-i", str(folder / "hidden.webm"), "-c", "copy")
    make(folder / "vp9.webm", *SOURCE, "-c:v", "libvpx-vp9", "-b:v", "200k", "-cpu-used", "5",
         "-auto-alt-ref", "6", "-lag-in-frames", "16")  # fmt: skip
    base = make(folder / "base.mp4", *SOURCE, *x264, "-bf", "0", "-g", "10")
    for suffix in ("mp4", "mkv", "mov"):
        make(folder / f"last.{suffix}", "-i", str(base), "-c", "copy", *LONG_LAST)
    make(folder / "faststart.mp4", "-i", str(base), "-c", "copy", "-movflags", "+faststart")
    make(folder / "fragments.mp4", "-i", str(base), "-c", "copy", *LONG_LAST, "-movflags",
         "+frag_keyframe+empty_moov")  # fmt: skip
    # The first picture lasts two seconds.
    make(
        folder / "first.mp4", *SOURCE, "-vf", "setpts=PTS+gt(N\\,0)*2/TB", "-fps_mode", "vfr", *x264
    )
    # AVI writes nothing for pictures that do not change.
    make(folder / "gaps.avi", *SOURCE, "-vf", "select='lt(n,10)+gt(n,60)'", "-fps_mode", "vfr",
         "-c:v", "mpeg4")  # fmt: skip
    make(folder / "b_frames.avi", *SOURCE, "-c:v", "mpeg4", "-bf", "2")
    make(folder / "b_h264.avi", *SOURCE, *x264, "-bf", "2")
    make(folder / "raw.h264", *SOURCE, *x264, "-bf", "2")
    make(folder / "raw.hevc", *SOURCE, "-c:v", "libx265", "-x265-params", "log-level=none")
    make(folder / "fields.ts", *SOURCE, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-b:v", "1M")
    make(folder / "program.mpg", *SOURCE, "-c:v", "mpeg2video", "-bf", "2", "-b:v", "1M")
    part = make(folder / "part.ts", *SOURCE, *x264).read_bytes()
    (folder / "joined.ts").write_bytes(part + part)
    return folder


@pytest.mark.parametrize(
    "name",
    ["hidden.webm", "hidden.ivf", "hidden.mkv", "vp9.webm", "last.mp4", "last.mkv", "last.mov",
     "fragments.mp4", "first.mp4", "gaps.avi", "b_frames.avi", "b_h264.avi", "raw.h264", "raw.hevc",
     "fields.ts", "program.mpg", "joined.ts"],
)  # fmt: skip
def test_what_plays_whole_is_read(whole, name):
    frames = read_frames(whole / name, FULL)
    assert len(frames.pixels) == 8
    assert (np.diff(frames.timestamps_seconds) > 0).all()
    assert len({one.tobytes() for one in frames.pixels}) == (4 if name == "joined.ts" else 8)


def test_hidden_frames_are_there_to_be_passed_over(whole):
    path = whole / "hidden.webm"
    assert read_packets(path, probe(path), timeout_seconds=30).count > 75 / 0.9
    every = read_frames(path, FrameRecipe(crop="full", count=200, size=64))
    np.testing.assert_allclose(every.timestamps_seconds, np.arange(75) / 25, atol=2e-3)


@pytest.mark.parametrize(
    "name",
    ["hidden.webm", "hidden.ivf", "vp9.webm", "faststart.mp4", "last.mkv", "gaps.avi",
     "b_frames.avi"],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_what_is_cut_off_is_still_found(whole, tmp_path, name, share):
    content = (whole / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(VideoError, match="truncated") as caught:
        read_frames(path, FULL)
    assert caught.value.failure == "decode_error"


def test_an_avi_that_is_cut_between_two_pictures_is_found(whole, tmp_path):
    """No packet is damaged, and no index says so: the size in its head does."""
    content = (whole / "b_frames.avi").read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(content[: content.index(b"00dc", len(content) // 2)])
    with pytest.raises(VideoError, match="truncated"):
        read_frames(path, FULL)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory) -> Path:
    """Videos with sound, as long as the pictures and longer."""
    folder = tmp_path_factory.mktemp("sounding")
    x264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "10", "-c:a", "aac", "-b:a", "32k")
    vp8 = ("-c:v", "libvpx", "-b:v", "300k", "-c:a", "libopus")
    mpeg4 = ("-c:v", "mpeg4", "-c:a", "aac")
    makes = {"mkv": x264, "webm": vp8, "flv": x264, "asf": mpeg4}
    for seconds, name in ((3, "even"), (20, "long")):
        sound = ("-f", "lavfi", "-i", f"sine=duration={seconds}")
        for suffix, codecs in makes.items():
            make(folder / f"{name}.{suffix}", *SOURCE, *sound, *codecs)
    untagged = ("-c", "copy", "-map_metadata", "-1", "-fflags", "+bitexact")
    make(folder / "untagged.mkv", "-i", str(folder / "even.mkv"), *untagged)
    make(folder / "long.wtv", *SOURCE, *sound, "-c:v", "mpeg2video", "-c:a", "mp2")
    return folder


SOUNDING = ["even.mkv", "untagged.mkv", "even.webm", "even.flv", "even.asf"]


@pytest.mark.parametrize(
    "name", [*SOUNDING, "long.mkv", "long.webm", "long.flv", "long.asf", "long.wtv"]
)
def test_sound_makes_no_video_longer(sounding, name):
    assert len(read_frames(sounding / name, FULL).pixels) == 8


@pytest.mark.parametrize("name", SOUNDING)
def test_what_is_cut_off_is_found_with_sound_in_it(sounding, tmp_path, name):
    content = (sounding / name).read_bytes()
    end = len(content) // 2
    if name.endswith(".flv"):  # it says nothing of its size: a picture must be cut in two
        end = next(
            place + 40
            for place in range(end, len(content))
            if content[place : place + 2] == b"\x09\x00"
            and content[place + 7 : place + 11] == bytes(4)
        )
    path = tmp_path / name
    path.write_bytes(content[:end])
    with pytest.raises(VideoError, match="truncated"):
        read_frames(path, FULL)


def test_pictures_that_end_before_the_cut_are_whole(sounding, tmp_path):
    """Only sound is lost: 3 seconds of pictures, 20 of sound, of which the last two are missing."""
    content = (sounding / "long.mkv").read_bytes()
    path = tmp_path / "v.mkv"
    path.write_bytes(content[: int(len(content) * 0.95)])
    assert len(read_frames(path, FULL).pixels) == 8


@pytest.mark.parametrize(
    ("shown", "packets", "refused", "well", "lost"),
    [
        (75, 89, 0, True, False),  # hidden
        (50, 100, 0, True, False),  # fields
        (75, 89, 1, True, False),  # one is damaged
        (70, 89, 19, True, True),
        (40, 89, 0, False, True),  # ffmpeg ended early
        (0, 10, 0, True, True),
    ],
)
def test_loss_is_what_somebody_complains_of(shown, packets, refused, well, lost):
    listed = Listed(
        timestamps_seconds=np.arange(shown) / 25, refused=refused, ended_well=well, tail=""
    )
    if lost:
        with pytest.raises(VideoError, match=f"only {shown} of"):
            refuse_lossy(listed, packets)
    else:
        refuse_lossy(listed, packets)


def test_a_longer_index_than_the_pictures_is_believed_only_of_mp4(whole):
    path = whole / "gaps.avi"
    info = probe(path)
    packets = read_packets(path, info, timeout_seconds=30)
    assert info.frame_count == 75
    assert packets.count < 30
    refuse_truncated(path, info, packets)


def test_recordings_put_one_after_the_other_are_followed(whole):
    """The clock starts again in the middle; frames of both were mixed by their times."""
    frames = read_frames(whole / "joined.ts", FrameRecipe(crop="full", count=200, size=64))
    assert len(frames.pixels) == 150
    np.testing.assert_allclose(np.diff(frames.timestamps_seconds), 0.04, atol=1e-3)
    assert np.abs(frames.pixels[:75].astype(int) - frames.pixels[75:]).mean() < 3


def test_a_clock_never_goes_back():
    fine = np.array([0.0, 0.04, 0.1])
    assert ascending(fine, 25) is fine
    again = ascending(np.array([0.0, 0.04, 0.08] * 20), 25)
    np.testing.assert_allclose(np.diff(again), 0.04)
    jump = ascending(np.r_[np.arange(30) / 25, np.arange(30) / 25], 25)
    np.testing.assert_allclose(jump, np.arange(60) / 25)
    none = ascending(np.full(5, np.nan), 50)
    np.testing.assert_allclose(none, np.arange(5) / 50)
    assert ascending(np.array([np.nan]), 0).tolist() == [0.0]


def test_frames_that_cannot_be_told_apart_are_counted():
    assert windows(np.array([0.0, 0.04, 0.04]), np.array([1])) is None
    assert (
        windows(np.array([0.0, 1.0, 2.0]), np.array([0, 1]))
        == "between(t,-1.000000000,1.500000000)"
    )


class Lines:
    """Counts a child's lines."""

    count = 0

    def line(self, raw: bytes) -> bool:
        assert len(raw) <= LINE_BYTES
        self.count += 1
        return True

    def end(self) -> None:
        pass


@pytest.mark.parametrize("watched", [True, False])
def test_what_a_child_says_is_not_kept(watched):
    """A hundred megabytes on stderr, as of a film of hours: 277 bytes a frame were kept."""
    program = (
        "import sys\nfor _ in range(100): sys.stderr.write(('[error] ' + 'x' * 268 + '\\n') * 3800)"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watch = Lines() if watched else None
    with Child([sys.executable, "-c", program], timeout_seconds=60, reader=watch) as child:
        assert child.wait_in_time("writing") == 0
    assert len(child.stderr_tail) < 25_000
    assert watch is None or watch.count == 380_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_listing_a_long_video_keeps_eight_bytes_a_frame(tmp_path):
    """Measured in a process of its own: 40,000 frames, whose lines are 20 MB."""
    path = make(tmp_path / "long.mkv", "-f", "lavfi", "-i", "color=size=16x16:rate=1000:d=40",
                "-c:v", "mpeg4", "-g", "1000")  # fmt: skip
    program = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from data.video.decoding import list_frames\nfrom data.video.probe import probe\n"
        "path = Path(sys.argv[1]); info = probe(path)\n"
        "list_frames(path, info, most=10, timeout_seconds=60)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = list_frames(path, info, most=50_000, timeout_seconds=60)\n"
        "print(len(found.timestamps_seconds), "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True,
                          text=True, check=True, cwd=Path(__file__).parents[3])  # fmt: skip
    frames, kib = map(int, done.stdout.split())
    assert frames == 40_000
    assert kib < 3000


def test_the_tools_are_there():
    assert find_tools().ffprobe.exists()
