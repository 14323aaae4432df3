"""`unmask sweep`: trains heads with many settings and seeds, and ranks them by validation.

The test split is never read: who picks a model by it has no test left. Files: `search.results`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.datasets.manifest import Manifest
from data.io.atomic_files import write_text
from data.io.progress import progress
from features.store.feature_set import Features
from models.heads.split_checks import check_splits
from pipeline.leakage import refuse_seen_validation
from pipeline.machine import cores
from pipeline.search.plan import as_text, make_plan
from pipeline.search.ranking import Setting, best_yaml, rank, ranking_csv, results_csv
from pipeline.search.results import STUDY, begin, check_sweep, locked
from pipeline.search.runs import load_data, trainer, workers_for
from pipeline.shell_commands import command_line

TRIALS = 20
"""Settings that TPE draws where the user does not say how many; the first ten are random."""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """A sweep that has ended."""

    out: Path  # its folder
    runs: int  # with a result, those of earlier commands included
    trained_now: int  # how many of them this command trained
    workers: int  # processes that trained
    seeds: int  # of each setting
    ranking: tuple[Setting, ...]  # settings, best first
    # mean validation AUC of each setting in the order of the search; None where it was pruned
    history: tuple[float | None, ...]
    # key -> how much it decides whether a setting is among the best quarter, 1 in all; {} where
    # there are too few settings
    importances: dict[str, float]
    next: str  # the command that trains the best one
    seen_in_validation: str  # which validation people trained the backbone; "" for none


def sweep(
    features: Path,
    out: Path,
    *,
    manifest: Path,
    grid: Sequence[str],
    sampler: str = "grid",
    trials: int | None = None,
    prune: bool = False,
    seeds: int,
    params: Path | None,
    overrides: Sequence[str],
    workers: int | None,
    allow_seen: bool = False,
) -> SweepResult:
    """Trains what is not trained yet and writes the ranking.

    Args:
        features: the feature set.
        out: the sweep's folder, new or to go on with.
        manifest: whose training split is learnt from and whose validation split ranks.
        grid: what is varied, as `pipeline.search.plan.make_plan` takes it.
        sampler: "grid" or "tpe".
        trials: settings that "tpe" draws, together with those of earlier commands.
        prune: end a setting whose first seed is below the median of the others.
        seeds: runs of each setting.
        params: a params.yaml, or None.
        overrides: "key=value" for all runs.
        workers: processes; None for as many as there are cores and memory.
        allow_seen: go on where the backbone was trained on validation people.

    Raises:
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
        ConfigError: the grid does not fit.
        DatasetError: the training or validation split cannot serve.
        OutputError: `out` cannot be written, or holds something else.
        LockedError: another sweep is writing to `out`.
    """
    check_sweep(out)
    rows, provenance = Manifest.read(manifest), Features(features).provenance
    seen = refuse_seen_validation(provenance, rows, allow_seen=allow_seen, result="ranking")
    data = load_data(features, manifest)
    check_splits(data.train.labels, data.val.labels)
    sha256s = {*data.train.sha256s, *data.val.sha256s}
    videos = [
        video
        for video in rows.videos
        if video.split in ("train", "val") and video.sha256 in sha256s
    ]
    plan = make_plan(
        grid,
        sampler=sampler,
        trials=trials,
        seeds=seeds,
        params=params,
        overrides=overrides,
        features=features,
        videos=videos,
    )
    combinations = plan.grid() if sampler == "grid" else None
    begin(out)
    from pipeline.search.schedule import Schedule
    from pipeline.search.study import Study

    with locked(out):
        study = Study(out / STUDY, plan, grid=combinations, prune=prune)
        schedule = Schedule(
            out,
            study,
            settings=len(combinations) if combinations else trials or TRIALS,
            seeds=seeds,
            prune=prune,
            expected=(combinations or {}).values(),
        )
        count = min(workers or workers_for(schedule.missing, cores()), max(1, schedule.missing))
        threads = max(1, cores() // count)
        show = schedule.missing > 0
        try:
            with (
                progress(desc="sweep", total=schedule.missing, unit="run", show=show) as bar,
                trainer(features, manifest, data, workers=count, threads=threads) as train,
            ):
                for _ in schedule.run(train, count):
                    bar.update()
        finally:
            names = [axis.key for axis in plan.axes]
            tried = list(combinations.values()) if combinations else schedule.candidates
            write_text(out / "results.csv", results_csv(names, tried, schedule.done))
        ranking = rank(tried, schedule.done)
        write_text(out / "ranking.csv", ranking_csv(ranking, prune=prune))
        write_text(out / "best.yaml", best_yaml(ranking[0]))
        best = [f"{key}={as_text(value)}" for key, value in ranking[0].values.items()]
        following = command_line(
            *("unmask", "train", features, "--manifest", manifest),
            *(("--params", params) if params else ()),
            *(word for text in (*overrides, *best) for word in ("--set", text)),
            *(("--allow-seen",) if seen else ()),
            *("-o", "bundle"),
        )
        return SweepResult(
            out=out,
            runs=sum(run.key in schedule.done for one in tried for run in one.runs),
            trained_now=schedule.trained,
            workers=count,
            seeds=seeds,
            ranking=tuple(ranking),
            history=study.history(),
            importances=study.importances(),
            next=following,
            seen_in_validation=seen,
        )
