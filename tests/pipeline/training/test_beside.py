"""What `train` fits beside TensorFlow's import: the same in a process as in a thread."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data.datasets.manifest import Manifest
from data.errors import InputError, ToolError
from features.store.feature_set import Features
from models.configs import ConditionConfig
from pipeline.training import beside
from pipeline.training.beside import Splits, fitted_beside, load_splits
from tests.pipeline.conftest import World

ROOT = Path(__file__).parents[3]
CONDITION = ConditionConfig(kind="layernorm_l2", dimensions=8)
SCRIPT = """
import sys
from pathlib import Path
from pipeline.config import load_params
from pipeline.training.train import train_bundle
params = load_params(None, ["train.epochs=2", "head.kind=statistics"])
features, manifest = map(Path, sys.argv[1:])
train_bundle(features, Path("bundle"), manifest=manifest, params=params)
print("trained")
"""


def loaded(world: World) -> Splits:
    return load_splits(Features(world.features), Manifest.read(world.manifest))


def fit(
    splits: Splits, config: ConditionConfig = CONDITION, share: float = 0.05, *, process: bool
) -> tuple[Any, Any]:
    """What was conditioned, and the baselines."""
    with fitted_beside(splits, config=config, novelty_share=share, process=process) as found:
        return found.conditioned(), found.baselines()


def test_a_process_fits_what_a_thread_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, splits = [], loaded(world)
    for process in (False, True):
        (tmp_path / str(process)).mkdir()
        monkeypatch.chdir(tmp_path / str(process))
        found.append(fit(splits, process=process))
    (conditioned, baselines), (other, others) = found
    np.testing.assert_array_equal(conditioned.train.features[:], other.train.features[:])
    np.testing.assert_array_equal(conditioned.conditioning.matrix, other.conditioning.matrix)
    assert set(baselines.linear) == set(others.linear) == {"metadata", "logistic"}
    means = np.outer([0, 1, 2], np.ones(len(conditioned.conditioning.mean)))
    np.testing.assert_array_equal(
        baselines.linear["logistic"].score(means), others.linear["logistic"].score(means)
    )
    for one, two in zip(
        vars(baselines.novelty.novelty).values(),
        vars(others.novelty.novelty).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_what_is_not_asked_for_is_not_fitted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    conditioned, baselines = fit(loaded(world), ConditionConfig(kind="none"), 0, process=True)
    assert conditioned is None
    assert baselines.novelty is None
    assert not (tmp_path / ".unmask").exists()


def test_a_process_that_was_ended_is_told_of_and_others_go_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    splits = loaded(world)
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    before = {*multiprocessing.active_children()}

    def kill() -> None:
        options: dict[str, Any] = {"config": CONDITION, "novelty_share": 0.05}
        with fitted_beside(splits, process=True, **options) as found:
            (child,) = {*multiprocessing.active_children()} - before
            child.kill()
            found.conditioned()

    with pytest.raises(ToolError, match="was ended from outside; run the same command again"):
        kill()
    other.join(0.5)
    assert other.exitcode is None
    other.kill()


def test_an_error_in_the_process_is_the_error(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no features\.json"):
        fit(replace(loaded(world), features=tmp_path / "none"), process=True)


def test_a_process_pays_before_tensorflow_is_imported_and_on_two_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "cores", lambda: 2)
    monkeypatch.setattr(beside, "sys", SimpleNamespace(modules={}))
    assert beside.is_worth_a_process()
    monkeypatch.setattr(beside, "cores", lambda: 1)
    assert not beside.is_worth_a_process()
    monkeypatch.setattr(beside, "cores", lambda: 2)
    monkeypatch.setattr(beside, "sys", SimpleNamespace(modules={"tensorflow": None}))
    assert not beside.is_worth_a_process()


def test_a_script_without_a_guard_may_train(world: World, tmp_path: Path) -> None:
    """A process would run it once more."""
    done = subprocess.run(
        [sys.executable, "-", world.features, world.manifest],
        input=SCRIPT, cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["trained"], done.stderr


def test_a_manifest_may_come_from_a_pipe(world: World, tmp_path: Path) -> None:
    """It can be read once, by the command's first process."""
    command = (
        f"{sys.executable} -m pipeline train {world.features} --manifest <(cat {world.manifest})"
    )
    done = subprocess.run(
        ["bash", "-c", f"{command} -o bundle --set head.kind=statistics"],
        cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle" / "bundle.json").is_file()
