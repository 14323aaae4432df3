"""The command that serves the local page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import show
from pipeline.cli.options import command

commands = typer.Typer()


@command(commands, panel="Verdicts")
def app(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Folder of the cases; made if missing.")
    ],
    bundle: Annotated[
        Path, typer.Option("--bundle", metavar="BUNDLE", help="Bundle that `train` wrote.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8765,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Videos judged at once.")] = 1,
    memory: Annotated[
        float, typer.Option(min=1, max=1024, help="GiB that judging one video may take.")
    ] = 6.0,
    minutes: Annotated[
        float, typer.Option(min=0.01, max=1440, help="That judging one video may take.")
    ] = 30.0,
    max_upload: Annotated[
        float, typer.Option(min=0.001, max=1024, help="GiB of the largest file.")
    ] = 8.0,
) -> None:
    """Serve a page on this machine alone: drop videos, read verdicts, keep cases. Ctrl-C ends it.

    Example: unmask app --folder cases --bundle bundle
    """
    from data.errors import ToolError
    from pipeline.app.settings import AppSettings

    try:
        from pipeline.app.web.server import serve
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the page needs {error.name}; install it with: pip install 'unmask[app]'"
        ) from error

    def opened(address: str) -> None:
        show(f"open {address}", "  for you alone; Ctrl-C ends it, cases are kept")
        sys.stdout.flush()
        if browser and (sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}):
            import webbrowser

            webbrowser.open(address)

    settings = AppSettings(
        folder=folder.absolute(),
        bundle=bundle.absolute(),
        port=port,
        workers=workers,
        memory_gib=memory,
        minutes=minutes,
        upload_gib=max_upload,
    )
    serve(settings, when_open=opened)
