"""What training tells: a line per epoch on a terminal, scalars that TensorBoard reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import OutputError
from models.early_stopping import EarlyStopping
from models.heads.log import TrainingLog
from models.tf_runtime import tf

ROWS = [
    {"epoch": 1, "loss": 0.7, "auc": 0.5, "val_loss": 0.69, "val_auc": 0.55},
    {"epoch": 2, "loss": 0.6, "auc": 0.8, "val_loss": 0.64, "val_auc": 0.75},
    {"epoch": 3, "loss": 0.5, "auc": 0.9, "val_loss": 0.66, "val_auc": 0.7},
]


def log_epochs(log: TrainingLog) -> None:
    with log:
        for row in ROWS:
            log.epoch(row, best=row["epoch"] < 3)


def test_a_line_for_each_epoch_and_only_on_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unmask")
    log_epochs(TrainingLog("lstm"))
    assert not caplog.messages
    log_epochs(TrainingLog("lstm", live=True))
    name, head, *lines = "\n".join(caplog.messages).splitlines()
    assert name == "lstm"
    assert head.split() == ["epoch", "loss", "AUC", "val", "loss", "val", "AUC", "seconds"]
    assert [line.split()[:5] for line in lines][1] == ["2", "0.6000", "0.800", "0.6400", "0.750"]
    assert [line.endswith("*") for line in lines] == [True, True, False]


def test_tensorboard_gets_every_epoch_once(tmp_path: Path) -> None:
    for _ in range(2):  # the second run takes the place of the first
        log_epochs(TrainingLog("lstm", live=False, tensorboard=tmp_path))
    (path,) = (tmp_path / "lstm").iterdir()
    found = {
        (value.tag, event.step): float(tf.make_ndarray(value.tensor))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert found.keys() == {(tag, step) for tag in ROWS[0].keys() - {"epoch"} for step in (1, 2, 3)}
    assert found["val_auc", 2] == pytest.approx(0.75)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="is no folder; choose another"):
        log_epochs(TrainingLog("lstm", live=False, tensorboard=tmp_path / "runs"))


def test_it_says_why_it_ended_and_what_it_restored() -> None:
    for aucs, reason in (
        ((0.6, 0.7, 0.65), "reached the limit of 3 epochs; restored epoch 2"),
        ((0.7, 0.6, 0.65), "no higher validation AUC for 2 epochs; restored epoch 1"),
    ):
        stopping = EarlyStopping(patience=2)
        for epoch, auc in enumerate(aucs, start=1):
            stopping.update(epoch, auc, 0.5, list)
        assert stopping.reason(3).startswith(reason)
