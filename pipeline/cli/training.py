"""Commands that make backbones and train heads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import show
from pipeline.cli.help import completion
from pipeline.cli.options import (
    AllowSeenOption,
    ManifestArgument,
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

WeightsOption = Annotated[
    Path, typer.Option("-o", "--out", metavar="DIR", help="Folder to write the weights to.")
]


@command(commands, panel="Training")
def backbone(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="resnet50-imagenet, resnet50-thin, resnet50-random or a path.",
            autocompletion=completion.backbones,
        ),
    ],
    out: WeightsOption,
    params: ParamsOption = None,
    set_: SetOption = None,
) -> None:
    """Write a backbone's weights to a folder; ImageNet's are downloaded once.

    Example: unmask backbone resnet50-imagenet -o weights/imagenet
    """
    from pipeline.training.backbone import export_backbone

    done = export_backbone(name, out, params=load_params(params, set_))
    show(f"{done.out}: {done.name}, D = {done.dim}, digest {done.digest[:12]}")


@command(commands, panel="Training")
def finetune(
    manifest: ManifestArgument,
    out: WeightsOption,
    root: RootOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Backbone to start from; default: backbone.name.",
            autocompletion=completion.backbones,
        ),
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    allow_seen: AllowSeenOption = False,
    workers: WorkersOption = None,
) -> None:
    """Fine-tune the last blocks of the backbone on the training split.

    Example: unmask finetune manifest.csv --root videos -o weights/finetuned
    """
    from pipeline.training.finetune import finetune_backbone

    done = finetune_backbone(
        manifest,
        out,
        root=root,
        backbone=backbone,
        params=load_params(params, set_),
        store=store,
        workers=workers,
        allow_seen=allow_seen,
    )
    show(
        f"{done.out}: {done.name}, digest {done.digest[:12]}; validation AUC of frames' mean "
        f"{done.frozen_auc:.3f} frozen, {done.best_auc:.3f} at epoch {done.best_epoch}; "
        f"{done.stop_reason}",
        *(f"failed: {path}: {reason}" for path, reason in done.failures[:10]),
        f"next: {done.next}",
    )


@command(commands, panel="Training")
def quantize(
    manifest: ManifestArgument,
    out: WeightsOption,
    root: RootOption = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Backbone to quantize; default: backbone.name.",
            autocompletion=completion.backbones,
        ),
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    allow_seen: AllowSeenOption = False,
    workers: WorkersOption = None,
) -> None:
    """Quantize a backbone to int8 on frames of the training split; for CPUs with VNNI or AMX.

    Example: unmask quantize manifest.csv --root videos -o weights/int8
    """
    from pipeline.training.quantize import quantize_backbone

    done = quantize_backbone(
        manifest,
        out,
        root=root,
        backbone=backbone,
        params=load_params(params, set_),
        store=store,
        workers=workers,
        allow_seen=allow_seen,
    )
    show(
        f"{done.out}: {done.name}, digest {done.digest[:12]}; scales of {done.frames} frames of "
        f"{done.videos} training videos",
        f"next: {done.next}",
    )


@command(commands, panel="Training")
def train(
    features: Annotated[
        Path, typer.Argument(metavar="FEATURES", help="Feature set that `extract` wrote.")
    ],
    manifest: ManifestOption,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Bundle to write.")],
    params: ParamsOption = None,
    set_: SetOption = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write learning curves for TensorBoard.")
    ] = None,
    allow_seen: AllowSeenOption = False,
) -> None:
    """Train the LSTM head and its mean-pool baseline on cached features.

    Example: unmask train embeddings --manifest manifest.csv -o bundle
    """
    from pipeline.training.train import train_bundle

    done = train_bundle(
        features,
        out,
        manifest=manifest,
        params=load_params(params, set_),
        tensorboard=tensorboard,
        allow_seen=allow_seen,
        process=True,
    )
    for head in done.heads:
        epochs = "" if len(head.history) == 1 else f"{len(head.history)} epochs; "
        show(f"{head.config.kind}: {epochs}{head.stop_reason}, loss {head.best['val_loss']:.4f}")
    show(*(f"left out, no features: {path}" for path in done.missing[:10]), f"next: {done.next}")
