"""`unmask case verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import show, show_json
from pipeline.cli.options import JsonOption, command

if TYPE_CHECKING:
    from pipeline.case.verify import CaseCheck

commands = typer.Typer()

CHANGED = 14
"""Exit code of `case verify` where something is not as it was written."""


@commands.callback()
def case() -> None:
    """Check the folders that `unmask predict --case` writes."""


@command(commands, codes=(14,))
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a case.")],
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", metavar="FILE", help="The video that was judged, to compare."),
    ] = None,
    seal: Annotated[
        str | None,
        typer.Option("--seal", metavar="SEAL", help="The seal as it was noted, to compare."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Find whatever was changed, taken away or added since a case was written.

    Example: unmask case verify case --evidence interview.mp4
    """
    from pipeline.case.verify import verify_case

    check = verify_case(folder, evidence=evidence, seal=seal)
    if json_:
        show_json(check, sort_keys=False)
    else:
        show(*check_lines(check))
    if not check.intact:
        raise typer.Exit(CHANGED)


def check_lines(check: CaseCheck) -> list[str]:
    """Each problem, or that there is none; and what was not checked."""
    lines = [f"{one.kind}: {one.path}: {one.why}" for one in check.problems]
    if check.intact:
        by = "nobody named" if check.by is None else check.by
        lines.append(f"{check.folder}: intact: {check.files} files; made by {by}, {check.at}")
    else:
        lines.append(f"{check.folder}: NOT INTACT: {len(check.problems)} found")
    if check.seal is not None:
        noted = "as given" if check.seal_given else "compare it with the one that was noted"
        lines.append(f"  seal {check.seal} ({noted})")
    if check.evidence_sha256 is not None:
        read = "compared" if check.evidence_given else "not compared: give it by --evidence"
        lines.append(f"  evidence {check.evidence_sha256} ({read})")
    lines += [f"  {name} is there; signatures are not checked here" for name in check.signatures]
    return lines
