"""`unmask sweep`: trains heads over a grid of parameters and seeds, and ranks them by validation.

    OUT/runs/<key>.json   what a finished run reached; never made again
    OUT/results.csv       a row for each run
    OUT/ranking.csv       a row for each setting: mean and spread over seeds
    OUT/best.yaml         the best setting, as a part of params.yaml
    OUT/sweep.html        the ranking to look at

The test split is never read: who picks a model by it has no test left.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.datasets.manifest import Manifest
from data.errors import InputError, StoreError, plain
from data.io.atomic_files import as_json, make_folder, write_text
from data.io.atomic_folders import check_fillable, read_json
from data.io.reading import BAD_FACTS
from data.io.system_errors import writing
from features.store.feature_set import Features
from models.heads.split_checks import check_splits
from pipeline.leakage import MARK, refuse_seen_validation, warnings_of
from pipeline.machine import cores
from pipeline.reporting.sweep_page import render_sweep
from pipeline.search.plan import Run, as_text, plan_runs
from pipeline.search.ranking import MEASURED, best_yaml, rank, ranking_csv, results_csv, table
from pipeline.search.runs import do_runs, load_data, workers_for
from pipeline.shell_commands import command_line

FORMAT, VERSION = "unmask-sweep", 1
MARKER = "sweep.json"
FILES = (MARKER, "results.csv", "ranking.csv", "best.yaml", "sweep.html")


def sweep(
    features: Path,
    out: Path,
    *,
    manifest: Path,
    grid: Sequence[str],
    seeds: int,
    params: Path | None,
    overrides: Sequence[str],
    workers: int | None,
    as_json: bool,
    allow_seen: bool = False,
) -> None:
    """Trains what is not trained yet, then writes and prints the ranking.

    Raises:
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
        ConfigError: the grid does not fit.
        DatasetError: the training or validation split cannot serve.
        OutputError: `out` cannot be written, or holds something else.
    """
    check_fillable(out, marker=MARKER, files=FILES)
    rows, provenance = Manifest.read(manifest), Features(features).provenance
    seen = refuse_seen_validation(provenance, rows, allow_seen=allow_seen, marks="ranking")
    for line in warnings_of(seen, provenance, rows):
        print(plain(f"warning: {line}"), file=sys.stderr)
    data = load_data(features, manifest)
    check_splits(*(part.labels for part in data))
    sha256s = {sha256 for part in data for sha256 in part.sha256s}
    videos = [
        video
        for video in rows.videos
        if video.split in ("train", "val") and video.sha256 in sha256s
    ]
    runs = plan_runs(
        grid, seeds=seeds, params=params, overrides=overrides, features=features, videos=videos
    )
    done = {run.key: found for run in runs if (found := read_run(out, run)) is not None}
    missing = list({run.key: run for run in runs if run.key not in done}.values())
    begin(out)
    count = min(workers or workers_for(len(missing), cores()), max(1, len(missing)))
    bar = tqdm(total=len(missing), desc="sweep", unit="run", disable=None if missing else True)
    try:
        threads = max(1, cores() // count)
        results = do_runs(missing, features, manifest, workers=count, threads=threads)
        with bar, closing(results):
            for run, result in results:
                write_run(out, run, result)
                done[run.key] = result
                bar.update()
    finally:
        write_text(out / "results.csv", results_csv(runs, done))
    ranking = rank(runs, done)
    best = ranking[0]
    write_text(out / "ranking.csv", ranking_csv(ranking))
    write_text(out / "best.yaml", best_yaml(best))
    chosen = [*overrides, *(f"{key}={as_text(value)}" for key, value in best.values.items())]
    train = command_line(
        *("unmask", "train", features, "--manifest", manifest),
        *(("--params", params) if params else ()),
        *(word for text in chosen for word in ("--set", text)),
        *(("--allow-seen",) if seen else ()),
        *("-o", "bundle"),
    )
    write_text(out / "sweep.html", render_sweep(out.name, ranking, seeds, train, seen))
    if as_json:
        facts = {
            "runs": len(runs),
            "trained_now": len(missing),
            "ranking": [asdict(one) for one in ranking],
            "next": train,
            **({MARK: seen} if seen else {}),
        }
        print(json.dumps(facts, indent=2))
        return
    print(plain(f"{out}: {len(runs)} runs, {len(missing)} trained now in {count} processes"))
    print("\n".join(table(ranking)))
    print("ranked by validation alone; measure the best one once on the test split")
    print(f"next: {train}")


def begin(out: Path) -> None:
    """Makes the folder and says what it is.

    Raises:
        OutputError: it cannot be written, or is of a later version.
    """
    with writing(out):
        make_folder(out / "runs")
    if not (out / MARKER).exists():
        write_text(out / MARKER, as_json({"format": FORMAT, "version": VERSION}))
    read_json(out / MARKER, FORMAT, VERSION)


def read_run(out: Path, run: Run) -> dict[str, Any] | None:
    """What a finished run reached; None where there is none, or a damaged one."""
    try:
        facts = read_json(out / "runs" / f"{run.key}.json", FORMAT, VERSION)
        result = dict(facts["result"])
        if result.get("error"):
            return result
        numbers = [result[name] for name in MEASURED if name != "error"]
        return result if all(isinstance(one, int | float) for one in numbers) else None
    except (InputError, StoreError, *BAD_FACTS):
        return None


def write_run(out: Path, run: Run, result: dict[str, Any]) -> None:
    """Keeps what a run reached; from then on it is not made again."""
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "head": run.head.model_dump(),
        "train": run.train.model_dump(),
        "seed": run.seed,
        "result": result,
    }
    write_text(out / "runs" / f"{run.key}.json", as_json(facts))
