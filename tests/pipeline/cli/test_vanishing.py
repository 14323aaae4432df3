"""Files that go away, or cannot be read, while a command runs: rows of failures, never its end."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.datasets.digests import DigestCache
from data.datasets.layouts import listing
from data.errors import InputError
from pipeline.extraction import inputs
from pipeline.extraction.inputs import make_jobs, named_videos
from tests.pipeline.conftest import SMALL
from tests.requirements import missing


@pytest.fixture
def videos(world, tmp_path: Path) -> Path:
    """Three videos of the demo."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in sorted((world.demo / "real").glob("*.mp4"))[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def vanish_after_digest(patch: pytest.MonkeyPatch, gone: Path) -> None:
    """A file that is there while it is digested, and removed before anything else."""
    real = inputs.digest_all

    def digest_all(*arguments):
        found = real(*arguments)
        gone.unlink(missing_ok=True)
        return found

    patch.setattr(inputs, "digest_all", digest_all)


def test_a_file_that_vanished_after_its_digest_is_a_row(world, run, videos, tmp_path, monkeypatch):
    gone = sorted(videos.iterdir())[1]
    content = gone.read_bytes()
    vanish_after_digest(monkeypatch, gone)
    run("scan", world.bundle, videos, "-o", tmp_path / "scan", "--store", tmp_path / "st", code=12)
    gone.write_bytes(content)
    told = run("predict", world.bundle, videos, "--json", code=12)
    verdicts = {Path(one["video"]).name: one for one in json.loads(told.output)}
    assert verdicts[gone.name]["failure"] == "unreadable"
    assert sum(one["verdict"] is not None for one in verdicts.values()) == 2
    gone.write_bytes(content)
    run("extract", videos, "-o", tmp_path / "f", "--bundle", world.bundle,
        "--store", tmp_path / "st", "--max-failures", "0.9", *SMALL)  # fmt: skip
    for folder in ("scan", "f"):
        with (tmp_path / folder / "failures.csv").open(newline="") as handle:
            (row,) = csv.DictReader(handle)
        assert (row["path"], row["class"]) == (gone.name, "unreadable")
        assert "No such file" in row["message"]


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ENXIO]
)
@pytest.mark.parametrize("when", ["digest", "stat"])
def test_no_error_of_one_video_ends_a_run(tmp_path, monkeypatch, number: int, when: str):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    bad = tmp_path / "a.mp4"
    digested = set()
    real_digest, real_stat = DigestCache.sha256, os.stat

    def fail(path):
        raise OSError(number, os.strerror(number), str(path))

    def sha256(self, path):
        if when == "digest" and path == bad:
            fail(path)
        found = real_digest(self, path)
        digested.add(path)
        return found

    def stat(path, *more, **options):
        if when == "stat" and path == bad and path in digested:
            fail(path)
        return real_stat(path, *more, **options)

    monkeypatch.setattr(DigestCache, "sha256", sha256)
    monkeypatch.setattr(os, "stat", stat)
    made, failures = make_jobs(named_videos(tmp_path, None), DigestCache())
    assert [job.name for job in made] == ["b.mp4"]
    (failure,) = failures
    assert (failure.path, failure.failure) == ("a.mp4", "unreadable")
    assert os.strerror(number) in failure.message


def test_loops_and_names_too_long_are_rows_or_one_line(world, run, videos, tmp_path):
    (videos / "loop.mp4").symlink_to("pool.mp4")
    (videos / "pool.mp4").symlink_to("loop.mp4")
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    told = run("predict", world.bundle, videos, code=12).output
    for name in ("loop", "pool", "gone"):
        assert f"{name}.mp4: no verdict: unreadable" in told
    long = tmp_path / ("n" * 300)
    for arguments in (
        ("predict", world.bundle, long),
        ("scan", world.bundle, long, "-o", tmp_path / "o", "--store", tmp_path / "s"),
        ("extract", long, "-o", tmp_path / "o", "--store", tmp_path / "s"),
        ("index", long, "-o", tmp_path / "m.csv"),
        ("audit", long),
        ("forge", long, tmp_path / "o"),
        ("results", long),
        ("store", "inspect", long),
        ("backbone", f"{long}.h5", "-o", tmp_path / "o"),
    ):
        lines = run(*arguments, code=InputError.exit_code).stderr.splitlines()
        assert len(lines) == 1, lines
        assert "cannot write" not in lines[0]


def test_a_folder_that_vanished_holds_nothing_and_one_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "v.mp4").write_bytes(b"video")
    real = os.scandir
    number = errno.ENOENT

    def scandir(path):
        if Path(path).name == "a":
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [path.parent.name for path in listing.walk(tmp_path)] == ["b"]
    number = errno.EIO
    with pytest.raises(InputError, match=r"cannot read the folder .*: Input/output error; check"):
        list(listing.walk(tmp_path))


def test_output_that_fills_the_disk_is_one_line(world):
    if not Path("/dev/full").exists():
        missing("/dev/full", "this system has no /dev/full")
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "pipeline", "results", str(world.report)],
            stdout=full, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        )  # fmt: skip
    assert ended.returncode == 8
    assert "No space left on device; free some space" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_is_there_is_not_said_to_be_missing(run, tmp_path):
    """A pipe and a link that leads nowhere "did not exist"."""
    pipe, link, loop = (tmp_path / name for name in ("pipe.mp4", "link.mp4", "loop.mp4"))
    os.mkfifo(pipe)
    link.symlink_to("nowhere")
    loop.symlink_to(loop.name)
    words = {pipe: "is a pipe, socket or device", link: "is a link", loop: "is a link"}
    words[tmp_path / "none.mp4"] = "does not exist"
    for path, told in words.items():
        for command in (("predict", tmp_path, path), ("extract", path, "-o", tmp_path / "out")):
            assert told in run(*command, code=InputError.exit_code).stderr
    told = run("index", pipe, "-o", tmp_path / "m.csv", code=InputError.exit_code).stderr
    assert "is a pipe, socket or device" in told
