"""A small data set and the outputs of all commands on it, made once per session."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from data.demo import DemoConfig, write_demo
from features.extraction.batches import Encoder
from features.store.key import precision_of
from pipeline.cli.app import app
from tests import requirements
from tests.pipeline.printed_json import check, command_of

SMALL = ("--set", "frames.count=8", "--set", "frames.size=64", "--set", "train.epochs=12")


@dataclass(frozen=True)
class World:
    """Paths of a finished small pipeline."""

    folder: Path
    demo: Path
    manifest: Path
    features: Path
    bundle: Path
    report: Path
    store: Path


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command in this process: `run("index", root, "-o", out)`.

    What it prints with `--json` must fit the published schema, and have no other fields.
    """

    def invoke(*arguments: object, code: int = 0) -> Result:
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(app, words)
        if result.exit_code != code:
            print(result.output, result.stderr)
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
        assert result.exit_code == code
        if "--json" in words and result.stdout:
            check(command_of(words), result.stdout)
        return result

    return invoke


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, run: Run) -> World:
    """The demo of 12 people, indexed, extracted, trained and evaluated."""
    folder = tmp_path_factory.mktemp("world")
    os.chdir(folder)  # .unmask grows here
    made = World(
        folder=folder,
        demo=folder / "demo",
        manifest=folder / "manifest.csv",
        features=folder / "features",
        bundle=folder / "bundle",
        report=folder / "report",
        store=folder / "store",
    )
    config = DemoConfig(people=12, seconds=0.5, width=160, height=120)
    write_demo(made.demo, config, workers=2)
    run("index", made.demo, "-o", made.manifest)
    extract = ("extract", made.manifest, "--root", made.demo, "-o", made.features)
    run(*extract, "--store", made.store, *SMALL)
    run("train", made.features, "--manifest", made.manifest, "-o", made.bundle, *SMALL)
    evaluate = ("evaluate", made.bundle, made.features, "--manifest", made.manifest)
    run(*evaluate, "-o", made.report)
    return made


@pytest.fixture(scope="session")
def mountable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The right to mount a tmpfs, for tests of full and of read-only disks."""
    disk = str(tmp_path_factory.mktemp("disk"))
    for command in (["mount", "-t", "tmpfs", "tmpfs", disk], ["umount", disk]):
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            requirements.missing("mount", "this machine does not let us mount a tmpfs")


@pytest.fixture(scope="session")
def encoder(world: World) -> Encoder:
    """The backbone of the world's bundle, ready to run; loading it takes seconds."""
    from models.backbones.encoder import make_encoder
    from models.bundle import Bundle

    bundle = Bundle.load(world.bundle)
    return make_encoder(bundle.load_backbone(), precision=precision_of(bundle.recipe))


@pytest.fixture(scope="module")
def loaded(encoder: Encoder) -> Iterator[None]:
    """Commands take the loaded backbone; `test_cli` has those that load their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.bundle.open_encoder", lambda *_, **__: encoder)
        yield
