"""Sweeps: every run once, whatever ends it; ranked by validation, and never by the test split."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
import yaml

from data.datasets.manifest import Manifest
from data.errors import ConfigError, DatasetError
from features.store.key import canonical
from pipeline.config import load_params
from pipeline.search import runs as sweep_runs
from pipeline.search.plan import as_text
from pipeline.search.sweep import sweep
from tests.pipeline.browser import marks
from tests.pipeline.cli.test_cli import one_line
from tests.pipeline.search.conftest import command_of, plan_of, rows_of

GRID = ("--grid", "head.units=64,128", "--grid", "train.learning_rate=1e-2,5e-6,0.9")


def test_what_was_finished_is_never_trained_again(cached, run, tmp_path, trainer):
    command = command_of(cached, tmp_path / "sweep", *GRID)
    trainer.stop_after = 5
    run(*command, code=130)
    assert len(rows_of(tmp_path / "sweep" / "results.csv")) == 5
    trainer.stop_after = 1000
    assert "12 runs, 7 trained now" in run(*command).output
    assert len(trainer.keys) == len(set(trainer.keys)) == 12
    assert "12 runs, 0 trained now" in run(*command).output
    damaged = next((tmp_path / "sweep" / "runs").iterdir())
    damaged.write_text("{")
    assert "12 runs, 1 trained now" in run(*command).output
    more = ("--grid", "head.units=64,128,256", *GRID[2:])
    assert "18 runs, 6 trained now" in run(*command_of(cached, tmp_path / "sweep", *more)).output


def test_a_ranking_with_mean_and_spread(cached, run, tmp_path, trainer):
    out = tmp_path / "sweep"
    output = run(*command_of(cached, out, *GRID)).output
    rows = rows_of(out / "results.csv")
    assert [(row["head.units"], row["train.learning_rate"], row["seed"]) for row in rows] == [
        (units, rate, seed)
        for units in ("64", "128") for rate in ("0.01", "5.0e-06", "0.9") for seed in "01"
    ]  # fmt: skip
    ranking = rows_of(out / "ranking.csv")
    settings = [(row["head.units"], row["train.learning_rate"]) for row in ranking]
    assert settings[:3] == [("128", "5.0e-06"), ("128", "0.01"), ("64", "5.0e-06")]
    assert {rate for _, rate in settings[4:]} == {"0.9"}  # diverged: last
    assert float(ranking[0]["val_auc_mean"]) == pytest.approx(0.633 - 5e-6)
    assert float(ranking[0]["val_auc_sd"]) == pytest.approx(0.01 / 2**0.5)
    assert re.search(r"1\. +head.units 128, train.learning_rate 5.0e-06", output)
    assert "0.633 +- 0.007" in output
    assert output.count("2 diverged") == 2
    best = load_params(out / "best.yaml")
    assert (best.head.units, best.train.learning_rate) == (128, 5e-6)
    assert yaml.safe_load((out / "best.yaml").read_text()).keys() == {"head", "train"}
    typed = re.search(r"^next: unmask train (.+) -o bundle$", output, flags=re.MULTILINE).group(1)
    assert load_params(None, typed.split()[4::2]) == load_params(out / "best.yaml")
    facts = json.loads(run(*command_of(cached, out, *GRID), "--json").output)
    assert facts["ranking"][0]["values"] == {"head.units": 128, "train.learning_rate": 5e-6}
    page = (out / "sweep.html").read_text(encoding="utf-8")
    assert "head.units 128" in page
    assert "<script" not in page
    assert marks(page)["ranking"] == 4 * 3  # two seeds and their mean


def test_other_data_are_other_runs_and_the_test_split_is_not_among_them(cached, tmp_path):
    def key(videos, **changes):
        overrides = [f"{name}={value}" for name, value in changes.items()]
        plan = plan_of(cached, ["head.units=8"], overrides=overrides, videos=videos)
        return plan.candidate(["8"]).runs[0].key

    rows = cached.videos
    assert key(rows) == key(rows[::-1]) == key(rows, **{"evaluate.rounds": 50})
    assert key(rows) != key(rows[1:])
    assert key(rows) != key(rows, seed=1)
    assert key(rows) != key(rows, **{"train.patience": 3})


@pytest.mark.slow
def test_processes_train_what_one_process_trains(cached, run, tmp_path):
    results = []
    for workers in (2, 1):
        out = tmp_path / str(workers)
        run("sweep", cached.features, "--manifest", cached.manifest, "-o", out, "--seeds", 2,
            "--set", "head.kind=mean", "--set", "train.epochs=2",
            "--workers", workers)  # fmt: skip
        rows = rows_of(out / "results.csv")
        results.append([(row["key"], round(float(row["val_auc"]), 6)) for row in rows])
    assert results[0] == results[1]
    assert len(results[0]) == 2


def test_a_run_that_diverges_is_a_result(cached, monkeypatch):
    import models.heads.training

    def diverge(*_, **__):
        raise DatasetError("the loss is nan in epoch 1: lower the learning rate")

    monkeypatch.setattr(models.heads.training, "train_head", diverge)
    one = plan_of(cached, []).candidate([]).runs[0]
    data = sweep_runs.load_data(cached.features, cached.manifest)
    assert "lower the learning rate" in sweep_runs.do_run(one, data).error


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["head.units"], "--grid must be KEY=VALUE,VALUE"),
        (["head.units="], "--grid must be KEY=VALUE,VALUE"),
        (["frames.count=8,16"], "only keys of head and train"),
        (["head.units=64", "head.units=128"], "stands twice"),
        (["head.unit=64"], "did you mean head.units?"),
        (["head.units=64,many"], "head.units must be an integer"),
        (["train.class_weight={real: 1"], "no list of values"),
        (["train.epochs=" + ",".join(map(str, range(1, 5002)))], "10002 runs, more than 10000"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(cached, grid, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_of(cached, grid, seeds=2).grid()


def test_values_are_written_as_they_are_typed(cached):
    plan = plan_of(cached, ["train.class_weight=balanced,none,{real: 1.0, fake: 2.0}"])
    output = [as_text(one.values["train.class_weight"]) for one in plan.grid().values()]
    assert output == ["balanced", "null", "{real: 1.0, fake: 2.0}"]


def test_hopeless_data_and_foreign_folders_are_refused_before_anything_is_trained(
    cached, run, tmp_path, trainer
):
    reals = tuple(one for one in cached.videos if not one.label or one.split == "train")
    Manifest(root=tmp_path, videos=reals).write(tmp_path / "reals.csv")
    command = ("sweep", cached.features, "--manifest", tmp_path / "reals.csv", "-o")
    assert "validation split has no fake" in one_line(run(*command, tmp_path / "s", code=4))
    (tmp_path / "s2").mkdir()
    (tmp_path / "s2" / "thesis.txt").write_text("years of work")
    one_line(run(*command_of(cached, tmp_path / "s2"), code=8))
    assert not trainer.keys


def test_keys_of_earlier_sweeps_stay_valid(cached) -> None:
    """What conditions nothing is not part of a key, so a folder's finished runs are found again."""
    (run,) = plan_of(cached, []).candidate(()).runs
    head = run.head.model_dump()
    del head["condition"]
    plan = plan_of(cached, [])
    facts = {"data": plan.data, "head": head, "train": run.train.model_dump(), "seed": 0}
    assert run.key == hashlib.sha256(canonical(facts).encode("ascii")).hexdigest()
    keys = {
        plan_of(cached, [], overrides=[f"head.condition.kind={kind}"]).candidate(()).runs[0].key
        for kind in ("none", "pca", "pca_whiten", "layernorm_l2")
    }
    assert len(keys) == 4
    assert run.key in keys


def test_a_sweep_fits_each_conditioning_once(cached, tmp_path, monkeypatch) -> None:
    from models.conditioning import cache

    fits = []
    fit = cache._fit
    monkeypatch.setattr(cache, "_fit", lambda *data: fits.append(data) or fit(*data))
    monkeypatch.chdir(tmp_path)
    grid = ["head.condition.dimensions=2,3", "head.units=2,4"]
    overrides = ["head.condition.kind=pca", "train.epochs=1"]

    def run() -> Any:
        return sweep(
            cached.features, tmp_path / "out", manifest=cached.manifest, grid=grid, seeds=2,
            params=None, overrides=overrides, workers=1,
        )  # fmt: skip

    assert run().trained_now == 8
    assert len(fits) == 2
    assert len([*(tmp_path / ".unmask" / "conditioned").glob("*/map.npz")]) == 2
    assert run().trained_now == 0


def test_runs_share_a_step_fit_no_ratio_and_equal_what_train_gives(
    cached, tmp_path, monkeypatch
) -> None:
    """A ranking needs validation alone, and a run does not depend on those before it."""
    from models.heads.descent import shared
    from models.heads.training import HeadTrainer, train_head

    def refuse(*_: Any) -> None:
        raise AssertionError("a sweep scored held-out videos")

    compiled = []
    step = shared.train_step
    monkeypatch.setattr(
        shared, "train_step", lambda *one, **more: compiled.append(one) or step(*one, **more)
    )
    monkeypatch.setattr(HeadTrainer, "score_held_out", refuse)
    shared.descent_of.cache_clear()
    grid = ["head.units=3,4", "train.learning_rate=1e-2,1e-3", "train.batch_size=4,8"]
    result = sweep(
        cached.features, tmp_path / "out", manifest=cached.manifest, grid=grid, seeds=2,
        params=None, overrides=["train.epochs=2", "head.residual=false"], workers=1,
    )  # fmt: skip
    assert result.trained_now == 16
    assert len(compiled) == 2  # one for each number of units
    data = sweep_runs.load_data(cached.features, cached.manifest)
    rows = rows_of(tmp_path / "out" / "results.csv")
    shared.descent_of.cache_clear()
    for row in (rows[0], rows[-1]):
        names = ("head.units", "train.learning_rate", "train.batch_size")
        given = [*(f"{name}={row[name]}" for name in names), "train.epochs=2"]
        params = load_params(None, [*given, "head.residual=false"])
        trained = train_head(
            data.train, data.val, head=params.head, config=params.train, seed=int(row["seed"])
        )
        assert trained.best["val_loss"] == float(row["val_loss"])


def test_settings_that_share_a_linear_model_fit_it_once(cached) -> None:
    """And a run that is given it equals one that fits it itself."""
    from models.configs import HeadConfig, TrainConfig
    from models.heads.training import train_head

    data = sweep_runs.load_data(cached.features, cached.manifest)
    head, config = HeadConfig(units=3), TrainConfig(epochs=2)
    first = data.fit_linear(head, config)
    assert first is not None
    other = head.replace(units=4, dropout=0.1)
    assert data.fit_linear(other, config.replace(learning_rate=1e-2)) is first
    assert data.fit_linear(head, config.replace(loss="class")) is not first
    assert data.fit_linear(head.replace(statistics=("mean",)), config) is not first
    assert data.fit_linear(head.replace(residual=False), config) is None
    given, own = (
        train_head(data.train, data.val, head=head, config=config, linear=one)
        for one in (first, None)
    )
    assert given.history == own.history
