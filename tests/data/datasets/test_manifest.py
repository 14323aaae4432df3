"""The manifest: what is written is what is read, and a bad cell is named by its line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets.manifest import COLUMNS, Manifest, Video, problems
from data.errors import InputError, OutputError
from data.io.atomic_files import write_text

ANN = Video(
    path="real/ann.mp4",
    label=0,
    group="ann",
    method="real",
    split="train",
    sha256="ab" * 32,
    size_bytes=1000,
    codec="h264",
    width=320,
    height=240,
    fps=29.97,
    duration_seconds=2.5,
    bit_rate=3200,
)
FAKE_ANN = replace(ANN, path="fake/ann.mp4", label=1, method="swap", sha256="cd" * 32)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
# Neither a home folder nor a drive of Windows: paths that begin with these are refused.
NAME = TEXT.filter(
    lambda name: (
        name not in ("", ".", "..") and "/" not in name and name[0] != "~" and name[1:2] != ":"
    )
)
AMOUNT = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
COUNT = st.integers(min_value=0, max_value=2**60)
VIDEOS = st.lists(
    st.builds(
        Video,
        path=st.lists(NAME, min_size=1, max_size=3).map("/".join),
        label=st.integers(0, 1),
        group=TEXT,
        method=TEXT,
        split=st.sampled_from(["train", "val", "test"]),
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        size_bytes=COUNT,
        codec=TEXT,
        width=COUNT,
        height=COUNT,
        fps=AMOUNT,
        duration_seconds=AMOUNT,
        bit_rate=COUNT,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda video: video.path,
)


def written(folder: Path, *videos: Video) -> Path:
    path = folder / "manifest.csv"
    Manifest(root=folder, videos=videos).write(path)
    return path


def with_cell(folder: Path, column: str, text: str) -> Path:
    """A manifest of two rows, one cell of the second replaced."""
    path = written(folder, ANN, FAKE_ANN)
    lines = path.read_text().splitlines()
    cells = lines[2].split(",")
    cells[COLUMNS.index(column)] = text
    lines[2] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return path


@given(videos=VIDEOS)
def test_what_is_written_is_read_back(
    videos: list[Video], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    path = written(folder, *videos)
    read = Manifest.read(path)
    assert read.root == folder
    assert list(read.videos) == sorted(videos, key=lambda video: video.path)
    first = path.read_bytes()
    read.write(path)
    assert path.read_bytes() == first


def test_the_file_is_plain_sorted_and_the_same_each_time(tmp_path: Path) -> None:
    path = written(tmp_path, ANN, FAKE_ANN)
    assert path.read_text(encoding="utf-8") == (
        "path,label,group,method,split,sha256,size_bytes,codec,width,height,fps,"
        "duration_seconds,bit_rate\n"
        f"fake/ann.mp4,fake,ann,swap,train,{'cd' * 32},1000,h264,320,240,29.97,2.5,3200\n"
        f"real/ann.mp4,real,ann,real,train,{'ab' * 32},1000,h264,320,240,29.97,2.5,3200\n"
    )
    first = path.read_bytes()
    assert written(tmp_path, FAKE_ANN, ANN).read_bytes() == first


def test_what_a_spreadsheet_makes_of_it_is_still_read(tmp_path: Path) -> None:
    path = written(tmp_path, ANN, FAKE_ANN)
    lines = path.read_text().splitlines()
    # A mark at the start, Windows line ends, a column more, the others in another order.
    changed = [",".join([f"note {line[:3]}", *reversed(line.split(","))]) for line in lines]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(changed).encode() + b"\r\n")
    assert Manifest.read(path).videos == (FAKE_ANN, ANN)


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("label", "2", "label cannot be '2'"),
        ("label", "", "label cannot be ''"),
        ("split", "training", "split must be one of train, val, test, got 'training'"),
        ("sha256", "xy", "sha256 must be 64 hexadecimal digits"),
        ("width", "3.5", "width cannot be '3.5'"),
        ("width", "-3", "width cannot be '-3'"),
        ("width", "1_0", "width cannot be '1_0'"),
        ("size_bytes", "", "size_bytes cannot be ''"),
        ("fps", "nan", "fps cannot be 'nan'"),
        ("fps", "1e999", "fps cannot be '1e999'"),
        ("duration_seconds", "long", "duration_seconds cannot be 'long'"),
        ("path", "../ann.mp4", "outside its root: '../ann.mp4'"),
        ("path", "a/../../ann.mp4", "outside its root"),
        ("path", "/etc/passwd", "outside its root: '/etc/passwd'"),
        ("path", "fake/ann.mp4", "'fake/ann.mp4' is in line 2 already"),
    ],
)
def test_a_bad_cell_is_named_by_its_line(tmp_path: Path, column: str, text: str, told: str) -> None:
    path = with_cell(tmp_path, column, text)
    with pytest.raises(InputError) as caught:
        Manifest.read(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert told in str(caught.value)


def test_a_short_row_is_named_by_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, ANN)
    path.write_text(path.read_text() + "real/bob.mp4,real\n")
    with pytest.raises(InputError, match="line 3: the row is too short"):
        Manifest.read(path)


def test_what_is_no_manifest_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist; write it with `unmask in"):
        Manifest.read(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="is a folder; give the manifest"):
        Manifest.read(tmp_path)
    for text, told in (
        (b"", "lacks the column path"),
        (b"path,label\n", "lacks the column group"),
        (",".join(COLUMNS).encode() + b"\n", "lists no video"),
        (b"\xff\xfe\x00", "is not a CSV in UTF-8"),
    ):
        (tmp_path / "odd.csv").write_bytes(text)
        with pytest.raises(InputError, match=told):
            Manifest.read(tmp_path / "odd.csv")
    with pytest.raises(InputError, match="--root"):
        Manifest.read(written(tmp_path, ANN), root=tmp_path / "nowhere")


def test_paths_start_from_the_root(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    path = written(tmp_path, ANN)
    assert Manifest.read(path).resolve(ANN) == tmp_path / "real/ann.mp4"
    assert Manifest.read(path, root=videos).resolve(ANN) == videos / "real/ann.mp4"


@pytest.mark.parametrize("target", ["a folder", "file/below.csv"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "file").write_text("thesis")
    with pytest.raises(OutputError, match=f"cannot write .*{target}"):
        write_text(tmp_path / target, "text")
    assert sorted(os.listdir(tmp_path)) == ["a folder", "file"]
    assert (tmp_path / "file").read_text() == "thesis"


def test_a_failed_write_keeps_the_old_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, ANN)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        written(tmp_path, ANN, FAKE_ANN)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["manifest.csv"]


def test_each_split_is_counted(tmp_path: Path) -> None:
    bob = replace(ANN, path="real/bob.mp4", group="bob", split="test", duration_seconds=57.5)
    counts = Manifest(root=tmp_path, videos=(ANN, FAKE_ANN, bob)).counts()
    assert [
        (one.split, one.reals, one.fakes, one.groups, round(one.minutes, 1)) for one in counts
    ] == [
        ("train", 1, 1, 1, 0.1),
        ("val", 0, 0, 0, 0.0),
        ("test", 1, 0, 1, 1.0),
        ("all", 2, 1, 2, 1.0),
    ]
    assert counts[-1].methods == {"swap": 1}


def test_what_keeps_from_training_is_told() -> None:
    assert problems([ANN]) == ["there is no fake video; training needs both labels"]
    assert problems([FAKE_ANN]) == ["there is no real video; training needs both labels"]
    bob = replace(ANN, path="real/bob.mp4", group="bob", split="test")
    told = problems([ANN, FAKE_ANN, bob])
    assert told[:2] == ["the split val has no video", "the split test has no fake video"]
    assert "all 3 videos are in 2 groups" in told[2]
    assert problems([ANN, FAKE_ANN], ["train"]) == []
