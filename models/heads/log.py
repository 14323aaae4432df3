"""The log of a training: a line per epoch on a terminal, scalars for TensorBoard."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

from data.io.atomic_files import make_folder
from data.io.output_paths import check_out_folder
from data.io.progress import log
from data.io.system_errors import writing
from models.tf_runtime import tf

HEAD = f"{'epoch':>6}{'loss':>9}{'AUC':>8}{'val loss':>10}{'val AUC':>9}{'seconds':>9}"


class TrainingLog:
    """The log of one head's training. A context manager; it may be used once.

    Args:
        name: of the head; the run's name in TensorBoard.
        live: log the table; None logs it where stderr is a terminal.
        tensorboard: folder whose `name` gets the scalars, in place of an earlier run's; None
            writes none.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(
        self, name: str, *, live: bool | None = None, tensorboard: Path | None = None
    ) -> None:
        live = sys.stderr.isatty() if live is None else live
        self._level = logging.INFO if live else logging.DEBUG  # elsewhere with --verbose alone
        self._name = name
        self._folder = None if tensorboard is None else tensorboard / name
        self._writer: Any = None

    def __enter__(self) -> TrainingLog:
        if self._folder is not None:
            check_out_folder(self._folder)
            with writing(self._folder):
                make_folder(self._folder)
                for old in self._folder.glob("events.out.tfevents.*"):
                    old.unlink()  # two runs in one folder would be drawn as one
            self._writer = tf.summary.create_file_writer(str(self._folder))
        log.log(self._level, self._name)
        log.log(self._level, HEAD)
        self._clock = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def epoch(self, row: dict[str, float], *, best: bool) -> None:
        """Logs an epoch's row of the history; a star marks the best so far."""
        now = time.monotonic()
        log.log(
            self._level,
            f"{row['epoch']:>6}{row['loss']:>9.4f}{row['auc']:>8.3f}{row['val_loss']:>10.4f}"
            f"{row['val_auc']:>9.3f}{now - self._clock:>9.2f}{' *' if best else ''}",
        )
        self._clock = now
        if self._writer is not None:
            with self._writer.as_default(step=int(row["epoch"])):
                for name, value in row.items():
                    if name != "epoch":
                        _write_scalar(name, value)
            self._writer.flush()


def _write_scalar(name: str, value: float) -> None:
    """As `tf.summary.scalar`, which needs the package tensorboard for writing."""
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    )
    metadata.data_class = 1  # DATA_CLASS_SCALAR
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)
