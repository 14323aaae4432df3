"""DF40's folders as downloaded: labels, methods, people and splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.datasets.layouts import read_layout
from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry, Listing
from tests.data.datasets.test_frames_and_images import frames, put

REALS = "FaceForensics++/original_sequences/youtube/c23/frames"
CELEB = "Celeb-DF-v2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bit of everything, laid out as the archives unpack."""
    return put(
        tmp_path / "data",
        *(one for pair in ("001_870", "870_001", "000_003") for one in
          frames(f"DF40_train/simswap/frames/{pair}")),
        *frames("DF40/simswap/ff/frames/000_003"),
        *frames("DF40/simswap/cdf/frames/id0_id16_0003"),
        *frames("DF40/MRAA/ff/frames/000_003"),
        "DF40/simswap/ff/landmarks/000_003/000.npy",
        *frames("DF40_train/StyleGAN2/001"),
        "DF40/StyleGAN2/ff/000/seed0188.png",
        "DF40/DiT/cdf/Fake_from_Celeb-real/id0_0003/00001.png",
        *frames("DF40/deepfacelab/fake/frames/0007_fake"),
        *frames("DF40/deepfacelab/real/frames/0007"),
        *frames("DF40/heygen/real/speaker1"),
        *("DF40/MidJourney/fake/1.png", "DF40/MidJourney/real/1.png"),
        *("DF40/stargan/fake/fake/a.png", "DF40/stargan/real/real/b.png"),
        *(one for number in ("000", "001", "003", "870") for one in frames(f"{REALS}/{number}")),
        *frames(f"{CELEB}/Celeb-real/frames/id0_0003"),
        *frames(f"{CELEB}/YouTube-real/frames/00005"),
    )  # fmt: skip


def by_path(listing: Listing) -> dict[str, Entry]:
    return {one.path: one for one in (*listing.entries, *listing.images)}


def test_labels_methods_people_and_originals(root: Path) -> None:
    name, listing = read_layout(root)
    assert name == "df40"
    found = by_path(listing)
    swap = found["DF40/simswap/ff/frames/000_003"]
    assert (swap.label, swap.method, swap.target, swap.source) == (FAKE, "simswap", "000", "003")
    assert (swap.group, swap.linked, swap.original) == ("ff++ 000", ("ff++ 003",), f"{REALS}/000")
    celeb = found["DF40/simswap/cdf/frames/id0_id16_0003"]
    assert (celeb.group, celeb.linked) == ("celeb-df id0", ("celeb-df id16",))
    assert celeb.original == f"{CELEB}/Celeb-real/frames/id0_0003"
    assert found[f"{REALS}/000"].label == REAL
    assert found[f"{CELEB}/YouTube-real/frames/00005"].group == "celeb-df youtube 00005"
    lab = found["DF40/deepfacelab/fake/frames/0007_fake"]
    assert (lab.label, lab.method) == (FAKE, "deepfacelab")
    assert found["DF40/deepfacelab/real/frames/0007"].group == lab.group
    assert found["DF40/heygen/real/speaker1"].label == REAL
    assert not any("landmarks" in path for path in found)


def test_faces_made_anew_are_single_images_of_a_person(root: Path) -> None:
    listing = read_layout(root)[1]
    assert sorted(one.path for one in listing.images) == [
        "DF40/DiT/cdf/Fake_from_Celeb-real/id0_0003/00001.png",
        *("DF40/MidJourney/fake/1.png", "DF40/MidJourney/real/1.png"),
        "DF40/StyleGAN2/ff/000/seed0188.png",
        *("DF40/stargan/fake/fake/a.png", "DF40/stargan/real/real/b.png"),
        *frames("DF40_train/StyleGAN2/001"),
    ]
    found = by_path(read_layout(root, images=True)[1])
    assert found["DF40/StyleGAN2/ff/000/seed0188.png"].group == "ff++ 000"
    assert found["DF40_train/StyleGAN2/001/002.png"].group == "ff++ 001"
    dit = found["DF40/DiT/cdf/Fake_from_Celeb-real/id0_0003/00001.png"]
    assert (dit.label, dit.group, dit.method) == (FAKE, "celeb-df id0", "DiT")
    assert found["DF40/MidJourney/real/1.png"].label == REAL
    assert found["DF40/stargan/real/real/b.png"].method == "real"


def test_without_split_files_whoever_is_tested_is_not_trained_on(root: Path) -> None:
    found = by_path(read_layout(root)[1])
    # DF40_train holds fakes of the test's people, too.
    assert found["DF40_train/simswap/frames/000_003"].split == "test"
    assert found["DF40_train/simswap/frames/001_870"].split == NOT_TEST
    assert found[f"{REALS}/000"].split == "test"
    assert found["DF40/simswap/cdf/frames/id0_id16_0003"].split == "test"
    assert found[f"{CELEB}/Celeb-real/frames/id0_0003"].split == "test"


def test_faceforensics_split_files_decide(root: Path) -> None:
    for split, pairs in (("train", [["001", "870"]]), ("val", [["003", "000"]]), ("test", [])):
        (root / f"FaceForensics++/{split}.json").write_text(json.dumps(pairs))
    found = by_path(read_layout(root)[1])
    assert found["DF40_train/simswap/frames/870_001"].split == "train"
    assert found["DF40/simswap/ff/frames/000_003"].split == "val"
    assert found[f"{REALS}/003"].split == "val"


@pytest.mark.parametrize("inner", ["DF40", "DF40_train", "."])
def test_one_part_alone_is_recognised_and_has_no_split(root: Path, inner: str) -> None:
    name, listing = read_layout(root / inner)
    assert name == "df40"
    if inner != ".":
        assert {one.split for one in listing.entries} == {""}
        assert any("reals of FaceForensics++" in one.what for one in listing.missing)


def test_folders_of_the_users_own_are_not_taken_for_df40(tmp_path: Path) -> None:
    put(tmp_path, *frames("real/ann"), *frames("fake/faceswap/ann_bob"))
    assert read_layout(tmp_path)[0] == "folders"
    put(tmp_path / "b", *frames("faceswap/fake/ann"), *frames("originals/ann"))
    assert read_layout(tmp_path / "b")[0] == "folders"


def test_df40s_json_names_methods_and_people(root: Path) -> None:
    def listed(label: str, folder: str) -> dict[str, object]:
        frame = f"deepfakes_detection_datasets/{folder}/000.png"
        return {"label": label, "frames": [frame]}

    fake, real = "DF40/simswap/ff/frames/000_003", f"{REALS}/000"
    bench = {"simswap_ff": {
        "simswap_Fake": {"test": {"000_003": listed("simswap_Fake", fake)}, "train": {}},
        "simswap_Real": {"test": {"000": listed("simswap_Real", real)}, "train": {}},
    }}  # fmt: skip
    (root / "simswap_ff.json").write_text(json.dumps(bench))
    _, listing = read_layout(root / "simswap_ff.json", "deepfakebench")
    one, other = listing.entries
    assert (one.path, one.method, one.group, one.label) == (fake, "simswap", "ff++ 000", FAKE)
    assert (other.path, other.label, other.group) == (real, REAL, "ff++ 000")
    assert one.original == real
