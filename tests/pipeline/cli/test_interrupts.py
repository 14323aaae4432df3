"""Ctrl-C at any moment: one line, exit code 130, whatever children and libraries are about."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.io.interrupts import INTERRUPTED, LINE

ROOT = Path(__file__).parents[3]
# As the command `unmask` that pip makes. It says so once its first line of unmask has run: what
# comes before is Python's own start, which nobody can guard.
STARTED = "installed\n"
COMMAND = f"""
import sys
from data.io import interrupts
interrupts.install()
sys.stdout.write({STARTED!r})
sys.stdout.flush()
from pipeline.entry import main
main()
"""


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Starts a command as the leader of a process group of its own, as a shell does."""
    begun = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert begun.stdout is not None
    assert begun.stdout.readline() == STARTED
    return begun


def told(begun: subprocess.Popen[str]) -> list[str]:
    """What it wrote to stderr, without the progress bars; nothing of the group is left."""
    _, errors = begun.communicate(timeout=120)
    lines = [line for line in re.split(r"[\r\n]+", errors) if line.strip()]
    for _ in range(100):
        try:
            os.killpg(begun.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)  # the children, too, have heard that their parent is gone
    else:
        os.killpg(begun.pid, signal.SIGKILL)
        raise AssertionError("a child outlived the command")
    return [line for line in lines if "%|" not in line and "?video" not in line]


def interrupt(begun: subprocess.Popen[str]) -> None:
    """Ctrl-C on a terminal reaches the whole group; one that has ended is none the wiser."""
    try:
        os.killpg(begun.pid, signal.SIGINT)
    except ProcessLookupError:
        return


@pytest.fixture(scope="module")
def arguments(world) -> dict[str, tuple[object, ...]]:
    """Commands that would run for many seconds; `out` is made anew for each."""
    reals = world.demo / "real"
    heads = ("--grid", "head.units=8,16,24,32", "--seeds", "9", "--set", "train.epochs=200")
    return {
        "forge": ("forge", reals, "out", "--workers", "3"),
        "demo": ("demo", "out", "--workers", "3"),
        "sweep": ("sweep", world.features, "--manifest", world.manifest, "-o", "out",
                  "--workers", "3", *heads),
        "extract": ("extract", reals, "-o", "out", "--store", "store"),
        "predict": ("predict", world.bundle, reals),
        "scan": ("scan", world.bundle, reals, "-o", "out", "--store", "store"),
        "index": ("index", world.demo, "-o", "out/manifest.csv", "--near-duplicates"),
        "train": ("train", world.features, "--manifest", world.manifest, "-o", "out",
                  "--set", "train.epochs=500", "--set", "train.patience=500"),
        "evaluate": ("evaluate", world.bundle, world.features, "--manifest", world.manifest,
                     "-o", "out", "--set", "evaluate.rounds=50000"),
        "finetune": ("finetune", world.manifest, "--root", world.demo, "-o", "out",
                     "--store", "store"),
    }  # fmt: skip


MOMENTS = {
    "forge": [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.3, 1.7, 2.2],
    "sweep": [0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0],
    "demo": [0.1, 0.3, 0.5, 0.7, 0.9, 1.3],
    "extract": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 2.0, 3.0],
    "train": [0.4, 2.0, 5.0, 8.0, 12.0],
}


@pytest.mark.parametrize(
    "name",
    ["forge", "demo", "sweep", "extract", "predict", "scan", "index", "train", "evaluate",
     "finetune"],
)  # fmt: skip
def test_ctrl_c_is_one_line_at_any_moment(arguments, tmp_path: Path, name: str) -> None:
    for moment in MOMENTS.get(name, [0.4, 2.0]):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        begun = start(tmp_path, *arguments[name])
        time.sleep(moment)
        interrupt(begun)
        lines = told(begun)
        if begun.returncode == 0:
            assert lines == [], (moment, lines)  # it had ended
            continue
        assert (begun.returncode, lines) == (INTERRUPTED, [LINE]), moment


@pytest.mark.parametrize("name", ["forge", "sweep", "extract"])
def test_a_second_ctrl_c_waits_for_nothing_and_says_no_more(
    arguments, tmp_path: Path, name: str
) -> None:
    for moment, then in ((0.2, 0.0), (0.8, 0.02), (1.5, 0.1), (2.5, 0.3)):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        begun = start(tmp_path, *arguments[name])
        time.sleep(moment)
        interrupt(begun)
        time.sleep(then)
        interrupt(begun)
        clock = time.monotonic()
        lines = told(begun)
        assert (begun.returncode, lines) == (INTERRUPTED, [LINE]), moment
        assert time.monotonic() - clock < 10


def ended(code: str) -> tuple[int, list[str]]:
    """Runs code with Ctrl-C taken over; its exit code and lines."""
    begin = "import os, signal, sys, time\nfrom data.io import interrupts\ninterrupts.install()\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr.splitlines()


PRESS = "signal.raise_signal(signal.SIGINT)\n"


@pytest.mark.parametrize(
    "code",
    [
        PRESS,
        f"with interrupts.command_runs():\n {PRESS}",
        # What a library makes of it.
        f"with interrupts.command_runs():\n try:\n  {PRESS} except BaseException:\n  raise OSError",
        # A destructor cannot raise.
        "class One:\n def __del__(self):\n  signal.raise_signal(signal.SIGINT)\n"
        "with interrupts.command_runs():\n one = One()\n del one\n time.sleep(9)\n",
        # A thread that has long to go.
        "with interrupts.command_runs(), interrupts.interruptible_threads(1) as pool:\n"
        f" pool.submit(time.sleep, 300)\n {PRESS}",
        # A library that catches all that its import may raise.
        "import pathlib, tempfile\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        " sys.path.insert(0, folder)\n"
        " pathlib.Path(folder, 'inner.py').write_text("
        "'import signal; signal.raise_signal(signal.SIGINT)')\n"
        " pathlib.Path(folder, 'outer.py').write_text('try:\\n import inner\\nexcept:\\n pass')\n"
        " with interrupts.command_runs():\n  import outer\n  print('not here')\n",
        # Held back, then raised.
        "with interrupts.command_runs():\n with interrupts.defer_interrupt():\n"
        f"  {PRESS}  print('goes on', flush=True)\n print('not here')\n",
        # While descriptor 2 is turned away.
        "from data.io.native_stderr import silenced_native_stderr\n"
        "with interrupts.command_runs(), silenced_native_stderr():\n"
        f" os.write(2, b'noise')\n {PRESS}",
        "from data.io.native_stderr import silenced_native_stderr\n"
        f"with silenced_native_stderr():\n {PRESS}",
        # The second one comes while the first is about to end the process.
        "class Stream:\n def write(self, text): return len(text)\n def flush(self):\n"
        f"  sys.stdout = sys.__stdout__\n  {PRESS}  time.sleep(9)\n"
        f"sys.stdout = Stream()\n{PRESS}",
    ],
)
def test_whatever_becomes_of_the_interrupt_the_line_is_told(code: str) -> None:
    assert ended(code) == (INTERRUPTED, [LINE])


def test_threads_are_waited_for_unless_the_process_is_to_end() -> None:
    code = (
        "with interrupts.command_runs():\n"
        " try:\n  with interrupts.interruptible_threads(1) as pool:\n"
        "   pool.submit(lambda: (time.sleep(0.3), print('begun', flush=True)))\n"
        "   pool.submit(print, 'not begun')\n   time.sleep(0.1)\n   raise OSError\n"
        " except OSError:\n  print('ended', flush=True)\n"
    )
    begin = "import time\nfrom data.io import interrupts\ninterrupts.install()\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["begun", "ended"]


def test_after_the_end_it_changes_nothing() -> None:
    assert ended(f"interrupts.end()\n{PRESS}sys.exit(5)\n") == (5, [])


def test_who_started_it_deaf_keeps_it_deaf() -> None:
    code = f"signal.signal(signal.SIGINT, signal.SIG_IGN)\ninterrupts.install()\n{PRESS}"
    assert ended(f"{code}print('well')") == (0, [])


def test_the_first_import_brings_nothing_that_takes_time() -> None:
    code = "print(*(set(sys.modules) & {'typing', 'contextlib', 'threading', 'typer', 'numpy'}))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys, pipeline.entry\n{code}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
