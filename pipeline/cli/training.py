"""Commands that make backbones and train heads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    AllowSeenOption,
    ManifestOption,
    ParamsOption,
    RootOption,
    SetOption,
    StoreOption,
    WorkersOption,
    command,
    load_params,
)

commands = typer.Typer()


@command(commands, panel="Training")
def backbone(
    name: Annotated[
        str, typer.Argument(help="resnet50-imagenet, resnet50-thin, resnet50-random or a path.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the weights to.")],
    params: ParamsOption = None,
    set_: SetOption = None,
) -> None:
    """Write a backbone's weights to a folder, fetching them once where they must be fetched.

    Example: unmask backbone resnet50-imagenet -o weights/imagenet
    """
    from pipeline.training import stages

    stages.export_backbone(name, out, params=load_params(params, set_))


@command(commands, panel="Training")
def finetune(
    manifest: Annotated[Path, typer.Argument(help="The manifest that `index` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the weights to.")],
    root: RootOption = None,
    backbone: Annotated[
        str | None, typer.Option(help="Name or path of the backbone to start from.")
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    allow_seen: AllowSeenOption = False,
    workers: WorkersOption = None,
) -> None:
    """Fine-tune the backbone's last blocks on the training split's frames.

    Example: unmask finetune manifest.csv --root videos -o weights/finetuned
    """
    from pipeline.training import stages

    stages.finetune_backbone(
        manifest,
        out,
        root=root,
        backbone=backbone,
        params=load_params(params, set_),
        store=store,
        workers=workers,
        allow_seen=allow_seen,
    )


@command(commands, panel="Training")
def train(
    features: Annotated[Path, typer.Argument(help="Folder of features that `extract` wrote.")],
    manifest: ManifestOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="Bundle folder to write.")],
    params: ParamsOption = None,
    set_: SetOption = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write curves for TensorBoard there, too.")
    ] = None,
    allow_seen: AllowSeenOption = False,
) -> None:
    """Train the LSTM head, and its mean-pool baseline, on cached features.

    Example: unmask train embeddings --manifest manifest.csv -o bundle --set head.units=64
    """
    from pipeline.training import stages

    stages.train_bundle(
        features,
        out,
        manifest=manifest,
        params=load_params(params, set_),
        tensorboard=tensorboard,
        allow_seen=allow_seen,
    )
