"""Errors of the system become one line that says what to do; bugs of unmask stay bugs."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data.datasets.layouts import metadata
from data.errors import InputError, OutputError
from data.io import system_errors, tables
from data.io.atomic_folders import replace_folder
from data.io.reading import unreadable
from data.io.system_errors import as_users_error, cannot_read, cannot_write
from data.io.tables import columns_of


def made(number: int, file: object = None, other: object = None) -> OSError:
    return OSError(number, os.strerror(number), file, None, other)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "not read-only"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ELOOP, "circle"),
        (errno.EIO, "check the disk"),
        (errno.ESTALE, "network drive"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EFBIG, "ulimit -f"),
    ],
)
def test_the_remedy_of_a_write_fits_its_error(number: int, remedy: str) -> None:
    message = str(cannot_write("page.html", made(number)))
    assert remedy in message
    assert message.startswith(f"cannot write page.html: {os.strerror(number)}; ")
    assert ("free some space" in message) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_no_remedy_of_a_read_speaks_of_writing() -> None:
    for number in errno.errorcode:
        message = str(cannot_read("video.mp4", made(number)))
        assert "write" not in message
        assert "space" not in message.partition("; ")[2]


@pytest.mark.parametrize(
    "number",
    [
        *(errno.EIO, errno.ESTALE, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENXIO),
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EBUSY, errno.EREMOTEIO),
    ],
)
def test_an_error_of_a_users_file_is_of_reading(tmp_path: Path, number: int) -> None:
    error = as_users_error(made(number, str(tmp_path / "video.mp4")))
    assert isinstance(error, InputError)
    assert str(error).startswith(f"cannot read {tmp_path / 'video.mp4'}: ")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        *((errno.EACCES, "chmod"), (errno.EPERM, "chmod"), (errno.ELOOP, "circle")),
        *((errno.ENAMETOOLONG, "shorter"), (errno.EIO, "disk"), (errno.ESTALE, "network drive")),
        *((errno.EMFILE, "ulimit -n"), (errno.EBUSY, "wait"), (errno.EINVAL, "another file")),
    ],
)
def test_all_readers_tell_the_same_of_one_error(number: int, remedy: str) -> None:
    message = str(unreadable(Path("labels.csv"), made(number, "labels.csv")))
    assert remedy in message.partition("; ")[2]
    assert message == str(cannot_read("labels.csv", made(number, "labels.csv")))


@pytest.mark.parametrize("look", [lambda path: columns_of(path, ("path",)), metadata.read_head])
def test_a_disk_that_fails_is_no_folder_without_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], object]
) -> None:
    """Who looks for labels passes over what is no file, and nothing that holds some."""
    labels = tmp_path / "labels.csv"
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    for other in (labels, tmp_path, tmp_path / "circle", tmp_path / "pipe"):
        assert not look(other)
    labels.write_text("path,label\n")

    def fail(path: Path) -> None:
        raise made(errno.ESTALE, str(path))

    for module in (tables, metadata):
        monkeypatch.setattr(module, "open_file", fail)
    with pytest.raises(InputError, match="network drive"):
        look(labels)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EEXIST])
def test_what_only_writing_causes_is_of_writing(tmp_path: Path, number: int) -> None:
    assert isinstance(as_users_error(made(number, str(tmp_path / "page"))), OutputError)
    assert isinstance(as_users_error(made(errno.ENOENT, "a", "b")), OutputError)  # a rename


def test_permission_denied_is_of_what_was_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    may: set[int] = set()
    monkeypatch.setattr(system_errors.os, "access", lambda _path, how: how in may)
    assert isinstance(as_users_error(made(errno.EACCES, str(file))), InputError)
    may |= {os.R_OK, os.X_OK}
    assert isinstance(as_users_error(made(errno.EACCES, str(file))), OutputError)
    assert isinstance(as_users_error(made(errno.EACCES, str(tmp_path / "new"))), OutputError)
    may.remove(os.X_OK)  # the folder cannot even be looked into
    assert isinstance(as_users_error(made(errno.EACCES, str(tmp_path / "new"))), InputError)


@pytest.mark.parametrize(
    "bug",
    [
        made(errno.ENOENT),
        made(errno.EINVAL),
        made(errno.EBADF, "file"),
        made(errno.EPIPE),
        made(errno.ECHILD, "file"),
        made(errno.ENOENT, str(Path(system_errors.__file__).with_name("none.py"))),
        made(errno.ENOENT, str(Path(system_errors.__file__).parents[2] / "pipeline/page.jinja")),
        made(errno.ENOENT, os.__file__),
        OSError("no number at all"),
    ],
    ids=repr,
)
def test_a_bug_is_nothing_to_tell_a_user(bug: OSError) -> None:
    assert as_users_error(bug) is None


def test_a_full_folder_of_temporary_files_is_told() -> None:
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "TMPDIR" in str(as_users_error(error))


def test_a_file_that_cannot_be_read_while_a_folder_grows_is_no_write(tmp_path: Path) -> None:
    def fill(error: OSError) -> None:
        with replace_folder(tmp_path / "out", marker="marker"):
            raise error

    with pytest.raises(InputError, match=r"cannot read .*weights"):
        fill(made(errno.EIO, str(tmp_path / "weights.h5")))
    with pytest.raises(OutputError, match=r"cannot write .*out"):
        fill(made(errno.EIO))
