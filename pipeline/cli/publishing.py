"""Commands that give a bundle to others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import show, show_json
from pipeline.cli.options import BundleArgument, JsonOption, command
from pipeline.shell_commands import command_line

commands = typer.Typer()


class Kept(StrEnum):
    """What the backbone's kernels are kept as."""

    float32 = "float32"
    float16 = "float16"


@command(commands, panel="Publishing")
def export(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="NAME.onnx to write.")],
    split: Annotated[
        bool, typer.Option("--split", help="Write NAME.backbone.onnx and NAME.head.onnx.")
    ] = False,
    precision: Annotated[
        Kept, typer.Option(help="Of the backbone's weights; float16 halves the file.")
    ] = Kept.float32,
    json_: JsonOption = False,
) -> None:
    """Write a bundle as ONNX: face crops in, P(fake), likelihood ratio and novelty out.

    Example: unmask export bundle -o model.onnx
    """
    from pipeline.publishing.export import export_bundle

    done = export_bundle(bundle, out, split=split, precision=precision.value)
    if json_:
        show_json(done)
        return
    for file in done.files:
        show(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    show(f"takes {', '.join(done.inputs)}; gives {', '.join(done.outputs)}")
    if done.agreement is None:
        show("not compared with unmask: pip install 'unmask[onnx]' brings onnxruntime")
    else:
        differences = ", ".join(
            f"{name} {one:.1e}" for name, one in done.agreement.differences.items()
        )
        show(
            f"compared with unmask in float32 on {done.agreement.sequences} made-up sequences; "
            f"largest differences: {differences}"
        )
    show(*(f"note: {note}" for note in done.notes))


@command(commands, panel="Publishing")
def push(
    bundle: BundleArgument,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hugging Face Hub.")
    ],
    public: Annotated[
        bool, typer.Option("--public", help="A new repository is public; default: private.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Put a bundle on the Hugging Face Hub, with its model card; log in first by `hf auth login`.

    Example: unmask push bundle jane/faces --public
    """
    from pipeline.publishing.push import push_bundle

    done = push_bundle(bundle, repository, public=public)
    if json_:
        show_json(done)
        return
    show(
        f"{done.name}",
        f"note: bundle.json names the {done.people} training groups, by which unmask refuses to "
        "test on them",
        f"next: {command_line('unmask', 'predict', str(done.name), 'VIDEO')}",
    )
