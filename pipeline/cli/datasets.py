"""Commands that make, index and check data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    JsonOption,
    ParamsOption,
    RootOption,
    SetOption,
    WorkersOption,
    command,
    load_params,
)

commands = typer.Typer()


@command(commands, panel="Data sets")
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to write; new, empty or an older demo.")],
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Render the demo data set: made-up people, real H.264, rendered forgeries.

    Example: unmask demo artifacts/demo
    """
    from pipeline.training import stages

    stages.render_demo(folder, params=load_params(params, set_), workers=workers)


@command(commands, panel="Data sets")
def forge(
    reals: Annotated[
        Path, typer.Argument(metavar="REAL_DIR", help="Folder of real videos, or a manifest.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write; new, empty or an older forge.")],
    root: RootOption = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Make training data from real videos alone: copies and self-made forgeries of them.

    Example: unmask forge reals forged --set forge.copies=2
    """
    from pipeline.datasets.forge import forge_videos

    forge_videos(reals, out, root=root, params=load_params(params, set_), workers=workers)


@command(commands, panel="Data sets")
def index(
    root: Annotated[Path, typer.Argument(help="Folder with real/ and fake/, or a CSV of labels.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Manifest; default ROOT/manifest.csv."),
    ] = None,
    layout: Annotated[
        str, typer.Option(help="Layout of ROOT; auto finds it, docs/datasets.md lists them.")
    ] = "auto",
    compression: Annotated[
        list[str] | None,
        typer.Option("--compression", metavar="C23,...", help="Of FaceForensics++: only these."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", metavar="NAME,...", help="Only fakes of these methods."),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option("--near-duplicates", help="Group look-alikes too; decodes 8 frames of each."),
    ] = False,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            metavar="names|stem",
            help="stem: names that differ by a number alone, as ann_0 and ann_1, are one person.",
        ),
    ] = "names",
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Find, probe, digest, label, group and split the videos below ROOT.

    Example: unmask index videos -o manifest.csv
    """
    from pipeline.training import stages

    stages.index_videos(
        root,
        out,
        layout=layout,
        compression=compression or (),
        methods=methods or (),
        near_duplicates=near_duplicates,
        group_by=group_by,
        params=load_params(params, set_),
        workers=workers,
    )


@command(commands, panel="Data sets")
def audit(
    manifest: Annotated[Path, typer.Argument(help="The manifest that `index` wrote.")],
    root: RootOption = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Page to write, as audit.html.")
    ] = None,
    no_hashes: Annotated[
        bool, typer.Option("--no-hashes", help="Decode nothing: no search for near-duplicates.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 10 where something is in two splits.")
    ] = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Look for leaks: people, originals, near-duplicates in two splits; telling metadata.

    Example: unmask audit manifest.csv --root videos -o audit.html
    """
    from pipeline.evaluation.audit import audit_manifest
    from pipeline.machine import cores

    audit_manifest(
        manifest,
        root=root,
        out=out,
        hashes=not no_hashes,
        strict=strict,
        workers=workers or cores(),
        as_json=json_,
    )
