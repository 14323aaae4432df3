"""Which run comes next: asks the study for settings while processes are free, and keeps results.

Results are kept by the keys of runs: what an earlier sweep of the folder has finished, whatever it
varied, is taken from there.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from pipeline.search.plan import Candidate, Run
from pipeline.search.results import RunResult, read_run, write_run
from pipeline.search.runs import Train
from pipeline.search.study import Asked, Study


class Schedule:
    """The runs of a sweep.

    Args:
        out: the sweep's folder.
        study: asked for settings.
        settings: how many, together with those of earlier commands.
        prune: whether the first run of a setting may be pruned; the others wait for it.
        expected: candidates that will be asked for, where they are known.

    Attributes:
        done: results by the keys of runs.
        trained: how many runs this one trained.
        missing: how many runs are to be trained, at most.
    """

    def __init__(
        self,
        out: Path,
        study: Study,
        *,
        settings: int,
        seeds: int,
        prune: bool,
        expected: Iterable[Candidate],
    ) -> None:
        self.done: dict[str, RunResult] = {}
        self.trained = 0
        self._out, self._study, self._prune = out, study, prune
        self._settings = settings
        self._tried: list[Candidate] = []
        self._open: list[Asked] = []
        self._queue: deque[tuple[Asked, Run]] = deque()
        self._queued: set[str] = set()
        for candidate in expected:
            self._look_up(candidate)
        for asked in study.known:
            self._add(asked)
        spared = {run.key for one in study.known if one.pruned for run in one.candidate.runs[1:]}
        self.missing = max(0, settings * seeds - len(self.done.keys() | spared))

    @property
    def candidates(self) -> list[Candidate]:
        """Settings that were tried, each once, in the order of the search."""
        return list({one.runs[0].key: one for one in self._tried}.values())

    def run(self, train: Train, workers: int) -> Iterator[RunResult]:
        """Trains what is missing; results come as they are finished, and are kept by then."""
        running: dict[Future[RunResult], tuple[Asked, Run]] = {}
        while True:
            while len(running) < workers and (following := self._next()):
                asked, run = following
                decides = self._prune and not asked.finished and run == asked.candidate.runs[0]
                running[train(run, self._study.reporter(asked) if decides else None)] = following
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                asked, run = running.pop(future)
                yield self._keep(run, future.result())

    def _next(self) -> tuple[Asked, Run] | None:
        while not self._queue and len(self._tried) < self._settings:
            self._add(self._study.ask())
        return self._queue.popleft() if self._queue else None

    def _keep(self, run: Run, result: RunResult) -> RunResult:
        self.done[run.key] = result
        self.trained += 1
        if not result.pruned:  # which holds among this study's settings alone
            write_run(self._out, run, result)
        for asked in list(self._open):
            self._advance(asked)
        return result

    def _add(self, asked: Asked) -> None:
        self._tried.append(asked.candidate)
        self._look_up(asked.candidate)
        if asked.pruned is not None:
            self.done[asked.candidate.runs[0].key] = asked.pruned
        else:
            self._open.append(asked)
            self._advance(asked)

    def _look_up(self, candidate: Candidate) -> None:
        """Takes the results that the folder has."""
        for run in candidate.runs:
            if run.key not in self.done and (found := read_run(self._out, run)) is not None:
                self.done[run.key] = found

    def _advance(self, asked: Asked) -> None:
        """Queues the runs that a setting lacks; without any, the study gets its result."""
        runs = asked.candidate.runs
        missing = [run for run in runs if run.key not in self.done]
        first = self.done.get(runs[0].key)
        if first is not None and first.pruned:
            missing = []
        if self._prune and first is None:
            missing = missing[:1]
        for run in missing:
            if run.key not in self._queued:
                self._queued.add(run.key)
                self._queue.append((asked, run))
        if missing:
            return
        self._open.remove(asked)
        if asked.finished:  # and a damaged result was made again
            return
        if first is not None and first.pruned:
            self._study.tell_pruned(asked, first)
        else:
            aucs = [self.done[run.key].val_auc or 0.0 for run in runs]  # 0 where it diverged
            self._study.tell(asked, statistics.fmean(aucs))
