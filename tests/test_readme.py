"""Every command of README.md in a clean shell, in the order in which a reader meets them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from data.demo import DemoConfig, write_demo
from tests.commands import ROOT, commands, indented
from tests.frames import frames_of, save_frames

README = ROOT / "README.md"
NOT_RUN = {
    "make demo": "CI runs it",
    "make test": "CI runs it",
    "unmask app": "it serves until it is ended; tests/pipeline/app starts it",
}
"""Commands of the README that this test leaves out, each with the reason."""
PEOPLE = DemoConfig(people=11, fps=15, seconds=0.7, width=160, height=120)
SMALL = {
    "videos": "videos",  # as the README says
    "demo": {"people": 2, "fps": 15, "seconds": 0.7, "width": 160, "height": 120},
    "frames": {"count": 8, "size": 64},
    "finetune": {"epochs": 1, "frames_per_video": 4, "unfreeze": 1},
    "train": {"epochs": 4},
    "evaluate": {"rounds": 50},
}
"""The reader's params.yaml, which the commands of DVC take."""


def lines() -> list[str]:
    """The lines of the README that are commands."""
    return [line for line in indented(README) if "──" not in line]


def clone(folder: Path) -> None:
    """What a clone holds, as it is now, with the reader's data and this environment in it."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    for section, values in SMALL.items():
        params[section] = params[section] | values if isinstance(values, dict) else values
    (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    (folder / ".venv").symlink_to(sys.prefix)
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init",), ("add", "--all"), (*who, "commit", "--message", "cloned")):
        subprocess.run(("git", *command), cwd=folder, check=True, capture_output=True)

    write_demo(folder / "videos", PEOPLE, workers=2)
    (folder / "videos" / "labels.csv").unlink()  # the README's reader has folders alone
    real = sorted((folder / "videos" / "real").glob("*.mp4"))
    for target, count in (("reals", 4), ("archive", 3)):
        (folder / target).mkdir()
        for path in real[:count]:
            shutil.copy(path, folder / target)
    for name in ("interview.mp4", "earlier.mp4", "viral.mp4"):
        shutil.copy(real[-1], folder / name)
    save_frames(real[-1], folder / "frames" / "interview")
    Image.fromarray(frames_of(real[-1])[3]).save(folder / "photograph.jpg")


@pytest.mark.slow
def test_the_readmes_commands_run_in_a_clean_shell(tmp_path: Path) -> None:
    folder = tmp_path / "unmask"
    folder.mkdir()
    clone(folder)
    script = "".join(
        f"printf '%s s $ %s\\n' $SECONDS {shlex.quote(line)}\n{line}\n"
        for line in lines()
        if not any(line.startswith(command) for command in NOT_RUN)
    )
    (tmp_path / "home").mkdir()
    # PYTHONPATH: the clone's code, whatever checkout this environment was installed from.
    clean = (f"HOME={tmp_path / 'home'}", "PATH=/usr/bin:/bin", f"PYTHONPATH={folder}")
    shell = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script)
    done = subprocess.run(
        ("env", "-i", *clean, *shell),
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in (
        "report/report.html",
        "interview.html",
        "pair.html",
        "scan/scan.html",
        "forged/sheet.png",
    ):
        assert (folder / name).is_file(), name


def test_every_line_is_a_command_and_nothing_is_left_out_without_need() -> None:
    programs = {words[0] for line in lines() for words in commands(line)}
    assert programs == {"make", "source", "unmask", "dvc"}
    for command in NOT_RUN:
        assert any(line.startswith(command) for line in lines()), f"{command} is not in the README"
