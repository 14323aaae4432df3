"""`unmask forge`: makes a data set of real videos alone: copies and self-blended forgeries."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from data.datasets.digests import DigestCache
from data.errors import InputError, TooManyFailuresError
from data.self_blending.dataset import ForgeSummary, forge
from features.store.feature_set import write_failures
from pipeline.config import Params
from pipeline.extraction.inputs import DIGESTS, failure_row, refuse_without_decoder
from pipeline.machine import cores
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class ForgedVideos:
    """A data set that was forged."""

    summary: ForgeSummary  # what is in the folder
    failures: Path  # the CSV of videos that failed
    max_failures: float  # share of the videos that may fail
    next: str  # the command to go on with


def forge_videos(
    reals: Path, out: Path, *, root: Path | None, params: Params, workers: int | None
) -> ForgedVideos:
    """Writes copies and forgeries of the real videos, and what failed beside them.

    Args:
        reals: folder of real videos, or a manifest, of which only the real videos are taken.
        out: new, empty or an earlier one to go on with.
        root: folder of the manifest's videos; None for its own.
        params: all parameters.
        workers: processes; None for the number of cores.

    Raises:
        InputError: no real video, or the folder holds anything else.
    """
    if os.path.realpath(out) == os.path.realpath(reals.parent if reals.is_file() else reals):
        raise InputError(f"{out} holds the real videos; write the forgeries to another folder")
    summary = forge(
        reals,
        out,
        params.forge,
        root=root,
        workers=workers or cores(),
        digests=DigestCache(DIGESTS),
    )
    failures = out / "failures.csv"
    write_failures(failures, [failure_row(name, error) for name, error in summary.failures])
    return ForgedVideos(
        summary=summary,
        failures=failures,
        max_failures=params.forge.max_failures,
        next=command_line("unmask", "index", out),
    )


def refuse_failures(forged: ForgedVideos) -> None:
    """Fails a run in which too many videos failed; what succeeded is kept.

    Raises:
        TooManyFailuresError: more failed than forge.max_failures allows, or nothing was forged.
        ToolError: there is no decoder for any of the videos.
    """
    summary = forged.summary
    failed = len(summary.failures)
    if failed == summary.sources:
        refuse_without_decoder([(error.failure, str(error)) for _, error in summary.failures])
    if failed > forged.max_failures * summary.sources or not summary.pairs:
        raise TooManyFailuresError(
            f"{failed} of {summary.sources} videos failed, more than forge.max_failures "
            f"({forged.max_failures:g}) allows; see {forged.failures}"
        )
