"""The command that turns videos into features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import show
from pipeline.cli.help import completion
from pipeline.cli.options import (
    MACHINE,
    ImagesOption,
    ParamsOption,
    RootOption,
    SetOption,
    StoreOption,
    WorkersOption,
    command,
    load_params,
)

if TYPE_CHECKING:
    from pipeline.extraction.extract import Extraction

commands = typer.Typer()

SHOWN = 10
"""Failed videos that are named."""


@command(commands, panel="Features", codes=(9, 11))
def extract(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A manifest, a folder of videos, or one video.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Feature set to write.")],
    root: RootOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Backbone, by name or path; default: backbone.name.",
            autocompletion=completion.backbones,
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Take frame settings and backbone from a bundle."),
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    max_failures: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Videos that may fail, 0 to 1; default: extract.max_failures.",
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, tensorflow or openvino; default: extract.runtime.",
            rich_help_panel=MACHINE,
            autocompletion=completion.runtimes,
        ),
    ] = None,
    workers: WorkersOption = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="local, or ray for a cluster.",
            rich_help_panel=MACHINE,
            autocompletion=completion.engines,
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Address of the Ray cluster; default: RAY_ADDRESS, else this machine.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    images: ImagesOption = False,
) -> None:
    """Turn videos into sequences of ResNet50 embeddings; those in the store are reused.

    Example: unmask extract manifest.csv --root videos -o embeddings
    """
    from pipeline.extraction.extract import extract_features

    chosen = [f"extract.runtime={runtime}"] if runtime else []
    result = extract_features(
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
        images=images,
    )
    show(*extraction_lines(result), f"next: {result.next_command}")
    result.check_failures()


def extraction_lines(result: Extraction) -> list[str]:
    """What was embedded, where the time went, and which videos failed."""
    from data.video.failures import with_reason
    from data.video.picture import resized_note
    from features.extraction.summary import where_time_went

    summary = result.summary
    failures = summary.failures
    failed = ", ".join(f"{name} {count}" for name, count in summary.failed_by_class.items())
    lines = [
        f"{result.out}: {summary.done} videos done, {summary.reused} reused, "
        f"{len(failures)} failed{f' ({failed})' if failed else ''}, "
        f"{result.size_bytes / 1e6:.1f} MB"
        + (f"; {summary.augmented} augmented views made" if summary.augmented else "")
        + (f"; {summary.kept_crops} from cached crops" if summary.kept_crops else "")
    ]
    if summary.frames:
        wall = max(summary.wall_seconds, 1e-9)
        spent = where_time_went(summary, result.workers)
        lines.append(
            f"{summary.frames / wall:.1f} frames/s, {summary.video_seconds / wall:.1f} x real time;"
            f" decoding {spent['decode_seconds']:.1f} s and faces {spent['faces_seconds']:.1f} s "
            f"in {result.workers} threads, backbone {spent['backbone_seconds']:.1f} s, "
            f"writing {spent['write_seconds']:.1f} s; bottleneck: {spent['binding']}"
        )
    if summary.resized:
        lines.append(resized_note(summary.resized))
    for failure in failures[:SHOWN]:
        reason = with_reason(failure.message, failure.stderr_tail)
        lines.append(f"failed: {failure.path}: {failure.failure}: {reason}")
    if len(failures) > SHOWN:
        lines.append(f"failed: {len(failures)} in all, see {result.out / 'failures.csv'}")
    return lines
