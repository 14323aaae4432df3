"""The search by Optuna: what it draws, what is pruned, and how it goes on."""

from __future__ import annotations

import json
import re

import pytest
from filelock import FileLock

from data.errors import ConfigError
from pipeline.search.pruning import Pruned, PruningLog
from tests.pipeline.browser import marks
from tests.pipeline.cli.test_cli import one_line
from tests.pipeline.search.conftest import command_of, plan_of, rows_of

TPE = ("--sampler", "tpe", "--grid", "head.units=8..256:log",
       "--grid", "train.learning_rate=1e-4..1e-1:log")  # fmt: skip


def settings_of(out):
    return [(row["head.units"], row["train.learning_rate"]) for row in rows_of(out / "results.csv")]


def test_tpe_draws_from_ranges_and_goes_on_as_if_it_had_never_been_interrupted(
    cached, run, tmp_path, trainer
):
    whole = command_of(cached, tmp_path / "whole", *TPE, "--trials", 14)
    assert "28 runs, 28 trained now" in run(*whole).output
    found = settings_of(tmp_path / "whole")
    assert len(set(found)) == 14
    assert all(8 <= int(units) <= 256 and 1e-4 <= float(rate) <= 0.1 for units, rate in found)
    # The stand-in's AUC rises with units: what is drawn after the first ten is chosen by results.
    assert sum(int(units) > 64 for units, _ in found[20:]) >= 6
    trainer.keys.clear()
    trainer.stop_after = 23
    cut = command_of(cached, tmp_path / "cut", *TPE, "--trials", 14)
    run(*cut, code=130)
    assert settings_of(tmp_path / "cut") == found[:23]
    trainer.stop_after = 1000
    assert "28 runs, 5 trained now" in run(*cut).output
    assert len(trainer.keys) == len(set(trainer.keys)) == 28
    for name in ("ranking.csv", "results.csv", "best.yaml"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_more_trials_go_on_and_the_result_has_history_and_importances(
    cached, run, tmp_path, trainer
):
    run(*command_of(cached, tmp_path / "s", *TPE, "--trials", 8))
    first = settings_of(tmp_path / "s")
    command = command_of(cached, tmp_path / "s", *TPE, "--trials", 20)
    facts = json.loads(run(*command, "--json").stdout)
    assert (facts["runs"], facts["trained_now"]) == (40, 24)
    assert settings_of(tmp_path / "s")[:16] == first
    assert len(facts["history"]) == 20
    assert max(facts["history"]) == pytest.approx(facts["ranking"][0]["mean"])
    assert facts["importances"].keys() == {"head.units", "train.learning_rate"}
    assert facts["importances"]["head.units"] > 0.5
    assert sum(facts["importances"].values()) == pytest.approx(1)
    found = marks((tmp_path / "s" / "sweep.html").read_text("utf-8"))
    # The line of the best so far is one more.
    assert (found["history"], found["slice-1"], found["importances"]) == (21, 20, 2)


UNITS = ("--grid", "head.units=64,65,66,67,68,8,128,9")


def test_what_falls_behind_is_pruned_and_trained_by_a_sweep_without_pruning(
    cached, run, tmp_path, trainer
):
    out = tmp_path / "s"
    output = run(*command_of(cached, out, *UNITS, "--prune")).output
    rows = {row["head.units"]: row for row in rows_of(out / "ranking.csv")}
    pruned = {units for units, row in rows.items() if row["pruned"] == "1"}
    assert pruned <= {"8", "9", "64", "65", "66", "67"}
    assert pruned
    assert output.count("1 pruned") == len(pruned)
    assert [row["head.units"] for row in rows_of(out / "ranking.csv")][-len(pruned):] == [
        units for units in rows if units in pruned
    ]  # fmt: skip
    kept = [row for row in rows_of(out / "results.csv") if row["head.units"] in pruned]
    assert {(row["seed"], row["error"]) for row in kept} == {("0", "pruned after epoch 6")}
    assert len(list((out / "runs").iterdir())) == 16 - 2 * len(pruned)
    more = run(*command_of(cached, out, *UNITS, "--prune")).output
    assert f"{16 - len(pruned)} runs, 0 trained now in 1 processes" in more
    for kept_run in (out / "runs").iterdir():
        kept_run.write_text("damaged")
    more = run(*command_of(cached, out, *UNITS, "--prune")).output
    assert f"{16 - 2 * len(pruned)} trained now" in more
    assert more.count("1 pruned") == len(pruned)
    output = run(*command_of(cached, out, *UNITS)).output
    assert f"16 runs, {2 * len(pruned)} trained now" in output
    assert "pruned" not in (out / "ranking.csv").read_text()


def row_of(epoch):
    return {"epoch": epoch, "loss": 1.0, "auc": 0.5, "val_loss": 1.0, "val_auc": 0.5}


def test_a_run_ends_when_it_is_pruned():
    log = PruningLog("mean", lambda epoch, auc: epoch == 3 and auc < 0.6)
    with log:
        log.epoch(row_of(1), best=True)
        log.epoch(row_of(2), best=False)
        with pytest.raises(Pruned):
            log.epoch(row_of(3), best=False)
    assert len(log.rows) == 3


@pytest.mark.parametrize(
    "journal",
    [
        b"{}\n",
        b"no json\n{}\n",
        b"\xff\xfe\n\n",
        b'{"op_code":0,"worker_id":"x"}\n',
        b"[" * 100_000 + b"\n\n",
    ],
)
def test_a_damaged_journal_costs_no_finished_run(cached, run, tmp_path, trainer, journal):
    command = command_of(cached, tmp_path / "s", *UNITS)
    run(*command)
    (tmp_path / "s" / "study.jsonl").write_bytes(journal)
    result = run(*command)
    assert "study.jsonl is damaged" in result.stderr
    assert "16 runs, 0 trained now" in result.stdout


def test_results_in_the_journal_that_are_none_are_damage(cached, run, tmp_path, trainer):
    command = command_of(cached, tmp_path / "s", *UNITS, "--prune")
    run(*command)
    path = tmp_path / "s" / "study.jsonl"
    whole = path.read_text()
    for old, new in (
        ('"intermediate_value":0.', '"intermediate_value":"x","was":0.'),
        ('"values":[0.', '"values":["x"],"was":[0.'),
        ('"pruned":{"seconds":1.0', '"pruned":{"seconds":"long"'),
        ('"param_value_internal":', '"param_value_internal":9'),
    ):
        assert old in whole
        path.write_text(whole.replace(old, new))
        assert "study.jsonl is damaged" in run(*command).stderr, old


def test_half_a_line_of_a_killed_sweep_is_dropped(cached, run, tmp_path, trainer):
    command = command_of(cached, tmp_path / "s", *TPE, "--trials", 3)
    run(*command)
    path = tmp_path / "s" / "study.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    (tmp_path / "s" / "study.jsonl.lock").symlink_to(path)
    result = run(*command)
    assert result.stderr == ""
    assert "6 runs, 0 trained now" in result.stdout
    lines = path.read_text().splitlines()
    assert [json.loads(line)["op_code"] for line in lines][-2:] == [0, 6]  # opened, output


def test_one_sweep_at_a_time(cached, run, tmp_path, trainer):
    (tmp_path / "s").mkdir()
    with FileLock(tmp_path / "s" / "lock"):
        (tmp_path / "s" / "sweep.json").write_text('{"format": "unmask-sweep", "version": 1}')
        output = one_line(run(*command_of(cached, tmp_path / "s", *UNITS), code=11))
    assert "another sweep is writing" in output
    assert not trainer.keys


@pytest.mark.parametrize(
    ("grid", "sampler", "trials", "message"),
    [
        (["head.units=16..128"], "grid", None, "a range needs --sampler tpe"),
        (["head.units=16,32"], "grid", 5, "--trials needs --sampler tpe"),
        ([], "tpe", 5, "needs something to vary"),
        (["head.units=128..16"], "tpe", 5, "must rise"),
        (["head.units=1.5..16"], "tpe", 5, "head.units must be an integer"),
        (["train.learning_rate=1e-4..2"], "tpe", 5, "train.learning_rate must be"),
        (["train.weight_decay=0..0.1:log"], "tpe", 5, "must begin above 0"),
        (["head.kind=gru..lstm"], "tpe", 5, "only a number has a range"),
        (["head.kind=gru,rnn"], "tpe", 5, "head.kind must be"),
        (["head.units=1..9"], "tpe", 9000, "18000 runs, more than 10000"),
    ],
)
def test_a_search_that_does_not_fit_is_refused(cached, grid, sampler, trials, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_of(cached, grid, sampler=sampler, trials=trials, seeds=2)


def test_a_range_has_the_type_of_its_parameter(cached):
    plan = plan_of(cached, ["head.dropout=0..0.9", "head.units=8..9"], sampler="tpe")
    assert [axis.whole for axis in plan.axes] == [False, True]
