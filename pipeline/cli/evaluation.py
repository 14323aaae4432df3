"""Commands that measure what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.options import (
    JsonOption,
    ParamsOption,
    RootOption,
    SetOption,
    WorkersOption,
    command,
    load_params,
)

commands = typer.Typer()


@command(commands, panel="Evaluation")
def evaluate(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE FEATURES", help="A bundle and its features; with --on: BUNDLE..."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Report folder to write.")],
    manifest: Annotated[
        Path | None, typer.Option("--manifest", metavar="FILE", help="The manifest of FEATURES.")
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="[NAME=]FEATURES:MANIFEST",
            help="A data set to test on; repeat it for a cross-data-set matrix.",
        ),
    ] = None,
    root: RootOption = None,
    split: Annotated[str, typer.Option(help="Split: test, val, train or all.")] = "test",
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Evaluate on seen people too; marks the report.")
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure bundles on videos and people that they never saw; write metrics, plots, report.html.

    Example: unmask evaluate bundle embeddings --manifest manifest.csv -o report

    Example: unmask evaluate a b --on a-features:a.csv --on b-features:b.csv -o matrix
    """
    from data.errors import ConfigError
    from data.io.atomic_folders import check_replaceable
    from pipeline.cli.evaluation_output import show_matrix, show_report
    from pipeline.evaluation.bundle_test_result import keep_result
    from pipeline.evaluation.evaluate import evaluate_bundle
    from pipeline.evaluation.matrix import MATRIX, evaluate_matrix
    from pipeline.evaluation.results import METRICS
    from pipeline.reporting.folders import write_matrix, write_report

    settings = load_params(params, set_)
    if on:
        if manifest is not None or root is not None:
            raise ConfigError(
                "--on names features and manifest together, and looks at no video: "
                "leave --manifest and --root out"
            )
        check_replaceable(out, marker=MATRIX)
        matrix = evaluate_matrix(
            sources, on=on, split=split, allow_seen=allow_seen, params=settings
        )
        write_matrix(matrix, out)
        if json_:
            console.show_json(matrix.to_json())
        else:
            show_matrix(matrix, out)
        return
    if manifest is None or len(sources) != 2:
        raise ConfigError(
            "evaluate takes BUNDLE FEATURES --manifest FILE, or BUNDLE... --on FEATURES:MANIFEST"
        )
    bundle, features = sources
    check_replaceable(out, marker=METRICS)
    report = evaluate_bundle(
        bundle,
        features,
        manifest=manifest,
        root=root,
        split=split,
        allow_seen=allow_seen,
        params=settings,
    )
    write_report(report, out)
    keep_result(bundle, report)
    if json_:
        console.show_json(report.metrics)
    else:
        show_report(report, out)


@command(commands, panel="Evaluation")
def robustness(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `train` wrote.")],
    manifest: Annotated[Path, typer.Argument(help="The manifest that `index` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of results to write.")],
    root: RootOption = None,
    split: Annotated[str, typer.Option(help="Split: test, val, train or all.")] = "test",
    rungs: Annotated[
        list[str] | None,
        typer.Option("--rungs", metavar="NAME,...", help="Only these; see docs/evaluation.md."),
    ] = None,
    store: Annotated[
        Path, typer.Option(help="Where finished features are kept for every later run.")
    ] = Path(".unmask/store"),
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep the degraded copies made now in a folder.")
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Measure on seen people too; marks the report.")
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    json_: JsonOption = False,
) -> None:
    """Degrade the test videos step by step and measure what is left of the AUC.

    Example: unmask robustness bundle manifest.csv --root videos -o robustness
    """
    from pipeline.cli.evaluation_output import show_robustness
    from pipeline.evaluation.robustness import measure_robustness
    from pipeline.reporting.folders import write_robustness

    found = measure_robustness(
        bundle,
        manifest,
        out,
        root=root,
        split=split,
        corruptions=rungs or (),
        store=store,
        keep=keep,
        allow_seen=allow_seen,
        params=load_params(params, set_),
        workers=workers,
        write=write_robustness,
    )
    if json_:
        console.show_json(found.to_json())
    else:
        show_robustness(found, out)


@command(commands, panel="Evaluation")
def results(
    reports: Annotated[Path, typer.Argument(help="Folder of reports that `evaluate` wrote.")],
    json_: JsonOption = False,
) -> None:
    """Show the results of several reports side by side, and where their pages are.

    Example: unmask results artifacts/reports
    """
    from data.errors import StoreError
    from pipeline.cli.evaluation_output import show_reports
    from pipeline.evaluation.results import read_reports

    found = read_reports(reports)
    if json_:
        console.show_json({report.name: report.metrics for report in found})
        return
    if not any(report.models for report in found):
        raise StoreError(f"the reports in {reports} measure no model; evaluate again")
    show_reports(found)


@command(commands, panel="Evaluation")
def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="Report that `evaluate` wrote; with --on, a bundle.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, on the same videos.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FEATURES:MANIFEST",
            help="Score two bundles on this data set; once more for features of B's backbone.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="lstm, mean, ... of A and B; default: the first of each.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(help="B's model, where it is not the same as A's.")
    ] = None,
    split: Annotated[str, typer.Option(help="With --on: train, val, test or all.")] = "test",
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="With --on: score what was seen in training, too.")
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Test whether two models differ: AUC by DeLong's test, and by a bootstrap of groups.

    Example: unmask compare reports/frozen reports/finetuned

    Example: unmask compare bundle-a bundle-b --on embeddings:manifest.csv
    """
    from data.errors import ConfigError
    from pipeline.cli.evaluation_output import show_comparison
    from pipeline.config import is_given
    from pipeline.evaluation.compare import compare_bundles, compare_reports

    settings = load_params(params, set_)
    if on:
        found = compare_bundles(
            a,
            b,
            on=on,
            model=model,
            other=other,
            split=split,
            allow_seen=allow_seen,
            params=settings,
        )
    elif split != "test" or allow_seen:
        raise ConfigError(
            "--split and --allow-seen are for bundles, which are scored now: add --on "
            "FEATURES:MANIFEST; a report has the videos that it has"
        )
    else:
        level_given = is_given(params, set_ or [], "evaluate.confidence")
        found = compare_reports(
            a, b, model=model, other=other, params=settings, level_given=level_given
        )
    if json_:
        console.show_json(found.to_json())
    else:
        show_comparison(found)
