"""Outputs are regular files or new names, whole at every moment, with the mode that they had."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from data.errors import OutputError
from data.io import atomic_folders as folders
from data.io import output_paths
from data.io.atomic_files import atomic_file, sync_tree, write_text
from data.io.atomic_folders import check_fillable, check_replaceable, replace_folder
from data.io.output_paths import check_out_folder, check_output
from data.io.processes import job_runner
from data.self_blending.dataset.sheet import write_sheet

MARKER = "marker.json"


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Everything that is no place for an output; a device where the tests may make one."""
    places = {name: tmp_path / name for name in ("fifo", "socket", "loop", "to_fifo", "below")}
    os.mkfifo(places["fifo"])
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(places["socket"]))
    places["loop"].symlink_to("pool")
    (tmp_path / "pool").symlink_to("loop")
    places["to_fifo"].symlink_to("fifo")
    (tmp_path / "file").write_text("thesis")
    places["below"] = tmp_path / "file" / "below"
    places["too_long"] = tmp_path / ("n" * 300)
    try:
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        places["device"] = tmp_path / "device"
    except PermissionError:
        pass
    return places


def kinds(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}


def test_what_is_no_file_is_refused_and_left_as_it_is(tmp_path: Path, odd: dict[str, Path]) -> None:
    (tmp_path / "folder").mkdir()
    before = kinds(tmp_path)
    for path in (*odd.values(), tmp_path / "folder"):
        for attempt in (check_output, lambda place: write_text(place, "text")):
            with pytest.raises(OutputError, match=r"cannot write .*; ") as refused:
                attempt(path)
            assert "\n" not in str(refused.value)
    assert kinds(tmp_path) == before
    assert (tmp_path / "file").read_text() == "thesis"


def test_what_is_no_folder_is_refused_and_left_as_it_is(
    tmp_path: Path, odd: dict[str, Path]
) -> None:
    before = kinds(tmp_path)
    for path in (*odd.values(), tmp_path / "file"):
        for attempt in (
            check_out_folder,
            lambda place: check_replaceable(place, marker=MARKER),
            lambda place: replace_folder(place, marker=MARKER).__enter__(),
        ):
            with pytest.raises(OutputError):
                attempt(path)
    assert kinds(tmp_path) == before


def test_a_check_makes_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b" / "page.html")
    check_out_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_what_links_lead_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "deep" / "one.csv").symlink_to("../real.csv")
    (tmp_path / "two.csv").symlink_to("deep/one.csv")
    (tmp_path / "dangling.csv").symlink_to("new/place/there.csv")
    for name in ("two.csv", "dangling.csv"):
        check_output(tmp_path / name)
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "deep" / "one.csv").is_symlink()
    assert not (tmp_path / "real.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "two.csv"
    assert (tmp_path / "new" / "place" / "there.csv").read_text() == "dangling.csv"


def test_a_dangling_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("disk/new")
    (tmp_path / "chain").symlink_to("link")
    with replace_folder(tmp_path / "chain", marker=MARKER) as new:
        (new / MARKER).write_text("here")
    assert (tmp_path / "disk" / "new" / MARKER).read_text() == "here"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "chain").is_symlink()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask_and_older_ones_stay(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = tmp_path / "page.html"
        write_text(path, "one")
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        for mode in (0o640, 0o444, 0o666):
            path.chmod(mode)
            write_text(path, str(mode))
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert path.read_text() == str(mode)
    finally:
        os.umask(before)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "old")

    def fail(error: BaseException) -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(OutputError, match="free some space"):
        fail(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "-n", " ", "a\nb"])
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert os.listdir(tmp_path) == [name]
    (tmp_path / name).unlink()
    with replace_folder(tmp_path / name, marker=MARKER) as new:
        (new / MARKER).write_text("text")
    with replace_folder(tmp_path / name, marker=MARKER) as new:
        (new / MARKER).write_text("again")
    assert os.listdir(tmp_path) == [name]


class Synced:
    """Which files and folders were forced to disk, and when in the order of things."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.inodes: list[int] = []
        real_sync, real_replace = os.fsync, os.replace

        def fsync(handle: int) -> None:
            self.inodes.append(os.fstat(handle).st_ino)
            real_sync(handle)

        def replace(source: Path, target: Path) -> None:
            assert os.stat(source).st_ino in self.inodes, "renamed before it was on the disk"
            real_replace(source, target)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = Synced(monkeypatch)
    write_text(tmp_path / "new" / "deep" / "file", "bytes")
    for path in (tmp_path, tmp_path / "new", tmp_path / "new" / "deep"):
        assert path.stat().st_ino in synced.inodes, path


def test_a_folder_is_on_the_disk_to_its_last_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = Synced(monkeypatch)
    out = tmp_path / "out"
    with replace_folder(out, marker=MARKER) as new:
        (new / "backbone" / "deeper").mkdir(parents=True)
        (new / "empty").mkdir()
        for name in (MARKER, "backbone/weights.h5", "backbone/deeper/one.bin"):
            (new / name).write_text(name)
        (new / "link").symlink_to("nowhere")
    for path in (out, *out.rglob("*"), tmp_path):
        if not path.is_symlink():
            assert path.stat().st_ino in synced.inodes, path


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_what_did_not_reach_the_disk_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    out = tmp_path / "out"
    with replace_folder(out, marker=MARKER) as new:
        (new / MARKER).write_text("old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)

    def fill() -> None:
        with replace_folder(out, marker=MARKER) as new:
            (new / MARKER).write_text("new")

    with pytest.raises(OutputError, match=os.strerror(number)):
        fill()
    assert (out / MARKER).read_text() == "old"


def test_file_systems_that_sync_no_folders_are_none_the_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "new" / "file", "text")
    sync_tree(tmp_path)
    assert (tmp_path / "new" / "file").read_text() == "text"


def test_what_is_mounted_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_paths.os.path, "ismount", lambda path: Path(path).stem == "disk")
    (tmp_path / "disk").mkdir()
    with pytest.raises(OutputError, match="a folder inside it"):
        check_replaceable(tmp_path / "disk", marker=MARKER)
    with pytest.raises(OutputError, match="mounted"):
        check_output(tmp_path / "disk.csv")
    assert not output_paths.is_mount_point(tmp_path)
    assert output_paths.is_mount_point(Path("/proc"))


def test_the_current_folder_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="current folder"):
        check_replaceable(Path(), marker=MARKER)


def test_a_folder_that_is_filled_may_be_current_or_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output_paths.os.path, "ismount", lambda path: True)
    monkeypatch.setattr(folders, "is_mount_point", lambda path: True)
    files = (MARKER, "table.csv")
    (tmp_path / "new").mkdir()
    monkeypatch.setattr(output_paths, "is_mount_point", lambda path: Path(path).is_dir())
    for folder in (Path(), tmp_path / "new", tmp_path / "not" / "yet"):
        (tmp_path / "new").mkdir(exist_ok=True)
        if folder == Path():
            (tmp_path / MARKER).write_text("ours")
        check_fillable(folder, marker=MARKER, files=files)
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(OutputError, match="FIFO"):
        check_fillable(Path(), marker=MARKER, files=files)
    (tmp_path / MARKER).unlink()
    with pytest.raises(OutputError, match="holds other files"):
        check_fillable(tmp_path, marker=MARKER, files=())


def test_what_forge_takes_away_meanwhile_is_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"an older sheet")
    (tmp_path / "sheet.png").symlink_to("real.png")
    with job_runner(1, what="drawn") as run:
        write_sheet(tmp_path / "sheet.png", tmp_path, [], run)
    assert (tmp_path / "sheet.png").is_symlink()
    assert not (tmp_path / "real.png").exists()
