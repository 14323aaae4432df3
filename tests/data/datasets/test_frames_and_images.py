"""Folders of frames and single images in data sets: what is found, labelled, left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from data.datasets.index import IndexResult, index
from data.datasets.layouts import read_layout
from data.datasets.layouts.listing import FAKE, REAL, find_videos
from data.datasets.near_duplicates import near_duplicate_pairs, video_hashes
from data.datasets.splits import SplitConfig
from data.errors import InputError
from data.self_blending.dataset.sources import find_sources


def put(root: Path, *paths: str) -> Path:
    """Small pictures, each of its own colour; other files are empty."""
    for number, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in (".png", ".jpg"):
            shade = (hash(path) % 200, 7 * number % 256, number % 256)
            Image.new("RGB", (24, 16), shade).save(file)
        else:
            file.write_bytes(b"")
    return root


def frames(folder: str, count: int = 3) -> list[str]:
    return [f"{folder}/{number:03d}.png" for number in range(count)]


def indexed(root: Path, **options: object) -> IndexResult:
    return index(root, split=SplitConfig(), workers=2, **options)  # type: ignore[arg-type]


def test_numbered_folders_are_videos_and_other_images_are_single(tmp_path: Path) -> None:
    put(
        tmp_path,
        *frames("real/frames/ann"),
        *frames("fake/swap/frames/ann_bob"),
        *("real/frames/ann/landmarks.npy", "real/photo.jpg", "fake/1.png", "fake/2.png"),
        *("real/images/01.png", "real/images/02.png", "real/clip.mp4", "notes.txt"),
    )
    found = find_videos(tmp_path)
    assert found.videos == ["fake/swap/frames/ann_bob", "real/clip.mp4", "real/frames/ann"]
    assert found.frames == {"fake/swap/frames/ann_bob", "real/frames/ann"}
    assert found.images == [
        *("fake/1.png", "fake/2.png"),  # in a folder that is a label, not a video
        *("real/images/01.png", "real/images/02.png", "real/photo.jpg"),
    ]
    assert found.others == 2


def test_a_folder_called_frames_may_hold_one_video(tmp_path: Path) -> None:
    put(tmp_path, *frames("real/ann/frames"))
    assert find_videos(tmp_path).videos == ["real/ann/frames"]


@pytest.mark.parametrize("video", ["c23/videos/071_054.mp4", "c23/071_054.mp4", "c23/071_054.MOV"])
def test_where_the_video_is_there_its_frames_are_left_out(tmp_path: Path, video: str) -> None:
    put(tmp_path, *frames("fake/c23/frames/071_054"), *frames("fake/c23/frames/003_000"))
    put(tmp_path, f"fake/{video}")
    found = find_videos(tmp_path)
    assert found.videos == sorted([f"fake/{video}", "fake/c23/frames/003_000"])
    assert found.copies == 1


def test_a_folder_of_frames_is_a_row_of_the_manifest(tmp_path: Path) -> None:
    put(tmp_path, *frames("real/ann"), *frames("fake/ann_fake", 5), "real/ann/fps.txt")
    (tmp_path / "real/ann/fps.txt").write_text("10")
    result = indexed(tmp_path)
    fake, real = result.manifest.videos
    assert (real.path, real.label, real.group) == ("real/ann", REAL, fake.group)
    assert (real.codec, real.width, real.height, real.fps) == ("png", 24, 16, 10)
    assert real.duration_seconds == pytest.approx(0.3)
    assert (fake.fps, fake.duration_seconds) == (25, pytest.approx(0.2))
    assert len(real.sha256) == 64
    assert (result.frames, result.images, result.not_videos) == (2, 0, 0)
    again = indexed(tmp_path)
    assert again.manifest == result.manifest


def test_single_images_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "real/ann.jpg", "real/bob.png", "fake/ann_fake.png")
    with pytest.raises(InputError, match="only 3 single images; add --images"):
        indexed(tmp_path)
    result = indexed(tmp_path, images=True)
    assert [one.path for one in result.manifest.videos] == [
        "fake/ann_fake.png", "real/ann.jpg", "real/bob.png",
    ]  # fmt: skip
    assert result.images == 3
    assert {one.fps for one in result.manifest.videos} == {0}
    groups = {one.path: one.group for one in result.manifest.videos}
    assert groups["fake/ann_fake.png"] == groups["real/ann.jpg"] != groups["real/bob.png"]
    put(tmp_path, *frames("real/eve"))
    assert indexed(tmp_path).left_images == 3


def test_labels_that_go_with_the_form_are_warned_of(tmp_path: Path) -> None:
    put(tmp_path, *frames("real/ann"), *frames("real/bob"), "fake/a.png", "fake/b.png")
    (warning,) = [one for one in indexed(tmp_path, images=True).warnings if "form" in one]
    assert "100% of the real and 0% of the fake ones are folders of frames" in warning


def test_a_table_may_name_folders_of_frames_and_images(tmp_path: Path) -> None:
    put(tmp_path, *frames("a/ann"), *frames("a/bob"), "b/eve.png", "b/other.png")
    (tmp_path / "labels.csv").write_text("path,label\na/ann,real\nb/eve.png,fake\n")
    name, listing = read_layout(tmp_path)
    assert name == "table"
    assert {one.path: one.label for one in listing.entries} == {"a/ann": REAL, "b/eve.png": FAKE}
    assert listing.unlabelled == ["a/bob"]
    assert listing.not_videos == 1  # b/other.png


def test_a_folder_without_frames_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path, *frames("a/ann"), "a/empty/notes.txt")
    (tmp_path / "labels.csv").write_text("path,label\na/ann,real\na/empty,fake\na/gone,fake\n")
    failures = {one.path: str(one.error) for one in indexed(tmp_path).failures}
    assert "holds no frames of one video" in failures["a/empty"]
    assert "cannot read the file" in failures["a/gone"]


def test_faceforensics_of_deepfakebench_without_its_json(tmp_path: Path) -> None:
    put(
        tmp_path,
        *frames("original_sequences/youtube/c23/frames/071"),
        *frames("original_sequences/youtube/c23/frames/054"),
        *frames("manipulated_sequences/Deepfakes/c23/frames/071_054"),
        *frames("manipulated_sequences/Deepfakes/c23/masks/071_054"),
        "manipulated_sequences/Deepfakes/c23/landmarks/071_054/000.npy",
    )
    name, listing = read_layout(tmp_path)
    assert name == "faceforensics"
    fake, one, other = listing.entries
    assert fake.path == "manipulated_sequences/Deepfakes/c23/frames/071_054"
    assert (fake.method, fake.compression, fake.group) == ("Deepfakes", "c23", "ff++ 071")
    assert fake.original == "original_sequences/youtube/c23/frames/071"
    assert (one.group, other.group) == ("ff++ 054", "ff++ 071")


def test_deepfakebenchs_json_reads_frames_where_there_is_no_video(tmp_path: Path) -> None:
    fake = "rgb/FaceForensics++/manipulated_sequences/Deepfakes/c23"
    real = "rgb/FaceForensics++/original_sequences/youtube/c23"
    put(tmp_path, *frames(f"{fake}/frames/071_054"), *frames(f"{real}/frames/071"))
    put(tmp_path, f"{real}/videos/054.mp4", *frames(f"{real}/frames/054"))

    def listed(folder: str, label: str, *names: str) -> dict[str, object]:
        return {
            name: {"label": label, "frames": [f"/elsewhere/{folder}/frames/{name}/000.png"]}
            for name in names
        }

    bench = {"FaceForensics++": {
        "FF-DF": {"test": {"c23": listed(fake, "FF-DF", "071_054")}},
        "FF-real": {"test": {"c23": listed(real, "FF-real", "071", "054")}},
    }}  # fmt: skip
    (tmp_path / "FaceForensics++.json").write_text(json.dumps(bench))
    name, listing = read_layout(tmp_path)
    assert name == "deepfakebench"
    assert [one.path for one in listing.entries] == sorted(
        [f"{fake}/frames/071_054", f"{real}/frames/071", f"{real}/videos/054.mp4"]
    )
    assert listing.entries[0].original == f"{real}/frames/071"


def test_dfdc_and_celeb_df_take_frames_for_the_videos_that_they_name(tmp_path: Path) -> None:
    part = put(tmp_path / "dfdc", *frames("dfdc_train_part_0/frames/a"))
    put(part, *frames("dfdc_train_part_0/frames/b"))
    (part / "dfdc_train_part_0/metadata.json").write_text(
        json.dumps({"a.mp4": {"label": "FAKE", "original": "b.mp4"}, "b.mp4": {"label": "REAL"}})
    )
    name, listing = read_layout(part)
    assert name == "dfdc"
    assert [(Path(one.path).name, one.label, one.group) for one in listing.entries] == [
        ("a", FAKE, "dfdc a"), ("b", REAL, "dfdc b"),
    ]  # fmt: skip
    celeb = put(tmp_path / "celeb", *frames("Celeb-real/frames/id0_0000"))
    put(celeb, *frames("Celeb-synthesis/frames/id0_id16_0000"))
    (celeb / "List_of_testing_videos.txt").write_text("1 Celeb-real/id0_0000.mp4\n")
    name, listing = read_layout(celeb)
    assert name == "celebdf"
    assert [one.split for one in listing.entries] == ["test", "train/val"]
    assert listing.entries[1].original == "Celeb-real/frames/id0_0000"


def test_copies_of_frames_and_images_are_near_duplicates(tmp_path: Path) -> None:
    pictures = [Image.effect_noise((64, 48), 90).resize((640, 480)) for _ in range(4)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            suffix = "png" if name == "a" else "jpg"
            picture.save(tmp_path / name / f"{number}.{suffix}")
    shutil.copy(tmp_path / "a/0.png", tmp_path / "still.png")
    pictures[0].save(tmp_path / "still.jpg", quality=60)
    files = [tmp_path / name for name in ("a", "b", "still.png", "still.jpg")]
    pairs = near_duplicate_pairs(video_hashes(files, workers=1))
    assert [(one, other) for one, other, _ in pairs] == [(0, 1), (2, 3)]


def test_forge_starts_from_folders_of_frames_and_from_no_image(tmp_path: Path) -> None:
    put(tmp_path / "in", *frames("ann"), *frames("bob", 4), "photo.jpg")
    found = find_sources(tmp_path / "in", root=None, out=tmp_path / "out")
    assert [one.name for one in found.videos] == ["ann", "bob"]
