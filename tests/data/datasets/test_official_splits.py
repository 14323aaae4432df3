"""Published splits stand, what they leave open is dealt out, and people on two sides are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import data.datasets.digests
from data.datasets.index import IndexResult, index
from data.datasets.layouts.listing import FAKE, NOT_TEST, REAL, Entry
from data.datasets.manifest import Manifest
from data.datasets.official_splits import assign_splits, straddling_warning
from data.datasets.splits import SplitConfig
from data.errors import ConfigError, DatasetError
from data.video.probe import VideoInfo


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ffprobe: what is tested are names."""

    def probe(path: Path) -> VideoInfo:
        return VideoInfo(
            stream_index=0, codec="h264", pixel_format="yuv420p", width=64, height=48,
            rotation_degrees=0, fps=25.0, duration_seconds=0.4, frame_count=None,
            promised_seconds=0.4, bit_rate=1000, size_bytes=path.stat().st_size,
        )  # fmt: skip

    monkeypatch.setattr(data.datasets.digests, "probe", probe)


def run(root: Path, **options: object) -> IndexResult:
    options = {"split": SplitConfig(), **options}
    return index(root, workers=2, **options)  # type: ignore[arg-type]


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return root


def sides(result: IndexResult) -> dict[str, str]:
    return {Path(video.path).name: video.split for video in result.manifest.videos}


def faceforensics(root: Path, pairs: int = 20) -> Path:
    """Both directions of each pair, by two methods in two compressions; 12, 4 and 4 pairs."""
    root.mkdir(exist_ok=True)
    told = [[f"{2 * n:03d}", f"{2 * n + 1:03d}"] for n in range(pairs)]
    for name, part in (("train", told[:12]), ("val", told[12:16]), ("test", told[16:])):
        (root / f"{name}.json").write_text(json.dumps(part))
    for size in ("c23", "c40"):
        for pair in told:
            for one, other in (pair, pair[::-1]):
                tree(root, f"original_sequences/youtube/{size}/videos/{one}.mp4")
                for method in ("Deepfakes", "NeuralTextures"):
                    tree(root, f"manipulated_sequences/{method}/{size}/videos/{one}_{other}.mp4")
    tree(root, "original_sequences/actors/c23/videos/01__hug.mp4",
         "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__hug__X1.mp4")  # fmt: skip
    return root


def test_faceforensics_keeps_its_splits_and_parts_nobody(tmp_path: Path) -> None:
    result = run(faceforensics(tmp_path))
    assert (result.layout, result.warnings) == ("faceforensics", ())
    where: dict[str, set[str]] = {}
    for video in result.manifest.videos:
        where.setdefault(video.group, set()).add(video.split)
        if "actors" in video.path or "DeepFakeDetection" in video.path:
            continue
        number = int(Path(video.path).stem[:3])
        assert video.split == ("train" if number < 24 else "val" if number < 32 else "test")
        assert video.label == (FAKE if "manipulated" in video.path else REAL)
    assert len(where) == 21
    assert all(len(splits) == 1 for splits in where.values())
    assert result.missing == ""


def test_methods_and_compression_are_chosen(tmp_path: Path) -> None:
    root = faceforensics(tmp_path)
    result = run(root, compression=["C23"], methods=["neuraltextures"])
    videos = result.manifest.videos
    assert {video.compression for video in videos} == {"c23"}
    assert {video.method for video in videos} == {"real", "NeuralTextures"}
    assert len(videos) == 80  # no actors: they are originals of DeepFakeDetection alone
    both = run(root, methods=["Deepfakes,DeepFakeDetection"], compression=["c23", "c40"])
    assert {video.method for video in both.manifest.videos} == {
        "real", "Deepfakes", "DeepFakeDetection"
    }  # fmt: skip
    assert len(run(root, methods=["DeepFakeDetection"]).manifest.videos) == 2
    with pytest.raises(ConfigError, match="--compression must be one of c23, c40, got 'raw'"):
        run(root, compression=["raw"])
    with pytest.raises(ConfigError, match=r"--methods must be one of .*, got 'Deepfake'"):
        run(root, methods=["Deepfake"])
    with pytest.raises(ConfigError, match="no video is of these"):
        run(root, methods=["DeepFakeDetection"], compression=["c40"])


def test_choosing_in_plain_folders(tmp_path: Path) -> None:
    root = tree(tmp_path, "real/a.mp4", "fake/swap/b.mp4", "fake/mask/c.mp4")
    assert set(sides(run(root, methods=["swap"]))) == {"a.mp4", "b.mp4"}
    with pytest.raises(ConfigError, match="--compression must be left out here"):
        run(root, compression=["c23"])


def test_the_manifest_keeps_what_the_data_set_tells(tmp_path: Path) -> None:
    root = faceforensics(tmp_path / "ff", pairs=17)
    run(root).manifest.write(tmp_path / "m.csv")
    found = {video.path: video for video in Manifest.read(tmp_path / "m.csv").videos}
    fake = found["manipulated_sequences/Deepfakes/c40/videos/002_003.mp4"]
    assert (fake.target, fake.source, fake.compression) == ("002", "003", "c40")
    assert fake.original == "original_sequences/youtube/c40/videos/002.mp4"
    assert found[fake.original].label == REAL
    assert found[fake.original].original == ""
    run(tree(tmp_path / "plain", "real/a.mp4", "fake/b.mp4")).manifest.write(tmp_path / "p.csv")
    assert "original" not in (tmp_path / "p.csv").read_text()
    assert len(Manifest.read(tmp_path / "p.csv").videos) == 2


def test_celebdfs_test_list_stands_and_what_it_parts_is_told(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        *(f"Celeb-real/id{n}_000{take}.mp4" for n in range(10) for take in range(2)),
        *(f"Celeb-synthesis/id{n}_id{n ^ 1}_000{take}.mp4" for n in range(10) for take in range(2)),
        *(f"YouTube-real/0000{n}.mp4" for n in range(10)),
    )
    tested = ["id0_0000.mp4", "id0_id1_0000.mp4", "00003.mp4"]
    (root / "List_of_testing_videos.txt").write_text(
        f"1 Celeb-real/{tested[0]}\n0 Celeb-synthesis/{tested[1]}\n1 YouTube-real/{tested[2]}\n"
    )
    result = run(root)
    found = sides(result)
    assert sorted(name for name in found if found[name] == "test") == sorted(tested)
    assert set(found.values()) == {"train", "val", "test"}
    assert result.warnings == (
        "the published split has 2 people or originals in training and test alike, celeb-df id0 "
        "for one; `unmask evaluate` will refuse that test split without --allow-seen",
    )
    # People who are not in the test list are on one side.
    for n in range(2, 10, 2):
        names = [name for name in found if f"id{n}_" in name or f"id{n + 1}_" in name]
        assert len({found[name] for name in names}) == 1
    plain = run(root, split=SplitConfig(validation=0, test=0))
    assert set(sides(plain).values()) == {"train", "test"}


def test_dfdc_is_dealt_out_by_original(tmp_path: Path) -> None:
    records: dict[str, dict[str, str]] = {}
    for n in range(30):
        records[f"real{n}.mp4"] = {"label": "REAL", "split": "train"}
        for take in range(3):
            records[f"f{n}x{take}.mp4"] = {
                "label": "FAKE", "split": "train", "original": f"real{n}.mp4"
            }  # fmt: skip
    part = tree(tmp_path / "dfdc_train_part_4", *records)
    (part / "metadata.json").write_text(json.dumps(records | {"gone.mp4": {"label": "REAL"}}))
    result = run(part)
    found = sides(result)
    assert set(found.values()) == {"train", "val", "test"}
    for name, record in records.items():
        if "original" in record:
            assert found[name] == found[record["original"]]
    assert result.missing == "videos named in the metadata: 1"


def entry(name: str, split: str, *, group: str, linked: tuple[str, ...] = ()) -> Entry:
    return Entry(path=name, label=REAL, split=split, group=group, linked=linked)


def test_a_table_must_not_part_a_group_but_a_published_split_may() -> None:
    made = [entry("a", "train", group="x"), entry("b", "test", group="x")]
    with pytest.raises(DatasetError, match="the group x is in two splits: a in train, b in test"):
        assign_splits(made, ["x", "x"], SplitConfig(), official=False)
    assert assign_splits(made, ["x", "x"], SplitConfig(), official=True) == ["train", "test"]
    assert straddling_warning(made, ["train", "test"])[0].startswith(
        "the published split has a person or original in training and test alike, x for one"
    )
    assert straddling_warning(made, ["train", "val"]) == []


def test_a_video_without_a_split_follows_its_group_never_into_training_alone() -> None:
    made = [
        entry("a", "train", group="x"), entry("b", "test", group="y", linked=("x",)),
        entry("c", "", group="z", linked=("x",)), entry("d", "", group="w"),
    ]  # fmt: skip
    config = SplitConfig(validation=0, test=0)
    assert assign_splits(made, ["x", "x", "x", "w"], config, official=True) == [
        "train", "test", "test", "train"
    ]  # fmt: skip


def test_videos_outside_a_test_list_never_get_into_the_test() -> None:
    made = [entry(f"{n}", NOT_TEST, group=f"{n}") for n in range(50)]
    config = SplitConfig(validation=0.2, test=0.5)
    found = assign_splits(made, [one.group for one in made], config, official=True)
    assert sorted(found) == ["train"] * 40 + ["val"] * 10
