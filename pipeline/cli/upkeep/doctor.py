"""The command that looks at the installation and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ToolError
from pipeline.cli.console import show, show_json
from pipeline.cli.options import JsonOption, StoreOption, command

if TYPE_CHECKING:
    from pipeline.doctor.result import Diagnosis

commands = typer.Typer()

MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@command(commands, panel="Installation", codes=(7,))
def doctor(
    store: StoreOption = Path(".unmask/store"),
    test: Annotated[
        bool,
        typer.Option(
            "--test/--no-test", help="Import the packages and run the self-test: seconds."
        ),
    ] = True,
    json_: JsonOption = False,
) -> None:
    """Look at versions, ffmpeg, processor, disks and extras, and test every step to an embedding.

    Each finding that asks for something says what to do. Run it after installing, and add its
    output to a report of a fault.

    Example: unmask doctor

    Example: unmask doctor --json --no-test
    """
    from pipeline.doctor.diagnose import diagnose

    found = diagnose(store=store, test=test)
    if json_:
        show_json(found, sort_keys=False)
    else:
        show(*diagnosis_lines(found))
    if found.problems:
        raise ToolError(
            f"{found.problems} of {len(found.findings)} checks found a problem; each says above "
            "what to do"
        )


def diagnosis_lines(found: Diagnosis) -> list[str]:
    """A heading for each group, a line for each finding, and below it the remedy."""
    lines: list[str] = []
    group = ""
    for one in found.findings:
        if one.group != group:
            group = one.group
            lines.append(group)
        lines.append(f"  {MARKS[one.status]:<8}{one.name}: {one.found}")
        if one.remedy is not None:
            lines.append(f"{'':<10}-> {one.remedy}")
    if not found.problems:
        notes = sum(one.status == "note" for one in found.findings)
        more = f", {notes} {'note' if notes == 1 else 'notes'}" if notes else ""
        tested = "" if found.tested else "; no self-test was run"
        lines.append(f"nothing that unmask needs is missing{more}{tested}")
    return lines
