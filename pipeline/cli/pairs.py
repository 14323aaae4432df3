"""Commands that compare two versions of one scene."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.console import show, show_json
from pipeline.cli.options import BundleArgument, JsonOption, ManifestArgument, RootOption, command

if TYPE_CHECKING:
    from models.bundle import Bundle
    from pipeline.inference.verdict import Verdict
    from pipeline.pairs.result import NotCompared, PairResult, Side

commands = typer.Typer()

OTHER_SCENE = 13
"""Exit code of `pair` where the two videos do not show one scene."""


@command(commands, panel="Verdicts", codes=(13,))
def pair(
    a: Annotated[Path, typer.Argument(metavar="A", help="A video.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another version of it.")],
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="BUNDLE",
            help="Bundle: says P(fake) of each alone; `fit-pairs` teaches it your own pairs.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE", help="Page to write.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Compare two versions of a video: one scene or not, alike or not, and which is forged.

    Example: unmask pair earlier.mp4 viral.mp4 --report pair.html
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


@command(commands, panel="Training")
def fit_pairs(
    bundle: BundleArgument,
    manifest: ManifestArgument,
    root: RootOption = None,
) -> None:
    """Measure on your own fakes and their originals how sure `pair --bundle` may be.

    Example: unmask fit-pairs bundle manifest.csv
    """
    from pipeline.pairs.fit import fit_bundle_pairs

    done = fit_bundle_pairs(bundle, manifest, root=root)
    show(
        f"{done.file}: fitted to {done.pairs} pairs, {len(done.left_out)} left out",
        f"{done.right:.0%} of the pairs were ordered rightly, {done.right_copies:.0%} of those of "
        "which one side was encoded anew",
        f"likelihood ratio: {done.origin}",
    )


def pair_lines(result: PairResult) -> list[str]:
    """The answer, what it stands on, and what the bundle says of each video."""
    from models.evaluation.likelihood_ratio import ratio_in_words
    from pipeline.pairs.result import lost_in_words

    headline = {
        "other scene": "NOT ONE SCENE",
        "alike": "ALIKE",
        "different": "DIFFERENT"
        if result.forged is None
        else f"DIFFERENT, {result.forged} IS MORE LIKELY FORGED",
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
        if result.lost_detail is not None:
            lines.append(f"  {lost_in_words(result.lost_detail)}")
        lines.append(f"  {result.origin}")
    return [*lines, *(f"  warning: {one}" for one in result.warnings)]


def alone(side: Side) -> str:
    """What the bundle says of one of the two by itself."""
    if side.probability_fake is None:
        return ""
    return f": by itself P(fake) {side.probability_fake:.3f}"


class References:
    """Compares videos with another version of them, for `predict --reference`.

    Args:
        reference: the other version.
        bundle: that judges.
        folder: from which it was loaded.

    Raises:
        MismatchError: the bundle does not read face crops.
        InputError: the reference is missing.
    """

    def __init__(self, reference: Path, bundle: Bundle, folder: Path) -> None:
        from pipeline.pairs.compare import digest_of
        from pipeline.pairs.judge import PairJudge

        digest_of(reference)
        self._reference = reference
        self._folder = folder
        self._judge = PairJudge.of(bundle, folder)
        self._found: dict[str, PairResult | NotCompared] = {}

    def compare(self, name: str, video: Path, page: Path | None) -> list[str]:
        """Compares one video, B, with the reference, A; a page stands beside the verdict's.

        Returns:
            Lines to print.
        """
        from data.io.atomic_files import write_text
        from pipeline.pairs.compare import compare_or_not, pair_command
        from pipeline.pairs.result import NotCompared

        compared = compare_or_not(self._reference, video, judge=self._judge)
        if isinstance(compared, NotCompared):
            self._found[name] = compared
            return [f"  reference: not compared: {compared.failure}: {compared.message}"]
        self._found[name] = compared.result
        lines = [f"  reference: {line}" for line in pair_lines(compared.result)]
        if page is not None:
            from pipeline.reporting.pair_page import render_pair

            beside = page.with_name(f"{page.stem}.reference.html")
            again = pair_command(self._reference, video, bundle=self._folder, report=beside)
            write_text(beside, render_pair(compared, command=again))
            lines.append(f"  reference page: {beside}")
        return lines

    def with_reference(self, verdict: Verdict) -> dict[str, Any]:
        """A verdict for JSON, with its comparison as `reference`; None where there is none."""
        found = self._found.get(verdict.video)
        return asdict(verdict) | {"reference": None if found is None else asdict(found)}
