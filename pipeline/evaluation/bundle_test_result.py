"""The result of a bundle's last evaluation on held-out videos, kept beside it for its verdicts.

`unmask evaluate BUNDLE ...` writes BUNDLE.evaluation.json. It is no part of the bundle, which stays
as it was trained and whose digest DVC knows; the digest of bundle.json stands in it, so that the
result of another training is never shown as this one's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.errors import InputError, OutputError, StoreError
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_versioned_json
from data.io.progress import log
from models.backbones.fingerprint import file_sha256
from models.evaluation.evaluate import Estimate
from models.records import BUNDLE_RECORD
from models.training_summary import TrainingSummary
from pipeline.evaluation.results import Report
from pipeline.evaluation.similar_videos import TestedVideos

FORMAT, VERSION = "unmask-evaluation", 1


@dataclass(frozen=True, kw_only=True)
class HeldOutResult:
    """What a bundle reached on videos and people that it never saw."""

    split: str  # that was evaluated
    auc: Estimate  # with its interval
    confidence: float  # of the interval
    tested_on: TrainingSummary  # the evaluated videos, in counts
    # verdicts on them by what they are like; None for an evaluation by an earlier version
    tested: TestedVideos | None = None


def result_path(bundle: Path) -> Path:
    """Where the result of a bundle is kept."""
    folder = bundle.resolve()
    return folder.with_name(f"{folder.name}.evaluation.json")


def keep_result(bundle: Path, report: Report) -> None:
    """Keeps the result of a fair evaluation in place of an earlier one.

    A result on videos or people seen in training is not kept. One that cannot be written is warned
    of: the report can do without.
    """
    if report.seen or report.tested_on is None:
        return
    evaluation = report.first[1].evaluation
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "bundle_sha256": file_sha256(bundle / BUNDLE_RECORD),
        "split": report.split,
        "auc": asdict(evaluation.metrics["auc"]),
        "confidence": evaluation.confidence,
        "tested_on": asdict(report.tested_on),
        "tested": None if report.tested is None else report.tested.to_json(),
    }
    try:
        write_text(result_path(bundle), as_json(facts))
    except OutputError as error:
        log.warning(f"the verdicts of {bundle} will not name this result: {error}")


def read_result(bundle: Path) -> HeldOutResult | None:
    """The result of this very bundle; None where there is none, or none that can be read."""
    try:
        facts: dict[str, Any] = read_versioned_json(result_path(bundle), FORMAT, VERSION)
        if facts["bundle_sha256"] != file_sha256(bundle / BUNDLE_RECORD):
            return None
        tested = facts.get("tested")
        return HeldOutResult(
            split=str(facts["split"]),
            auc=Estimate(**{name: float(value) for name, value in dict(facts["auc"]).items()}),
            confidence=float(facts["confidence"]),
            tested_on=TrainingSummary.from_json(facts["tested_on"]),
            tested=None if tested is None else TestedVideos.from_json(tested),
        )
    except (InputError, StoreError, OSError, KeyError, TypeError, ValueError):
        return None  # the verdict then says that there is no result
