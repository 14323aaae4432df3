"""The wheel holds all that the commands read: built, installed and used without a checkout."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("data", "features", "models", "pipeline")
SMALL = {
    "demo": {"people": 6, "fps": 15, "seconds": 0.7, "width": 160, "height": 120},
    "frames": {"count": 8, "size": 64},
    "train": {"epochs": 2},
    "evaluate": {"rounds": 20},
}
COMMANDS = """
unmask doctor
unmask demo demo --params params.yaml
unmask index demo -o manifest.csv --params params.yaml
unmask extract manifest.csv --root demo -o embeddings --params params.yaml
unmask train embeddings --manifest manifest.csv -o bundle --params params.yaml
unmask train embeddings --manifest manifest.csv -o plain --params recipe --set train.epochs=2
unmask evaluate bundle embeddings --manifest manifest.csv -o report --params params.yaml
unmask predict bundle demo/real/person_000.mp4 --report page.html --case case
unmask case verify case --evidence demo/real/person_000.mp4
unmask scan bundle demo/real -o scan
"""


def tracked() -> list[str]:
    """The files of a clone, as they are now."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the checkout, in which nothing is left of earlier builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if name.split("/")[0] in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    subprocess.run(
        (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", folder / "dist", folder / "source"),
        check=True,
    )  # fmt: skip
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_it_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {one for one in archive.namelist() if ".dist-info/" not in one}
        (metadata,) = (one for one in archive.namelist() if one.endswith("dist-info/METADATA"))
        facts = archive.read(metadata).decode()
    assert held == {name for name in tracked() if name.split("/")[0] in PACKAGES}
    assert "Provides-Extra: all\n" in facts
    assert "License-Expression: Apache-2.0\n" in facts
    for one in re.findall(r"^Project-URL: .+$", facts, re.MULTILINE):
        pytest.fail(f"{one} leads nowhere: unmask has no page")


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel, and with this one's packages behind it."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", folder), check=True)
    subprocess.run(
        (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet",
         "--no-deps", "--no-index", wheel),
        check=True,
    )  # fmt: skip
    (own,) = (folder / "lib").glob("python*/site-packages")
    # A plain line of a .pth file: what is installed there as editable is not followed.
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def made(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands ran, far from any checkout."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "params.yaml").write_text(yaml.safe_dump(SMALL))
    for line in COMMANDS.strip().splitlines():
        done = subprocess.run(
            line.split(), cwd=folder, env=clean(programs),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}"
    return folder


def clean(programs: Path) -> dict[str, str]:
    """An environment in which nothing leads to the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.slow
def test_it_is_the_wheel_that_runs(programs: Path, tmp_path: Path) -> None:
    script = (
        "import data, features, models, pipeline; "
        "print(data.__file__, features.__file__, models.__file__, pipeline.__file__)"
    )
    shown = subprocess.run(
        (programs / "python", "-c", script),
        cwd=tmp_path, env=clean(programs), check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert all(Path(one).is_relative_to(programs.parent) for one in shown), shown


@pytest.mark.slow
def test_a_detector_is_made_and_used_from_it(made: Path) -> None:
    for name in ("report/report.html", "page.html", "case/case.schema.json", "scan/scan.html"):
        assert (made / name).is_file(), name


@pytest.fixture
def address(programs: Path, made: Path) -> Iterator[str]:
    """The local page, served from the wheel."""
    with subprocess.Popen(
        ("unmask", "app", "--folder", "cases", "--bundle", "bundle", "--port", "0", "--no-browser"),
        cwd=made, env=clean(programs), stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        opened = server.stdout.readline()
        yield opened.split()[1]
        server.terminate()


@pytest.mark.slow
def test_the_local_page_is_served_from_it(address: str) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(address) as answer:
        page = answer.read().decode()
    assert "unmask" in page
    files = re.findall(r"[\"'](/static/[^\"'?]+)", page)
    assert files
    for file in files:
        with browser.open(f"{address.split('/?')[0]}{file}") as answer:
            assert answer.status == 200
