"""What the commands of this folder and `audit` print, from their result objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.video.failures import with_reason
from features.store.feature_set import SEEN_IN_VALIDATION
from models.evaluation.evaluate import Estimate, level_percent
from pipeline.cli.console import show, show_table
from pipeline.evaluation.corruption_results import CorruptionResults
from pipeline.evaluation.results import (
    LINEAR_ALONE,
    NAMES,
    SHOWN,
    Report,
    StoredReport,
    format_interval,
    level_in,
    name_of_model,
)
from pipeline.score_files.records import Coverage

if TYPE_CHECKING:  # they load scikit-learn, which takes `results` longer than all else
    from pipeline.datasets.audit import Audit
    from pipeline.evaluation.compare import Comparison
    from pipeline.evaluation.matrix import Matrix
    from pipeline.hold_out.result import HoldOutReport

FAILURES = 10
"""Failed copies that are named; failures.csv has all."""


def show_audit(found: Audit, page: Path | None) -> None:
    """Classes, metadata, warnings, and where the page is."""
    show(f"{found.videos} videos in {found.groups} groups", "")
    columns = ("split", "label", "method", "videos", "groups")
    show_table(columns, [[row[name] for name in columns] for row in found.balance])
    level = level_percent(found.level)
    show("", f"how well metadata predict the label (AUC, {level} % interval by groups)")
    show_table(
        ("metadata", "AUC", "interval"),
        [
            (row["what"], f"{row['auc']:.3f}", f"({row['low']:.2f} to {row['high']:.2f})")
            for row in found.metadata
        ],
    )
    if found.outside.aucs:
        show(
            "",
            f"how well pixels outside the face tell fakes from their originals (AUC, "
            f"{found.outside.pairs} pairs)",
        )
        show_table(
            ("judged by", "AUC", "interval"),
            [
                (row["what"], f"{row['auc']:.3f}", f"({row['low']:.2f} to {row['high']:.2f})")
                for row in found.outside.aucs
            ],
        )
    show("", *(f"warning: {line}" for line in found.warnings))
    if not found.warnings:
        show("nothing is in two splits")
    if page is not None:
        show(f"page: {page}")


def show_report(report: Report, out: Path) -> None:
    """The metrics of one report, what to know of it, and where its page is."""
    show_metrics([StoredReport(name=out.name, metrics=report.metrics, page=out)])
    show(*(f"warning: {line}" for line in report.training_leaks))
    if report.external is not None:
        if report.external.missing_words:
            show(f"videos without a score: {report.external.missing_words}")
        show(f"threshold: {report.external.threshold_rule}")
        show(f"P(fake) and likelihood ratios: {report.external.probabilities}")
        show(*(f"warning: {line}" for line in report.external.warnings))
    if faceless := sum(bool(one.reason) for one in report.misclassified):
        show(f"no faces of {faceless} misclassified videos: they are not below --root, or fail")
    show(f"report: {out / 'report.html'}")


def show_reports(reports: Sequence[StoredReport]) -> None:
    """Several reports side by side, what to know of them, and where their pages are."""
    show(*describe_intervals(reports))
    show_metrics(reports)
    for report in reports:
        for key in ("seen_in_training", SEEN_IN_VALIDATION):
            if words := report.metrics.get(key):
                show(f"warning: {report.name}: {words}")
    show(*(f"report: {report.page}" for report in reports))


def show_metrics(reports: Sequence[StoredReport]) -> None:
    """A row for each metric, a column for each model of each report."""
    models = [
        (f"{report.name} {_column_of(name, facts)}", facts)
        for report in reports
        for name, facts in report.models.items()
    ]
    rows = [
        # A report of an earlier version lacks what is measured since.
        [word, *(format_interval(one, key) if key in one else "-" for _, one in models)]
        for key, word in SHOWN.items()
    ]
    covered = ["videos with a score", *(str(Coverage.from_json(one) or "-") for _, one in models)]
    rows.insert(1 + list(SHOWN).index("auc"), covered)
    show_table(["", *(name for name, _ in models)], rows)


def _column_of(kind: str, facts: dict[str, Any]) -> str:
    """The name of a model in a table: the first word, whole where a residual was left out."""
    alone = bool(facts.get(LINEAR_ALONE))
    name = name_of_model(kind, linear_alone=alone)
    return name if alone else name.split()[0]


def describe_intervals(reports: Sequence[StoredReport]) -> list[str]:
    """How many videos, and the level of the intervals; a line for each kind of report.

    A report of an earlier version does not record its level.
    """
    kinds: dict[str, list[str]] = {}
    for report in reports:
        for facts in list(report.models.values())[:1]:
            level = level_in(facts)
            intervals = (
                "intervals in brackets, their level is not recorded (a report of an earlier "
                "version; evaluate again to have it)"
                if level is None
                else f"{level_percent(level)} % intervals in brackets"
            )
            words = f"{facts['videos']} videos of {facts['groups']} groups, {intervals}"
            kinds.setdefault(words, []).append(report.name)
    if len(kinds) == 1:
        return list(kinds)
    return [f"{', '.join(names)}: {words}" for words, names in kinds.items()]


def show_matrix(matrix: Matrix, out: Path) -> None:
    """AUC by bundle and data set, what to know of it, and where the page is."""
    rows = [
        [
            bundle,
            *(
                format_interval(cell.evaluation.to_json(), "auc") + "*" * cell.own
                for cell in (matrix.cells[bundle, name] for name in matrix.datasets)
            ),
        ]
        for bundle in matrix.bundles
    ]
    show_table(["AUC, trained on / tested on", *matrix.datasets], rows)
    show(f"{level_percent(matrix.confidence)} % intervals in brackets")
    cells = matrix.cells.values()
    if any(cell.own for cell in cells):
        show("* trained on other videos of this data set")
    show(*(f"warning: {one.bundle} on {one.dataset}: {one.seen}" for one in cells if one.seen))
    show(*(f"warning: {line}" for line in matrix.training_leaks))
    show(f"report: {out / 'report.html'}")


def show_held_out(report: HoldOutReport, out: Path) -> None:
    """Metrics by detector, AUC by method, what to know of it, and where the page is."""
    from pipeline.hold_out.result import HELD_OUT_SHOWN

    detectors = report.detectors
    show_table(
        ["", *(NAMES.get(one.name, one.name).split()[0] for one in detectors)],
        [
            [
                word,
                *(
                    "-" if one is None else f"{one.value:.3f} ({one.low:.2f} to {one.high:.2f})"
                    for one in (detector.evaluation.metrics.get(name) for detector in detectors)
                ),
            ]
            for name, word in HELD_OUT_SHOWN.items()
        ],
    )
    show("")
    first = detectors[0]
    show_table(
        ("held-out method", "videos", "groups", f"AUC of the {NAMES.get(first.name, first.name)}"),
        [
            (name, one.videos, one.groups, _interval(one.auc))
            for name, one in first.evaluation.methods.items()
        ],
    )
    show(
        f"{len(report.videos)} videos, {len(report.folds)} parts held out, {report.pairs} pairs, "
        f"{level_percent(report.confidence)} % intervals in brackets"
    )
    if report.seen:
        show(f"warning: {report.seen}")
    show(f"report: {out / 'report.html'}")


def show_comparison(found: Comparison) -> None:
    """Both models, how they differ, and whether the bootstrap tells them apart."""
    tested, models = found.delong, {"A": found.a, "B": found.b}
    show(f"A: {found.a.name}, AUC {tested.auc_a:.3f}", f"B: {found.b.name}, AUC {tested.auc_b:.3f}")
    for letter, model in models.items():
        if model.coverage:
            show(f"{letter} has a score for {model.coverage}")
        if model.seen:
            words = model.seen.removeprefix("Not a fair test: ")
            show(f"warning: not a fair test of {letter}: {words}")
        if model.training_leaks:
            show(f"warning: {letter}: {model.training_leaks}")
    if found.a.confidence != found.b.confidence:
        for letter, model in models.items():
            level = model.confidence
            words = "an unrecorded level" if level is None else f"{level_percent(level)} %"
            show(f"the intervals in the report of {letter} are of {words}")
    left = f"; {found.left_out} that only one has are left out" if found.left_out else ""
    show(
        f"{found.videos} videos of {found.groups} groups in both{left}",
        f"A - B, {level_percent(found.confidence)} % intervals in brackets",
    )

    auc = Estimate(value=tested.difference, low=tested.low, high=tested.high)
    rows = [("AUC", f"DeLong's test, p = {tested.p:.3g}", _interval(auc, "+"))]
    rows += [
        (SHOWN[name], "bootstrap of groups", _interval(one, "+"))
        for name, one in found.bootstrap.items()
    ]
    show_table(("metric", "method", "A - B"), rows)
    auc = found.bootstrap["auc"]
    better = "A is better" if auc.low > 0 else "B is better" if auc.high < 0 else ""
    show(better or "no difference is shown: the interval over groups holds 0")


def show_robustness(results: CorruptionResults, out: Path) -> None:
    """A row for each corruption, the first failures, and where the page is."""
    show(f"{results.embedded} copies or videos embedded, {results.reused} reused")
    rows: list[list[Any]] = []
    for step in results.steps:
        if step.evaluation is None:
            words = "a class has no video left"
            rows.append([step.corruption.name, "", step.failed, words, "", "", ""])
            continue
        metrics = step.evaluation.metrics
        rows.append(
            [
                step.corruption.name,
                step.evaluation.videos,
                step.failed,
                _interval(metrics["auc"]),
                _interval(step.drop, "+") if step.drop else "",
                *(f"{metrics[f'recall_{side}'].value:.1%}" for side in ("fake", "real")),
            ]
        )
    level = level_percent(results.confidence)
    columns = ("corruption", "videos", "failed", f"AUC, {level} % interval", "below the originals",
               "caught", "cleared")  # fmt: skip
    show_table(columns, rows)
    for name, one in results.failures[:FAILURES]:
        reason = with_reason(one.message, one.stderr_tail)
        show(f"failed: {name}: {one.path}: {one.failure}: {reason}")
    show(*(f"warning: {line}" for line in results.training_leaks))
    show(f"report: {out / 'report.html'}")


def _interval(estimate: Estimate, sign: str = "") -> str:
    """An estimate with its interval; `sign` "+" shows the sign of all three."""
    value, low, high = estimate.value, estimate.low, estimate.high
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
