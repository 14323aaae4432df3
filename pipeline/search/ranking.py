"""From the runs of a sweep to a ranking: mean and standard deviation over seeds, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from data.io.atomic_files import as_csv
from pipeline.search.plan import Candidate, as_text
from pipeline.search.results import RunResult

MEASURED = ("val_auc", "val_loss", "best_epoch", "epochs", "seconds", "error")
"""Columns of results.csv: attributes of a `RunResult`."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One combination of parameters, over its seeds."""

    values: dict[str, Any]  # key -> value, of what the sweep varies
    # validation AUC of each seed's best epoch; none of those that have an error
    aucs: tuple[float, ...]
    mean: float  # of the AUCs; 0 where there are none
    spread: float  # their standard deviation, of the sample; 0 with one seed
    loss: float | None  # mean validation loss of the same epochs; None where there are none
    failed: int  # seeds whose training diverged
    seconds: float  # mean time of a run
    # seeds whose training was pruned; the setting's other seeds were not trained then
    pruned: int = 0

    @property
    def name(self) -> str:
        """The values in words."""
        return ", ".join(f"{key} {as_text(one)}" for key, one in self.values.items()) or "as it is"


def rank(candidates: Iterable[Candidate], done: Mapping[str, RunResult]) -> list[Setting]:
    """Settings, best first: highest mean AUC, then lowest mean loss.

    Those that were pruned come after all others, and those that diverged last. Each candidate has a
    finished run at least; `done` has results by the keys of runs.
    """
    settings = []
    for one in candidates:
        results = [done[run.key] for run in one.runs if run.key in done]
        good = [result for result in results if not result.error]
        aucs = tuple(result.val_auc for result in good if result.val_auc is not None)
        losses = [result.val_loss for result in good if result.val_loss is not None]
        pruned = sum(result.pruned for result in results)
        settings.append(
            Setting(
                values=one.values,
                aucs=aucs,
                mean=statistics.fmean(aucs) if aucs else 0.0,
                spread=statistics.stdev(aucs) if len(aucs) > 1 else 0.0,
                loss=statistics.fmean(losses) if losses else None,
                failed=len(results) - len(good) - pruned,
                pruned=pruned,
                seconds=statistics.fmean(result.seconds for result in results),
            )
        )
    return sorted(
        settings, key=lambda one: (one.failed > 0, one.pruned > 0, -one.mean, one.loss or 0)
    )


def results_csv(
    names: Sequence[str], candidates: Iterable[Candidate], done: Mapping[str, RunResult]
) -> str:
    """A row for each finished run in the candidates' order; `names` are what the sweep varies."""
    rows = [
        [
            *(as_text(one.values[name]) for name in names),
            run.seed,
            *(getattr(done[run.key], name) for name in MEASURED),
            run.key,
        ]
        for one in candidates
        for run in one.runs
        if run.key in done
    ]
    return as_csv([*names, "seed", *MEASURED, "key"], rows)


def ranking_csv(ranking: Sequence[Setting], *, prune: bool) -> str:
    """A row for each setting, best first; with a column of pruned seeds where any may be."""
    names = list(ranking[0].values)
    rows = [
        [as_text(one.values[name]) for name in names]
        + [one.mean, one.spread, one.loss, len(one.aucs), one.failed, f"{one.seconds:.1f}"]
        + [one.pruned] * prune
        for one in ranking
    ]
    head = ["val_auc_mean", "val_auc_sd", "val_loss_mean", "seeds", "diverged", "seconds"]
    return as_csv([*names, *head, *["pruned"] * prune], rows)


def best_yaml(best: Setting) -> str:
    """The best setting as params.yaml has it; {} where nothing was varied."""
    tree: dict[str, Any] = {}
    for name, value in best.values.items():
        at = tree
        *sections, last = name.split(".")
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
    return yaml.safe_dump(tree, sort_keys=False)
