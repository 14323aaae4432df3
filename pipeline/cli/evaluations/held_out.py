"""`evaluate --hold-out`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import console

if TYPE_CHECKING:
    from pipeline.config import Params


def evaluate_held_out(
    features: Path,
    out: Path,
    *,
    manifest: Path,
    by: str,
    allow_seen: bool,
    settings: Params,
    as_json: bool,
) -> None:
    """Writes the report and prints its tables."""
    from data.io.atomic_folders import check_replaceable
    from pipeline.cli.evaluations.output import show_held_out
    from pipeline.hold_out.hold_out import evaluate_held_out_methods
    from pipeline.hold_out.result import HOLD_OUT
    from pipeline.reporting.folders import write_held_out

    check_replaceable(out, marker=HOLD_OUT)
    found = evaluate_held_out_methods(
        features, manifest=manifest, by=by, allow_seen=allow_seen, params=settings
    )
    write_held_out(found, out)
    if as_json:
        console.show_json(found.to_json())
    else:
        show_held_out(found, out)
