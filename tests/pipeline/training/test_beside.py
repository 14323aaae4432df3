"""What `train` fits beside TensorFlow's import: the same in a process as in a thread."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import ToolError
from models.configs import ConditionConfig
from pipeline.training import beside
from pipeline.training.beside import fitted_beside, load_splits
from tests.pipeline.conftest import World

CONDITION = ConditionConfig(kind="layernorm_l2", dimensions=8)


def fit(world: World, config: ConditionConfig = CONDITION, share: float = 0.05) -> tuple[Any, Any]:
    """What was conditioned, and the baselines."""
    splits = load_splits(world.features, world.manifest)
    given: dict[str, Any] = {"config": config, "novelty_share": share}
    with fitted_beside(splits, manifest=world.manifest, **given) as found:
        return found.conditioned(), found.baselines()


def test_a_process_fits_what_a_thread_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for apart in (False, True):
        (tmp_path / str(apart)).mkdir()
        monkeypatch.chdir(tmp_path / str(apart))
        monkeypatch.setattr(beside, "is_worth_a_process", lambda apart=apart: apart)
        found.append(fit(world))
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
    monkeypatch.setattr(beside, "is_worth_a_process", lambda: True)
    conditioned, baselines = fit(world, ConditionConfig(kind="none"), 0)
    assert conditioned is None
    assert baselines.novelty is None
    assert not (tmp_path / ".unmask").exists()


def test_a_process_that_was_ended_is_told_of(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(beside, "is_worth_a_process", lambda: True)
    splits = load_splits(world.features, world.manifest)
    before = {*multiprocessing.active_children()}
    given: dict[str, Any] = {"manifest": world.manifest, "novelty_share": 0.05}

    def kill() -> None:
        with fitted_beside(splits, config=CONDITION, **given) as found:
            (child,) = {*multiprocessing.active_children()} - before
            child.kill()
            found.conditioned()

    with pytest.raises(ToolError, match="was ended from outside; run the same command again"):
        kill()


def test_a_process_is_for_a_command_that_is_still_to_import_tensorflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "cores", lambda: 2)
    monkeypatch.setattr(beside.sys, "modules", {})
    assert beside.is_worth_a_process()
    monkeypatch.setattr(beside, "cores", lambda: 1)
    assert not beside.is_worth_a_process()
    monkeypatch.setattr(beside, "cores", lambda: 2)
    monkeypatch.setattr(beside.sys, "modules", {"tensorflow": None})
    assert not beside.is_worth_a_process()
