"""Layouts: every spelling, depth, link and table gives the labels that a reader would give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.datasets.layouts import LAYOUTS, read_layout
from data.datasets.layouts.listing import FAKE, REAL, Listing, label_of, walk
from data.errors import ConfigError, DatasetError, InputError


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode("utf-8", "surrogateescape"))
    return root


def labels(listing: Listing) -> dict[str, int]:
    return {entry.path: entry.label for entry in listing.entries}


@pytest.mark.parametrize(
    "name",
    ["real", "Real", "REAL", "reals", "0_real", "real1", "original", "Originals", "pristine",
     "authentic", "genuine", "original_sequences", "Celeb-real", "YouTube-real", "real videos",
     "RealVideos", "train_real", "real_faces"],
)  # fmt: skip
def test_spellings_of_real(name: str) -> None:
    assert label_of(name) == REAL


@pytest.mark.parametrize(
    "name",
    ["fake", "Fake", "FAKES", "1_fake", "forged", "manipulated", "deepfake", "DeepFakes",
     "synthesis", "Celeb-synthesis", "manipulated_sequences", "fake-videos", "FakeVideos",
     "training_fake", "forgeries"],
)  # fmt: skip
def test_spellings_of_fake(name: str) -> None:
    assert label_of(name) == FAKE


@pytest.mark.parametrize(
    "name",
    ["", "0", "videos", "train", "reality", "unreal", "real_and_fake", "fakery", "true", "false",
     "c23", "realtor", "deepfake_detection", "realfake"],
)  # fmt: skip
def test_what_names_no_label_is_not_guessed(name: str) -> None:
    assert label_of(name) is None


def test_folders_label_at_any_depth(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "real/a.mp4",
        "Train/0_real/deep/er/b c.MOV",
        "train/1_fake/grün/ü.Mp4",
        "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
        "manipulated_sequences/Face2Face/c23/videos/000_003.mp4",
        "fake/videos/d.gif",
    )
    name, listing = read_layout(root)
    assert (name, listing.source) == ("folders", "folder names")
    assert {entry.path: (entry.label, entry.method) for entry in listing.entries} == {
        "real/a.mp4": (REAL, "real"),
        "Train/0_real/deep/er/b c.MOV": (REAL, "real"),
        "train/1_fake/grün/ü.Mp4": (FAKE, "grün"),
        "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4": (FAKE, "Deepfakes"),
        "manipulated_sequences/Face2Face/c23/videos/000_003.mp4": (FAKE, "Face2Face"),
        "fake/videos/d.gif": (FAKE, "fake"),
    }
    paths = [entry.path for entry in listing.entries]
    assert paths == sorted(paths)


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        *("real/a.mp4", "real/notes.txt", "real/thumb.jpg", "real/no_suffix", "README"),
        *("real/.hidden.mp4", ".trash/real/b.mp4", "real/._a.mp4", "elsewhere/c.mp4", "d.mp4"),
    )
    _, listing = read_layout(root)
    assert labels(listing) == {"real/a.mp4": REAL}
    assert listing.not_videos == 3
    assert [entry.path for entry in listing.images] == ["real/thumb.jpg"]
    assert listing.unlabelled == ["d.mp4", "elsewhere/c.mp4"]


def test_the_roots_own_name_is_no_label(tmp_path: Path) -> None:
    root = tree(tmp_path / "deepfakes", "real/a.mp4", "fake/a.mp4")
    assert labels(read_layout(root)[1]) == {"real/a.mp4": REAL, "fake/a.mp4": FAKE}


def test_a_video_below_both_labels_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path, "fake/originals/a.mp4")
    with pytest.raises(DatasetError, match=r"fake/originals/a.mp4 lies below .*fake and originals"):
        read_layout(root)


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ((), "holds no video in a folder named real or fake"),
        (("real/a.txt",), "holds no video in a folder named real or fake"),
        (("a.mp4", "b/c.mp4"), "holds 2 videos, none in a folder named real or fake"),
    ],
)
def test_a_folder_without_labels_says_what_to_do(
    tmp_path: Path, paths: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InputError, match=told) as caught:
        read_layout(tree(tmp_path, *paths))
    assert "or give a CSV with the columns path,label" in str(caught.value)


def test_what_is_no_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist; give a folder with real/"):
        read_layout(tmp_path / "nowhere")
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"clip.mp4 is one video; give the folder"):
        read_layout(tmp_path / "clip.mp4")
    with pytest.raises(ConfigError, match=r"the layout must be auto, dfdc, .* or folders, got 'x'"):
        read_layout(tmp_path, "x")
    with pytest.raises(InputError, match=r"holds no labels.csv or metadata.csv"):
        read_layout(tmp_path, "table")
    with pytest.raises(InputError, match="must be a folder"):
        read_layout(tree(tmp_path, "a.csv") / "a.csv", "folders")


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "disk", "people/ann.mp4", "bob.mp4")
    root = tree(tmp_path / "root", "fake/f.mp4")
    (root / "real").symlink_to(elsewhere / "people")
    (root / "fake" / "linked.mp4").symlink_to(elsewhere / "bob.mp4")
    (root / "fake" / "broken.mp4").symlink_to(elsewhere / "gone.mp4")
    assert labels(read_layout(root)[1]) == {
        "real/ann.mp4": REAL,
        "fake/f.mp4": FAKE,
        "fake/linked.mp4": FAKE,
        "fake/broken.mp4": FAKE,  # a failure of the index, not silently nothing
    }


def test_loops_of_links_end_and_no_folder_is_read_twice(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "real/a.mp4", "fake/b.mp4")
    (root / "real" / "self").symlink_to(root / "real")
    (root / "fake" / "up").symlink_to(root)
    (root / "fake" / "far_up").symlink_to(tmp_path)
    (root / "fake" / "top").symlink_to("/")
    (root / "fake" / "round").symlink_to(root / "fake" / "round")
    found = [path.relative_to(root).as_posix() for path in walk(root)]
    assert sorted(found) == ["fake/b.mp4", "fake/round", "real/a.mp4"]


def test_a_folder_keeps_its_own_name_before_any_link_to_it(tmp_path: Path) -> None:
    root = tree(tmp_path, "real/a.mp4", "fake/b.mp4")
    (root / "all").mkdir()
    (root / "all" / "link").symlink_to(root / "real")
    (root / "Alias").symlink_to(root / "fake")
    assert labels(read_layout(root)[1]) == {"real/a.mp4": REAL, "fake/b.mp4": FAKE}


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path, "real/a.mp4", "fake/b.mp4")
    real = os.scandir

    def closed(path):  # type: ignore[no-untyped-def]
        if str(path).endswith("fake"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputError, match=r"cannot read the folder .*fake: Permission denied"):
        read_layout(root)


def table(root: Path, text: str, name: str = "labels.csv") -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_table_tells_everything(tmp_path: Path) -> None:
    root = tree(tmp_path, "x/a.mp4", "b c.mp4", "extra.mp4", "note.txt")
    table(
        root,
        "Path, Label ,group,method,split,note\n"
        "x/a.mp4,REAL,ann,,Train,hello\n"
        "b c.mp4 , 1,ann,swap,validation,\n"
        '"quote,""d.mp4",0,,,,\n'
        "./y//z.mp4,deepfake,,,test,\n",
    )
    name, listing = read_layout(root)
    assert (name, listing.source) == ("table", "labels.csv")
    told = [(e.path, e.label, e.group, e.method, e.split) for e in listing.entries]
    assert told == [
        ("b c.mp4", FAKE, "ann", "swap", "val"),
        ('quote,"d.mp4', REAL, "", "real", ""),
        ("x/a.mp4", REAL, "ann", "real", "train"),
        ("y/z.mp4", FAKE, "", "fake", "test"),
    ]
    assert listing.unlabelled == ["extra.mp4"]
    assert listing.not_videos == 1
    assert read_layout(root / "labels.csv")[1].entries == listing.entries


def test_blanks_and_newlines_of_a_name_are_kept_where_the_file_has_them(tmp_path: Path) -> None:
    root = tree(tmp_path, " a.mp4", "line\nbreak.mp4")
    table(root, 'path,label\n " a.mp4",real\n "b.mp4",fake\n'.replace(' "', '"'))
    assert labels(read_layout(root)[1]) == {" a.mp4": REAL, "b.mp4": FAKE}
    table(root, 'path,label\n"line\nbreak.mp4",real\n')
    assert labels(read_layout(root)[1]) == {"line\nbreak.mp4": REAL}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_tables_of_spreadsheets_are_read(tmp_path: Path, ending: str, mark: bytes) -> None:
    text = ending.join(["path,label", "a.mp4,real", "b.mp4,fake", ""])
    (tmp_path / "labels.csv").write_bytes(mark + text.encode())
    assert labels(read_layout(tmp_path)[1]) == {"a.mp4": REAL, "b.mp4": FAKE}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\na.mp4,real\nb.mp4,maybe\n", "line 3: the label must be real, fake, 0 or 1"),
        ("path,label\na.mp4,2\n", "line 2: the label must be"),
        ("path,label\na.mp4,true\n", "line 2: the label must be"),
        ("path,label\na.mp4\n", "line 2: the label must be"),
        ("path,label\n\n,real\n", "line 3: the path must lie in the table's folder, got ''"),
        ("path,label\n/etc/passwd,real\n", "line 2: the path must lie"),
        ("path,label\n../a.mp4,real\n", "line 2: the path must lie"),
        ("path,label\nx/../../a.mp4,real\n", "line 2: the path must lie"),
        ("path,label\n.,real\n", "line 2: the path must lie"),
        ("path,label\na\0b.mp4,real\n", "line 2: the path must lie"),
        (f"path,label\n{'x' * 5000}.mp4,maybe\n", "line 2: the label must be"),
        ("path,label\na.mp4,real\n./a.mp4,fake\n", "line 3: 'a.mp4' is in line 2 already"),
        ("path,label,split\na.mp4,0,soon\n", "line 2: the split must be train, val or test"),
        ("path,lable\na.mp4,real\n", "must have the columns path and label, got path, lable"),
        ("path label\na.mp4 real\n", "must have the columns path and label, got path label"),
        ("path;label\nC:\\set\\a.mp4;real\n", "line 2: 'C:\\\\set\\\\a.mp4' begins with a drive"),
        ("path,label\n~/a.mp4,real\n", "line 2: '~/a.mp4' begins with a drive, a server or a home"),
        ("path,label\n\nb,a.mp4,real\n", "line 3: the row has 3 cells, the header 2; put quotes"),
        ('path,label\n"a.mp4,real\nb.mp4,real\n', "line 3: unexpected end of data"),
        ("path,Path,label\na.mp4,a.mp4,real\n", "has two columns called path"),
        ("", "must have the columns path and label, got none"),
        ("path,label\n", "lists no video"),
    ],
)
def test_a_bad_table_names_the_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_layout(table(tmp_path, text))
    assert told in str(caught.value)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "path;label\nreal/a.mp4;real\nfake/b, b.mp4;fake\n",  # Excel where the comma is decimal
        "path\tlabel\nreal/a.mp4\treal\nfake/b, b.mp4\tfake\n",
        "path|label\nreal/a.mp4|real\nfake/b, b.mp4|fake\n",
        "sep=;\npath;label\nreal/a.mp4;real\nfake/b, b.mp4;fake\n",
        '"sep=,"\r\npath,label\r\nreal/a.mp4,real\r\n"fake/b, b.mp4",fake\r\n',
        ' Path , Label \n real/a.mp4 , Real \n"fake/b, b.mp4",FAKE\n',
        'path,label,,\nreal/a.mp4,real,,\n,,,\n   ,,,\n"fake/b, b.mp4",fake,,\n,,,\n',
        ',,\n\npath,label,\n"fake/b, b.mp4",1\nreal/a.mp4,0,,,,\n',
        'path,label\rreal/a.mp4,real\r"fake/b, b.mp4",fake\r',
        'path,label,note\nreal/a.mp4,real,"two\nlines"\n"fake/b, b.mp4",fake,"x;y\tz"\n',
        'path,label\nreal\\a.mp4,real\n"fake\\b, b.mp4",fake\n',
        'label,path\nreal,".\\real\\a.mp4"\nfake,"./fake/b, b.mp4"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_as_programs_write_them(tmp_path: Path, text: str, encoding: str) -> None:
    root = tree(tmp_path, "real/a.mp4", "fake/b, b.mp4")
    (root / "labels.csv").write_bytes(text.encode(encoding))
    chosen, listing = read_layout(root)
    assert chosen == "table"
    assert [(one.path, one.label) for one in listing.entries] == [
        ("fake/b, b.mp4", 1),
        ("real/a.mp4", 0),
    ]
    assert listing.unlabelled == []
    root.joinpath("labels.csv").rename(root / "metadata.csv")
    assert read_layout(root)[1].source == "metadata.csv"


def test_a_backslash_is_a_name_where_there_is_such_a_file(tmp_path: Path) -> None:
    root = tree(tmp_path, "real\\a.mp4", "real/a.mp4", "real/b.mp4", "real/é.mp4")
    table(
        root,
        "path,label,original\nreal\\a.mp4,real,\nreal\\b.mp4,fake,real\\a.mp4\n"
        "real\\c.mp4,real,\nreal\\é.mp4,real,\n",
    )
    entries = read_layout(root)[1].entries
    assert [(one.path, one.original) for one in entries] == [
        ("real/b.mp4", "real\\a.mp4"),
        ("real/é.mp4", ""),
        ("real\\a.mp4", ""),
        ("real\\c.mp4", ""),  # nowhere: told as it is written
    ]
    table(root, "path,label\nreal\\..\\..\\x.mp4,real\n")
    tree(root.parent, "x.mp4")
    with pytest.raises(InputError, match="must lie in the table's folder"):
        read_layout(root)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path,label\né.mp4,real\n".encode("latin-1"), "is not a CSV in UTF-8: .* at byte 11"),
        (b"PK\x03\x04 a workbook", "is a workbook, not a CSV in UTF-8; save it as a CSV"),
        ("path,label\na.mp4,real\n".encode("utf-16-le"), "is not a CSV in UTF-8: it has NUL"),
    ],
)
def test_a_table_that_is_no_text_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"labels.csv {told}"):
        read_layout(tmp_path)


def test_labels_win_over_metadata_and_metadata_over_folders(tmp_path: Path) -> None:
    root = tree(tmp_path, "real/a.mp4", "fake/b.mp4")
    assert read_layout(root)[0] == "folders"
    table(root, "filename,width\nx,3\n", "metadata.csv")  # another program's
    assert read_layout(root)[0] == "folders"
    table(root, "path,label\nreal/a.mp4,fake\n", "metadata.csv")
    assert read_layout(root)[1].source == "metadata.csv"
    table(root, "path,label\nreal/a.mp4,real\n")
    assert read_layout(root)[1].source == "labels.csv"
    assert read_layout(root, "folders")[1].source == "folder names"
    table(root, "path,lable\nreal/a.mp4,real\n")  # ours, and wrong: not silently passed over
    with pytest.raises(InputError, match="must have the columns"):
        read_layout(root)


def test_each_layout_has_what_auto_needs() -> None:
    for module in LAYOUTS.values():
        assert callable(module.detect)
        assert callable(module.read)
        assert module.__doc__
