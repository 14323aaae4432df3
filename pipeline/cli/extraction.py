"""The command that turns videos into features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    ParamsOption,
    RootOption,
    SetOption,
    StoreOption,
    WorkersOption,
    command,
    load_params,
)

commands = typer.Typer()


@command(commands, panel="Features")
def extract(
    source: Annotated[Path, typer.Argument(help="A manifest, a folder of videos, or one video.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of features to write.")],
    root: RootOption = None,
    backbone: Annotated[
        str | None, typer.Option(help="Name or path of the backbone; default: backbone.name.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Take frames and backbone from this bundle.")
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    max_failures: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of videos that may fail; default in params."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(help="Of the backbone: auto, tensorflow, openvino; default in params."),
    ] = None,
    workers: WorkersOption = None,
    engine: Annotated[str, typer.Option(help="local, or ray: a cluster's machines.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of the Ray cluster; default: this machine alone."),
    ] = None,
) -> None:
    """Turn videos into ResNet50 embedding sequences; what the store has is not made again.

    Example: unmask extract manifest.csv --root videos -o embeddings
    """
    from pipeline.extraction.extract import extract_features

    chosen = [f"extract.runtime={runtime}"] if runtime else []
    extract_features(
        source,
        out,
        root=root,
        backbone=backbone,
        bundle=bundle,
        params=load_params(params, [*(set_ or []), *chosen]),
        store=store,
        max_failures=max_failures,
        workers=workers,
        engine=engine,
        address=address,
    )
