"""The result of a bundle's last evaluation on held-out videos, kept beside it for its verdicts.

`unmask evaluate BUNDLE ...` writes BUNDLE.evaluation.json. It is no part of the bundle, which stays
as it was trained and whose digest DVC knows; the digest of bundle.json stands in it, so that the
result of another training is never told as this one's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.datasets.manifest import Video
from data.errors import InputError, StoreError
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_json
from models.backbones.fingerprint import BUNDLE_RECORD, file_sha256
from models.evaluation.evaluate import Estimate, Evaluation
from models.training_summary import TrainingSummary

FORMAT, VERSION = "unmask-evaluation", 1


@dataclass(frozen=True, kw_only=True)
class HeldOutResult:
    """What a bundle reached on videos and people that it never saw.

    Attributes:
        split: that was evaluated.
        auc: with its interval.
        confidence: of the interval.
        tested_on: the evaluated videos, in counts.
    """

    split: str
    auc: Estimate
    confidence: float
    tested_on: TrainingSummary


def result_path(bundle: Path) -> Path:
    """Where the result of a bundle is kept."""
    folder = bundle.resolve()
    return folder.with_name(f"{folder.name}.evaluation.json")


def write_result(
    bundle: Path, evaluation: Evaluation, videos: Iterable[Video], *, split: str
) -> Path:
    """Keeps a fair result in place of an earlier one.

    Args:
        bundle: its folder.
        evaluation: of its head.
        videos: that were scored; none of them, and nobody in them, was seen in training.
        split: that they are.

    Raises:
        OutputError: it cannot be written.
    """
    path = result_path(bundle)
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "bundle_sha256": file_sha256(bundle / BUNDLE_RECORD),
        "split": split,
        "auc": asdict(evaluation.metrics["auc"]),
        "confidence": evaluation.confidence,
        "tested_on": TrainingSummary.of(videos).to_json(),
    }
    write_text(path, as_json(facts))
    return path


def read_result(bundle: Path) -> HeldOutResult | None:
    """The result of this very bundle; None where there is none, or none that can be read."""
    try:
        facts: dict[str, Any] = read_json(result_path(bundle), FORMAT, VERSION)
        if facts["bundle_sha256"] != file_sha256(bundle / BUNDLE_RECORD):
            return None
        return HeldOutResult(
            split=str(facts["split"]),
            auc=Estimate(**{name: float(value) for name, value in dict(facts["auc"]).items()}),
            confidence=float(facts["confidence"]),
            tested_on=TrainingSummary.from_json(facts["tested_on"]),
        )
    except (InputError, StoreError, OSError, KeyError, TypeError, ValueError):
        return None  # a verdict can do without; it then says that there is none
