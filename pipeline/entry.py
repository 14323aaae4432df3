"""The command `unmask`: Ctrl-C is taken over before anything else is imported."""

from __future__ import annotations

from data.io import interrupts


def main() -> None:
    """Entry point of the command `unmask`."""
    interrupts.install()
    from pipeline.cli.app import main as run

    run()
