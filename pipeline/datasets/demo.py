"""`unmask demo`: renders the demo data set, half of it real, half rendered forgeries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.demo import DemoSummary, write_demo
from pipeline.config import Params
from pipeline.machine import cores
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class RenderedDemo:
    """A demo data set that was rendered."""

    summary: DemoSummary  # what is in the folder
    next: str  # the command to go on with


def render_demo(folder: Path, *, params: Params, workers: int | None) -> RenderedDemo:
    """Renders the demo; `workers` are processes, None for the number of cores."""
    summary = write_demo(folder, params.demo, workers=workers or cores())
    return RenderedDemo(summary=summary, next=command_line("unmask", "index", folder))
