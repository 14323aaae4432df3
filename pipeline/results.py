"""What a report says: one plain object, written as files for programs and read by the page.

`summary.json` and the CSV files are what DVC shows, `metrics.json` has everything that was
measured; `report.html` is for people.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.folders import replace_folder, write_json
from data.manifest import LABEL_NAMES
from models.calibration import Calibration
from models.evaluate import Estimate, Evaluation

METRICS = "metrics.json"
SUMMARY = "summary.json"

if TYPE_CHECKING:
    from pipeline.mistakes import Mistake

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
        history: a row per epoch, as `models.train.Trained` has it.
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
        facts["split"] = self.split
        facts["seen_in_training"] = self.seen
        facts["failed_videos"] = len(self.failures)
        return facts

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
        (new / "report.html").write_text(page, encoding="utf-8")


def _write_csv(path: Path, header: list[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """The metrics.json of every report below a folder, by the report's name."""
    found = {}
    for path in sorted(folder.glob(f"*/{METRICS}")) or [folder / METRICS]:
        if path.is_file():
            found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    return found


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
