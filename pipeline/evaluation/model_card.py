"""The cards of a report: model and data, recipe, digests, versions, how to do it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.datasets.manifest import Manifest, Video
from features.store.feature_set import Features
from models.backbones.fingerprint import file_sha256
from models.bundle import Bundle, BundledHead
from models.evaluation.calibration import THRESHOLD_LEVEL
from models.evaluation.evaluate import level_percent
from pipeline.config import Params
from pipeline.leakage import marks_of
from pipeline.shell_commands import command_line

LISTED = 300
"""Names of groups that a card lists; of more it says how many there are."""


def cards(
    bundle: Path,
    features: Path,
    manifest: Path,
    opened: Bundle,
    stored: Features,
    rows: Manifest,
    split: str,
    params: Params,
    *,
    root: Path | None = None,
    allow_seen: bool = False,
) -> dict[str, dict[str, str]]:
    """Heading -> facts.

    Args:
        bundle: the bundle's folder.
        features: the folder of features.
        manifest: the manifest's file.
        opened: the bundle.
        stored: the features.
        rows: the manifest.
        split: that is evaluated.
        params: of the evaluation.
        root: of the videos, as it was given.
        allow_seen: whether the leak guard was told to let seen videos pass.
    """
    recipe = dict(opened.recipe)
    frames = recipe.pop("frames", {})
    trained = recipe.pop("pixels_version", 1)
    videos = rows.split(split)
    return {
        "Model": {
            "head": f"{opened.head.config.kind}, {opened.head.config.units} units, dropout "
            f"{opened.head.config.dropout:g}",
            "threshold": f"{opened.head.threshold:.6f}",
            **calibrated(opened.head),
            "bundle.json, sha256": file_sha256(bundle / "bundle.json"),
            "made for": "evidence on videos of one lasting face; not for verdicts on its own",
        },
        "Seen in training": seen_in_training(opened),
        "Features": {
            **{str(key).replace("_", " "): str(value) for key, value in recipe.items()},
            **{f"frames.{key}": str(value) for key, value in frames.items()},
            "pixels version": f"{stored.recipe.pixels_version}"
            + (f"; the bundle's: {trained}" if trained != stored.recipe.pixels_version else ""),
            "recipe's sha256": stored.recipe.digest,
        },
        "Data": {
            "split": split,
            **data_facts(videos),
            "manifest's sha256": file_sha256(manifest),
        },
        "Again": {
            **({"this bundle": opened.command} if opened.command else {}),
            **again(bundle, features, manifest, split, params, root=root, allow_seen=allow_seen),
            "intervals": f"{level_percent(params.evaluate.confidence)} %, by "
            f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
        },
        "Versions in training": dict(opened.versions or {}),
    }


def again(
    bundle: Path,
    features: Path,
    manifest: Path,
    split: str,
    params: Params,
    *,
    root: Path | None,
    allow_seen: bool,
) -> dict[str, str]:
    """What to type for this report again, and for what goes on from it."""
    rooted = () if root is None else ("--root", root)
    settings = {
        "evaluate.rounds": params.evaluate.rounds,
        "evaluate.confidence": params.evaluate.confidence,
        "seed": params.seed,
    }
    other = (
        command_line("unmask", "extract", "OTHER.csv", "--bundle", bundle, "-o", "OTHER"),
        command_line("unmask", "evaluate", bundle, "--on", "OTHER:OTHER.csv", "-o", "MATRIX"),
    )
    return {
        "this report": command_line(
            *("unmask", "evaluate", bundle, features, "--manifest", manifest, *rooted),
            *("--split", split, *(("--allow-seen",) if allow_seen else ())),
            *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
            *("-o", "REPORT"),
        ),
        "another data set": " && ".join(other),
        "degraded videos": command_line(
            *("unmask", "robustness", bundle, manifest, *rooted, "-o", "LADDER")
        ),
        "a video": command_line("unmask", "predict", bundle, "VIDEO"),
    }


def data_facts(videos: Sequence[Video]) -> dict[str, str]:
    """What these videos are, counted."""
    methods = Counter(video.method for video in videos if video.label)
    codecs = Counter(video.codec for video in videos)
    compressions = Counter(video.compression for video in videos if video.compression)
    sizes = sorted({(video.width * video.height, video.width, video.height) for video in videos})
    seconds = [video.duration_seconds for video in videos]
    facts = {
        "videos": f"{sum(not v.label for v in videos)} real, {sum(v.label for v in videos)} fake",
        "methods": counted(methods),
        "length": f"{min(seconds):.1f} to {max(seconds):.1f} s, {sum(seconds) / 60:.1f} min in all",
        "size": " to ".join(f"{w} x {h}" for _, w, h in dict.fromkeys((sizes[0], sizes[-1]))),
        "codecs": counted(codecs),
        "groups": listed({video.group for video in videos}),
    }
    if compressions:
        facts["compressions"] = counted(compressions)
    return facts


def seen_in_training(opened: Bundle) -> dict[str, str]:
    """Videos and groups that head and backbone were trained on, by name."""
    facts = {}
    for what, parts in (("head", opened.trained_on),
                        ("backbone", opened.provenance.get("trained_on", {}))):  # fmt: skip
        for name, part in parts.items():
            facts[f"{what}, {name}"] = told(part)
    return facts | warned(opened)


def warned(opened: Bundle) -> dict[str, str]:
    """The marks of a training with --allow-seen; nothing for others."""
    marks = marks_of(opened)
    return {"mind": "; ".join(marks)} if marks else {}


def told(part: Mapping[str, Sequence[str]]) -> str:
    """How many videos, and which groups."""
    return f"{len(part.get('sha256s', ()))} videos; groups {listed(part.get('groups', ()))}"


def how_many(part: Mapping[str, Sequence[str]]) -> str:
    """How many videos and groups."""
    return f"{len(part.get('sha256s', ()))} videos of {len(part.get('groups', ()))} groups"


def listed(names: Iterable[str]) -> str:
    """Names, as many as a card can bear, and how many there are."""
    held = sorted(set(names))
    more = f", and {len(held) - LISTED} more" if len(held) > LISTED else ""
    return f"{len(held)}: {', '.join(held[:LISTED])}{more}" if held else "0"


def counted(counts: Counter[str]) -> str:
    """Names with their counts."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """What judges videos, for the cards of verdicts and scans."""
    head = bundle.head
    return {
        "head": f"{head.config.kind}, {head.config.units} units",
        "backbone": f"{bundle.recipe['backbone']} ({bundle.recipe['backbone_digest'][:12]})",
        "threshold": f"{head.threshold:.6f}",
        **calibrated(head),
        **{f"head, {name}": how_many(part) for name, part in bundle.trained_on.items()},
        **warned(bundle),
    }


def calibrated(head: BundledHead) -> dict[str, Any]:
    """How scores become verdicts."""
    told = head.calibration
    facts = {"threshold chosen by": told.rule, "calibration": told.method}
    if told.method == "temperature":
        facts["temperature"] = f"{told.temperature:.3f}"
    if told.threshold_low is not None and told.threshold_high is not None:
        facts[f"threshold's {level_percent(THRESHOLD_LEVEL)} % interval"] = (
            f"{told.threshold_low:.3f} to {told.threshold_high:.3f}"
        )
    if told.unsure_low is not None and told.unsure_high is not None:
        facts["unsure"] = f"{told.unsure_low:.3f} to {told.unsure_high:.3f}"
    return facts
