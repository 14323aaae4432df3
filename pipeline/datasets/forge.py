"""`unmask forge`: a data set out of real videos alone, and what to say about it."""

from __future__ import annotations

import os
from pathlib import Path

from data.datasets.digests import DigestCache
from data.errors import InputError, TooManyFailuresError, plain
from data.self_blending.dataset import forge
from data.video.failures import reason_of
from features.store.feature_set import write_failures
from pipeline.config import Params
from pipeline.extraction.inputs import DIGESTS, failure_row, refuse_without_decoder
from pipeline.machine import cores
from pipeline.shell_commands import command_line


def forge_videos(
    reals: Path, out: Path, *, root: Path | None, params: Params, workers: int | None
) -> None:
    """Writes copies and forgeries of the real videos, and what failed beside them.

    Raises:
        InputError: no real video, or the folder holds anything else.
        TooManyFailuresError: more failed than forge.max_failures allows; the rest is kept.
        ToolError: there is no decoder for any of the videos.
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
    write_failures(
        out / "failures.csv", [failure_row(name, error) for name, error in summary.failures]
    )
    methods = ", ".join(f"{name} {count}" for name, count in sorted(summary.methods.items()))
    print(
        f"{out}: {summary.reals} real copies, {summary.pairs} self-made forgeries"
        f"{f' ({methods})' if methods else ''}; {summary.made} videos made now, "
        f"{summary.removed} removed, {len(summary.failures)} failed"
    )
    passed = [f"{summary.fakes} fakes"] if summary.fakes else []
    passed += [f"{summary.repeated} repeated files"] if summary.repeated else []
    if passed:
        print(f"passed over: {', '.join(passed)}")
    for name, error in summary.failures[:10]:
        print(plain(f"failed: {name}: {error.failure}: {reason_of(error)}"))
    if len(summary.failures) > 10:
        print(plain(f"failed: {len(summary.failures)} in all, see {out / 'failures.csv'}"))
    failed = len(summary.failures)
    if failed == summary.sources:
        refuse_without_decoder([(error.failure, str(error)) for _, error in summary.failures])
    if failed > params.forge.max_failures * summary.sources or not summary.pairs:
        raise TooManyFailuresError(
            f"{failed} of {summary.sources} videos failed, more than forge.max_failures "
            f"({params.forge.max_failures:g}) allows; see {out / 'failures.csv'}"
        )
    print(plain(f"look at {out / 'sheet.png'}"))
    print(f"next: {command_line('unmask', 'index', out)}")
