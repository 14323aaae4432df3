"""The runs of a sweep, in processes that each load TensorFlow once and share the mapped features.

Each process gets its share of the cores, since a head's matrices are too small to keep many busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.datasets.manifest import Manifest
from data.errors import DatasetError, ToolError
from data.io.processes import process_pool
from data.io.reading import file_sha256
from data.operating_system.machine import free_memory_bytes
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from features.store.layout import INDEX
from models.conditioning.cache import CACHE, Conditioned, condition
from models.configs import ConditionConfig, HeadConfig, TrainConfig
from pipeline.search.plan import Run
from pipeline.search.results import RunResult

if TYPE_CHECKING:
    from models.heads.linear import StatisticsFit


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """What all runs of a sweep train on."""

    train: Sequences
    val: Sequences
    features_sha256: str  # of the feature set's index
    # what each conditioning made of both, so that it is fitted, or read, once for all runs
    conditioned: dict[ConditionConfig, Conditioned] = field(default_factory=dict)
    # likewise the linear models in heads, by the settings that decide them
    linear: dict[tuple[str, ...], StatisticsFit] = field(default_factory=dict)

    def condition(self, config: ConditionConfig) -> Conditioned | None:
        """Both splits as the setting makes them; None where it does nothing."""
        if config.kind == "none":
            return None
        if config not in self.conditioned:
            self.conditioned[config] = condition(
                self.train,
                self.val,
                config,
                features_sha256=self.features_sha256,
                cache=CACHE,
            )
        return self.conditioned[config]

    def fit_linear(self, head: HeadConfig, config: TrainConfig) -> StatisticsFit | None:
        """The linear model that a run corrects, or is; None where it has none.

        Raises:
            DatasetError: a feature is not a number.
        """
        from models.heads.linear import decides_fit, fit_statistics

        if not head.has_linear_model:
            return None
        key = decides_fit(head, config)
        if key not in self.linear:
            made = self.condition(head.condition)
            train, val = (self.train, self.val) if made is None else (made.train, made.val)
            self.linear[key] = fit_statistics(train, val, head=head, config=config)
        return self.linear[key]


PROCESS_BYTES = 1 << 30
"""Memory of one process with TensorFlow beside the features, generously."""

_data: list[Data] = []  # of a worker process: what it trains on


Prune = Callable[[int, float], bool]
"""Epoch (from 1) and validation AUC -> whether to end the run; called in the training process."""
Train = Callable[[Run, Prune | None], Future[RunResult]]
"""Trains a head, which may be pruned."""


@contextmanager
def trainer(
    features: Path, manifest: Path, data: Data, *, workers: int, threads: int
) -> Iterator[Train]:
    """Gives a function that trains a head.

    Args:
        features: the feature set.
        manifest: whose training and validation split; the test split is never read.
        data: the same, loaded.
        workers: processes; 1 is this one, which trains when it is called.
        threads: of TensorFlow in each, where there are several.

    Raises:
        ToolError: a process was ended from outside.
    """
    if workers == 1:

        def train(run: Run, prune: Prune | None) -> Future[RunResult]:
            done: Future[RunResult] = Future()
            done.set_result(do_run(run, data, prune))
            return done

        yield train
        return
    pool = process_pool(workers, _begin, features, manifest, threads)
    try:
        yield lambda run, prune: pool.submit(_do_run, run, prune)
    except BrokenProcessPool as error:
        raise ToolError(
            "a process of the sweep was ended from outside; run the same command again to go on, "
            "with fewer --workers if memory is short"
        ) from error
    finally:
        # After Ctrl-C or a failure nobody waits for the runs under way: they are repeated.
        pool.end()


def load_data(features: Path, manifest: Path) -> Data:
    """The splits that a sweep may see."""
    opened, rows = Features(features), Manifest.read(manifest)
    return Data(
        train=load_sequences(opened, rows.split("train"), views=True),
        val=load_sequences(opened, rows.split("val")),
        features_sha256=file_sha256(features / INDEX),
    )


def do_run(run: Run, data: Data, prune: Prune | None = None) -> RunResult:
    """Trains one head. One that diverges is a result, too; so is one that is pruned."""
    from models.heads.training import train_head
    from pipeline.search.pruning import Pruned, PruningLog

    clock = time.monotonic()
    log = PruningLog(run.head.kind, prune)
    try:
        trained = train_head(
            data.train,
            data.val,
            head=run.head,
            config=run.train,
            seed=run.seed,
            log=log,
            conditioned=data.condition(run.head.condition),
            linear=data.fit_linear(run.head, run.train),
        )
    except DatasetError as error:
        return RunResult(error=str(error), seconds=time.monotonic() - clock)
    except Pruned:
        best = max(log.rows, key=lambda row: row["val_auc"])
        return RunResult(
            error=f"pruned after epoch {len(log.rows)}",
            pruned=True,
            val_auc=best["val_auc"],
            best_epoch=int(best["epoch"]),
            epochs=len(log.rows),
            seconds=time.monotonic() - clock,
        )
    return RunResult(
        val_auc=trained.best["val_auc"],
        val_loss=trained.best["val_loss"],
        best_epoch=trained.best_epoch,
        epochs=len(trained.history),
        stop_reason=trained.stop_reason,
        seconds=time.monotonic() - clock,
    )


def workers_for(runs: int, cores: int) -> int:
    """The number of processes: one per core, as far as memory reaches."""
    free = free_memory_bytes()
    fit = cores if free is None else free // PROCESS_BYTES
    return max(1, min(runs, cores, fit))


def _begin(features: Path, manifest: Path, threads: int) -> None:
    """Sets a worker process up."""
    from models.tf_runtime import tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    _data.append(load_data(features, manifest))


def _do_run(run: Run, prune: Prune | None) -> RunResult:
    return do_run(run, _data[0], prune)
