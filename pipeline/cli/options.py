"""Options that several commands share, and how a command is added to the command line."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from data.io.progress import log
from pipeline.cli import console
from pipeline.cli.help import completion, pages

if TYPE_CHECKING:
    from pipeline.config import Params

F = TypeVar("F", bound=Callable[..., None])

PARTLY_FAILED = 12
"""Exit code of `predict` and `scan` where some video gave no verdict."""

PARAMETERS, MACHINE, MESSAGES = "Parameters", "This machine", "What is shown"
"""Headings of groups of options."""

BundleArgument = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE", help="Bundle that `train` wrote, or hub:owner/name[@revision]."
    ),
]
ParamsOption = Annotated[
    Path | None,
    typer.Option(
        "--params",
        metavar="FILE",
        help="Parameter file, or recipe for the published one; default: built-in values.",
        rich_help_panel=PARAMETERS,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one parameter, as head.units=64; repeatable.",
        rich_help_panel=PARAMETERS,
        autocompletion=completion.parameters,
    ),
]
ManifestOption = Annotated[
    Path, typer.Option("--manifest", metavar="FILE", help="The manifest that `index` wrote.")
]
ManifestArgument = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="The manifest that `index` wrote.")
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder of the videos; default: the manifest's."),
]
StoreOption = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="Store of finished features and crops.", rich_help_panel=MACHINE
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Parallel workers; default: one per core.",
        rich_help_panel=MACHINE,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=MESSAGES)
]
ImagesOption = Annotated[
    bool,
    typer.Option(
        "--images",
        help="Take single images in folders, too, as sequences of length one; a folder of numbered "
        "images is a video anyway.",
    ),
]
AllowSeenOption = Annotated[
    bool,
    typer.Option(
        "--allow-seen",
        help="Validate on people that trained the backbone, too; marks the result.",
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Show no progress bars or notes; warnings stay.",
        rich_help_panel=MESSAGES,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Show each video, epoch and ffmpeg command, and the time.",
        rich_help_panel=MESSAGES,
    ),
]


def command(
    group: typer.Typer, *, panel: str | None = None, codes: Sequence[int] = ()
) -> Callable[[F], F]:
    """Adds a function to a group of commands, with `--quiet` and `--verbose` as further options.

    Args:
        group: of the commands.
        panel: heading in `unmask --help` under which it stands.
        codes: exit codes that are this command's own, for its help.
    """

    def add(function: F) -> F:
        @functools.wraps(function)
        def run(*, quiet: bool, verbose: bool, **arguments: Any) -> None:
            console.set_verbosity(quiet=quiet, verbose=verbose)
            clock = time.monotonic()
            function(**{name: from_hub(value) for name, value in arguments.items()})
            log.debug(f"{time.monotonic() - clock:.1f} s")

        own = inspect.signature(function, eval_str=True)
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in (("quiet", QuietOption), ("verbose", VerboseOption))
        ]
        signature = own.replace(parameters=[*own.parameters.values(), *more])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {
            one.name: one.annotation for one in signature.parameters.values()
        } | {"return": None}
        group.command(
            rich_help_panel=panel,
            help=pages.description(function),
            epilog=pages.command_epilog(function, codes),
        )(run)
        return function

    return add


def from_hub(value: Any) -> Any:
    """An argument with names on the Hub replaced by what was downloaded.

    A path is a bundle's, a text a backbone's name.
    """
    if isinstance(value, list | tuple):
        return type(value)(map(from_hub, value))
    if not isinstance(value, str | Path) or not str(value).startswith("hub:"):
        return value
    from pipeline.publishing import hub

    return hub.fetch(value.as_posix()) if isinstance(value, Path) else hub.fetch_backbone(value)


def load_params(params: Path | None, overrides: list[str] | None) -> Params:
    """Reads the parameters of a command: the file, then each `--set`."""
    from pipeline import config

    read = config.load_params(params, overrides or [])
    name = from_hub(read.backbone.name)
    if name == read.backbone.name:
        return read
    return read.model_copy(update={"backbone": read.backbone.model_copy(update={"name": name})})
