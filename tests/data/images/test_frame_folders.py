"""Folders of frames: which folders they are, their digest, and that they read as the video does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data.datasets.digests
from data.datasets.digests import DigestCache
from data.demo import DemoConfig, write_demo
from data.errors import VideoError
from data.faces.crops import read_frames
from data.faces.multi_face import read_every_face
from data.faces.tracker import FaceFinder
from data.faces.unscaled import Wanted, cut_faces
from data.images.decoding import read_image
from data.images.frame_folders import frames_among, is_frame_folder, open_frames
from data.images.identity import source_sha256, stamp_of
from data.video.encoding import encode
from data.video.ffmpeg_binaries import spare_binary
from data.video.frames import FrameRecipe
from data.video.probe import probe
from tests import footage, requirements
from tests.frames import frames_of, save_frames


def put(folder: Path, *names: str, size: tuple[int, int] = (32, 24)) -> Path:
    """A folder with small pictures of these names, each of its own grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (8 * number,) * 3).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["000.png", "001.png", "002.png"], [0, 1, 2]),
        (["2.png", "10.png", "1.png"], [1, 2, 10]),
        (["frame_0005.jpg", "frame_0010.jpg"], [5, 10]),
        (["000_003_0001.webp", "000_003_0002.webp"], [1, 2]),
        (["000.png", "001.png", "000_mask.png", "001_mask.png"], [0, 1]),
        (["a1.png", "b2.png"], []),
        (["cover.jpg", "000.png", "001.png"], []),
        (["notes.txt"], []),
    ],
)
def test_numbered_images_of_one_prefix_are_frames(names: list[str], numbers: list[int]) -> None:
    assert sorted(frames_among(names).values()) == numbers


def test_the_numbers_are_the_times_and_the_rate_is_said(tmp_path: Path) -> None:
    folder = open_frames(put(tmp_path / "a", "010.png", "012.png", "020.png"))
    assert folder.timestamps_seconds.tolist() == [0, 2 / 25, 10 / 25]
    assert folder.note() == (
        "a folder of 3 frames, numbered 10 to 20 with 8 numbers missing; "
        "25 frames a second are assumed"
    )
    (tmp_path / "a/fps.txt").write_text("30000/1001\n")
    folder = open_frames(tmp_path / "a")
    assert folder.timestamps_seconds[1] == 2 * 1001 / 30000
    assert "29.97 frames a second, by its fps.txt" in folder.note()
    info = probe(tmp_path / "a")
    assert (info.kind, info.codec, info.width, info.height) == ("frames", "png", 32, 24)
    assert (info.frame_count, info.duration_seconds) == (3, pytest.approx(11 * 1001 / 30000))


@pytest.mark.parametrize("text", ["", "fast", "0", "-25", "1/0", "1e9", "25\x1b[0m"])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path, "0.png", "1.png")
    (tmp_path / "fps.txt").write_text(text)
    with pytest.raises(VideoError, match=r"fps\.txt must hold the frames per second") as error:
        open_frames(tmp_path)
    assert "\x1b" not in str(error.value)


def test_two_frames_of_one_number_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "00.png", "1.png")
    with pytest.raises(VideoError, match=r"two frames have the number 0, 0\.png and 00\.png"):
        open_frames(tmp_path)


def test_the_digest_is_of_order_rate_and_bytes(tmp_path: Path) -> None:
    first = source_sha256(put(tmp_path / "a", "000.png", "001.png", "003.png"))
    assert source_sha256(put(tmp_path / "renamed", "f_7.png", "f_8.png", "f_10.png")) == first
    (tmp_path / "a/landmarks.npy").write_bytes(b"beside")
    (tmp_path / "a/fps.txt").write_text("25")  # as is assumed
    assert source_sha256(tmp_path / "a") == first
    others = {
        "another rate": lambda folder: (folder / "fps.txt").write_text("30"),
        "a frame more": lambda folder: put(folder, "004.png"),
        "a frame less": lambda folder: (folder / "003.png").unlink(),
        "another place": lambda folder: (folder / "003.png").rename(folder / "002.png"),
        "other bytes": lambda folder: put(folder, "001.png"),
    }
    found = {first}
    for name, change in others.items():
        folder = shutil.copytree(tmp_path / "a", tmp_path / name)
        change(folder)
        found.add(source_sha256(folder))
    assert len(found) == 1 + len(others)


def test_a_changed_frame_is_noticed_and_an_unchanged_folder_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "a", "000.png", "001.png")
    for path in (*folder.iterdir(), folder):
        os.utime(path, (1e9, 1e9))
    reads: list[Path] = []

    def read(path: Path) -> str:
        reads.append(path)
        return source_sha256(path)

    monkeypatch.setattr(data.datasets.digests, "source_sha256", read)
    cache = DigestCache()
    before = cache.sha256(folder)
    assert cache.sha256(folder) == before
    assert len(reads) == 1
    put(folder, "001.png", size=(33, 24))
    assert stamp_of(folder).size_bytes == sum(one.stat().st_size for one in folder.iterdir())
    assert cache.sha256(folder) != before


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered videos of two people."""
    folder = tmp_path_factory.mktemp("demo") / "videos"
    write_demo(folder, DemoConfig(people=2), workers=1)
    return folder


def same(video: Path, folder: Path, recipe: FrameRecipe) -> None:
    """A video and the folder of its frames give the same crops, boxes and times, to the bit."""
    finder = FaceFinder()
    one, other = (read_frames(path, recipe, faces=finder) for path in (video, folder))
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.boxes, other.boxes)
    assert np.array_equal(one.face_found, other.face_found)
    assert np.array_equal(one.timestamps_seconds, other.timestamps_seconds)


@pytest.mark.parametrize(
    "recipe",
    [
        FrameRecipe(),
        FrameRecipe(count=8, size=64),
        FrameRecipe(policy="clip", count=16, clip_length=4),
        FrameRecipe(crop="full", count=8),
    ],
)
def test_frames_give_the_videos_crops(demo: Path, tmp_path: Path, recipe: FrameRecipe) -> None:
    video = sorted(demo.rglob("*.mp4"))[0]
    folder = save_frames(video, tmp_path / "frames", first=17)
    if recipe.crop == "full":  # enlarged by ffmpeg from YUV, by Pillow from RGB: nearly the same
        one, other = (read_frames(path, recipe).pixels for path in (video, folder))
        assert np.abs(one.astype(int) - other).mean() < 1
        return
    same(video, folder, recipe)


@pytest.mark.parametrize(
    "name", ["real/lp_s13.mp4", "real/clm_cap13.mp4", "real/sadtalker_ref_wda.mp4", "any"]
)
def test_frames_of_real_clips_give_their_crops(tmp_path: Path, name: str) -> None:
    clips = footage.faces()
    video = clips / name
    if not video.is_file():
        video = sorted(clips.glob("real/*.mp4"))[5]
    same(video, save_frames(video, tmp_path / "frames"), FrameRecipe())


def test_the_documented_command_of_ffmpeg_makes_these_frames(demo: Path, tmp_path: Path) -> None:
    """docs/datasets.md has it; ffmpeg's usual conversion to RGB differs by up to 30 grey levels."""
    program = spare_binary() or shutil.which("ffmpeg")
    if program is None:
        requirements.missing("imageio_ffmpeg", "there is no ffmpeg that writes PNG")
    page = (Path(__file__).parents[3] / "docs/datasets.md").read_text("utf-8")
    command = re.search(r"^ffmpeg -i clip\.mp4.*?\.png$", page, re.DOTALL | re.MULTILINE)
    assert command is not None
    words = command[0].replace("\\\n", " ").split()
    video = sorted(demo.rglob("*.mp4"))[0]
    shutil.copy(video, tmp_path / "clip.mp4")
    (tmp_path / "frames/clip").mkdir(parents=True)
    subprocess.run([program, "-v", "error", *words[1:]], cwd=tmp_path, check=True)
    own = frames_of(video)
    made = open_frames(tmp_path / "frames/clip").files()
    assert len(made) == len(own)
    assert all(np.array_equal(read_image(one), frame) for one, frame in zip(made, own, strict=True))


def test_ties_between_frames_are_settled_as_for_the_video(tmp_path: Path) -> None:
    """96 frames at 30 a second, of which 32 are taken: each wanted time lies between two frames."""
    frames = [np.full((48, 64, 3), 2 * number, np.uint8) for number in range(96)]
    encode(tmp_path / "a.mp4", frames, fps=30, crf=0)
    folder = save_frames(tmp_path / "a.mp4", tmp_path / "a")
    recipe = FrameRecipe(crop="full", size=48)
    one, other = (
        read_frames(path, recipe).timestamps_seconds for path in (tmp_path / "a.mp4", folder)
    )
    assert np.array_equal(one, other)


def test_fewer_frames_of_a_video_are_read_at_their_own_times(demo: Path, tmp_path: Path) -> None:
    video = sorted(demo.rglob("*.mp4"))[0]
    folder = save_frames(video, tmp_path / "third", every=3)
    read = read_frames(folder, FrameRecipe(count=6, minimum_frames=2), faces=FaceFinder())
    numbers = read.timestamps_seconds * probe(video).fps
    assert np.allclose(numbers / 3, (numbers / 3).round())


def test_frames_of_several_sizes_keep_their_shape(demo: Path, tmp_path: Path) -> None:
    folder = save_frames(sorted(demo.rglob("*.mp4"))[0], tmp_path / "frames")
    for path in sorted(folder.glob("*.png"))[10:]:
        image = Image.open(path)
        image.resize((image.width * 2, image.height * 2)).save(path)
    read = read_frames(folder, FrameRecipe(count=16), faces=FaceFinder())
    assert read.shown is not None
    assert len({tuple(one) for one in read.shown.tolist()}) == 2
    assert read.face_found.all()


def test_unreadable_frames_are_passed_over_and_said(
    demo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_frames(sorted(demo.rglob("*.mp4"))[0], tmp_path / "frames")
    before = read_frames(folder, FrameRecipe(), faces=FaceFinder()).timestamps_seconds
    number = round(before[5] * probe(folder).fps)
    (folder / f"{number:03d}.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    caplog.set_level("WARNING", "unmask")
    read = read_frames(folder, FrameRecipe(), faces=FaceFinder())
    assert len(read.timestamps_seconds) == len(before)
    assert before[5] not in read.timestamps_seconds
    assert f"1 frames cannot be read and are passed over; {number:03d}.png" in caplog.text
    for path in sorted(folder.glob("*.png"))[::3]:
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(VideoError, match=r"of the \d+ frames that were looked at cannot be read"):
        read_frames(folder, FrameRecipe(), faces=FaceFinder())


def test_too_few_frames_are_said(tmp_path: Path) -> None:
    put(tmp_path / "a", "0.png", "1.png")
    with pytest.raises(VideoError, match="it has 2 frames") as error:
        read_frames(tmp_path / "a", FrameRecipe(), faces=FaceFinder())
    assert error.value.failure == "too_few_frames"


def test_an_image_has_one_frame_and_all_of_its_faces(demo: Path, tmp_path: Path) -> None:
    one, other = (frames_of(path)[3] for path in sorted(demo.rglob("*.mp4"))[:2])
    Image.fromarray(np.concatenate([one, other], 1)).save(tmp_path / "two.png")
    read = read_every_face(tmp_path / "two.png", FrameRecipe(), finder=FaceFinder())
    assert [len(face.pixels) for face in read.faces] == [1, 1]
    assert read.timestamps_seconds.tolist() == [0, 0]
    (cut,) = cut_faces(
        tmp_path / "two.png", FrameRecipe(), [Wanted(seconds=0.0, box=(10.2, 20.0, 90.5, 100.0))]
    )
    assert np.array_equal(cut.pixels, one[20:100, 10:91])


def test_a_folder_of_other_things_is_no_video(tmp_path: Path) -> None:
    put(tmp_path / "a", "ann.png", "bob.png")
    assert not is_frame_folder(tmp_path / "a")
    with pytest.raises(VideoError, match="holds no frames of one video"):
        probe(tmp_path / "a")
    assert not is_frame_folder(tmp_path / "missing")
