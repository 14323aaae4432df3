"""The model card of a report: model and data, recipe, digests, versions, how to do it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.datasets.manifest import Video
from features.store.key import Recipe
from models.backbones.fingerprint import file_sha256
from models.bundle import Bundle, BundledHead
from models.configs import HeadConfig
from models.evaluation.calibration import THRESHOLD_LEVEL
from models.evaluation.evaluate import level_percent
from models.records import BUNDLE_RECORD
from pipeline.leakage import trained_on, training_leaks
from pipeline.shell_commands import command_line

if TYPE_CHECKING:
    from pipeline.config import Params

LISTED = 300
"""Most names of groups in a list; of more it says how many there are."""


def make_model_card(
    bundle: Path,
    features: Path,
    manifest: Path,
    *,
    opened: Bundle,
    recipe: Recipe,
    videos: Sequence[Video],
    split: str,
    params: Params,
    root: Path | None,
    allow_seen: bool,
) -> dict[str, dict[str, str]]:
    """Heading -> facts.

    `bundle`, `features`, `manifest`, `root` are paths as they were given, `opened` is the bundle,
    `recipe` that of the features, `videos` are those of the split.
    """
    own = dict(opened.recipe)
    frames = own.pop("frames", {})
    pixels = own.pop("pixels_version", 1)
    config = opened.head.config
    return {
        "Model": {
            "head": f"{_head_in_words(config)}, dropout {config.dropout:g}",
            "threshold": f"{opened.head.threshold:.6f}",
            **_calibration_facts(opened.head),
            **_evidence_facts(opened),
            "bundle.json, sha256": file_sha256(bundle / BUNDLE_RECORD),
            "made for": "evidence on videos of one lasting face; not for verdicts on its own",
        },
        "Seen in training": {
            f"{network}, {name}": f"{len(part.get('sha256s', ()))} videos; groups "
            f"{list_names(part.get('groups', ()))}"
            for network, parts in trained_on(opened).items()
            for name, part in parts.items()
        }
        | _leak_facts(opened),
        "Features": {
            **{str(key).replace("_", " "): str(value) for key, value in own.items()},
            **{f"frames.{key}": str(value) for key, value in frames.items()},
            "pixels version": f"{recipe.pixels_version}"
            + (f"; the bundle's: {pixels}" if pixels != recipe.pixels_version else ""),
            "recipe's sha256": recipe.digest,
        },
        "Data": {
            "split": split,
            **data_facts(videos),
            "manifest's sha256": file_sha256(manifest),
        },
        "Again": {
            **({"this bundle": opened.command} if opened.command else {}),
            **report_commands(
                bundle, features, manifest, split, params, root=root, allow_seen=allow_seen
            ),
            "intervals": f"{level_percent(params.evaluate.confidence)} %, by "
            f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
        },
        "Versions in training": dict(opened.versions or {}),
    }


def bundle_facts(bundle: Bundle) -> dict[str, str]:
    """The bundle on the pages of verdicts and scans."""
    head = bundle.head
    return {
        "head": _head_in_words(head.config),
        "backbone": f"{bundle.recipe['backbone']} ({bundle.recipe['backbone_digest'][:12]})",
        "threshold": f"{head.threshold:.6f}",
        **_calibration_facts(head),
        **_evidence_facts(bundle),
        **{
            f"head, {name}": f"{len(part.get('sha256s', ()))} videos of "
            f"{len(part.get('groups', ()))} groups"
            for name, part in bundle.trained_on.items()
        },
        **_leak_facts(bundle),
    }


def _head_in_words(config: HeadConfig) -> str:
    """Kind, units and of how many heads it is the average."""
    averaged = f", average of {config.average} seeds" if config.is_average else ""
    return f"{config.kind}, {config.units} units{averaged}"


def report_commands(
    bundle: Path,
    features: Path,
    manifest: Path,
    split: str,
    params: Params,
    *,
    root: Path | None,
    allow_seen: bool,
) -> dict[str, str]:
    """The command of this report, and those that go on from it."""
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
        "corrupted videos": command_line(
            *("unmask", "robustness", bundle, manifest, *rooted, "-o", "ROBUSTNESS")
        ),
        "a video": command_line("unmask", "predict", bundle, "VIDEO"),
    }


def data_facts(videos: Sequence[Video]) -> dict[str, str]:
    """Numbers and formats of these videos."""
    compressions = Counter(video.compression for video in videos if video.compression)
    sizes = sorted({(video.width * video.height, video.width, video.height) for video in videos})
    seconds = [video.duration_seconds for video in videos]
    facts = {
        "videos": f"{sum(not v.label for v in videos)} real, {sum(v.label for v in videos)} fake",
        "methods": _counts(Counter(video.method for video in videos if video.label)),
        "length": f"{min(seconds):.1f} to {max(seconds):.1f} s, {sum(seconds) / 60:.1f} min in all",
        "size": " to ".join(f"{w} x {h}" for _, w, h in dict.fromkeys((sizes[0], sizes[-1]))),
        "codecs": _counts(Counter(video.codec for video in videos)),
        "groups": list_names({video.group for video in videos}),
    }
    if compressions:
        facts["compressions"] = _counts(compressions)
    return facts


def list_names(names: Iterable[str]) -> str:
    """The number of names, and the first of them."""
    held = sorted(set(names))
    more = f", and {len(held) - LISTED} more" if len(held) > LISTED else ""
    return f"{len(held)}: {', '.join(held[:LISTED])}{more}" if held else "0"


def _counts(counts: Counter[str]) -> str:
    """Names with their counts."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _calibration_facts(head: BundledHead) -> dict[str, str]:
    """How scores become verdicts."""
    one = head.calibration
    facts = {"threshold chosen by": one.rule, "calibration": one.method}
    if one.method == "temperature":
        facts["temperature"] = f"{one.temperature:.3f}"
    if one.threshold_low is not None and one.threshold_high is not None:
        facts[f"threshold's {level_percent(THRESHOLD_LEVEL)} % interval"] = (
            f"{one.threshold_low:.3f} to {one.threshold_high:.3f}"
        )
    if one.unsure_low is not None and one.unsure_high is not None:
        facts["unsure"] = f"{one.unsure_low:.3f} to {one.unsure_high:.3f}"
    return facts


def _evidence_facts(bundle: Bundle) -> dict[str, str]:
    """What its likelihood ratios and its range of the familiar were fitted on."""
    ratio, novelty = bundle.head.likelihood_ratio, bundle.novelty
    facts = {"likelihood ratios": "none"}
    if ratio is not None:
        facts["likelihood ratios"] = f"fitted on {ratio.origin}; {ratio.in_words}"
    if novelty is not None:
        people = "person" if novelty.people == 1 else "people"
        facts["novel"] = (
            f"beyond the range within which {1 - novelty.share:.0%} of people are expected, by "
            f"{novelty.people} held-out {people}"
        )
    return facts


def _leak_facts(bundle: Bundle) -> dict[str, str]:
    """A warning where the bundle was trained with --allow-seen; else nothing."""
    leaks = training_leaks(bundle)
    return {"mind": "; ".join(leaks)} if leaks else {}
