"""What a report says: one plain object, written as files for programs and read by the page.

`summary.json` and the CSV files are what DVC shows, `metrics.json` has everything that was
measured; `report.html` is for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.datasets.manifest import LABEL_NAMES
from data.errors import StoreError
from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import replace_folder, write_json
from data.io.reading import read_json, shown
from models.evaluation.calibration import Calibration
from models.evaluation.evaluate import Estimate, Evaluation, level_percent
from pipeline.leakage import MARK

METRICS = "metrics.json"
SUMMARY = "summary.json"

if TYPE_CHECKING:
    from pipeline.evaluation.error_analysis import Mistake

SHOWN = {
    "auc": "AUC",
    "eer": "EER",
    "tpr_at_fpr_1": "TPR at 1 % FPR",
    "tpr_at_fpr_5": "TPR at 5 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "recall_fake": "fakes caught (recall)",
    "recall_real": "reals cleared (recall)",
    "ap": "AP",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
}
"""Metrics in the order in which people see them, with the field's names."""

SUMMARIZED = ("auc", "eer", "balanced_accuracy", "recall_fake", "recall_real", "log_loss")
"""Metrics of the verdict's model by which experiments are compared: columns of `dvc exp show`."""

LEVELLESS = "a report of an earlier version; evaluate again to have it"

NAMES = {"lstm": "LSTM", "mean": "mean-pool baseline"}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One test video and what each model says of it: `scores` by model, P(fake)."""

    path: str
    label: int
    group: str
    method: str
    scores: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model of the report.

    Attributes:
        evaluation: its metrics.
        history: a row per epoch, as `models.heads.training.Trained` has it.
        best_epoch: the epoch whose weights it has.
        stop_reason: why training ended.
        calibration: of its scores.
    """

    evaluation: Evaluation
    history: Sequence[dict[str, float]]
    best_epoch: int
    stop_reason: str
    calibration: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a band of UNSURE scores leaves: shares of all videos, and of those outside of it.

    Attributes:
        unsure: share of the videos that get no verdict.
        right: share of the others that are judged rightly.
    """

    unsure: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Control:
    """A plainer model on the same videos and draws.

    Attributes:
        name: in words.
        evaluation: what it reaches.
        gain: how much higher the report's first model's AUC is.
    """

    name: str
    evaluation: Evaluation
    gain: Estimate


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report shows.

    Attributes:
        title: of the page.
        models: name -> result; the verdict's model first.
        gain: how much higher the first model's AUC is than the second's; None with one model.
        predictions: of every evaluated video.
        split: the split that was evaluated.
        dataset: lines of text about the manifest.
        failures: rows of failures.csv.
        missing: evaluated videos without features.
        cards: heading -> facts, for the cards at the end.
        seen: what of the evaluation was seen in training, in words; empty if nothing.
        marks: what a reader must know of the bundle's own training (`pipeline.leakage.marks_of`).
        rendered: whether the forgeries are rendered, not deepfakes.
        controls: plainer models.
        mistakes: the worst ones, looked into.
    """

    title: str
    models: dict[str, ModelResult]
    gain: Estimate | None
    predictions: Sequence[Prediction]
    split: str
    dataset: Sequence[str]
    failures: Sequence[dict[str, str]]
    missing: Sequence[str]
    cards: dict[str, dict[str, str]]
    seen: str = ""
    marks: Sequence[str] = ()
    rendered: bool = False
    controls: Sequence[Control] = ()
    mistakes: Sequence[Mistake] = ()

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds."""
        facts: dict[str, Any] = {
            name: result.evaluation.to_json() for name, result in self.models.items()
        }
        if self.gain is not None:
            facts["auc_gain"] = {
                "value": self.gain.value,
                "low": self.gain.low,
                "high": self.gain.high,
            }
        facts["controls"] = {
            one.name: {
                **one.evaluation.to_json(),
                "auc_gain": one.gain.value,
                "auc_gain_low": one.gain.low,
                "auc_gain_high": one.gain.high,
            }
            for one in self.controls
        }
        for name, result in self.models.items():
            scores = np.asarray([row.scores[name] for row in self.predictions])
            facts[name]["unsure"] = float(result.calibration.unsure(scores).mean())
        facts["confidence"] = result.evaluation.confidence  # of all intervals above
        facts["split"] = self.split
        facts["seen_in_training"] = self.seen
        if self.marks:
            facts[MARK] = "; ".join(self.marks)
        facts["failed_videos"] = len(self.failures)
        return facts

    @property
    def decided(self) -> Decided | None:
        """Of the first model; None where it has no band, or where no video lies outside of it."""
        name, result = next(iter(self.models.items()))
        scores = np.asarray([row.scores[name] for row in self.predictions])
        truth = np.asarray([row.label for row in self.predictions]) == 1
        sure = ~result.calibration.unsure(scores)
        if result.calibration.unsure_low is None or not sure.any():
            return None
        right = (scores >= result.evaluation.threshold)[sure] == truth[sure]
        return Decided(unsure=float(np.mean(~sure)), right=float(np.mean(right)))

    @property
    def summary(self) -> dict[str, float]:
        """What summary.json holds: a few metrics of the model that gives the verdict."""
        metrics = next(iter(self.models.values())).evaluation.metrics
        return {name: metrics[name].value for name in SUMMARIZED}


def write_report(report: Report, out: Path, page: str) -> None:
    """Writes the report's folder, whole or not at all; an older one is replaced.

    Args:
        report: what to write.
        out: the folder.
        page: the HTML.

    Raises:
        OutputError: it cannot be written.
    """
    first, result = next(iter(report.models.items()))
    evaluation = result.evaluation
    with replace_folder(out, marker=METRICS) as new:
        write_json(new / METRICS, report.metrics)
        write_json(new / SUMMARY, report.summary)
        _write_csv(
            new / "predictions.csv",
            ["path", "label", "group", "method", *report.models],
            (
                [row.path, LABEL_NAMES[row.label], row.group, row.method]
                + [f"{row.scores[name]:.9g}" for name in report.models]
                for row in report.predictions
            ),
        )
        _write_csv(
            new / "roc.csv",
            ["fpr", "tpr", "threshold"],
            zip(*evaluation.roc, strict=True),
        )
        _write_csv(
            new / "confusion.csv",
            ["actual", "predicted"],
            (
                [
                    LABEL_NAMES[row.label],
                    LABEL_NAMES[int(row.scores[first] >= evaluation.threshold)],
                ]
                for row in report.predictions
            ),
        )
        _write_csv(
            new / "histogram.csv",
            ["score", "label"],
            ([f"{row.scores[first]:.6f}", LABEL_NAMES[row.label]] for row in report.predictions),
        )
        columns = list(result.history[0]) if result.history else ["epoch"]
        _write_csv(
            new / "learning_curve.csv",
            columns,
            ([row[column] for column in columns] for row in result.history),
        )
        write_plain(new / "report.html", page)


def _write_csv(path: Path, header: list[str], rows: Iterable[Iterable[Any]]) -> None:
    write_plain(path, as_csv(header, rows))


def read_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """The metrics.json of every report below a folder, by the report's name.

    Raises:
        InputError: one may not be read.
        StoreError: one is damaged.
    """
    paths = sorted(folder.glob(f"*/{METRICS}")) or [folder / METRICS]
    return {path.parent.name: read_report(path) for path in paths if path.exists()}


def read_report(path: Path, *, missing: str = "") -> dict[str, Any]:
    """One metrics.json.

    Args:
        path: of the file.
        missing: the whole message where there is none.

    Raises:
        InputError: it is not there, or may not be read.
        StoreError: it is damaged, or another program's.
    """
    remedy = "evaluate again"
    facts = read_json(path, remedy=remedy, missing=missing, damaged=StoreError)
    if not isinstance(facts, dict):
        raise StoreError(f"{path} is not what `unmask evaluate` writes; {remedy}")
    for name, model in facts.items():
        if not is_model(model):
            continue
        measured = [f"{one}{end}" for one in SHOWN if one in model for end in ("", "_low", "_high")]
        for key in ("videos", "groups", "threshold", *measured):
            value = model.get(key)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise StoreError(f"{path}: {key} of {shown(name)} must be a number; {remedy}")
    return facts


def level_in(facts: dict[str, Any]) -> float | None:
    """The level of a model's intervals; None where it was not recorded, or cannot be one."""
    level = facts.get("confidence")
    return float(level) if isinstance(level, int | float) and 0 < level < 1 else None


def headings(reports: dict[str, dict[str, Any]]) -> list[str]:
    """How many videos, and of which level the intervals are; a line for each kind of report.

    A report of an earlier unmask does not tell its level, which could be set then, too.
    """
    kinds: dict[str, list[str]] = {}
    for name, metrics in reports.items():
        for facts in [one for one in metrics.values() if is_model(one)][:1]:
            level = level_in(facts)
            words = (
                f"intervals in brackets, their level is not recorded ({LEVELLESS})"
                if level is None
                else f"{level_percent(level)} % intervals in brackets"
            )
            told = f"{facts['videos']} videos of {facts['groups']} groups, {words}"
            kinds.setdefault(told, []).append(name)
    if len(kinds) == 1:
        return list(kinds)
    return [f"{', '.join(names)}: {told}" for told, names in kinds.items()]


def is_model(facts: Any) -> bool:
    """Whether an entry of metrics.json is a model's."""
    return isinstance(facts, dict) and "auc_low" in facts


def table(reports: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of text: a column for each model of each report, a row for each metric."""
    columns = [
        (report, model, metrics[model])
        for report, metrics in reports.items()
        for model in metrics
        if is_model(metrics[model])
    ]
    heads = [f"{report} {NAMES.get(model, model).split()[0]}" for report, model, _ in columns]
    widths = [max(len(head), 22) for head in heads]
    label = max(len(word) for word in SHOWN.values())
    lines = [" " * label + "".join(f"{h:>{w + 2}}" for h, w in zip(heads, widths, strict=True))]
    for metric, word in SHOWN.items():
        # A report of an earlier unmask lacks what is measured since.
        cells = [interval(facts, metric) if metric in facts else "-" for *_, facts in columns]
        lines.append(
            f"{word:<{label}}"
            + "".join(f"{c:>{w + 2}}" for c, w in zip(cells, widths, strict=True))
        )
    return lines


def interval(facts: dict[str, Any], metric: str) -> str:
    """A metric with its interval: "0.931 (0.85 to 0.99)"."""
    return f"{facts[metric]:.3f} ({facts[f'{metric}_low']:.2f} to {facts[f'{metric}_high']:.2f})"
