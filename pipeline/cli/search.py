"""The command that searches for good parameters of a head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    AllowSeenOption,
    JsonOption,
    ManifestOption,
    ParamsOption,
    SetOption,
    command,
)

commands = typer.Typer()


@command(commands, panel="Training")
def sweep(
    features: Annotated[Path, typer.Argument(help="Folder of features that `extract` wrote.")],
    manifest: ManifestOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="Sweep folder to write or go on with.")],
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="KEY=A,B", help="Values of one parameter; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each setting.")] = 3,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; default: the cores.")
    ] = None,
    allow_seen: AllowSeenOption = False,
    json_: JsonOption = False,
) -> None:
    """Train heads over a grid of parameters and seeds; rank them by validation alone.

    Example: unmask sweep embeddings --manifest manifest.csv -o sweep --grid head.units=64,128
    """
    from pipeline.search.sweep import sweep as run_sweep

    run_sweep(
        features,
        out,
        manifest=manifest,
        grid=grid or [],
        seeds=seeds,
        params=params,
        overrides=set_ or [],
        workers=workers,
        as_json=json_,
        allow_seen=allow_seen,
    )
