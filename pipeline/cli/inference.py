"""Commands that judge new videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import PARTLY_FAILED, JsonOption, WorkersOption, command

commands = typer.Typer()


@command(commands, panel="Verdicts")
def predict(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `train` wrote.")],
    videos: Annotated[list[Path], typer.Argument(help="Videos, or folders of them.")],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="PAGE_OR_DIR", help="Write a page for each video."),
    ] = None,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Say for each video and face: REAL, FAKE or UNSURE, how probable, from how many frames.

    Example: unmask predict bundle interview.mp4 --report interview.html
    """
    from pipeline.inference.predict import predict_videos

    if predict_videos(bundle, videos, as_json=json_, workers=workers, report=report):
        raise typer.Exit(PARTLY_FAILED)


@command(commands, panel="Verdicts")
def scan(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `train` wrote.")],
    folder: Annotated[Path, typer.Argument(help="Folder of videos, however many and deep.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder to write; a scan goes on in it.")
    ],
    store: Annotated[
        Path, typer.Option(help="Where finished features are kept for every later run.")
    ] = Path(".unmask/store"),
    retry: Annotated[
        bool, typer.Option("--retry", help="Try videos again that failed in an earlier run.")
    ] = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Score a folder of thousands of videos, ranked; a scan that was ended goes on.

    Example: unmask scan bundle archive -o scan
    """
    from pipeline.inference.scan import scan_folder

    failed = scan_folder(
        bundle, folder, out, store=store, retry=retry, as_json=json_, workers=workers
    )
    if failed:
        raise typer.Exit(PARTLY_FAILED)
