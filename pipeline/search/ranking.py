"""From the runs of a sweep to a ranking: mean and spread over seeds, as tables for all readers."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.search.plan import Run, as_text

MEASURED = ("val_auc", "val_loss", "best_epoch", "epochs", "seconds", "error")
"""What is told of a run, as `pipeline.search.runs.do_run` gives it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One combination of the grid, over its seeds.

    Attributes:
        values: key -> value, of what the grid varies.
        aucs: validation AUC of each seed's best epoch; none of those that failed.
        mean: of the AUCs; 0 where every seed failed.
        spread: their standard deviation, of the sample; 0 with one seed.
        loss: mean validation loss of the same epochs; None where every seed failed.
        failed: seeds whose training failed, by divergence.
        seconds: mean time of a run.
    """

    values: dict[str, Any]
    aucs: tuple[float, ...]
    mean: float
    spread: float
    loss: float | None
    failed: int
    seconds: float

    @property
    def name(self) -> str:
        """The values in words."""
        return ", ".join(f"{key} {as_text(one)}" for key, one in self.values.items()) or "as it is"


def rank(runs: Sequence[Run], done: dict[str, dict[str, Any]]) -> list[Setting]:
    """Settings, best first: highest mean AUC, then lowest mean loss; those that failed last."""
    by_setting: dict[int, list[Run]] = {}
    for run in runs:
        by_setting.setdefault(run.setting, []).append(run)
    found = []
    for mine in by_setting.values():
        results = [done[run.key] for run in mine]
        good = [one for one in results if not one["error"]]
        aucs = tuple(float(one["val_auc"]) for one in good)
        found.append(
            Setting(
                values=mine[0].values,
                aucs=aucs,
                mean=statistics.fmean(aucs) if aucs else 0.0,
                spread=statistics.stdev(aucs) if len(aucs) > 1 else 0.0,
                loss=statistics.fmean(one["val_loss"] for one in good) if good else None,
                failed=len(results) - len(good),
                seconds=statistics.fmean(one["seconds"] for one in results),
            )
        )
    return sorted(found, key=lambda one: (one.failed > 0, -one.mean, one.loss or 0))


def table(ranking: Sequence[Setting]) -> list[str]:
    """The ranking as lines of text."""
    width = max(len(one.name) for one in ranking)
    lines = [
        f"{'':>4}  {'':<{width}}  {'val AUC':>7} +- {'sd':<5}  {'min':>5} {'max':>5}  val loss"
    ]
    for place, one in enumerate(ranking, start=1):
        if one.loss is not None:
            told = (
                f"{one.mean:>7.3f} +- {one.spread:<5.3f}  {min(one.aucs):>5.3f} "
                f"{max(one.aucs):>5.3f}  {one.loss:>8.4f}"
            )
        else:
            told = ""
        failed = f"  {one.failed} diverged" if one.failed else ""
        lines.append(f"{place:>3}.  {one.name:<{width}}  {told}{failed}")
    return lines


def results_csv(runs: Sequence[Run], done: dict[str, dict[str, Any]]) -> str:
    """A row for each finished run, in the grid's order."""
    names = list(runs[0].values)
    rows = [
        [as_text(run.values[name]) for name in names]
        + [str(run.seed)]
        + [str(done[run.key].get(name, "")) for name in MEASURED]
        + [run.key]
        for run in runs
        if run.key in done
    ]
    return _csv([*names, "seed", *MEASURED, "key"], rows)


def ranking_csv(ranking: Sequence[Setting]) -> str:
    """A row for each setting, best first."""
    names = list(ranking[0].values)
    rows = [
        [as_text(one.values[name]) for name in names]
        + [str(one.mean), str(one.spread), "" if one.loss is None else str(one.loss)]
        + [str(len(one.aucs)), str(one.failed), f"{one.seconds:.1f}"]
        for one in ranking
    ]
    head = ["val_auc_mean", "val_auc_sd", "val_loss_mean", "seeds", "diverged", "seconds"]
    return _csv([*names, *head], rows)


def _csv(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


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
