"""Commands that look into folders of features and stores, and keep them in order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import JsonOption, command

commands = typer.Typer()

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show it and change nothing.")]
StoreArgument = Annotated[Path, typer.Argument(help="The store that `extract` fills.")]


@command(commands)
def inspect(
    features: Annotated[Path, typer.Argument(help="Folder of features, or a store.")],
    json_: JsonOption = False,
) -> None:
    """Show what a folder of features holds: recipe, backbone, videos, sizes, versions.

    Example: unmask store inspect embeddings
    """
    from pipeline.upkeep.inspection import inspect_features

    inspect_features(features, as_json=json_)


@command(commands)
def verify(
    features: Annotated[Path, typer.Argument(help="Folder of features, or a store.")],
    json_: JsonOption = False,
) -> None:
    """Read every byte of a folder of features and report all damage; exit 5 if there is any.

    Example: unmask store verify embeddings
    """
    from pipeline.upkeep.inspection import verify_features

    verify_features(features, as_json=json_)


@command(commands)
def repair(
    features: Annotated[Path, typer.Argument(help="Folder of features, or a store.")],
    copies: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Where intact copies may be; default: the store, and all features below here.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Rescue the intact videos of damaged shards and list those to extract again.

    Example: unmask store repair embeddings
    """
    from pipeline.upkeep.upkeep import repair_features

    repair_features(features, copies=copies, dry_run=dry_run, as_json=json_)


@command(commands)
def gc(
    store: StoreArgument = Path(".unmask/store"),
    keep: Annotated[
        list[Path] | None,
        typer.Option(
            "--keep",
            metavar="FEATURES",
            help="A folder of features that stays whole; default: all below the current folder.",
        ),
    ] = None,
    drop_linked: Annotated[
        bool, typer.Option("--drop-linked", help="Also remove what has hard links elsewhere.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    json_: JsonOption = False,
) -> None:
    """Show which shards no folder of features uses, then remove them.

    Example: unmask store gc --dry-run
    """
    from pipeline.upkeep.upkeep import collect_garbage

    collect_garbage(
        store, keep=keep, drop_linked=drop_linked, dry_run=dry_run, yes=yes, as_json=json_
    )


@command(commands)
def compact(
    store: StoreArgument = Path(".unmask/store"),
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Merge the small shards that many small runs left.

    Example: unmask store compact
    """
    from pipeline.upkeep.upkeep import compact_store

    compact_store(store, dry_run=dry_run, as_json=json_)


@command(commands)
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of features.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    most: Annotated[int, typer.Option(min=0, help="How many videos to list.")] = 10,
    json_: JsonOption = False,
) -> None:
    """Compare two folders of features of the same videos: frozen with fine-tuned, say.

    Example: unmask store diff artifacts/features/frozen artifacts/features/finetuned
    """
    from pipeline.upkeep.inspection import diff_features

    diff_features(a, b, most=most, as_json=json_)
