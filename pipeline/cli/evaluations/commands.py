"""Commands that measure what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import console
from pipeline.cli.evaluations import scores as external
from pipeline.cli.evaluations.held_out import evaluate_held_out
from pipeline.cli.help import completion
from pipeline.cli.options import (
    BundleArgument,
    JsonOption,
    ManifestArgument,
    ParamsOption,
    RootOption,
    SetOption,
    StoreOption,
    WorkersOption,
    command,
    load_params,
)

commands = typer.Typer()

ReportOption = Annotated[
    Path, typer.Option("-o", "--out", metavar="DIR", help="Report folder to write.")
]
SplitOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Split to measure: test, val, train or all.",
        autocompletion=completion.splits,
    ),
]
MeasureSeenOption = Annotated[
    bool,
    typer.Option("--allow-seen", help="Measure on people seen in training, too; marks the report."),
]


@command(commands, panel="Evaluation")
def evaluate(
    out: ReportOption,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BUNDLE FEATURES",
            help="A bundle and its feature set; with --on, bundles alone; with --hold-out, a "
            "feature set alone; with --scores, nothing, or a feature set to show faces.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest", metavar="FILE", help="Manifest that FEATURES was extracted from."
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="[NAME=]FEATURES:MANIFEST",
            help="Feature set and manifest of a data set to test on; repeatable.",
        ),
    ] = None,
    hold_out: Annotated[
        str | None,
        typer.Option(
            "--hold-out",
            metavar="method",
            help="Train heads anew without each forgery method and part of the people, and test "
            "them on these.",
        ),
    ] = None,
    root: RootOption = None,
    split: SplitOption = "test",
    allow_seen: MeasureSeenOption = False,
    scores: external.ScoresOption = None,
    higher_is: external.HigherOption = None,
    missing: external.MissingOption = None,
    threshold: external.ThresholdOption = None,
    aggregate: external.AggregateOption = None,
    match: external.MatchOption = None,
    columns: external.ColumnsOption = None,
    name: external.NameOption = None,
    trained_on: external.TrainedOnOption = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure bundles on people that they never saw; write metrics and a page.

    Example: unmask evaluate bundle embeddings --manifest manifest.csv -o report

    Example: unmask evaluate a b --on emb-a:a.csv --on emb-b:b.csv -o matrix

    Example: unmask evaluate embeddings --manifest manifest.csv --hold-out method -o out

    Example: unmask evaluate --scores scores.csv --manifest manifest.csv -o report
    """
    from data.errors import ConfigError
    from data.io.atomic_folders import check_replaceable
    from pipeline.cli.evaluations.output import show_matrix, show_report
    from pipeline.evaluation.bundle_test_result import keep_result
    from pipeline.evaluation.evaluate import evaluate_bundle
    from pipeline.evaluation.matrix import MATRIX, evaluate_matrix
    from pipeline.evaluation.results import METRICS
    from pipeline.reporting.folders import write_matrix, write_report

    settings = load_params(params, set_)
    sources = sources or []
    given = {
        "higher": higher_is, "missing": missing, "threshold": threshold, "aggregate": aggregate,
        "match": match, "columns": columns, "name": name, "trained_on": trained_on,
    }  # fmt: skip
    if scores:
        if on or hold_out is not None:
            raise ConfigError("--scores stands alone: leave --on and --hold-out out")
        external.evaluate_scores(
            scores, sources, out, manifest=manifest, root=root, split=split,
            allow_seen=allow_seen, settings=settings, as_json=json_, given=given,
        )  # fmt: skip
        return
    if any(one is not None for one in given.values()):
        raise ConfigError(
            "--higher-is, --missing, --threshold, --aggregate, --match, --columns, --name and "
            "--trained-on are for --scores FILE"
        )
    if hold_out is not None:
        if manifest is None or len(sources) != 1 or on or root is not None or split != "test":
            raise ConfigError(
                "with --hold-out evaluate takes FEATURES --manifest FILE and divides all videos "
                "itself: leave bundles, --on, --root and --split out"
            )
        evaluate_held_out(
            sources[0],
            out,
            manifest=manifest,
            by=hold_out,
            allow_seen=allow_seen,
            settings=settings,
            as_json=json_,
        )
        return
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
            "evaluate takes BUNDLE FEATURES --manifest FILE, BUNDLE... --on FEATURES:MANIFEST, or "
            "--scores FILE --manifest FILE"
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
    bundle: BundleArgument,
    manifest: ManifestArgument,
    out: ReportOption,
    root: RootOption = None,
    split: SplitOption = "test",
    rungs: Annotated[
        list[str] | None,
        typer.Option(
            "--rungs",
            metavar="NAME,...",
            help="Only these corruptions; docs/evaluation.md lists them.",
        ),
    ] = None,
    store: StoreOption = Path(".unmask/store"),
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep the corrupted copies made now in a folder."
        ),
    ] = None,
    allow_seen: MeasureSeenOption = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    json_: JsonOption = False,
) -> None:
    """Corrupt the test videos (compression, blur, noise, ...) and measure the AUC.

    Example: unmask robustness bundle manifest.csv --root videos -o robustness
    """
    from pipeline.cli.evaluations.output import show_robustness
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
    reports: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with reports that `evaluate` wrote.")
    ],
    json_: JsonOption = False,
) -> None:
    """Print the results of several reports side by side, and the paths of their pages.

    Example: unmask results artifacts/reports
    """
    from data.errors import StoreError
    from pipeline.cli.evaluations.output import show_reports
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
        Path,
        typer.Argument(
            metavar="A", help="Report that `evaluate` wrote; with --on, a bundle or a report."
        ),
    ],
    b: Annotated[
        Path,
        typer.Argument(metavar="B", help="Report or bundle to compare with, on the same videos."),
    ],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FEATURES:MANIFEST",
            help="Score bundles on this feature set; repeat for another backbone of B.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model of A and B: lstm, mean, ...; default: the first."),
    ] = None,
    other: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model of B; default: the same as of A.")
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="With --on: test, val, train or all.")
    ] = "test",
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="With --on: measure on people seen in training, too."),
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Test whether the AUC of two models differs: DeLong's test, bootstrap by group.

    Example: unmask compare reports/frozen reports/finetuned

    Example: unmask compare bundle-a bundle-b --on embeddings:manifest.csv

    Example: unmask compare report-of-another-detector bundle --on embeddings:manifest.csv
    """
    from data.errors import ConfigError
    from pipeline.cli.evaluations.output import show_comparison
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
