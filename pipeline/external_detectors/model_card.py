"""The model card of another detector: what its files and its evaluation tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.datasets.manifest import Video
from models.backbones.fingerprint import file_sha256
from models.evaluation.evaluate import level_percent
from pipeline.evaluation.model_card import data_facts
from pipeline.external_detectors.options import ScoreOptions
from pipeline.score_files.records import ExternalScores
from pipeline.shell_commands import command_line

if TYPE_CHECKING:
    from pipeline.config import Params


def make_card(
    external: ExternalScores,
    facts: Mapping[str, str],
    options: ScoreOptions,
    *,
    files: Sequence[Path],
    features: Path | None,
    manifest: Path,
    root: Path | None,
    videos: Sequence[Video],
    split: str,
    allow_seen: bool,
    params: Params,
) -> dict[str, dict[str, str]]:
    """Heading -> facts; paths as they were given, `facts` are those that the files tell."""
    return {
        "Detector": {
            "name": external.detector,
            **facts,
            "training": external.trained_on,
        },
        "Scores": {
            **{f"sha256 of {path.name}": file_sha256(path) for path in files},
            "format": ", ".join(external.kinds),
            "higher is": f"{external.higher}; {external.orientation or 'as in the file'}",
            "scores of frames": external.aggregation or "none",
            "videos with a score": str(external.coverage),
            "videos without": external.missing_words or "none",
            "threshold": external.threshold_rule,
            "P(fake)": external.probabilities,
        },
        "Data": {
            "split": split,
            **data_facts(videos),
            "manifest's sha256": file_sha256(manifest),
        },
        "Again": {
            "this report": command_line(
                *("unmask", "evaluate"),
                *(() if features is None else (features,)),
                *(word for path in files for word in ("--scores", path)),
                *("--manifest", manifest),
                *(() if root is None else ("--root", root)),
                *("--split", split, *options.words(external.detector)),
                *(("--allow-seen",) if allow_seen else ()),
                *("--set", f"evaluate.rounds={params.evaluate.rounds}"),
                *("--set", f"evaluate.confidence={params.evaluate.confidence}"),
                *("--set", f"seed={params.seed}", "-o", "REPORT"),
            ),
            "intervals": f"{level_percent(params.evaluate.confidence)} %, by "
            f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
        },
    }
