"""The Optuna study of a sweep: which setting is tried next, and what each of them reached.

A trial is one setting with all its seeds; its value is their mean validation AUC. The study lies in
a journal in the sweep's folder, lines of JSON, and is read back to go on. One process asks and
tells; the processes that train report epochs there, where runs are pruned.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial, Trial, TrialState

from data.errors import UnmaskError
from data.io.progress import log
from data.io.reading import BAD_FACTS
from pipeline.search.plan import Candidate, Choices, Plan
from pipeline.search.results import RunResult

RESULT = "pruned"
"""Key of a pruned trial's result among its user attributes."""
STARTUP, WARMUP = 5, 5
"""Settings that are never pruned, and epochs before any is: the median of fewer is chance."""
BEST_SHARE, FEWEST = 0.25, 20
"""For importances: the share of settings that count as good, and of how many at least. fANOVA would
do with fewer, but takes minutes for a grid of 200 settings."""
DAMAGE = (*BAD_FACTS, AssertionError, RuntimeError, optuna.exceptions.OptunaError)
"""Errors that Optuna raises over a damaged journal."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A setting that is tried."""

    number: int  # of the trial, from 0
    candidate: Candidate  # the setting and its runs
    finished: bool = False  # whether the study has its result
    # what its first run reached before it was pruned; None where it was not
    pruned: RunResult | None = None


class Study:
    """Asks Optuna for settings and tells it their results.

    Args:
        journal: the file; made where it is missing. One that is damaged is begun anew.
        plan: the search space.
        grid: every combination of it, as `Plan.grid` gives them; None lets TPE draw.
        prune: whether runs report their epochs.
    """

    def __init__(
        self,
        journal: Path,
        plan: Plan,
        *,
        grid: Mapping[tuple[str, ...], Candidate] | None,
        prune: bool,
    ) -> None:
        self.journal = journal
        self.name = plan.name("tpe" if grid is None else "grid", prune=prune)
        self._plan, self._grid = plan, grid
        _end_torn_line(journal)
        try:
            self._study = self._open()
            self.known: Sequence[Asked] = self._read()
        except (*DAMAGE, UnmaskError):
            log.warning(f"{journal} is damaged; it is begun anew, and finished runs are kept")
            journal.unlink()
            self._study = self._open()
            self.known = ()

    def ask(self) -> Asked:
        """The next setting."""
        self._study.sampler = self._sampler(len(self._study.get_trials(deepcopy=False)))
        return self._begin(self._study.ask())

    def reporter(self, asked: Asked) -> Reporter:
        """The reporter of the epochs of the setting's first run."""
        return Reporter(self.journal, self.name, asked.number)

    def tell(self, asked: Asked, auc: float) -> None:
        """Keeps what a setting reached: the mean validation AUC of its seeds."""
        with suppress(RuntimeError):  # GridSampler stops its study after the last one (optuna#4121)
            self._study.tell(asked.number, auc)

    def tell_pruned(self, asked: Asked, result: RunResult) -> None:
        """Keeps that a setting was pruned."""
        trial = self._trial(self._study.get_trials(deepcopy=False)[asked.number])
        trial.set_user_attr(RESULT, result.to_json())
        with suppress(RuntimeError):
            self._study.tell(asked.number, state=TrialState.PRUNED)

    def history(self) -> tuple[float | None, ...]:
        """The mean validation AUC of each setting in the order of the search; None for pruned."""
        trials = self._study.get_trials(deepcopy=False)
        return tuple(one.value if one.state == TrialState.COMPLETE else None for one in trials)

    def importances(self) -> dict[str, float]:
        """How much each parameter decides whether a setting is among the best quarter, 1 in all.

        By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023); {} of too few settings.
        """
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(done) < FEWEST or len(self._plan.axes) < 2 or len({one.value for one in done}) < 2:
            return {}
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
        with quiet():
            return get_param_importances(self._study, evaluator=evaluator)

    def _open(self) -> optuna.Study:
        return optuna.create_study(
            storage=storage(self.journal),
            study_name=self.name,
            sampler=self._sampler(0),
            direction="maximize",
            load_if_exists=True,
        )

    def _sampler(self, number: int) -> BaseSampler:
        """A sampler whose draw depends on the trial's number and the results so far alone.

        So a sweep that was interrupted draws what it would have drawn.
        """
        if self._grid is not None:
            axes = [axis for axis in self._plan.axes if isinstance(axis, Choices)]
            return GridSampler({axis.key: axis.texts for axis in axes}, seed=self._plan.first_seed)
        seed = np.random.SeedSequence([self._plan.first_seed, number]).generate_state(1)[0]
        return TPESampler(seed=int(seed))

    def _read(self) -> list[Asked]:
        """The trials of earlier commands, those that were interrupted as unfinished ones."""
        found = []
        for one in self._study.get_trials(deepcopy=False):
            if not all(isinstance(value, float) for value in one.intermediate_values.values()):
                raise TypeError("a reported value is no number")
            self._study.sampler = self._sampler(one.number)
            if not one.state.is_finished():
                found.append(self._begin(self._trial(one)))
                continue
            candidate = self._candidate(FixedTrial(one.params))
            pruned = None
            if one.state == TrialState.PRUNED:
                pruned = RunResult.from_json(one.user_attrs[RESULT])
            elif not isinstance(one.value, float):
                raise TypeError("a value is no number")
            found.append(
                Asked(number=one.number, candidate=candidate, finished=True, pruned=pruned)
            )
        return found

    def _trial(self, frozen: FrozenTrial) -> Trial:
        return Trial(self._study, frozen._trial_id)

    def _begin(self, trial: Trial) -> Asked:
        return Asked(number=trial.number, candidate=self._candidate(trial))

    def _candidate(self, trial: BaseTrial) -> Candidate:
        with quiet():
            texts = tuple(axis.suggest(trial) for axis in self._plan.axes)
        return self._plan.candidate(texts) if self._grid is None else self._grid[texts]


@dataclass(frozen=True)
class Reporter:
    """Reports the epochs of a trial's first run, in the process that trains it."""

    journal: Path  # of the study
    name: str  # of the study
    number: int  # of the trial

    def __call__(self, epoch: int, auc: float) -> bool:
        """Takes in an epoch (from 1); whether its best so far is below the median at that epoch."""
        with quiet():  # of an epoch that was reported before the sweep was interrupted
            self._trial.report(auc, epoch - 1)
        return self._trial.should_prune()

    @cached_property
    def _trial(self) -> Trial:
        study = optuna.load_study(
            storage=storage(self.journal),
            study_name=self.name,
            sampler=TPESampler(),
            pruner=MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP),
        )
        return Trial(study, study.get_trials(deepcopy=False)[self.number]._trial_id)


def storage(journal: Path) -> JournalStorage:
    """The study's file. JSON alone is read from it."""
    return JournalStorage(JournalFileBackend(str(journal)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Optuna's own warnings off the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _end_torn_line(journal: Path) -> None:
    """Drops what a killed process wrote half; and its lock, which it holds no more."""
    Path(f"{journal}.lock").unlink(missing_ok=True)
    with suppress(FileNotFoundError), journal.open("r+b") as handle:
        handle.truncate(handle.read().rfind(b"\n") + 1)
