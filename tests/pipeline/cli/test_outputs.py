"""Every command with an output looks at it before it looks at anything else."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.datasets import digests
from data.errors import OutputError
from features.store.key import Recipe
from features.store.store import FeatureStore
from tests.features.conftest import make_recipe
from tests.requirements import missing

ROOT = Path(__file__).parents[3]

FOLDERS = {
    "extract": ("extract", "in", "-o", "OUT", "--store", "store"),
    "extract store": ("extract", "in", "-o", "out", "--store", "OUT"),
    "finetune": ("finetune", "m.csv", "-o", "OUT", "--store", "store"),
    "finetune store": ("finetune", "m.csv", "-o", "out", "--store", "OUT"),
    "train": ("train", "in", "--manifest", "m.csv", "-o", "OUT"),
    "train tensorboard": ("train", "in", "--manifest", "m.csv", "-o", "x", "--tensorboard", "OUT"),
    "sweep": ("sweep", "in", "--manifest", "m.csv", "-o", "OUT"),
    "evaluate": ("evaluate", "in", "in", "--manifest", "m.csv", "-o", "OUT"),
    "matrix": ("evaluate", "in", "--on", "in:m.csv", "-o", "OUT"),
    "robustness": ("robustness", "in", "m.csv", "-o", "OUT", "--store", "store"),
    "robustness store": ("robustness", "in", "m.csv", "-o", "out", "--store", "OUT"),
    "robustness keep": ("robustness", "in", "m.csv", "-o", "out", "--keep", "OUT"),
    "scan": ("scan", "in", "in", "-o", "OUT", "--store", "store"),
    "scan store": ("scan", "in", "in", "-o", "out", "--store", "OUT"),
    "forge": ("forge", "in", "OUT"),
    "demo": ("demo", "OUT"),
    "backbone": ("backbone", "resnet50-thin", "-o", "OUT"),
    "predict": ("predict", "in", "in/v.mp4", "--report", "OUT"),
}
FILES = {
    "index": ("index", "in", "-o", "OUT"),
    "audit": ("audit", "m.csv", "-o", "OUT"),
    "predict": ("predict", "in", "in/v.mp4", "--report", "OUT.html"),
    "pair": ("pair", "in/v.mp4", "in/w.mp4", "--report", "OUT"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with inputs that no command would take: whoever reads them first ends otherwise."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "v.mp4").write_text("no video")
    (tmp_path / "m.csv").write_text("no manifest")

    def read(*_: object) -> None:
        raise AssertionError("a video was read before the output was looked at")

    monkeypatch.setattr(digests.DigestCache, "sha256", read)
    return tmp_path


def refused(run, arguments: tuple[str, ...], out: str) -> str:
    told = run(*(one.replace("OUT", out) for one in arguments), code=OutputError.exit_code)
    lines = told.stderr.splitlines()
    assert len(lines) == 1, told.stderr
    assert lines[0].startswith("unmask: ")
    assert "Traceback" not in told.output
    return lines[0]


def make_odd(path: Path, kind: str) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "link to a FIFO":
        os.mkfifo(path.with_name("there"))
        path.symlink_to("there")
    elif kind == "circle of links":
        path.symlink_to(path.name)
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except PermissionError:
            missing("root", "only root makes devices")


KINDS = ("FIFO", "socket", "device", "link to a FIFO", "circle of links")


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_no_folder_is_refused_before_any_work(run, here: Path, name: str) -> None:
    for number, kind in enumerate(KINDS):
        make_odd(here / str(number), kind)
        before = os.lstat(here / str(number))
        refused(run, FOLDERS[name], str(number))
        assert os.path.samestat(os.lstat(here / str(number)), before), kind
        assert os.lstat(here / str(number)).st_mode == before.st_mode
        (here / "there").unlink(missing_ok=True)
    if name not in ("forge", "demo"):  # they say so as of an input: exit 3, as ever
        (here / "thesis.txt").write_text("years")
        refused(run, FOLDERS[name], "thesis.txt")
        assert (here / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_refused_before_any_work(run, here: Path, name: str) -> None:
    end = ".html" if name == "predict" else ""
    for number, kind in enumerate((*KINDS, "folder")):
        path = here / f"{number}{end}"
        if kind == "folder":
            path.mkdir()
            if name == "predict":
                continue  # a folder of pages, whatever it is called
        make_odd(path, kind)
        before = os.lstat(path)
        refused(run, FILES[name], str(number))
        assert os.path.samestat(os.lstat(path), before), kind
        assert os.lstat(path).st_mode == before.st_mode
        (here / "there").unlink(missing_ok=True)


@pytest.mark.parametrize("out", ["", ".", "/", ".."])
@pytest.mark.parametrize("name", ["index", "audit"])
def test_a_path_without_a_name_is_no_file(run, name: str, out: str) -> None:
    assert "it is a folder" in refused(run, FILES[name], out)


@pytest.mark.parametrize("name", [*FOLDERS, *(f"{name} file" for name in FILES)])
def test_what_lies_below_a_file_cannot_be_written(run, here: Path, name: str) -> None:
    arguments = FILES[name.removesuffix(" file")] if name.endswith(" file") else FOLDERS[name]
    (here / "thesis.txt").write_text("years")
    told = refused(run, arguments, "thesis.txt/below")
    assert "cannot write" in told
    assert "space" not in told
    assert (here / "thesis.txt").read_text() == "years"


@pytest.fixture
def read_only(here: Path) -> Iterator[Path]:
    """A folder that nobody can write: of a read-only file system for root, by its mode else."""
    folder = here / "disk"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        missing("mount", "root can write everywhere, and this machine lets nobody mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", [*FOLDERS, *(f"{name} file" for name in FILES)])
def test_a_read_only_place_is_told_before_any_work(run, read_only: Path, name: str) -> None:
    arguments = FILES[name.removesuffix(" file")] if name.endswith(" file") else FOLDERS[name]
    for out in ("disk/out", "disk/deep/er/out"):
        told = refused(run, arguments, out)
        assert "ead-only" in told or "ermission" in told
        assert "space" not in told


def test_a_read_only_store_says_so(read_only: Path, here: Path) -> None:
    recipe: Recipe = make_recipe()
    with pytest.raises(OutputError, match="cannot write the store") as told:
        FeatureStore(read_only / "store", recipe, versions={})
    assert "space" not in str(told.value)
    assert "--store" in str(told.value)


def test_a_link_gets_its_manifest(here: Path) -> None:
    """In a process of its own: this one reads no video."""
    from data.demo import DemoConfig, write_demo

    config = DemoConfig(people=2, seconds=0.4, width=160, height=120)
    write_demo(here / "videos", config, workers=1)
    (here / "links").mkdir()
    (here / "links" / "manifest.csv").symlink_to("../place/real.csv")
    command = [sys.executable, "-m", "pipeline", "index", "videos", "-o", "links/manifest.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert (here / "links" / "manifest.csv").is_symlink()
    assert "person" in (here / "place" / "real.csv").read_text()
