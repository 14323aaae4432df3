"""The index: a folder of anything becomes a manifest, failures and honest warnings."""

from __future__ import annotations

import os
import shutil
import struct
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import data.datasets.digests
import data.datasets.index
from data.datasets.digests import DigestCache
from data.datasets.index import IndexResult, index
from data.datasets.manifest import Manifest, Video
from data.datasets.splits import SplitConfig
from data.errors import ConfigError, DatasetError, InputError, ToolError, VideoError
from data.video.encoding import encode
from data.video.probe import VideoInfo


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real H.264 video of ten frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    encode(path, [np.full((48, 64, 3), 20 * n, np.uint8) for n in range(10)], fps=25)
    return path.read_bytes()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ffprobe: for what needs many files. A file that starts with "bad" is no video."""

    def probe(path: Path) -> VideoInfo:
        content = path.read_bytes()
        if content.startswith(b"bad"):
            raise VideoError("unreadable", "not a video", stderr_tail="moov atom not found")
        return VideoInfo(
            stream_index=0, codec="h264", pixel_format="yuv420p", width=64, height=48,
            rotation_degrees=0, fps=25.0, duration_seconds=0.4, frame_count=None,
            promised_seconds=0.4, bit_rate=1000, size_bytes=len(content),
        )  # fmt: skip

    monkeypatch.setattr(data.datasets.digests, "probe", probe)


def put(root: Path, paths: list[str], content: bytes = b"") -> Path:
    """Writes files that differ from each other; a `free` box at the end is no part of the video."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        note = os.fsencode(path)
        file.write_bytes(content + struct.pack(">I4s", 8 + len(note), b"free") + note)
    return root


def run(root: Path, split: SplitConfig | None = None, **options: object) -> IndexResult:
    return index(root, split=split or SplitConfig(), workers=4, **options)  # type: ignore[arg-type]


def by_path(result: IndexResult) -> dict[str, Video]:
    return {video.path: video for video in result.manifest.videos}


def test_real_videos_become_rows_and_bad_ones_failures(tmp_path: Path, clip: bytes) -> None:
    root = put(
        tmp_path,
        ["real/ann.mp4", "fake/ann.MP4", "real/sub folder/bøb.mp4", "fake/quote'\" -x.mp4"],
        clip,
    )
    put(root, ["fake/-dash.mp4", "real/line\nbreak.mp4"], clip)
    (root / "real/empty.mp4").write_bytes(b"")
    (root / "real/noise.mp4").write_bytes(b"not a video at all\n" * 100)
    (root / "real/cut.mp4").write_bytes(clip[:200])
    (root / "real/gone.mp4").symlink_to(root / "nowhere.mp4")
    os.mkfifo(root / "real/pipe.mp4")
    (root / "real/notes.txt").write_text("hello")
    result = run(root)

    videos = by_path(result)
    assert sorted(videos) == sorted(
        ["real/ann.mp4", "fake/ann.MP4", "real/sub folder/bøb.mp4", "fake/quote'\" -x.mp4",
         "fake/-dash.mp4", "real/line\nbreak.mp4"]
    )  # fmt: skip
    ann = videos["real/ann.mp4"]
    assert (ann.codec, ann.width, ann.height, ann.fps) == ("h264", 64, 48, 25.0)
    assert ann.duration_seconds == pytest.approx(0.4)
    assert ann.size_bytes == (root / "real/ann.mp4").stat().st_size
    assert ann.group == videos["fake/ann.MP4"].group == "ann"
    assert (ann.label, videos["fake/ann.MP4"].label) == (0, 1)

    failures = {bad.path: bad.error for bad in result.failures}
    assert sorted(failures) == [
        "real/cut.mp4", "real/empty.mp4", "real/gone.mp4", "real/noise.mp4", "real/pipe.mp4",
    ]  # fmt: skip
    # The header of a file cut this short may name no stream, or not be read at all.
    assert failures.pop("real/cut.mp4").failure in ("unreadable", "no_video_stream")
    assert {error.failure for error in failures.values()} == {"unreadable"}
    assert "empty" in str(failures["real/empty.mp4"])
    assert "No such file" in str(failures["real/gone.mp4"])
    assert "not a regular file" in str(failures["real/pipe.mp4"])
    assert failures["real/noise.mp4"].stderr_tail
    assert result.not_videos == 1

    result.manifest.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv").videos == result.manifest.videos


def test_a_name_that_is_no_text_is_written_and_read_back(tmp_path: Path, quick: None) -> None:
    name = "real/" + os.fsdecode(b"b\xffd.mp4")
    root = put(tmp_path, ["real/ann.mp4", name])
    result = run(root)
    assert result.failures == ()
    result.manifest.write(root / "manifest.csv")
    assert "real/b\\udcffd.mp4" in (root / "manifest.csv").read_text("utf-8")
    assert name in {video.path for video in Manifest.read(root / "manifest.csv").videos}


def test_a_unicode_root_with_blanks_is_fine(tmp_path: Path, clip: bytes) -> None:
    root = put(tmp_path / "méine Vidéos", ["real/a.mp4", "fake/b.mp4"], clip)
    assert len(run(root).manifest.videos) == 2


def test_real_clips_of_every_make_are_indexed(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "real").symlink_to(clips)
    result = run(tmp_path)
    assert not result.failures
    assert len(result.manifest.videos) >= 7
    assert all(video.duration_seconds > 0 for video in result.manifest.videos)


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path, quick: None) -> None:
    root = put(tmp_path / "a", [f"{label}/{n}.mp4" for label in ("real", "fake") for n in range(9)])
    written = []
    for copy in ("b", "c"):
        shutil.copytree(root, tmp_path / copy)
        run(tmp_path / copy).manifest.write(tmp_path / "manifest.csv")
        written.append((tmp_path / "manifest.csv").read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 19


def test_no_group_is_on_two_sides_and_each_side_has_both_labels(
    tmp_path: Path, quick: None
) -> None:
    fakes = [f"fake/{m}/{n:03d}_{n ^ 1:03d}.mp4" for m in ("swap", "face2face") for n in range(40)]
    root = put(tmp_path, [f"real/{n:03d}.mp4" for n in range(40)] + fakes)
    result = run(root)
    splits: dict[str, set[str]] = {}
    for video in result.manifest.videos:
        splits.setdefault(video.group, set()).add(video.split)
    assert len(splits) == 20
    assert all(len(split) == 1 for split in splits.values())
    counts = Counter((video.split, video.label) for video in result.manifest.videos)
    assert counts["train", 0] == 24
    assert counts["val", 0] == counts["test", 0] == 8
    assert counts["test", 1] == 16
    assert result.warnings == ()


def test_adding_videos_leaves_almost_all_others_where_they_were(
    tmp_path: Path, quick: None
) -> None:
    root = put(tmp_path, [f"{label}/{n}.mp4" for label in ("real", "fake") for n in range(100)])
    before = by_path(run(root))
    put(root, [f"{label}/{n}.mp4" for label in ("real", "fake") for n in range(100, 110)])
    after = by_path(run(root))
    moved = [path for path in before if before[path].split != after[path].split]
    assert len(moved) <= 12
    assert not any({before[path].split, after[path].split} == {"val", "test"} for path in moved)


def test_equal_files_of_one_label_go_together(tmp_path: Path, quick: None) -> None:
    root = put(tmp_path, [f"{label}/{n}.mp4" for label in ("real", "fake") for n in range(10)])
    shutil.copy(root / "real/1.mp4", root / "real/copy of a friend.mp4")
    videos = by_path(run(root))
    assert videos["real/1.mp4"].group == videos["real/copy of a friend.mp4"].group
    assert videos["real/1.mp4"].split == videos["real/copy of a friend.mp4"].split


def test_one_file_under_both_labels_is_refused_by_name(tmp_path: Path, quick: None) -> None:
    root = put(tmp_path, ["real/ann.mp4", "fake/bob.mp4"])
    shutil.copy(root / "real/ann.mp4", root / "fake/other.mp4")
    with pytest.raises(DatasetError) as caught:
        run(root)
    assert str(caught.value) == (
        "fake/other.mp4 (fake) and real/ann.mp4 (real) are the same file; remove one of them"
    )


def test_given_groups_and_splits_are_kept(tmp_path: Path, quick: None) -> None:
    put(tmp_path, [f"{n}.mp4" for n in range(6)])
    (tmp_path / "labels.csv").write_text(
        "path,label,group,split\n0.mp4,real,ann,test\n1.mp4,fake,ann,test\n2.mp4,real,bob,train\n"
        "3.mp4,fake,bob,\n4.mp4,real,cyd,val\n5.mp4,fake,cyd,val\n"
    )
    result = run(tmp_path)
    told = {path: (video.group, video.split) for path, video in by_path(result).items()}
    assert told == {
        "0.mp4": ("ann", "test"), "1.mp4": ("ann", "test"),
        "2.mp4": ("bob", "train"), "3.mp4": ("bob", "train"),
        "4.mp4": ("cyd", "val"), "5.mp4": ("cyd", "val"),
    }  # fmt: skip
    assert result.source == "labels.csv"
    assert not result.warnings


def test_a_group_in_two_given_splits_is_refused_by_name(tmp_path: Path, quick: None) -> None:
    put(tmp_path, ["a.mp4", "b.mp4"])
    (tmp_path / "labels.csv").write_text(
        "path,label,group,split\na.mp4,real,ann,test\nb.mp4,fake,ann,train\n"
    )
    with pytest.raises(DatasetError, match=r"the group ann is in two splits: a.mp4 in test, b.mp4"):
        run(tmp_path)


def test_a_table_may_name_files_that_are_not_there(tmp_path: Path, quick: None) -> None:
    put(tmp_path, ["a.mp4", "b.mp4"])
    text = f"path,label\na.mp4,real\nb.mp4,fake\ngone.mp4,fake\n{'x' * 300}.mp4,real\n"
    (tmp_path / "labels.csv").write_text(text)
    result = run(tmp_path)
    assert sorted(by_path(result)) == ["a.mp4", "b.mp4"]
    assert [bad.error.failure for bad in result.failures] == ["unreadable"] * 2


@pytest.mark.parametrize(
    ("paths", "warnings"),
    [
        (["real/a.mp4", "real/b.mp4"], ["there is no fake video; training needs both labels"]),
        (["real/a.mp4", "fake/a.mp4"], ["the split val has no video", "the split test has no vid"]),
        (
            ["real/a.mp4", "fake/b.mp4", "real/c.mp4"],
            ["the split val has no fake", "the split tes"],
        ),
    ],
)
def test_too_few_videos_are_indexed_with_a_warning(
    tmp_path: Path, quick: None, paths: list[str], warnings: list[str]
) -> None:
    result = run(put(tmp_path, paths))
    assert len(result.manifest.videos) == len(paths)
    for told, wanted in zip(result.warnings, warnings, strict=False):
        assert told.startswith(wanted)
    assert len(result.warnings) >= len(warnings)


def test_a_split_that_nobody_wants_is_not_warned_about(tmp_path: Path, quick: None) -> None:
    root = put(tmp_path, [f"{label}/{n}.mp4" for label in ("real", "fake") for n in range(4)])
    result = run(root, SplitConfig(test=0))
    assert result.warnings == ()
    assert {video.split for video in result.manifest.videos} == {"train", "val"}


def test_nothing_readable_is_an_error_that_says_why(tmp_path: Path, quick: None) -> None:
    put(tmp_path, ["real/a.mp4"], b"bad")
    with pytest.raises(InputError, match=r"none of the 1 files .*the first, real/a.mp4: not a v"):
        run(tmp_path)


def test_nothing_that_is_unchanged_is_probed_again(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "set", ["real/a.mp4", "fake/b.mp4"])
    for path in root.rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
    first = run(root, digests=DigestCache(tmp_path / "digests"))
    monkeypatch.setattr(data.datasets.digests, "probe", None)
    monkeypatch.setattr("hashlib.file_digest", None)
    assert run(root, digests=DigestCache(tmp_path / "digests")).manifest == first.manifest


def test_without_ffprobe_the_error_is_the_tools_not_the_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path) -> VideoInfo:
        raise ToolError("ffmpeg and ffprobe are not installed")

    monkeypatch.setattr(data.datasets.digests, "probe", missing)
    with pytest.raises(ToolError):
        run(put(tmp_path, ["real/a.mp4"]))


def test_an_interruption_ends_soon_and_keeps_what_is_known(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "set", [f"real/{n:03d}.mp4" for n in range(200)])
    for path in root.rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
    started = []
    gate = threading.Event()
    real = data.datasets.digests.probe

    def slow(path: Path) -> VideoInfo:
        started.append(path)
        if len(started) > 20:
            gate.wait(0.05)
        return real(path)

    def interrupted(found, **options: object):  # type: ignore[no-untyped-def]
        for number, one in enumerate(found):
            if number == 10:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(data.datasets.digests, "probe", slow)
    with monkeypatch.context() as patched:
        patched.setattr("data.io.progress.progress", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(root, digests=DigestCache(tmp_path / "digests"))
    gate.set()
    assert len(started) < 150
    for thread in threading.enumerate():  # those of the first run would count below
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
    again = []

    def counted(path: Path) -> VideoInfo:
        again.append(path)
        return real(path)

    monkeypatch.setattr(data.datasets.digests, "probe", counted)
    run(root, digests=DigestCache(tmp_path / "digests"))
    assert len(again) <= 200 - 10


def test_names_that_differ_by_a_number_are_told_and_grouped_on_demand(
    tmp_path: Path, quick: None
) -> None:
    names = [f"{label}/ann_{number}.mp4" for label in ("real", "fake") for number in range(10)]
    put(
        tmp_path, [*names, "real/bob.mp4", "fake/bob.mp4", "real/IMG_0001.mp4", "real/IMG_0002.mp4"]
    )

    def groups(**more: str) -> tuple[dict[str, str], list[str]]:
        found = index(tmp_path, split=SplitConfig(), workers=2, **more)  # type: ignore[arg-type]
        told = [line for line in found.warnings if "differ by a number" in line]
        return {video.path: video.group for video in found.manifest.videos}, told

    apart, (line,) = groups()
    assert len(set(apart.values())) == 13
    assert "20 videos" in line
    assert "10 people" in line
    assert "--group-by stem" in line
    assert "IMG" not in line
    joined, told = groups(group_by="stem")
    assert len(set(joined.values())) == 4
    assert joined["fake/ann_9.mp4"] == joined["real/ann_0.mp4"] != joined["real/bob.mp4"]
    assert told == []
    with pytest.raises(ConfigError, match="--group-by must be names or stem, got 'folder'"):
        groups(group_by="folder")


def test_a_table_without_groups_is_warned_of_and_one_with_groups_is_not(
    tmp_path: Path, quick: None
) -> None:
    names = [f"{kind}_{number}.mp4" for kind in ("ann", "bob") for number in range(4)]
    put(tmp_path, names)
    for column, count in (("", 1), (",group", 0)):
        rows = [
            f"{name},{'fake' if name.startswith('bob') else 'real'}"
            + (f",{name[:3]}" if column else "")
            for name in names
        ]
        (tmp_path / "labels.csv").write_text("\n".join([f"path,label{column}", *rows]))
        found = index(tmp_path, split=SplitConfig(), workers=1)
        assert sum("differ by a number" in line for line in found.warnings) == count
