"""The command that searches for good parameters of a head."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import show, show_json, show_table
from pipeline.cli.options import (
    AllowSeenOption,
    JsonOption,
    ManifestOption,
    ParamsOption,
    SetOption,
    command,
)

if TYPE_CHECKING:
    from pipeline.search.sweep import SweepResult

commands = typer.Typer()


class Sampler(StrEnum):
    """How settings are chosen."""

    grid = "grid"
    tpe = "tpe"


@command(commands, panel="Training")
def sweep(
    features: Annotated[
        Path, typer.Argument(metavar="FEATURES", help="Feature set that `extract` wrote.")
    ],
    manifest: ManifestOption,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Sweep folder to write or resume.")
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=A,B",
            help="Values of a parameter; with tpe also LOW..HIGH or LOW..HIGH:log. Repeatable.",
        ),
    ] = None,
    sampler: Annotated[
        Sampler, typer.Option(help="grid: every combination; tpe: chosen by Optuna.")
    ] = Sampler.grid,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Settings that tpe tries; default: 20.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Stop settings early that fall behind the median.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds to train each setting with.")] = 3,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Training processes; default: one per core."),
    ] = None,
    allow_seen: AllowSeenOption = False,
    json_: JsonOption = False,
) -> None:
    """Train heads with many settings and seeds; rank them by validation AUC.

    Example: unmask sweep emb --manifest m.csv -o sweep --grid head.units=64,128
    """
    from data.io.atomic_files import write_text
    from pipeline.reporting.sweep_page import render_sweep
    from pipeline.search.results import PAGE
    from pipeline.search.sweep import sweep as run_sweep

    result = run_sweep(
        features,
        out,
        manifest=manifest,
        grid=grid or [],
        sampler=sampler.value,
        trials=trials,
        prune=prune,
        seeds=seeds,
        params=params,
        overrides=set_ or [],
        workers=workers,
        allow_seen=allow_seen,
    )
    write_text(out / PAGE, render_sweep(result))
    if json_:
        show_json(result)
    else:
        show_sweep(result)


def show_sweep(result: SweepResult) -> None:
    """Prints the ranking and what to do next."""
    show(
        f"{result.out}: {result.runs} runs, {result.trained_now} trained now in "
        f"{result.workers} processes"
    )
    rows = []
    for place, one in enumerate(result.ranking, start=1):
        reached = (
            [
                f"{one.mean:.3f} +- {one.spread:.3f}",
                f"{min(one.aucs):.3f}",
                f"{max(one.aucs):.3f}",
                "" if one.loss is None else f"{one.loss:.4f}",
            ]
            if one.aucs
            else [""] * 4
        )
        ended = {"diverged": one.failed, "pruned": one.pruned}
        notes = ", ".join(f"{count} {what}" for what, count in ended.items() if count)
        rows.append([f"{place}.", one.name, *reached, notes])
    show_table(["", "setting", "val AUC +- sd", "min", "max", "val loss", ""], rows)
    show("ranked by validation alone; measure the best one once on the test split")
    show(f"next: {result.next}")
