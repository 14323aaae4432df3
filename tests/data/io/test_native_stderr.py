"""Descriptor 2 has one owner: whatever threads, errors and forks do, messages arrive afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

BEGIN = """
import os, random, sys, threading, time
from data.io.native_stderr import silenced_native_stderr
before = os.fstat(2)
"""
END = """
assert os.path.samestat(before, os.fstat(2)), os.readlink("/proc/self/fd/2")
os.write(2, b"arrives")
"""


def shown(code: str) -> str:
    """What a process with this code writes to stderr; it must end well."""
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + code + END],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_many_threads_share_one_redirect() -> None:
    output = shown("""
sys.setswitchinterval(1e-6)
def work(seed):
    draw = random.Random(seed)
    for turn in range(60):
        try:
            with silenced_native_stderr():
                os.write(2, b"noise")
                time.sleep(draw.random() / 2000)
                with silenced_native_stderr():
                    os.write(2, b"noise")
        except ValueError:
            pass
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(24)]
[one.start() for one in threads]
[one.join() for one in threads]
""")
    assert output == "arrives"


def test_blocks_that_overlap_end_in_any_order() -> None:
    output = shown("""
first, second = silenced_native_stderr(), silenced_native_stderr()
first.__enter__()
second.__enter__()
first.__exit__(None, None, None)
os.write(2, b"noise")
second.__exit__(None, None, None)
""")
    assert output == "arrives"


def test_what_came_before_a_failure_is_shown_and_an_interrupt_shows_nothing() -> None:
    output = shown("""
for error in (ValueError, KeyboardInterrupt):
    try:
        with silenced_native_stderr():
            os.write(2, error.__name__.encode())
            raise error
    except (ValueError, KeyboardInterrupt):
        pass
""")
    assert output == "ValueErrorarrives"


def test_a_fork_meanwhile_has_its_own_stderr() -> None:
    output = shown("""
inside, done = threading.Event(), threading.Event()
def load():
    with silenced_native_stderr():
        inside.set()
        done.wait()
loader = threading.Thread(target=load)
loader.start()
inside.wait()
if os.fork() == 0:
    os.write(2, b"child ")
    with silenced_native_stderr():
        os.write(2, b"noise")
    os.write(2, b"again ")
    os._exit(0)
os.wait()
done.set()
loader.join()
""")
    assert output == "child again arrives"


def test_without_a_stderr_nothing_is_redirected() -> None:
    code = (
        "import os, sys\n"
        "from data.io.native_stderr import silenced_native_stderr\n"
        "file = os.open('/dev/null', os.O_RDONLY)\n"
        "assert sys.stderr is None and file == 2\n"
        "before = os.fstat(2)\n"
        "with silenced_native_stderr():\n    assert os.path.samestat(before, os.fstat(2))\n"
        "print('well')\n"
    )
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": "."},
    )  # fmt: skip
    assert ended.stdout == "well\n"


def test_nobody_else_redirects_it() -> None:
    others = {
        path.relative_to(ROOT).as_posix()
        for room in ("data", "features", "models", "pipeline")
        for path in (ROOT / room).rglob("*.py")
        if "dup2(" in path.read_text(encoding="utf-8")
    }
    assert others == {"data/io/native_stderr.py"}
