"""README.md of a bundle: the model card of the Hugging Face Hub, with its `model-index`.

`train` writes it into the bundle, and `push` anew, with the result on held-out videos where
`evaluate` kept one. Its facts are those of the pages (`pipeline.evaluation.model_card`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from models.bundle import Bundle
from pipeline.evaluation.bundle_test_result import HeldOutResult
from pipeline.evaluation.model_card import bundle_facts
from pipeline.shell_commands import command_line

TAGS = ["deepfake-detection", "video-forensics", "face-forgery", "unmask"]


def bundle_card(
    bundle: Bundle, *, result: HeldOutResult | None = None, name: str = "BUNDLE"
) -> str:
    """The card; `name` is what a command calls the bundle."""
    measured = [_validation(bundle)]
    if result is not None:
        measured.append(_held_out(result))
    title = " ".join(f"{bundle.head.config.kind} on {bundle.recipe['backbone']}".split())
    facts = {
        "library_name": "unmask",
        "pipeline_tag": "video-classification",
        "tags": TAGS,
        "model-index": [
            {"name": f"unmask {title}", "results": [one for one in measured if one is not None]}
        ],
    }
    rows = "\n".join(f"| {_cell(key)} | {_cell(value)} |" for key, value in _facts(bundle, result))
    return f"""---
{yaml.safe_dump(facts, sort_keys=False, allow_unicode=False, width=1000)}---

# unmask: {_cell(title)}

Tells real face videos from deepfakes: embeddings of face crops, and a head over the sequence.

    {command_line("unmask", "predict", name, "video.mp4")}
    {command_line("unmask", "export", name, "-o", "model.onnx")}

A score is evidence on videos of one lasting face like those of the training; it is no verdict on
its own. Where a video is unlike them, unmask says so and gives none.

| | |
| --- | --- |
{rows}

Weights are in `.safetensors` files; `bundle.json` has the digest of each, the recipe of frames and
features, and the digests and groups of the training videos, by which unmask refuses to test on
them.
"""


def _facts(bundle: Bundle, result: HeldOutResult | None) -> list[tuple[str, str]]:
    rows = [*bundle_facts(bundle).items()]
    if result is not None:
        auc = result.auc
        rows.append(
            (
                f"AUC, {result.split} videos",
                f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}, {result.confidence:.0%})",
            )
        )
    return [*rows, *((f"version, {key}", one) for key, one in (bundle.versions or {}).items())]


def _validation(bundle: Bundle) -> dict[str, Any] | None:
    if not bundle.head.history:
        return None
    return _result("validation", {"roc_auc": bundle.head.best["val_auc"]})


def _held_out(result: HeldOutResult) -> dict[str, Any]:
    auc = result.auc
    return _result(result.split, {"roc_auc": auc.value}, interval=[auc.low, auc.high])


def _result(split: str, values: Mapping[str, float], **more: Any) -> dict[str, Any]:
    """One entry of `results`, of videos that are on no hub."""
    metrics = [
        {"type": key, "name": "AUC", "value": round(float(value), 6)}
        for key, value in values.items()
    ]
    if "interval" in more:
        metrics[0]["args"] = {"interval": [round(float(one), 6) for one in more["interval"]]}
    return {
        "task": {"type": "video-classification", "name": "deepfake detection"},
        "dataset": {"type": "private", "name": f"{split} videos of the manifest", "split": split},
        "metrics": metrics,
    }


def _cell(text: object) -> str:
    """Text from a record in a table of Markdown: one line, no table, link or HTML of its own."""
    line = " ".join(str(text).split())
    for mark in ("\\", "|", "`", "[", "]", "<", "*", "_"):
        line = line.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return line
