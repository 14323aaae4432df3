"""`evaluate --scores`: its options, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import console

if TYPE_CHECKING:
    from pipeline.config import Params

PANEL = "Scores of another detector"

ScoresOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--scores",
        metavar="FILE",
        help="CSV or JSON with a score for each video, or each frame; repeatable.",
        rich_help_panel=PANEL,
    ),
]
HigherOption = Annotated[
    str | None,
    typer.Option(
        "--higher-is",
        metavar="real|fake",
        help="Which class has the higher scores; default: fake.",
        rich_help_panel=PANEL,
    ),
]
MissingOption = Annotated[
    str | None,
    typer.Option(
        "--missing",
        metavar="excluded|real|fake|chance",
        help="How videos without a score are counted; default: excluded.",
        rich_help_panel=PANEL,
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="X",
        help="The detector's own threshold; default: chosen on the validation split's scores.",
        rich_help_panel=PANEL,
    ),
]
AggregateOption = Annotated[
    str | None,
    typer.Option(
        "--aggregate",
        metavar="mean|median|max",
        help="How the scores of a video's frames become one; default: mean.",
        rich_help_panel=PANEL,
    ),
]
MatchOption = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="path|name",
        help="By what rows and videos are matched; default: by path, keys by name.",
        rich_help_panel=PANEL,
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="path=NAME,score=NAME",
        help="Columns with unusual names: path, score, frame, label, method, compression.",
        rich_help_panel=PANEL,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="The detector's name in reports.", rich_help_panel=PANEL
    ),
]
TrainedOnOption = Annotated[
    Path | None,
    typer.Option(
        "--trained-on",
        metavar="LIST.csv",
        help="Its training videos or groups: columns path, sha256, group; checked for leaks.",
        rich_help_panel=PANEL,
    ),
]


def evaluate_scores(
    files: Sequence[Path],
    sources: Sequence[Path],
    out: Path,
    *,
    manifest: Path | None,
    root: Path | None,
    split: str,
    allow_seen: bool,
    settings: Params,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """Writes the report and prints its table; `given` are options, None where they were not."""
    from data.errors import ConfigError
    from data.io.atomic_folders import check_replaceable
    from pipeline.cli.evaluations.output import show_report
    from pipeline.evaluation.results import METRICS
    from pipeline.external_detectors.evaluate import evaluate_scores as evaluate
    from pipeline.external_detectors.options import ScoreOptions
    from pipeline.reporting.folders import write_report

    if manifest is None or len(sources) > 1:
        raise ConfigError(
            "with --scores evaluate takes --manifest FILE and no bundle; a feature set of these "
            "videos may stand before it, to show faces"
        )
    options = ScoreOptions.of(**{key: one for key, one in given.items() if one is not None})
    check_replaceable(out, marker=METRICS)
    report = evaluate(
        files,
        manifest=manifest,
        options=options,
        features=sources[0] if sources else None,
        root=root,
        split=split,
        allow_seen=allow_seen,
        params=settings,
    )
    write_report(report, out)
    if as_json:
        console.show_json(report.metrics)
    else:
        show_report(report, out)
