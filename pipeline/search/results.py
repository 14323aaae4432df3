"""The folder of a sweep: what each finished run reached, in a file of its own.

OUT/sweep.json        marks the folder
OUT/runs/<key>.json   what a finished run reached; it is never trained again
OUT/study.jsonl       the journal of the search (`pipeline.search.study`)
OUT/lock              held by the sweep that is running
OUT/results.csv       a row for each run
OUT/ranking.csv       a row for each setting: mean and standard deviation over seeds
OUT/best.yaml         the best setting, as a part of params.yaml
OUT/sweep.html        the ranking as a page
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from data.errors import InputError, LockedError, StoreError
from data.io.atomic_files import as_json, make_folder, write_text
from data.io.atomic_folders import check_fillable, read_versioned_json
from data.io.reading import BAD_FACTS
from data.io.system_errors import writing
from pipeline.search.plan import Run

FORMAT, VERSION = "unmask-sweep", 1
MARKER, STUDY, LOCK, PAGE = "sweep.json", "study.jsonl", "lock", "sweep.html"
FILES = (MARKER, STUDY, LOCK, "results.csv", "ranking.csv", "best.yaml", PAGE)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of one run."""

    seconds: float  # that training took
    error: str = ""  # why there is no result: training diverged, or was pruned; "" for neither
    pruned: bool = False  # whether it was pruned
    # validation AUC of the best epoch, of a pruned run too; None where it diverged
    val_auc: float | None = None
    val_loss: float | None = None  # validation loss of that epoch; None where there is an error
    best_epoch: int | None = None  # from 1; None where it diverged
    epochs: int | None = None  # that were trained; None where it diverged
    stop_reason: str = ""  # why training ended, in one line

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is None or False is left out."""
        facts = asdict(self)
        return {key: one for key, one in facts.items() if one is not None and one is not False}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> RunResult:
        """Reads what `to_json` gave.

        Raises:
            `data.io.reading.BAD_FACTS`: it is something else.
        """
        found = cls(**facts)
        measured = (found.val_auc, found.val_loss, found.best_epoch, found.epochs)
        for one in (found.seconds, *(() if found.error else measured)):
            if not isinstance(one, int | float):
                raise TypeError("a result must be a number")
        return found


def check_sweep(out: Path) -> None:
    """Raises OutputError where a folder is no sweep's, or cannot be written; makes nothing."""
    check_fillable(out, marker=MARKER, files=FILES)


def begin(out: Path) -> None:
    """Makes the folder and marks it.

    Raises:
        OutputError: it cannot be written.
        StoreError: it is of a later version.
    """
    with writing(out):
        make_folder(out / "runs")
    if not (out / MARKER).exists():
        write_text(out / MARKER, as_json({"format": FORMAT, "version": VERSION}))
    read_versioned_json(out / MARKER, FORMAT, VERSION)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other sweeps out of the folder, until the block or the process ends.

    Raises:
        LockedError: another one is running there.
    """
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"another sweep is writing to {out}; wait for it, or choose another folder by -o"
        ) from error
    try:
        yield
    finally:
        lock.release()


def read_run(out: Path, run: Run) -> RunResult | None:
    """The result of a finished run; None where there is none, or a damaged one."""
    try:
        facts = read_versioned_json(out / "runs" / f"{run.key}.json", FORMAT, VERSION)
        return RunResult.from_json(facts["result"])
    except (InputError, StoreError, *BAD_FACTS):
        return None


def write_run(out: Path, run: Run, result: RunResult) -> None:
    """Keeps what a run reached; from then on it is not trained again."""
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "head": run.head.model_dump(),
        "train": run.train.model_dump(),
        "seed": run.seed,
        "result": result.to_json(),
    }
    write_text(out / "runs" / f"{run.key}.json", as_json(facts))
