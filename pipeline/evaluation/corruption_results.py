"""What `unmask robustness` found, rung by rung: as files, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import plain
from data.io.atomic_files import as_csv, write_plain
from data.io.atomic_folders import write_json
from data.video.corruptions import Corruption
from data.video.failures import with_reason
from features.store.feature_set import Failure
from models.evaluation.evaluate import Estimate, Evaluation, level_percent
from pipeline.leakage import MARK

MARKER = "robustness.json"
ORIGINAL = Corruption(name="original", family="original", severity=0)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the head is worth on one rung.

    Attributes:
        rung: which.
        evaluation: on the videos that gave features; None where a class has none left.
        drop: how much lower the AUC is than that of the originals of the same videos; None for
            the originals themselves and where there is no evaluation.
        failed: videos that gave no features on this rung.
    """

    rung: Corruption
    evaluation: Evaluation | None
    drop: Estimate | None
    failed: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        facts: dict[str, Any] = {
            "family": self.rung.family,
            "severity": self.rung.severity,
            "crf": self.rung.crf if self.rung is not ORIGINAL else None,
            "failed": self.failed,
        }
        if self.evaluation is not None:
            facts |= self.evaluation.to_json()
        if self.drop is not None:
            facts |= {"auc_drop": self.drop.value, "auc_drop_low": self.drop.low}
            facts["auc_drop_high"] = self.drop.high
        return facts


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """All that `robustness` found.

    Attributes:
        steps: the originals first.
        split: that was measured.
        kind: of the head.
        failures: rung and failure.
        seen: what was seen in training, in words; empty if nothing.
        marks: what a reader must know of the bundle's own training.
        rendered: whether the forgeries are rendered, not deepfakes.
        facts: for the page's card.
    """

    steps: Sequence[Step]
    split: str
    kind: str
    failures: Sequence[tuple[str, Failure]]
    seen: str
    rendered: bool
    facts: dict[str, str]
    marks: Sequence[str] = ()

    @property
    def confidence(self) -> float:
        """Of all intervals."""
        first = self.steps[0].evaluation
        assert first is not None  # noqa: S101 - `climb` refuses originals that cannot be measured
        return first.confidence

    def to_json(self) -> dict[str, Any]:
        """What robustness.json holds."""
        return {
            "rungs": {step.rung.name: step.to_json() for step in self.steps},
            "split": self.split,
            "confidence": self.confidence,
            "seen_in_training": self.seen,
            **({MARK: "; ".join(self.marks)} if self.marks else {}),
        }


COLUMNS = ("auc", "balanced_accuracy", "recall_fake", "recall_real")


def write_ladder(ladder: Ladder, new: Path, page: str) -> None:
    """Writes robustness.json, robustness.csv, failures.csv and report.html into a folder."""
    write_json(new / MARKER, ladder.to_json())
    names = [name + end for name in (*COLUMNS, "auc_drop") for end in ("", "_low", "_high")]
    rows = []
    for step in ladder.steps:
        facts = step.to_json()
        rows.append([step.rung.name, step.rung.family, step.rung.severity,
                     facts.get("videos", 0), step.failed,
                     *(facts.get(name, "") for name in names)])  # fmt: skip
    header = ["rung", "family", "severity", "videos", "failed", *names]
    write_plain(new / "robustness.csv", as_csv(header, rows))
    failed = ((rung, f.path, f.failure, f.message) for rung, f in ladder.failures)
    write_plain(new / "failures.csv", as_csv(["rung", "path", "class", "message"], failed))
    write_plain(new / "report.html", page)


def told(ladder: Ladder) -> list[str]:
    """The ladder as lines of text."""
    head = f"AUC, {level_percent(ladder.confidence)} % interval"
    lines = [f"{'rung':<18}{'videos':>7}{'failed':>7}  {head:<24}"
             f"{'below the originals':<26}{'caught':>8}{'cleared':>9}"]  # fmt: skip
    for step in ladder.steps:
        one = step.evaluation
        if one is None:
            lines.append(f"{step.rung.name:<18}{'':>7}{step.failed:>7}  a class has no video left")
            continue
        auc, drop = one.metrics["auc"], step.drop
        gap = f"{drop.value:+.3f} ({drop.low:+.3f} to {drop.high:+.3f})" if drop else ""
        interval = f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})"
        caught, cleared = (one.metrics[f"recall_{side}"].value for side in ("fake", "real"))
        lines.append(f"{step.rung.name:<18}{one.videos:>7}{step.failed:>7}  {interval:<24}{gap:<26}"
                     f"{caught:>8.1%}{cleared:>9.1%}")  # fmt: skip
    rows = [
        f"failed: {rung}: {f.path}: {f.failure}: {with_reason(f.message, f.stderr_tail)}"
        for rung, f in ladder.failures[:10]
    ]
    rows += [f"warning: {mark}" for mark in ladder.marks]
    return [*lines, *map(plain, rows)]
