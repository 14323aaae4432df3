"""Commands that compare two versions of one scene."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import show, show_json
from pipeline.cli.options import JsonOption, command

if TYPE_CHECKING:
    from pipeline.pairs.result import PairResult, Side

commands = typer.Typer()

OTHER_SCENE = 13
"""Exit code of `pair` where the two videos do not show one scene."""


@command(commands, panel="Verdicts")
def pair(
    a: Annotated[Path, typer.Argument(metavar="A", help="A video.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another version of it.")],
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="BUNDLE",
            help="Bundle that `fit-pairs` fitted: says which of the two is forged.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE", help="Page to write.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Compare two versions of a video: one scene or not, alike or not, and which is forged.

    Example: unmask pair earlier.mp4 viral.mp4 --bundle bundle --report pair.html
    """
    from data.io.atomic_files import write_text
    from data.io.output_paths import check_output
    from pipeline.pairs.compare import compare_videos, pair_command
    from pipeline.pairs.judge import PairJudge

    if report is not None:
        check_output(report)
    judge = None if bundle is None else PairJudge.load(bundle)
    comparison = compare_videos(a, b, judge=judge)
    result = comparison.result
    if report is not None:
        from pipeline.reporting.pair_page import render_pair

        again = pair_command(a, b, bundle=bundle, report=report)
        write_text(report, render_pair(comparison, command=again))
    if json_:
        show_json(asdict(result), sort_keys=False)
    else:
        show(*pair_lines(result), *([] if report is None else [f"page: {report}"]))
    if result.answer == "other scene":
        raise typer.Exit(OTHER_SCENE)


def pair_lines(result: PairResult) -> list[str]:
    """The answer, what it stands on, and what the bundle says of each video."""
    from models.evaluation.likelihood_ratio import ratio_in_words

    headline = {
        "other scene": "NOT ONE SCENE",
        "alike": "ALIKE",
        "different": "DIFFERENT" if result.forged is None else f"{result.forged} IS FORGED",
    }[result.answer]
    lines = [
        f"A {result.a.video}{alone(result.a)}",
        f"B {result.b.video}{alone(result.b)}",
        f"{headline}: {result.reason}",
    ]
    place = result.geometry
    if place is not None:
        lines.append(
            f"  B's clock is {place.lag_seconds:+.2f} s from A's, {place.common_seconds:.1f} s in "
            f"common; B has {place.scale:.2f} times A's pixels{', mirrored' * place.mirrored}; "
            f"{place.inliers} points agree, movement {place.movement:.2f}"
        )
    if result.answer == "different":
        if result.likelihood is not None:
            low, high = result.log10_lr_low or 0.0, result.log10_lr_high or 0.0
            lines.append(
                f"  {result.likelihood} (interval of the ratio A to B: {ratio_in_words(low)} to "
                f"{ratio_in_words(high)})"
            )
        lines.append(f"  {result.origin}")
    return [*lines, *(f"  {note}" for note in result.notes)]


def alone(side: Side) -> str:
    """What the bundle says of one of the two by itself."""
    if side.probability_fake is None:
        return ""
    return f": by itself P(fake) {side.probability_fake:.3f}"
