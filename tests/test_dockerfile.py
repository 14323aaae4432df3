"""The Dockerfile takes what the wheel needs, pinned; `.ci/try-dockerfile` runs its steps."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("data", "features", "models", "pipeline")


@pytest.fixture(scope="module")
def trial() -> ModuleType:
    """The script that runs the Dockerfile without Docker."""
    loader = importlib.machinery.SourceFileLoader("trial", str(ROOT / ".ci" / "try-dockerfile"))
    spec = importlib.util.spec_from_loader("trial", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def patterns() -> list[str]:
    """Of .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_every_instruction_is_known_to_the_script(trial: ModuleType) -> None:
    found = trial.instructions((ROOT / "Dockerfile").read_text("utf-8"))
    known = set(re.findall(r'name == "([A-Z]+)"', (ROOT / ".ci/try-dockerfile").read_text("utf-8")))
    assert {name for name, _ in found} <= known
    assert [rest for name, rest in found if name == "FROM"] == [
        "debian:trixie-slim AS build", "debian:trixie-slim",
    ]  # fmt: skip
    assert ("USER", "unmask") in found
    assert found[-2:] == [("ENTRYPOINT", '["unmask"]'), ("CMD", '["--help"]')]


def test_the_context_is_what_the_wheel_is_made_of(trial: ModuleType, tmp_path: Path) -> None:
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    taken = {name for name in listed if name and not trial.ignored(name, patterns())}
    own = ("LICENSE", "README.md", "pyproject.toml", "requirements.lock")
    assert taken == {name for name in listed if name.split("/")[0] in PACKAGES or name in own}
    for name in ("data/__pycache__/errors.pyc", ".venv/bin/python", "artifacts/demo/real/a.mp4"):
        assert trial.ignored(name, patterns()), name
    copied = [
        rest.split()[:-1]
        for name, rest in trial.instructions((ROOT / "Dockerfile").read_text("utf-8"))
        if name == "COPY" and not rest.startswith("--from")
    ]
    assert sorted(one for some in copied for one in some) == sorted([*own, *PACKAGES])
    trial.copy_context("presets", tmp_path / "none", ["*"])
    trial.copy_context("features", tmp_path / "features", patterns())
    assert (tmp_path / "features" / "store" / "shard.py").is_file()
    assert not list(tmp_path.rglob("*.pyc"))
    assert not (tmp_path / "none").exists()


def test_what_is_installed_is_pinned_with_digests() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    for install in re.findall(r"pip (?:--python \S+ )?install [^&]*", text):
        assert "--require-hashes" in install
    assert re.search(r"pip==[\d.]+ --hash=sha256:[0-9a-f]{64}", text)
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    # As the Dockerfile cuts it out of the lock.
    found = re.search(r"^setuptools==[^\n]+\n(?:    [^\n]+\n)+", lock, re.MULTILINE)
    assert found is not None
    assert "--hash=sha256:" in found[0]


def test_the_lock_has_what_all_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    (every,) = extras["all"]
    names = re.findall(r"\w+", every)[1:]
    assert names
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    for requirement in (*project["dependencies"], *(one for name in names for one in extras[name])):
        name = re.split(r"[<>=!;\[ ]", requirement)[0].replace("_", "-").casefold()
        assert re.search(rf"^{name}==", lock, re.MULTILINE), f"{name}: make lock"
