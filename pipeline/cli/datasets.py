"""Commands that make, index and check data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import console
from pipeline.cli.console import show
from pipeline.cli.help import completion
from pipeline.cli.options import (
    ImagesOption,
    JsonOption,
    ManifestArgument,
    ParamsOption,
    RootOption,
    SetOption,
    WorkersOption,
    command,
    load_params,
)

if TYPE_CHECKING:
    from data.datasets.manifest import SplitCounts
    from data.errors import VideoError

commands = typer.Typer()

MOST = 10
"""Failed videos that are listed; the CSV has all."""


@command(commands, panel="Data sets")
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write: new, empty or an earlier demo.")
    ],
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Render the demo data set: H.264 videos of made-up people, half of them forged.

    Example: unmask demo artifacts/demo
    """
    from pipeline.datasets.demo import render_demo

    done = render_demo(folder, params=load_params(params, set_), workers=workers)
    found = done.summary
    show(
        f"{folder}: {found.videos} videos, {found.rendered} rendered now, "
        f"{found.size_bytes / 1e6:.1f} MB; rendered forgeries: {counts(found.methods)}",
        f"next: {done.next}",
    )


@command(commands, panel="Data sets")
def forge(
    reals: Annotated[
        Path,
        typer.Argument(
            metavar="REAL_DIR", help="Folder of real videos, or a manifest that `index` wrote."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write: new, empty or an earlier forge.")
    ],
    root: RootOption = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Make self-made forgeries of real videos, each with a real copy, to train on.

    Example: unmask forge reals forged --set forge.copies=2
    """
    from pipeline.datasets.forge import forge_videos, refuse_failures

    done = forge_videos(reals, out, root=root, params=load_params(params, set_), workers=workers)
    found = done.summary
    methods = f" ({counts(found.methods)})" if found.methods else ""
    show(
        f"{out}: {found.reals} real copies, {found.pairs} self-made forgeries{methods}; "
        f"{found.made} videos made now, {found.removed} removed, {len(found.failures)} failed"
    )
    show_passed_over({"fakes": found.fakes, "repeated files": found.repeated})
    show_failures(found.failures, done.failures)
    refuse_failures(done)
    show(f"look at {out / 'sheet.png'}", f"next: {done.next}")


@command(commands, panel="Data sets")
def index(
    root: Annotated[
        Path,
        typer.Argument(metavar="ROOT", help="Folder with real/ and fake/, a data set, or a CSV."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Manifest to write; default: ROOT/manifest.csv."
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Layout of ROOT, see docs/datasets.md; auto detects it.",
            autocompletion=completion.layouts,
        ),
    ] = "auto",
    compression: Annotated[
        list[str] | None,
        typer.Option(
            "--compression", metavar="C23,...", help="Only these compressions of FaceForensics++."
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", metavar="NAME,...", help="Only fakes of these methods."),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates", help="Group near-duplicates, too; decodes 8 frames of each video."
        ),
    ] = False,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            metavar="names|stem",
            help="stem: file names that differ by a number alone (ann_0, ann_1) are one person.",
        ),
    ] = "names",
    images: ImagesOption = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Write a manifest of the videos in ROOT: label, group and split of each.

    Example: unmask index videos -o manifest.csv
    """
    from pipeline.datasets.index import index_videos

    done = index_videos(
        root,
        out,
        layout=layout,
        compression=compression or (),
        methods=methods or (),
        near_duplicates=near_duplicates,
        group_by=group_by,
        images=images,
        params=load_params(params, set_),
        workers=workers,
    )
    found = done.result
    show(f"labels from {found.source}")
    show_split_counts(found.manifest.counts())
    forms = {"folders of frames": found.frames, "single images": found.images}
    if any(forms.values()):
        show(f"of these: {', '.join(f'{count} {what}' for what, count in forms.items() if count)}")
    show_passed_over({
        "files that are no videos": found.not_videos,
        "single images (--images takes them)": found.left_images,
        "folders of frames whose video is there": found.copies,
        "videos without a label": len(found.unlabelled),
    })  # fmt: skip
    if found.missing:
        show(f"missing: {found.missing}")
    show_failures([(one.path, one.error) for one in found.failures], done.failures)
    show(f"next: {done.next}")


@command(commands, panel="Data sets")
def audit(
    manifest: ManifestArgument,
    root: RootOption = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="HTML page to write.")
    ] = None,
    no_hashes: Annotated[
        bool, typer.Option("--no-hashes", help="Decode no video; finds no near-duplicates.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 10 if something is in two splits.")
    ] = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Look for leaks: people or near-duplicates in two splits, metadata that gives labels away.

    Example: unmask audit manifest.csv --root videos -o audit.html
    """
    from data.datasets.manifest import Manifest
    from data.errors import LeakError
    from data.io.atomic_files import write_text
    from data.io.output_paths import check_output
    from pipeline.cli.evaluations.output import show_audit
    from pipeline.datasets.audit import audit as audit_manifest
    from pipeline.machine import cores
    from pipeline.reporting.audit_page import render_audit

    if out is not None:
        check_output(out)
    found = audit_manifest(
        Manifest.read(manifest, root=root), hashes=not no_hashes, workers=workers or cores()
    )
    if out is not None:
        write_text(out, render_audit(found, str(manifest)))
    if json_:
        console.show_json(found)
    else:
        show_audit(found, out)
    if strict and found.straddling:
        raise LeakError(
            f"{len(found.straddling)} people, originals or videos of {manifest} are in two splits; "
            "index anew with groups that name them"
        )


def counts(methods: Mapping[str, int]) -> str:
    """Names with their numbers, as "swap 3, warp 4"."""
    return ", ".join(f"{name} {count}" for name, count in sorted(methods.items()))


def show_split_counts(splits: Sequence[SplitCounts]) -> None:
    """Prints a table of the splits, and the methods of all fakes."""
    show(f"{'split':<7}{'real':>7}{'fake':>7}{'groups':>8}{'minutes':>9}")
    show(
        *(
            f"{one.split:<7}{one.reals:>7}{one.fakes:>7}{one.groups:>8}{one.minutes:>9.1f}"
            for one in splits
        )
    )
    if methods := splits[-1].methods:
        show(f"methods of the fakes: {counts(methods)}")


def show_passed_over(numbers: Mapping[str, int]) -> None:
    """Prints what was not taken, and how many of it; nothing where all numbers are 0."""
    if found := [f"{count} {what}" for what, count in numbers.items() if count]:
        show(f"passed over: {', '.join(found)}")


def show_failures(failures: Sequence[tuple[str, VideoError]], table: Path) -> None:
    """Prints the first videos that failed, and where all of them stand."""
    from data.video.failures import reason_of

    for path, error in failures[:MOST]:
        show(f"failed: {path}: {error.failure}: {reason_of(error)}")
    if len(failures) > MOST:
        show(f"failed: {len(failures)} in all, see {table}")
