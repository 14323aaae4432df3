"""The field's data sets, on trees of their shape: labels both ways, people, splits, groups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets.groups import assign_groups
from data.datasets.layouts import faceforensics, metadata, read_layout
from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry, Listing
from data.errors import DatasetError, InputError, UnmaskError


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return root


def put(root: Path, name: str, content: object) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def by_path(listing: Listing) -> dict[str, Entry]:
    return {entry.path: entry for entry in listing.entries}


def labels(listing: Listing) -> dict[str, int]:
    return {entry.path: entry.label for entry in listing.entries}


def splits(listing: Listing) -> dict[str, str]:
    return {entry.path.rsplit("/", 1)[-1]: entry.split for entry in listing.entries}


def groups(listing: Listing) -> list[set[str]]:
    """The groups as sets of file names."""
    named = assign_groups(listing.entries, [entry.path for entry in listing.entries])
    sets: dict[str, set[str]] = {}
    for entry, group in zip(listing.entries, named, strict=True):
        sets.setdefault(group, set()).add(entry.path.rsplit("/", 1)[-1])
    return sorted(sets.values(), key=min)


def missing(listing: Listing) -> dict[str, int]:
    return {one.what: one.count for one in listing.missing}


# FaceForensics++

FAKES = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
FF = [
    *(f"original_sequences/youtube/c23/videos/{number}.mp4" for number in ("000", "003", "010")),
    *(f"manipulated_sequences/{method}/c23/videos/000_003.mp4" for method in FAKES),
    "manipulated_sequences/Deepfakes/c40/videos/003_000.mp4",
    "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
    "original_sequences/actors/raw/videos/01__kitchen_pan.mp4",
    "original_sequences/actors/raw/videos/05__kitchen_pan.mp4",
    "manipulated_sequences/DeepFakeDetection/raw/videos/01_02__kitchen_pan__A1B2C3D4.mp4",
]
FF_SPLITS = {"train": [["000", "003"]], "val": [["010", "011"]], "test": [["020", "021"]]}


def test_faceforensics_as_downloaded(tmp_path: Path) -> None:
    root = tree(tmp_path, *FF)
    for split, pairs in FF_SPLITS.items():
        put(root, f"splits/{split}.json", pairs)
    name, listing = read_layout(root)
    assert name == "faceforensics"
    found = by_path(listing)
    assert {path: entry.label for path, entry in found.items()} == {
        path: REAL if path.startswith("original") else FAKE for path in FF if "masks" not in path
    }
    assert listing.unlabelled == ["manipulated_sequences/Deepfakes/masks/videos/000_003.mp4"]
    fake = found["manipulated_sequences/Face2Face/c23/videos/000_003.mp4"]
    assert (fake.method, fake.target, fake.source) == ("Face2Face", "000", "003")
    assert (fake.compression, fake.split) == ("c23", "train")
    assert fake.original == "original_sequences/youtube/c23/videos/000.mp4"
    assert found[fake.original].method == "real"
    fake = found[FF[-1]]
    assert (fake.method, fake.target, fake.source) == ("DeepFakeDetection", "01", "02")
    assert fake.original == "original_sequences/actors/raw/videos/01__kitchen_pan.mp4"
    assert (fake.compression, fake.split) == ("raw", "")
    assert groups(listing) == [
        {"000.mp4", "003.mp4", "000_003.mp4", "003_000.mp4"},
        {"010.mp4"},
        {"01__kitchen_pan.mp4", "01_02__kitchen_pan__A1B2C3D4.mp4"},
        {"05__kitchen_pan.mp4"},
    ]
    assert splits(listing)["010.mp4"] == "val"
    # Of 6 ids of the splits: 3 originals are there, and of each method one fake.
    assert missing(listing)["youtube c23 videos"] == 3
    assert missing(listing)["FaceSwap c23 videos"] == 5
    assert missing(listing)["youtube c40 videos"] == 6


def test_faceforensics_without_splits_or_originals(tmp_path: Path) -> None:
    root = tree(tmp_path, "manipulated_sequences/Deepfakes/c40/videos/071_054.mp4")
    name, listing = read_layout(root)
    assert name == "faceforensics"
    assert labels(listing) == {"manipulated_sequences/Deepfakes/c40/videos/071_054.mp4": FAKE}
    assert listing.entries[0].split == ""
    assert missing(listing) == {"Deepfakes c40 videos": 999, "youtube c40 videos": 1000}


@pytest.mark.parametrize(
    ("real", "fake", "compression"),
    [
        ("ORIGINAL_SEQUENCES/YouTube/C23/VIDEOS/000.MP4",
         "MANIPULATED_SEQUENCES/DEEPFAKES/C23/VIDEOS/000_003.MP4", "c23"),
        ("original_sequences/youtube/c23/000.mp4",
         "manipulated_sequences/Deepfakes/c23/000_003.mp4", "c23"),
        ("original_sequences/youtube/c0/videos/000.mp4",
         "manipulated_sequences/Deepfakes/c0/videos/000_003.mp4", "raw"),
        ("original_sequences/youtube/000.mp4", "manipulated_sequences/Deepfakes/000_003.mp4", ""),
        ("original_sequences/000.avi", "manipulated_sequences/Deepfakes/000_003.avi", ""),
        ("FF++/original_sequences/youtube/raw/videos/000.mp4",
         "FF++/manipulated_sequences/Deepfakes/raw/videos/000_003.mp4", "raw"),
        ("original/000.mp4", "Deepfakes/000_003.mp4", ""),
    ],
)  # fmt: skip
def test_faceforensics_in_other_shapes(
    tmp_path: Path, real: str, fake: str, compression: str
) -> None:
    name, listing = read_layout(tree(tmp_path, real, fake))
    assert name == "faceforensics"
    found = by_path(listing)
    assert {path: entry.label for path, entry in found.items()} == {real: REAL, fake: FAKE}
    assert {entry.compression for entry in listing.entries} == {compression}
    assert found[fake].method == "Deepfakes"
    assert found[fake].original == real
    assert len(groups(listing)) == 1


def test_faceforensics_in_one_compression_finds_originals_of_it(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        *(f"original_sequences/youtube/{size}/videos/000.mp4" for size in ("raw", "c40")),
        *(f"manipulated_sequences/FaceSwap/{size}/videos/000_003.mp4" for size in ("raw", "c40")),
    )
    for entry in read_layout(root)[1].entries:
        if entry.label == FAKE:
            assert (
                entry.original == f"original_sequences/youtube/{entry.compression}/videos/000.mp4"
            )


def test_a_group_has_one_name_whatever_part_is_downloaded(tmp_path: Path) -> None:
    for number, name in enumerate(("000_003", "003_000")):
        path = f"manipulated_sequences/Deepfakes/c23/videos/{name}.mp4"
        _, listing = read_layout(tree(tmp_path / str(number), path))
        assert assign_groups(listing.entries, ["a"]) == ["ff++ 000"]


def test_folders_of_ones_own_beside_it_are_read_by_their_names(tmp_path: Path) -> None:
    root = tree(tmp_path, "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4", "real/a.mp4")
    assert read_layout(root)[0] == "folders"
    put(root, "labels.csv", "path,label\nreal/a.mp4,fake\n")
    assert read_layout(root)[0] == "table"


def test_folders_called_deepfakes_and_original_may_be_anybodys(tmp_path: Path) -> None:
    root = tree(tmp_path, "Deepfakes/ann_fake.mp4", "original/ann.mp4")
    name, listing = read_layout(root)
    assert name == "folders"
    assert labels(listing) == {"Deepfakes/ann_fake.mp4": FAKE, "original/ann.mp4": REAL}
    assert len(groups(listing)) == 1


def test_odd_names_in_a_data_set_are_grouped_with_suspicion(tmp_path: Path) -> None:
    root = tree(tmp_path, "original_sequences/youtube/c23/videos/ann.mp4",
                "manipulated_sequences/Deepfakes/c23/videos/ann_to_bob.mp4",
                "manipulated_sequences/HeadSwap/c23/videos/000_001 (1).mp4")  # fmt: skip
    _, listing = read_layout(root)
    assert {entry.method for entry in listing.entries} == {"real", "Deepfakes", "HeadSwap"}
    assert groups(listing) == [{"000_001 (1).mp4"}, {"ann.mp4", "ann_to_bob.mp4"}]


@pytest.mark.parametrize(
    ("stem", "target", "source", "original"),
    [
        ("000_003", "000", "003", "000"),
        ("000", "000", "", ""),
        ("01_02__walk_outside__A1B2", "01", "02", "01__walk_outside"),
        ("01_02__walk__fast__A1B2", "01", "02", "01__walk__fast"),
        ("01_02__walk", "01", "02", "01__walk"),
        ("01__walk_outside", "01", "", ""),
    ],
)
def test_names_of_faceforensics(stem: str, target: str, source: str, original: str) -> None:
    told = faceforensics.people_of(stem)
    assert told is not None
    assert (told.target, told.source, told.original) == (target, source, original)


def test_only_some_split_files_keep_the_rest_out_of_the_test(tmp_path: Path) -> None:
    root = tree(tmp_path, "original_sequences/youtube/c23/videos/000.mp4",
                "original_sequences/youtube/c23/videos/020.mp4")  # fmt: skip
    put(root, "test.json", [["020", "021"]])
    assert splits(read_layout(root)[1]) == {"000.mp4": NOT_TEST, "020.mp4": "test"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[[", "train.json is not JSON"),
        ("[" * 100_000, "train.json is not JSON: it is nested too deep"),
        ("{}", "train.json must hold a list of pairs of ids, got an object"),
        ('[["071"]]', "train.json: entry 0 must be a pair of ids"),
        ('[["071", "../5"]]', "train.json: entry 0 must be a pair of ids"),
        ("[7]", "train.json: entry 0 must be a pair of ids"),
        ("[[\"020\", \"022\"]]", "the id 020 is in train as well"),
        (b"\xff\xfe\x00", "train.json is not UTF-8"),
    ],
)  # fmt: skip
def test_faceforensics_split_files_that_cannot_be_meant(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    root = tree(tmp_path, *FF)
    put(root, "test.json", [["020", "021"]])
    (root / "train.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UnmaskError, match=told) as caught:
        read_layout(root)
    assert "again" in str(caught.value)
    assert "\n" not in str(caught.value)


# Celeb-DF

CELEB = [
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0000.mp4",
    "Celeb-real/id7_0003.mp4",
    "Celeb-synthesis/id0_id1_0000.mp4",
    "Celeb-synthesis/id1_id0_0005.mp4",
    "YouTube-real/00000.mp4",
    "YouTube-real/00007.mp4",
]


def with_level(paths: list[str], level: str) -> list[str]:
    return [path.replace("/", f"/{level}", 1) for path in paths]


@pytest.mark.parametrize("level", ["", "videos/"])
def test_celebdf_where_1_means_real(tmp_path: Path, level: str) -> None:
    paths = with_level(CELEB, level)
    root = put(
        tree(tmp_path, *paths),
        "List_of_testing_videos.txt",
        "1 YouTube-real/00000.mp4\n1 Celeb-real/id0_0000.mp4\r\n0 Celeb-synthesis/id0_id1_0000.mp4"
        "\n0 Celeb-synthesis/id5_id6_0000.mp4\n\n",
    )
    name, listing = read_layout(root)
    assert name == "celebdf"
    assert labels(listing) == {path: FAKE if "synthesis" in path else REAL for path in paths}
    assert splits(listing) == {
        path.rsplit("/", 1)[-1]: "test"
        if path.endswith(("/00000.mp4", "/id0_0000.mp4", "/id0_id1_0000.mp4"))
        else NOT_TEST
        for path in paths
    }
    fake = by_path(listing)[f"Celeb-synthesis/{level}id0_id1_0000.mp4"]
    assert (fake.target, fake.source) == ("id0", "id1")
    assert fake.original == f"Celeb-real/{level}id0_0000.mp4"
    assert groups(listing) == [
        {"00000.mp4"},
        {"00007.mp4"},
        {"id0_0000.mp4", "id1_0000.mp4", "id0_id1_0000.mp4", "id1_id0_0005.mp4"},
        {"id7_0003.mp4"},
    ]
    assert missing(listing) == {
        "test videos of List_of_testing_videos.txt": 1,
        "originals of the fakes": 1,
    }


def test_celebdf_in_capitals_partly_and_without_its_list(tmp_path: Path) -> None:
    name, listing = read_layout(tree(tmp_path, "CELEB-SYNTHESIS/ID3_ID4_0001.MP4"))
    assert name == "celebdf"
    assert [(e.label, e.target, e.source, e.split) for e in listing.entries] == [
        (FAKE, "id3", "id4", "")
    ]
    assert missing(listing) == {"originals of the fakes": 1}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 Celeb-real/id0_0000.mp4", "line 2: Celeb-real/id0_0000.mp4 is listed as fake"),
        ("1 Celeb-synthesis/id0_id1_0000.mp4", "is listed as real .1 means real there."),
        ("2 Celeb-real/id0_0000.mp4", "line 2: it must be 1 .real. or 0 .fake. and a path"),
        ("Celeb-real/id0_0000.mp4", "line 2: it must be 1"),
        ("1 /etc/passwd", "line 2: a path must lie inside the data set, got '/etc/passwd'"),
        ("1 ../Celeb-real/id0_0000.mp4", "line 2: a path must lie inside"),
    ],
)
def test_a_celebdf_list_that_cannot_be_meant(tmp_path: Path, line: str, told: str) -> None:
    root = put(tree(tmp_path, *CELEB), "List_of_testing_videos.txt", f"\n{line}\n")
    with pytest.raises(UnmaskError, match=told):
        read_layout(root)


# DFDC

PART = {
    "aaa.mp4": {"label": "FAKE", "split": "train", "original": "bbb.mp4"},
    "bbb.mp4": {"label": "REAL", "split": "train"},
    "ccc.mp4": {"label": "FAKE", "split": "train", "original": "bbb.mp4"},
    "ddd.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
    "eee.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
    "fff.mp4": {"label": "REAL", "split": "train", "original": None},
    "absent.mp4": {"label": "REAL", "split": "train"},
}
DFDC_FILES = [f"{letter * 3}.mp4" for letter in "abcdef"]
DFDC_GROUPS = [{"aaa.mp4", "bbb.mp4", "ccc.mp4"}, {"ddd.mp4", "eee.mp4"}, {"fff.mp4"}]


@pytest.mark.parametrize("part", ["dfdc_train_part_0/", "train/dfdc_train_part_12/", ""])
def test_dfdc_parts_and_one_part_as_the_root(tmp_path: Path, part: str) -> None:
    paths = [part + name for name in DFDC_FILES]
    root = put(tree(tmp_path, *paths, f"{part}unnamed.mp4"), f"{part}metadata.json", PART)
    name, listing = read_layout(root)
    assert name == "dfdc"
    assert labels(listing) == {
        part + name: FAKE if PART[name]["label"] == "FAKE" else REAL for name in DFDC_FILES
    }
    assert by_path(listing)[f"{part}aaa.mp4"].original == f"{part}bbb.mp4"
    assert by_path(listing)[f"{part}ddd.mp4"].original == f"{part}gone.mp4"
    assert by_path(listing)[f"{part}bbb.mp4"].method == "real"
    assert groups(listing) == DFDC_GROUPS
    assert {entry.split for entry in listing.entries} == {""}  # all train parts nothing
    assert listing.unlabelled == [f"{part}unnamed.mp4"]
    assert missing(listing) == {"videos named in the metadata": 1, "originals of the fakes": 1}


def test_dfdc_test_sets_tell_1_for_fake(tmp_path: Path) -> None:
    root = put(tree(tmp_path, "test/x.mp4", "test/y.mp4", "dfdc_train_part_0/bbb.mp4"),
               "test/labels.csv", "filename,label\nx.mp4,1\ny.mp4,0\nz.mp4,1\n")  # fmt: skip
    put(root, "dfdc_train_part_0/metadata.json", PART)
    _, listing = read_layout(root)
    assert labels(listing) == {
        "test/x.mp4": FAKE, "test/y.mp4": REAL, "dfdc_train_part_0/bbb.mp4": REAL
    }  # fmt: skip
    assert splits(listing) == {"x.mp4": "test", "y.mp4": "test", "bbb.mp4": NOT_TEST}
    name, alone = read_layout(root / "test")
    assert name == "dfdc"
    assert labels(alone) == {"x.mp4": FAKE, "y.mp4": REAL}
    assert splits(alone) == {"x.mp4": "test", "y.mp4": "test"}


def test_dfdc_in_capitals(tmp_path: Path) -> None:
    root = put(tree(tmp_path, "DFDC_TRAIN_PART_0/A.MP4"), "DFDC_TRAIN_PART_0/METADATA.JSON",
               {"a.mp4": {"label": "Real", "split": "TRAIN"}})  # fmt: skip
    assert labels(read_layout(root)[1]) == {"DFDC_TRAIN_PART_0/A.MP4": REAL}


def test_dfdc_records_with_gaps(tmp_path: Path) -> None:
    root = put(
        tree(tmp_path, "A.MP4", "b.mp4", "c.mp4", "d.mp4"),
        "metadata.json",
        '{"d.mp4": {}, "a.mp4": {"label": "fake", "original": NaN}, "b.mp4": {"label": "REAL"},'
        ' "c.mp4": null}',
    )
    _, listing = read_layout(root)
    assert labels(listing) == {"A.MP4": FAKE, "b.mp4": REAL}
    assert listing.unlabelled == ["c.mp4", "d.mp4"]


def test_two_parts_share_originals_and_one_may_lack_its_metadata(tmp_path: Path) -> None:
    root = tree(tmp_path, *(f"dfdc_train_part_{n}/{name}.mp4" for n, name in enumerate("abc")))
    put(root, "dfdc_train_part_0/metadata.json", {"a.mp4": {"label": "REAL"}})
    put(root, "dfdc_train_part_1/metadata.json", {"b.mp4": {"label": "FAKE", "original": "a.mp4"}})
    _, listing = read_layout(root)
    assert groups(listing) == [{"a.mp4", "b.mp4"}]
    assert by_path(listing)["dfdc_train_part_1/b.mp4"].original == "dfdc_train_part_0/a.mp4"
    assert listing.unlabelled == ["dfdc_train_part_2/c.mp4"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"a.mp4": {"label": "FAKE"}', "is not JSON"),
        ("[1]", "must hold a JSON object, got a list"),
        ('{"a.mp4": 3}', "'a.mp4': it must be an object"),
        ('{"a.mp4": {"label": "MAYBE"}}', "the label must be REAL or FAKE, got 'MAYBE'"),
        ('{"a.mp4": {"label": true}}', "the label must be REAL or FAKE, got True"),
        ('{"a.mp4": {"label": "REAL", "split": "soon"}}', "the split must be train, val or test"),
        ('{"../a.mp4": {"label": "REAL"}}', "must lie inside the data set, got '../a.mp4'"),
        ('{"/a.mp4": {"label": "REAL"}}', "must lie inside the data set"),
        ('{"a\\ud800.mp4": {"label": "REAL"}}', "must lie inside the data set"),
        ('{"a\\u0000.mp4": {"label": "REAL"}}', "must lie inside the data set"),
        ('{"a.mp4": {"label": "FAKE", "original": "../../b.mp4"}}', "original: a path must lie"),
        ("{}", "holds no video that metadata.json labels"),
        ('{"a.mp4": {"label": ' + "9" * 5000 + "}}", "is not JSON"),
    ],
)
def test_dfdc_metadata_that_cannot_be_meant(tmp_path: Path, content: str, told: str) -> None:
    root = put(
        tree(tmp_path, "dfdc_train_part_1/a.mp4"), "dfdc_train_part_1/metadata.json", content
    )
    with pytest.raises(InputError) as caught:
        read_layout(root)
    assert told in str(caught.value)
    assert "metadata.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_metadata_is_read_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_BYTES", 1 << 20)
    root = put(tree(tmp_path, "dfdc_train_part_1/a.mp4"), "dfdc_train_part_1/metadata.json",
               " " * (1 << 21))  # fmt: skip
    with pytest.raises(InputError, match=r"metadata\.json has more than 1 MiB"):
        read_layout(root)


def test_somebody_elses_metadata_json_is_not_dfdc(tmp_path: Path) -> None:
    root = put(tree(tmp_path, "real/a.mp4", "fake/b.mp4"), "metadata.json", {"label": "x"})
    assert read_layout(root)[0] == "folders"


def test_the_dfdc_preview(tmp_path: Path) -> None:
    paths = [
        "original_videos/1001/1001_A.mp4",
        "original_videos/1002/1002_A.mp4",
        "original_videos/1003/1003_A.mp4",
        "method_A/1001/1001_1002_a.mp4",
        "method_B/1003/1003_b.mp4",
    ]
    records: dict[str, dict[str, object]] = {
        path: {"label": "real", "set": "train", "target_id": None, "swapped_id": None}
        for path in paths[:3]
    }
    records[paths[3]] = {"label": "fake", "set": "train", "target_id": "1001", "swapped_id": "1002"}
    records[paths[4]] = {"label": "fake", "set": "test", "target_id": 1003, "swapped_id": 1004}
    records[paths[2]]["set"] = "test"
    records["method_A/9/absent.mp4"] = {"label": "fake", "set": "train"}
    root = put(tree(tmp_path, *paths, "spare.mp4"), "dataset.json", records)
    name, listing = read_layout(root)
    assert name == "dfdc-preview"
    assert labels(listing) == {path: REAL if "original" in path else FAKE for path in paths}
    found = by_path(listing)
    assert (found[paths[3]].method, found[paths[4]].method) == ("method_A", "method_B")
    assert (found[paths[3]].target, found[paths[3]].source) == ("1001", "1002")
    assert [found[path].split for path in paths] == [NOT_TEST, NOT_TEST, "test", NOT_TEST, "test"]
    assert groups(listing) == [
        {"1001_A.mp4", "1002_A.mp4", "1001_1002_a.mp4"},
        {"1003_A.mp4", "1003_b.mp4"},
    ]
    assert listing.unlabelled == ["spare.mp4"]
    assert missing(listing) == {"videos named in dataset.json": 1}


# DeeperForensics-1.0

DEEPER = [
    "manipulated_videos/end_to_end/000_M101.mp4",
    "manipulated_videos/end_to_end/001_W004.mp4",
    "manipulated_videos/end_to_end_level_1/000_M101.mp4",
    "source_videos/M101/light_up/happy/camera_front/M101_light_up_happy_camera_front.mp4",
    "source_videos/M102/BlendShape/camera_front/M102_BlendShape_camera_front.mp4",
]


def test_deeperforensics(tmp_path: Path) -> None:
    root = tree(tmp_path, *DEEPER)
    put(root, "lists/splits/train.txt", "000_M101.mp4\n")
    put(root, "lists/splits/val.txt", "002_M103.mp4\n")
    put(root, "lists/splits/test.txt", "001_W004.mp4\n")
    name, listing = read_layout(root)
    assert name == "deeperforensics"
    assert labels(listing) == {path: FAKE if "manipulated" in path else REAL for path in DEEPER}
    fake = by_path(listing)[DEEPER[2]]
    assert (fake.method, fake.target, fake.source) == ("end_to_end_level_1", "000", "M101")
    assert groups(listing) == [
        {"000_M101.mp4", "M101_light_up_happy_camera_front.mp4"},
        {"001_W004.mp4"},
        {"M102_BlendShape_camera_front.mp4"},
    ]
    assert splits(listing)["001_W004.mp4"] == "test"
    assert missing(listing) == {
        "end_to_end videos": 1, "end_to_end_level_1 videos": 2, "people in source_videos": 1
    }  # fmt: skip
    put(root, "lists/splits/val.txt", "001_W004.mp4\n")
    with pytest.raises(DatasetError, match=r"test.txt, line 1: 001_W004.mp4 is in the val list"):
        read_layout(root)


# DeepfakeBench


def bench(path: str, label: str) -> dict[str, object]:
    return {"label": label, "frames": [f"C:\\rgb\\{path}\\000.png".replace("/", "\\")]}


def test_deepfakebench_over_faceforensics(tmp_path: Path) -> None:
    where = "FaceForensics++/{}/c23/{}/{}"
    fake = where.format("manipulated_sequences/Deepfakes", "frames", "071_054")
    real = where.format("original_sequences/youtube", "frames", "071")
    test = where.format("original_sequences/youtube", "frames", "080")
    content = {
        "FaceForensics++": {
            "FF-real": {
                "train": {"c23": {"071": bench(real, "FF-real")}, "c40": {}},
                "val": {},
                "test": {"c23": {"080": bench(test, "FF-real"), "081": bench("x/081", "FF-real")}},
            },
            "FF-DF": {"train": {"c23": {"071_054": bench(fake, "FF-DF")}}, "val": {}, "test": {}},
        }
    }
    videos = [f"{path.replace('/frames/', '/videos/')}.mp4" for path in (fake, real, test)]
    root = put(tree(tmp_path, *videos, "other/z.mp4"), "FaceForensics++.json", content)
    name, listing = read_layout(root / "FaceForensics++.json")
    assert name == "deepfakebench"
    assert read_layout(root)[0] == "deepfakebench"
    assert labels(listing) == dict(zip(videos, (FAKE, REAL, REAL), strict=True))
    found = by_path(listing)[videos[0]]
    assert (found.method, found.target, found.source) == ("Deepfakes", "071", "054")
    assert (found.compression, found.original) == ("c23", videos[1])
    assert splits(listing) == {"071_054.mp4": NOT_TEST, "071.mp4": NOT_TEST, "080.mp4": "test"}
    assert groups(listing) == [{"071.mp4", "071_054.mp4"}, {"080.mp4"}]
    assert listing.unlabelled == ["other/z.mp4"]
    assert missing(listing) == {"videos named in FaceForensics++.json": 1}


def test_deepfakebench_takes_test_videos_out_of_training(tmp_path: Path) -> None:
    """Its Celeb-DF lists all videos in train, and the test videos in val as well."""

    def one(path: str, label: str) -> dict[str, object]:
        folder, name = path.split("/")
        return bench(f"Celeb-DF-v2/{folder}/frames/{name}", label)

    reals = {"id0_0000": one("Celeb-real/id0_0000", "CelebDFv2_real"),
             "00001": one("YouTube-real/00001", "CelebDFv2_real")}  # fmt: skip
    fakes = {"id0_id1_0000": one("Celeb-synthesis/id0_id1_0000", "CelebDFv2_fake")}
    tested = {"00001": reals["00001"]}
    content = {
        "Celeb-DF-v2": {
            "CelebDFv2_real": {"train": reals, "val": tested, "test": tested},
            "CelebDFv2_fake": {"train": fakes, "val": {}, "test": {}},
        }
    }
    paths = [
        "Celeb-real/id0_0000.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
        "YouTube-real/00001.mp4",
    ]
    root = put(tree(tmp_path, *paths), "bench.json", content)
    _, listing = read_layout(root / "bench.json")
    assert labels(listing) == dict(zip(paths, (REAL, FAKE, REAL), strict=True))
    assert [entry.split for entry in listing.entries] == [NOT_TEST, NOT_TEST, "test"]
    assert groups(listing) == [{"00001.mp4"}, {"id0_0000.mp4", "id0_id1_0000.mp4"}]


def test_deepfakebench_sets_that_are_all_the_same_are_no_split(tmp_path: Path) -> None:
    sets = {name: {"0000": bench("UADFV/real/frames/0000", "UADFV_Real")}
            for name in ("train", "val", "test")}  # fmt: skip
    fakes = {name: {"0000_fake": bench("UADFV/fake/frames/0000_fake", "UADFV_Fake")}
             for name in ("train", "val", "test")}  # fmt: skip
    root = put(tree(tmp_path, "UADFV/real/0000.mp4", "UADFV/fake/0000_fake.mp4"), "UADFV.json",
               {"UADFV": {"UADFV_Real": sets, "UADFV_Fake": fakes}})  # fmt: skip
    _, listing = read_layout(root)
    assert labels(listing) == {"UADFV/real/0000.mp4": REAL, "UADFV/fake/0000_fake.mp4": FAKE}
    assert {entry.split for entry in listing.entries} == {""}
    assert len(groups(listing)) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"X": {"X_odd": {"train": {"a": bench("a/a", "X_odd")}}}}, "says neither real nor fake"),
        ({"X": {"X_real": {"soon": {}}}}, "there must be train, val and test, got 'soon'"),
        ({"X": []}, "it must be an object, got a list"),
        ({"X": {"X_real": {"train": {"b": bench("b/b", "X_real")}}}}, "nor its frames"),
    ],
)
def test_a_deepfakebench_json_that_cannot_be_meant(
    tmp_path: Path, content: object, told: str
) -> None:
    root = put(tree(tmp_path / "root", "a/a.mp4"), "bench.json", content)
    with pytest.raises(InputError, match=told):
        read_layout(root / "bench.json")


def test_deepfakebench_paths_are_compared_and_never_opened(tmp_path: Path) -> None:
    tree(tmp_path, "secret/b.mp4")
    records = {"b": bench("../secret/frames/b", "X_real"), "a": bench("a/frames/a", "X_real")}
    root = put(
        tree(tmp_path / "root", "a/a.mp4"), "bench.json", {"X": {"X_real": {"train": records}}}
    )
    _, listing = read_layout(root / "bench.json")
    assert labels(listing) == {"a/a.mp4": REAL}
    assert missing(listing) == {"videos named in bench.json": 1}


NAMES = st.sampled_from(
    ["a.mp4", "b.mp4", "x/a.mp4", "../a.mp4", "label", "frames", "train", "test", "c23", "set",
     "FF-DF", "FF-real", "original", "split"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), NAMES,
    st.sampled_from(["REAL", "FAKE", "train", "000", "003"]),
)  # fmt: skip
JSONS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)
)


@given(content=JSONS)
@pytest.mark.parametrize(
    ("layout", "name"),
    [("dfdc", "dfdc_train_part_0/metadata.json"), ("dfdc-preview", "dataset.json"),
     ("deepfakebench", "bench.json"), ("faceforensics", "train.json")],
)  # fmt: skip
def test_whatever_a_metadata_file_holds_it_ends_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, layout: str, name: str, content: object
) -> None:
    root = tree(tmp_path_factory.mktemp("fuzz"), "a.mp4", "dfdc_train_part_0/a.mp4",
                "original_sequences/youtube/c23/videos/000.mp4")  # fmt: skip
    put(root, name, json.dumps(content))
    given_root = root / name if layout == "deepfakebench" else root
    told, entries = "one line", []
    try:
        entries = read_layout(given_root, layout)[1].entries
    except UnmaskError as error:
        told = str(error)
    assert len(told.splitlines()) == 1
    for entry in entries:
        assert entry.label in (REAL, FAKE)
        assert (root / entry.path).resolve().is_relative_to(root.resolve())
