"""The command line as a whole: its groups of commands, and errors as exit codes.

Nothing is decided here. Each command hands its arguments to one use case of `pipeline`, which is
imported inside the command, so that `unmask --help` answers without loading TensorFlow.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from data.errors import UnmaskError
from data.io import interrupts
from data.io.interrupts import INTERRUPTED, LINE, command_runs
from data.io.system_errors import as_users_error
from pipeline.cli import (
    app_server,
    datasets,
    extraction,
    inference,
    pairs,
    publishing,
    search,
    training,
)
from pipeline.cli.cases import commands as case
from pipeline.cli.console import complain
from pipeline.cli.evaluations import commands as evaluation
from pipeline.cli.help.pages import main_epilog
from pipeline.cli.upkeep import doctor, store


class Commands(TyperGroup):
    """Maps errors to one line on stderr and the exit code of the table in the README."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with command_runs():
                result = super().invoke(ctx)
                if sys.stdout is not None:  # a full disk behind `>` raises here
                    sys.stdout.flush()
                return result
        except UnmaskError as error:
            complain(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo(LINE, err=True)
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            mistake = as_users_error(error)
            if mistake is None:  # a bug of ours, or a reader of our output that went away
                raise
            complain(mistake)
            raise typer.Exit(mistake.exit_code) from error


app = typer.Typer(
    cls=Commands,
    name="unmask",
    help="Tell real face videos from deepfakes: features cached once, an LSTM trained in seconds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=main_epilog(),
)
for group in (
    datasets,
    extraction,
    training,
    search,
    evaluation,
    inference,
    pairs,
    app_server,
    publishing,
    doctor,
):
    app.add_typer(group.commands)
app.add_typer(
    store.commands,
    name="store",
    cls=Commands,
    no_args_is_help=True,
    help="Inspect, check and repair feature sets and stores; remove what is unused.",
    rich_help_panel="Features",
)
app.add_typer(
    case.commands,
    name="case",
    cls=Commands,
    no_args_is_help=True,
    help="Check the folders that `predict --case` writes.",
    rich_help_panel="Verdicts",
)


def version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"unmask {installed('unmask')}")
        raise typer.Exit


@app.callback()
def unmask(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keep log lines of TensorFlow off the terminal.

    A path that is no UTF-8 is printed with escapes, as stderr does, and ends nothing.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def main() -> None:
    """Runs the command line; `pipeline.entry` calls it."""
    interrupts.install()
    try:
        app(prog_name="unmask")
    finally:
        interrupts.end()


if __name__ == "__main__":
    main()
